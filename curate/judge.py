"""The LLM judge: how probable is it that a row's response is factually wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import polars as pl
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from curate.inquiry import Inquiry
from curate.judges import ABSTAINED, FAILED, OK, Call, JudgeEngine, Menu, Reply
from curate.prompt import load_prompt, nonce, render
from curate.step import JUDGES, Scored
from manifests import schema
from manifests.component import COMPONENT, Context, Table
from manifests.errors import UserError
from manifests.names import check_name


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Judge:
    """Asks a model whether each response is right, and reads the answer off two token probabilities.

    The value is `p_error`, 0..1, more is worse: P(wrong) / (P(correct) + P(wrong)) of the answer's first token. One
    call per distinct conversation; finished calls are kept in `cache/calls.sqlite` of the manifest's folder.
    """

    kind: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"truth"})
    good: ClassVar[str] = "low"
    nested: ClassVar[Mapping[str, Table]] = {"judge": JUDGES}
    paths: ClassVar[frozenset[str]] = frozenset({"prompt"})

    judge: JudgeEngine
    """Who answers: `{kind: vllm, model: M}`, `{kind: openai, url: U, model: M}` or `{kind: replay, path: P}`."""
    name: Annotated[str, AfterValidator(check_name)] = "judge"
    """Name of the score, and of its column in the pool."""
    prompt: str = "verdict"
    """A packaged prompt (`verdict` fences the data, `plain` is for small judges) or the path of a .txt file."""
    labels: tuple[str, str] = (" correct", " wrong")
    """The two answers; the second means wrong. Their first tokens must differ; stripped for chat."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are judged."""
    sources: tuple[str, ...] = ()
    """Sources that are judged, all when left out; the other rows abstain."""
    remarked: tuple[str, ...] = ()
    """Judge only rows that an earlier step kept with one of these remarks, such as `conflict`; others abstain."""
    truth: str | None = None
    """Key of meta that is true where a row is wrong: the judge never sees it, its measured quality is reported."""
    votes: Annotated[int, Field(ge=1)] = 1
    """Must be 1: a verdict is read from probabilities, so that asking again gives the same answer."""
    min_label_mass: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least probability of the two labels together; below it the verdict is `failed`."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The verdict's label is wrong from this `p_error` on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.votes != 1:
            raise UserError(
                "more than one vote is not supported",
                value=self.votes,
                remedy="leave `votes` at 1: the verdict is read from token probabilities, the same each time",
            )
        if self.labels[0].strip() == self.labels[1].strip() or not all(text.strip() for text in self.labels):
            raise UserError("the two labels must be different words", value=self.labels)
        return self

    @property
    def reads_remarks(self) -> bool:
        """Whether the job hands the remarks of earlier steps to `score`, as the list column `remarks`."""
        return bool(self.remarked)

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the prompt's text and the engine's weights, by hash."""
        return {"prompt": load_prompt(self.prompt).digest, "engine": self.judge.identity()}

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score and one verdict per sample: `ok`, `abstained` (nothing to check) or `failed` with a reason.

        Equal conversations share one call. A batch of replies is stored before the next is asked for. Raise UserError
        when the engine cannot start or dies (finished calls stay stored), Interrupted when the user asked to stop.
        """
        menu = self._menu()
        with Inquiry(self.judge, [menu], context) as inquiry:
            calls = self._calls(samples, inquiry, menu)
            return self._scored(samples, calls, inquiry.ask(calls.values(), menu))

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return how many calls `score` would make: distinct conversations without a finished call in the cache."""
        menu = self._menu()
        with Inquiry(self.judge, [menu], context) as inquiry:
            return inquiry.pending(self._calls(samples, inquiry, menu).values())

    def _menu(self) -> Menu:
        return Menu(self.labels, load_prompt(self.prompt).tail)

    def _calls(self, samples: pl.DataFrame, inquiry: Inquiry, menu: Menu) -> dict[str, Call]:
        """Return the calls by sample id; samples with nothing to check have none."""
        prompt = load_prompt(self.prompt)
        calls: dict[str, Call] = {}
        columns = ["sample_id", "content_id", "prompt", "response"]
        for row in samples.filter(self._asked(samples)).select(columns).sort("sample_id").iter_rows(named=True):
            if not row["response"].strip():
                continue
            values = {"instruction": row["prompt"], "response": row["response"]}
            text = render(prompt.text, values, nonce(prompt, row["content_id"]))
            calls[row["sample_id"]] = inquiry.call(text, menu, row["sample_id"], row["content_id"])
        return calls

    def _asked(self, samples: pl.DataFrame) -> pl.Expr:
        """Return which rows are to be judged."""
        if self.remarked and "remarks" not in samples.columns:
            remedy = "give `samples` a list column `remarks`, as a job does"
            raise UserError("no remarks beside the samples", value=self.remarked, remedy=remedy)
        asked = pl.col("source").is_in(self.sources) if self.sources else pl.lit(value=True)
        marks = pl.lit(list(self.remarked), pl.List(pl.String))
        return asked & (pl.col("remarks").list.set_intersection(marks).list.len() > 0) if self.remarked else asked

    def _scored(self, samples: pl.DataFrame, calls: Mapping[str, Call], replies: Mapping[str, Reply]) -> Scored:
        scores: list[dict[str, Any]] = []
        verdicts: list[dict[str, Any]] = []
        left_out = "no step made such a remark on it" if self.remarked else "its source is not judged"
        for sample_id, asked in samples.select("sample_id", asked=self._asked(samples)).sort("sample_id").iter_rows():
            call = calls.get(sample_id)
            nothing = "empty response" if asked else left_out
            status, value, why = (ABSTAINED, None, nothing) if call is None else self._read(replies[call.key])
            key = call.key if call is not None and self.judge.cached else None
            label = None if value is None else ("wrong" if value >= self.threshold else "correct")
            scores.append(
                {"sample_id": sample_id, "scorer": self.name, "value": value, "status": status, "why": why, "key": key}
            )
            verdicts.append(
                dict.fromkeys(schema.VERDICTS)
                | {"sample_id": sample_id, "judge": self.name, "p_error": value, "label": label, "status": status}
            )
        return Scored(schema.frame(scores, schema.SCORES), schema.frame(verdicts, schema.VERDICTS))

    def _read(self, reply: Reply) -> tuple[str, float | None, str | None]:
        """Return (status, p_error, why) of a reply."""
        if reply.status != OK:
            return reply.status, None, reply.why
        value = reply.p_error
        if value is None or reply.mass < self.min_label_mass:
            return FAILED, None, f"off the menu: the labels have probability {reply.mass:.3g}"
        return OK, value, None

"""The LLM judge: how probable is it that a row's response is factually wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Self

import polars as pl
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from curate.cache import CallCache
from curate.judges import ABSTAINED, FAILED, OK, Call, JudgeEngine, Menu, Reply, checked, failed
from curate.step import JUDGES, Scored
from manifests import schema
from manifests.component import COMPONENT, Context, Table
from manifests.errors import Interrupted, UserError
from manifests.names import check_name, digest

PROMPTS: Final = Path(__file__).parent / "prompts"
CACHE: Final = Path("cache") / "calls.sqlite"
FIELDS: Final = ("instruction", "response", "nonce")
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_FENCE: Final = re.compile(r"[<＜﹤‹〈]([\s\u200b]*/?[\s\u200b]*data-)", re.IGNORECASE)
_TAIL: Final = 32


@plain_dataclass(frozen=True, slots=True)
class Prompt:
    """A template with the placeholders {instruction}, {response} and, where the data is fenced, {nonce}."""

    text: str
    digest: str

    @property
    def tail(self) -> str:
        """The fixed text just before the answer, at most 32 characters."""
        last = list(_PLACEHOLDER.finditer(self.text))[-1]
        return self.text[last.end() :][-_TAIL:]


def load_prompt(name: str) -> Prompt:
    """Return a packaged prompt by its name, or the one in the `.txt` file `name`.

    Raise UserError when there is none, when it lacks {instruction} or {response}, when it has an unknown placeholder,
    and when nothing follows the data: the question must come after it.
    """
    packaged = {path.stem: path for path in PROMPTS.glob("*.txt")}
    path = packaged.get(name, Path(name))
    if path.suffix != ".txt" or not path.is_file():
        raise UserError("no such prompt", value=name, options=packaged, remedy="or give the path of a .txt file")
    text = path.read_text("utf-8").rstrip("\n")
    used = set(_PLACEHOLDER.findall(text))
    for unknown in sorted(used - set(FIELDS)):
        raise UserError("unknown placeholder", where=str(path), value=unknown, options=FIELDS)
    for missing in sorted({"instruction", "response"} - used):
        raise UserError("the prompt lacks a placeholder", where=str(path), value="{" + missing + "}")
    prompt = Prompt(text, digest(text))
    if not prompt.tail.strip():
        raise UserError(
            "the prompt ends with data", where=str(path), value=text[-_TAIL:], remedy="put the question after the data"
        )
    return prompt


def render(template: str, row: Mapping[str, Any], nonce: str) -> str:
    """Return the prompt of one sample row (its `prompt` and `response` columns).

    Placeholders are substituted in one pass, so that a row holding `{response}` pulls in nothing. What looks like a
    fence inside the data loses its angle bracket, so the fence of the template is the only one.
    """
    values = {
        "instruction": _FENCE.sub(r"(\1", row["prompt"]),
        "response": _FENCE.sub(r"(\1", row["response"]),
        "nonce": nonce,
    }
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


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
        prompt = load_prompt(self.prompt)
        calls = self._calls(samples, prompt)
        replies: dict[str, Reply] = {}
        unique = {call.key: call for call in calls.values()}
        with self._cache(context) as cache:
            if cache is not None:
                replies.update(cache.get(unique))
            missing = [call for key, call in unique.items() if key not in replies]
            context.progress(len(replies), len(unique))
            if missing:
                for batch in self._ask(missing, Menu(self.labels, prompt.tail), context):
                    if cache is not None:
                        cache.put(batch)
                    replies.update((reply.key, reply) for reply in batch)
                    context.progress(len(replies), len(unique))
        return self._scored(samples, calls, replies)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return how many calls `score` would make: distinct conversations without a finished call in the cache."""
        if not self.judge.cached:
            return 0
        keys = {call.key for call in self._calls(samples, load_prompt(self.prompt)).values()}
        if not (context.root / CACHE).exists():
            return len(keys)
        with CallCache(context.root / CACHE) as cache:
            return len(keys) - len(cache.get(keys))

    def _cache(self, context: Context) -> AbstractContextManager[CallCache | None]:
        return CallCache(context.root / CACHE) if self.judge.cached else nullcontext()

    def _calls(self, samples: pl.DataFrame, prompt: Prompt) -> dict[str, Call]:
        """Return the calls by sample id; samples with nothing to check have none."""
        who = {"engine": self.judge.identity(), "labels": list(self.labels), "template": prompt.digest}
        common = digest(who)
        calls: dict[str, Call] = {}
        columns = ["sample_id", "content_id", "prompt", "response"]
        for row in samples.filter(self._asked(samples)).select(columns).sort("sample_id").iter_rows(named=True):
            if not row["response"].strip():
                continue
            text = render(prompt.text, row, digest([prompt.digest, row["content_id"]])[:8])
            key = digest([common, text]) if self.judge.cached else row["sample_id"]
            calls[row["sample_id"]] = Call(key, text, row["sample_id"], row["content_id"])
        return calls

    def _asked(self, samples: pl.DataFrame) -> pl.Expr:
        """Return which rows are to be judged."""
        if self.remarked and "remarks" not in samples.columns:
            remedy = "give `samples` a list column `remarks`, as a job does"
            raise UserError("no remarks beside the samples", value=self.remarked, remedy=remedy)
        asked = pl.col("source").is_in(self.sources) if self.sources else pl.lit(value=True)
        marks = pl.lit(list(self.remarked), pl.List(pl.String))
        return asked & (pl.col("remarks").list.set_intersection(marks).list.len() > 0) if self.remarked else asked

    def _ask(self, missing: Sequence[Call], menu: Menu, context: Context) -> Iterator[list[Reply]]:
        """Yield the engine's replies in batches, checked, then a failed reply for each call that it left out."""
        left = {call.key for call in missing}
        with self.judge.open(menu, context) as session:
            for batch in session.ask(missing):
                replies = [checked(reply) for reply in batch if reply.key in left]
                left -= {reply.key for reply in replies}
                yield replies
                if left and context.stopping():
                    raise Interrupted("stopped while judging; finished calls are kept")
        if left:
            yield [failed(key, "the judge gave no answer") for key in sorted(left)]

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

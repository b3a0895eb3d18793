"""The LLM judge: how probable is it that a row's response is factually wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from curate import remedy
from curate.claim_check import Checked, ClaimCheck, Pool
from curate.inquiry import Inquiry
from curate.interview import Case, Desk, Interview, Literate, Reasoning, Rehearsal
from curate.judges import ABSTAINED, JudgeEngine, Menu
from curate.opinion import Opinion, Policy, remarked
from curate.probe import probe
from curate.prompt import VERDICT, Prompt
from curate.remedy import DefectMenu, Extra
from curate.step import JUDGES, Scored
from curate.vote import CHOICE, PACKAGED, Form, cycle, prompts
from manifests import schema
from manifests.component import COMPONENT, Context, Table
from manifests.errors import UserError
from manifests.names import canonical_json, check_name
from manifests.predicate import score_column

Band = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Judge:
    """Asks a model whether each response is right, and reads the answer off the probabilities of its first token.

    The value is `p_error`, 0..1, more is worse: P(wrong) / (P(correct) + P(wrong)). A row costs one call, and more
    with `mode: claims`, `votes`, `reason`, `defects` or `repair`; equal calls are made once, and finished ones are
    kept in `cache/calls.sqlite` of the manifest's folder.
    """

    kind: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"truth"})
    good: ClassVar[str] = "low"
    reads_errors: ClassVar[bool] = True
    nested: ClassVar[Mapping[str, Table]] = {"judge": JUDGES}
    paths: ClassVar[frozenset[str]] = frozenset({"prompt"})

    judge: JudgeEngine
    """Who answers: `{kind: vllm, model: M}`, `{kind: openai, url: U, model: M}` or `{kind: replay, path: P}`."""
    name: Annotated[str, AfterValidator(check_name)] = "judge"
    """Name of the score, and of its column in the pool."""
    mode: Literal["whole", "claims"] = "whole"
    """Judge each response as a `whole`, or list its checkable `claims` first and judge each of them."""
    prompt: str = "verdict"
    """A packaged prompt (`verdict` fences the data, `plain` is for small judges), a .txt file, or a folder of them."""
    labels: tuple[str, str] = (" correct", " wrong")
    """The two answers; the second means wrong. Their first tokens must differ; stripped for chat."""
    unsure: str | None = None
    """A third answer such as " unsure"; the row is `abstained` from when it is the likeliest."""
    read: Literal["probabilities", "text"] = "probabilities"
    """`text` has the answer written and reads it, for servers without token probabilities; `p_error` is 0 or 1."""
    reason: Annotated[int, Field(ge=0)] = 0
    """Tokens of reasoning that the judge may write before each verdict; 0 for none."""
    reason_cut: Literal["fail", "keep"] = "fail"
    """What becomes of a verdict whose reasoning was not finished within `reason` tokens."""
    votes: Annotated[int, Field(ge=1)] = 1
    """Verdicts per question, each asked in other words or with the labels in another order; the value is their mean."""
    max_spread: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Largest difference between two votes; above it the row (in `claims` mode the claim) is `abstained` from."""
    max_claims: Annotated[int, Field(ge=1, le=64)] = 8
    """Claims of one response that are listed at most; each may take 32 tokens of the model's context."""
    pool: Pool = "max"
    """Value of a row from its claims: that of the worst, of `any` being wrong (independent), or the `mean`."""
    partial: Literal["fail", "ignore"] = "fail"
    """What becomes of a row when some of its claims or votes failed; when all failed, it is `failed` anyway."""
    defects: tuple[str, ...] = ()
    """Classes of errors, such as [fact, logic, arithmetic, outdated]; asked of the rows labelled wrong."""
    repair: Annotated[int, Field(ge=0)] = 0
    """Tokens of the corrected answer that is asked for where a row is labelled wrong; 0 for none."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are judged."""
    sources: tuple[str, ...] = ()
    """Sources that are judged, all when left out; the other rows abstain."""
    remarked: tuple[str, ...] = ()
    """Judge only rows that an earlier step kept with one of these remarks, such as `conflict`; others abstain."""
    unless: tuple[str, ...] = ()
    """Names of earlier scorers of errors, such as [computed]: rows that one of them decides are not judged."""
    band: Band = (0.1, 0.9)
    """An earlier scorer decides a row at or below the first number (right) and at or above the second (wrong)."""
    truth: str | None = None
    """Key of meta that is true where a row is wrong: the judge never sees it, its measured quality is reported."""
    probes: Annotated[int, Field(ge=0)] = 0
    """Instructions that are judged with answers that say nothing, ten each: how many pass is told as the quality."""
    min_label_mass: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least probability of the labels together; below it the verdict is `failed`."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The verdict's label is wrong from this `p_error` on."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        words = [label.strip() for label in self.labels]
        if words[0] == words[1] or not all(words):
            raise UserError("the two labels must be different words", value=self.labels)
        if self.unsure is not None and self.unsure.strip() in {*words, ""}:
            raise UserError("the third label must be a word that differs from the two `labels`", value=self.unsure)
        if self.defects and not (2 <= len({name.strip() for name in self.defects} - {""}) == len(self.defects)):
            raise UserError("the classes of defects must be at least two different names", value=self.defects)
        if len(self.defects) > remedy.MOST:
            raise UserError(f"at most {remedy.MOST} classes of defects fit a menu", value=len(self.defects))
        idle = {
            "reason_cut": (self.reason_cut != "fail" and not self.reason, "no reasoning is asked for: set `reason`"),
            "max_spread": (self.max_spread < 1.0 and self.votes == 1, "one vote has no spread: set `votes`"),
            "max_claims": (self.max_claims != 8 and self.mode == "whole", "it is for `mode: claims`"),
            "band": (self.band != (0.1, 0.9) and not self.unless, "no earlier scorer is named: set `unless`"),
            "pool": (self.pool != "max" and self.mode == "whole", "it is for `mode: claims`"),
            "partial": (
                self.partial != "fail" and self.mode == "whole" and self.votes == 1,
                "it is for `mode: claims` and for `votes`",
            ),
            "min_label_mass": (
                self.min_label_mass != 0.5 and self.read == "text",
                "a verdict that is read from text has no label mass",
            ),
        }
        for field, (useless, why) in idle.items():
            if useless:
                raise UserError(f"`{field}` would change nothing ({why})", value=getattr(self, field))
        self._prompts()
        self._forms()
        return self

    @property
    def reads_remarks(self) -> bool:
        """Whether the job hands the remarks of earlier steps to `score`, as the list column `remarks`."""
        return bool(self.remarked)

    @property
    def reads(self) -> tuple[str, ...]:
        """Scorers whose values the job hands to `score`, as columns of their names."""
        return self.unless

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the prompts' texts and the engine's weights, by hash."""
        used = {form.prompt.name: form.prompt.digest for form in self._forms()}
        used |= {prompt.name: prompt.digest for prompt in self._prompts().values()}
        return {"prompts": used, "engine": self.judge.identity()}

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score and one verdict per sample: `ok`, `abstained` (nothing to check) or `failed` with a reason.

        Equal questions share one call. A batch of replies is stored before the next is asked for. Raise UserError
        when the engine cannot start or dies (finished calls stay stored), Interrupted when the user asked to stop.
        """
        with Inquiry(self.judge, self._menus(), context) as inquiry:
            return replace(self._judged(samples, inquiry), quality=self._probed(samples, inquiry))

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return how many calls can be named now that have no finished answer in the cache; 0 means that all is done.

        It is exact where one question is asked of a row. Calls that depend on answers still to come (the verdicts on
        claims or after reasoning, defects, repairs) are counted once those answers are there.
        """
        if not self.judge.cached:
            return 0
        with Inquiry(self.judge, self._menus(), context) as inquiry:
            rehearsal = Rehearsal(inquiry, context.root)
            self._judged(samples, rehearsal)
            self._probed(samples, rehearsal)
            return len(rehearsal.missing)

    @property
    def _labels(self) -> tuple[str, ...]:
        return self.labels if self.unsure is None else (*self.labels, self.unsure)

    def _prompts(self) -> dict[str, Prompt]:
        """Return the prompts beside that of the verdict, by their role."""
        about = (*VERDICT, "claim") if self.mode == "claims" else VERDICT
        wanted = {
            "claims": (self.mode == "claims", (*VERDICT, "most")),
            "claim-reason" if self.mode == "claims" else "reason": (self.reason > 0, about),
            "defect": (bool(self.defects), (*VERDICT, "options")),
            "repair": (self.repair > 0, VERDICT),
        }
        where = self.prompt if Path(self.prompt).is_dir() else PACKAGED
        return {role: prompts(where, role, needs)[0] for role, (asked, needs) in wanted.items() if asked}

    def _forms(self) -> tuple[Form, ...]:
        role = "claim" if self.mode == "claims" else "verdict"
        needs = {"verdict": VERDICT, "claim": (*VERDICT, "claim")}[role]
        if self.reason:
            role = {"verdict": "reasoned", "claim": "claim-reasoned"}[role]
            needs = (*needs, "reasoning")
        return cycle(prompts(self.prompt, role, needs, CHOICE), self._labels, self.votes)

    def _menus(self) -> list[Menu]:
        """Return the menus that the engine must be able to read."""
        if self.read == "text":
            return []
        defects = [self._defects().menu] if self.defects else []
        return list(dict.fromkeys([*(form.menu for form in self._forms()), *defects]))

    def _defects(self) -> DefectMenu:
        return DefectMenu(self._prompts()["defect"], self.defects, spaced=self.labels[0].startswith(" "))

    def _interview(self, desk: Desk) -> Interview:
        policy = Policy(
            min_label_mass=self.min_label_mass,
            threshold=self.threshold,
            max_spread=self.max_spread,
            partial=self.partial,
        )
        prompt = self._prompts().get("claim-reason" if self.mode == "claims" else "reason")
        reasoning = Reasoning(prompt, self.reason, keep=self.reason_cut == "keep") if prompt else None
        return Interview(Literate(desk) if self.read == "text" else desk, self._forms(), policy, reasoning)

    def _judged(self, samples: pl.DataFrame, desk: Desk) -> Scored:
        """Return the scores and verdicts that the answers at the desk amount to."""
        interview = self._interview(desk)
        asked = self._asked(samples).select("sample_id", "content_id", "prompt", "response")
        cases = [
            Case(sample_id, content_id, {"instruction": prompt, "response": response})
            for sample_id, content_id, prompt, response in asked.sort("sample_id").iter_rows()
            if response.strip()
        ]
        found = {case.sample_id: got for case, got in zip(cases, self._checked(interview, cases), strict=True)}
        wrong = [case for case in cases if self._word(found[case.sample_id].opinion) == "wrong"]
        return self._scored(samples, found, self._extras(interview, wrong))

    def _probed(self, samples: pl.DataFrame, desk: Desk) -> pl.DataFrame | None:
        """Return how often answers that say nothing pass; None when the job asks for no probe."""
        if not self.probes:
            return None
        plain = replace(self, defects=(), repair=0, unless=(), band=(0.1, 0.9))
        return probe(lambda rows: plain._judged(rows, desk).verdicts, self._asked(samples), self.probes, self.name)

    def _checked(self, interview: Interview, cases: Sequence[Case]) -> list[Checked]:
        if self.mode == "whole":
            return [Checked(opinion) for opinion in interview.opinions(cases)]
        listing = self._prompts()["claims"]
        return ClaimCheck(interview, listing, self.max_claims, self.pool).checked(cases)

    def _extras(self, interview: Interview, wrong: Sequence[Case]) -> dict[str, dict[str, Extra]]:
        """Return the defects and repairs of the rows labelled wrong: what -> sample id -> answer."""
        prompt = self._prompts().get("repair")
        defects = self._defects().ask(interview, wrong) if self.defects else []
        repairs = remedy.repairs(interview, prompt, wrong, self.repair) if prompt else []
        found = {"defect": defects, "repair": repairs}
        return {
            what: {case.sample_id: extra for case, extra in zip(wrong, extras, strict=False)}
            for what, extras in found.items()
        }

    def _left_out(self, samples: pl.DataFrame) -> pl.Expr:
        """Return why a row is not judged, null for the rows that are."""
        if self.remarked and "remarks" not in samples.columns:
            cure = "give `samples` a list column `remarks`, as a job does"
            raise UserError("no remarks beside the samples", value=self.remarked, remedy=cure)
        reasons: list[tuple[pl.Expr, str]] = []
        if self.sources:
            reasons.append((~pl.col("source").is_in(self.sources), "its source is not judged"))
        if self.remarked:
            marks = pl.lit(list(self.remarked), pl.List(pl.String))
            bare = pl.col("remarks").list.set_intersection(marks).list.len() == 0
            reasons.append((bare, "no step made such a remark on it"))
        for name in self.unless:
            column = score_column(name)
            if column not in samples.columns:
                cure = f"give `samples` the column {column}, as a job does"
                raise UserError("no values of an earlier scorer beside the samples", value=name, remedy=cure)
            decided = (pl.col(column) <= self.band[0]) | (pl.col(column) >= self.band[1])
            reasons.append((decided, f"{name} decides it"))
        found = [pl.when(held).then(pl.lit(why)) for held, why in reasons]
        return pl.coalesce(*found, pl.lit(None, pl.String)).alias("left_out")

    def _asked(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that are to be judged."""
        return samples.filter(self._left_out(samples).is_null())

    def _word(self, opinion: Opinion) -> str | None:
        if opinion.value is None:
            return None
        return "wrong" if opinion.value >= self.threshold else "correct"

    def _scored(
        self, samples: pl.DataFrame, found: Mapping[str, Checked], extras: Mapping[str, Mapping[str, Extra]]
    ) -> Scored:
        scores: list[dict[str, Any]] = []
        verdicts: list[dict[str, Any]] = []
        for sample_id, left_out in samples.select("sample_id", self._left_out(samples)).sort("sample_id").iter_rows():
            nothing = Checked(Opinion(ABSTAINED, None, left_out or "empty response"))
            got = found.get(sample_id, nothing)
            further = {what: by_id[sample_id] for what, by_id in extras.items() if sample_id in by_id}
            opinion = got.opinion
            for extra in further.values():
                opinion = remarked(replace(opinion, keys=(*opinion.keys, extra.key)), extra.why)
            key = opinion.keys[0] if opinion.keys and self.judge.cached else None
            said = {"sample_id": sample_id, "status": opinion.status}
            scores.append({**said, "scorer": self.name, "value": opinion.value, "why": opinion.why, "key": key})
            verdicts.append(
                dict.fromkeys(schema.VERDICTS)
                | said
                | {"judge": self.name, "p_error": opinion.value, "label": self._word(opinion)}
                | {"claims": got.claims, "evidence": self._evidence(opinion)}
                | {what: extra.text for what, extra in further.items()}
            )
        return Scored(schema.frame(scores, schema.SCORES), schema.frame(verdicts, schema.VERDICTS))

    def _evidence(self, opinion: Opinion) -> str | None:
        """Return as JSON the votes with their reasoning, how far they lie apart, and the calls; None for one call."""
        values: dict[int | None, list[float]] = {}
        for step in opinion.trail:
            if step["p_error"] is not None:
                values.setdefault(step.get("claim"), []).append(step["p_error"])
        told: dict[str, Any] = {"votes": list(opinion.trail)} if opinion.trail else {}
        if self.votes > 1 and values:
            told["spread"] = max(max(found) - min(found) for found in values.values())
        if len(opinion.keys) > 1 and self.judge.cached:
            told["calls"] = list(opinion.keys)
        return canonical_json(told) if told else None

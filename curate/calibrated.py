"""A judge's numbers made probabilities, with a threshold that keeps a promise about the rows that stay."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from curate import guarantee, prevalence
from curate.calibrate import brier, ece, labelled
from curate.calibration import Method, calibrate, crossfitted
from curate.classifier import folded
from curate.guarantee import ABOVE, Certificate
from curate.measure import Floats, Ints
from curate.scores import scored
from curate.step import Scored
from curate.text import normalise
from manifests import schema
from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from manifests.names import check_name, sampling_key
from manifests.predicate import score_column

Share = Annotated[float, Field(gt=0, lt=1)]
RANDOM: Final = "random"


@plain_dataclass(frozen=True, eq=False)
class Known:
    """The labelled rows with a number: place in the samples, hash, truth, number, prompt, how drawn, weight."""

    at: Ints
    key: NDArray[np.uint64]
    wrong: NDArray[np.bool_]
    p: Floats
    group: Ints
    drawn: NDArray[np.str_]
    weight: Floats

    def take(self, rows: NDArray[np.bool_]) -> Known:
        """Return some of the rows."""
        return Known(*(column[rows] for column in vars(self).values()))


@plain_dataclass(frozen=True)
class Operating:
    """The threshold on the judge's own number from which rows are called wrong, and what was certified of it."""

    threshold: float | None
    promise: str = ""
    certificate: Certificate | None = None
    refusal: str = ""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Calibrated:
    """Gives P(wrong) of each row, 0 to 1, from another scorer's number, fitted on labelled rows.

    A labelled row's value comes from labels of other prompts. With `keep_false`, `precision` or `recall`, the verdict's
    label follows the most useful threshold that provably keeps the promise, with probability `confidence` over the
    draw of the labels; where none does, rows have a value and no label, and the view `quality` says how many labels
    would be needed. One labelled row per prompt counts for the promise, chosen by `seed`. Labels in meta are taken for
    a random draw; of labels by hand, those of `review --strategy random` count. Rows without a number abstain.
    """

    kind: ClassVar[str] = "calibrated"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "low"

    of: str
    """Name of the scorer, earlier in the job, whose numbers (0 to 1) are calibrated."""
    better: Literal["low", "high"] = "low"
    """The better end of that scorer's scale; `high` for one whose 1 means right."""
    label: str | None = None
    """Key of meta that is true where a row is wrong."""
    labels: bool = False
    """Learn from the labels by hand (`blendsmith judge import-labels`) instead."""
    method: Method = "temperature"
    """The fit: `temperature` (two numbers), `isotonic` (any rising line; wants hundreds of labels), or `none`."""
    keep_false: Share | None = None
    """Promise: at most this share of the rows not called wrong is wrong."""
    precision: Share | None = None
    """Promise: at least this share of the rows called wrong is wrong."""
    recall: Share | None = None
    """Promise: at least this share of the wrong rows is called wrong."""
    confidence: Share = 0.95
    """Probability that the promise holds."""
    value: Literal["probability", "gate"] = "probability"
    """The score: P(wrong), or `gate`: 0 for rows to keep, 1 for the rest, none at all where nothing was certified."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Parts of the labelled prompts."""
    min_labels: Annotated[int, Field(ge=1)] = 10
    """Fewest labelled rows of each class for a fit."""
    seed: int = 0
    """Seed of the folds, and of the row that counts for a prompt."""
    name: Annotated[str, AfterValidator(check_name)] = "calibrated"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.label is None) == (not self.labels):
            raise UserError(
                "one source of labels is needed", value=self.label, remedy="give label: KEY or labels: true"
            )
        if len(self.promises) > 1:
            raise UserError("one promise at a time", value=sorted(self.promises), remedy="keep one of them")
        if self.value == "gate" and not self.promises:
            raise UserError("a gate needs a promise", value=self.value, remedy="add keep_false, precision or recall")
        return self

    @property
    def promises(self) -> dict[str, float]:
        """Return the promises that were asked for."""
        asked = {"keep_false": self.keep_false, "precision": self.precision, "recall": self.recall}
        return {name: share for name, share in asked.items() if share is not None}

    @property
    def reads(self) -> tuple[str, ...]:
        """The scorer whose values it gets."""
        return (self.of,)

    @property
    def reads_labels(self) -> bool:
        """Whether it gets the labels by hand, as the columns `label_wrong`, `label_drawn` and `label_weight`."""
        return self.labels

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: no model is called."""
        return 0

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return a score and a verdict per sample, and what was measured on the labels.

        Raise UserError when a number is not 0..1, and when no row has the label in its meta.
        """
        samples = samples.sort("sample_id")
        raw = self._numbers(samples)
        known = self._known(samples, raw)
        why = self._lacking(known)
        if why is not None:
            rows = [self._quality("certified", 0.0, len(known.p), note=why)]
            return self._answer(samples, raw, np.full(len(raw), np.nan), Operating(None, refusal=why), rows)
        fold = self._folds(known)
        unseen = crossfitted(known.p, known.wrong, fold, self.method)
        p = np.where(np.isnan(raw), np.nan, calibrate(known.p, known.wrong, self.method)(np.nan_to_num(raw)))
        p[known.at] = unseen
        operating = self._operating(raw, known)
        rows = [*self._told(known, unseen, operating), *self._shares(raw, known, operating)]
        return self._answer(samples, raw, p, operating, rows)

    def _numbers(self, samples: pl.DataFrame) -> Floats:
        """Return the other scorer's numbers, 1 for wrong, NaN where it gave none."""
        raw = samples[score_column(self.of)].cast(pl.Float64).to_numpy().copy()
        given = raw[~np.isnan(raw)]
        if ((given < 0.0) | (given > 1.0)).any():
            raise UserError(f"the numbers of '{self.of}' are not all 0 to 1", value=[given.min(), given.max()])
        return 1.0 - raw if self.better == "high" else raw

    def _known(self, samples: pl.DataFrame, raw: Floats) -> Known:
        if self.label is not None:
            given = labelled(samples, self.label) if samples.height else pl.Series([], dtype=pl.Boolean)
            drawn, weight = np.full(len(raw), RANDOM), np.ones(len(raw))
        elif "label_wrong" in samples.columns:
            given = samples["label_wrong"]
            drawn = samples["label_drawn"].fill_null("").to_numpy().astype(np.str_)
            weight = samples["label_weight"].fill_null(0.0).to_numpy()
        else:
            remedy = "give `samples` the columns label_wrong, label_drawn and label_weight, as a job does"
            raise UserError("no labels beside the samples", value=samples.columns, remedy=remedy)
        at = np.flatnonzero(given.is_not_null().to_numpy() & ~np.isnan(raw))
        group = normalise(samples["prompt"], case=True).rank("dense").to_numpy().astype(np.int64)
        key = samples["k64"].to_numpy()[at]
        wrong = given.fill_null(value=False).to_numpy()[at]
        return Known(at, key, wrong, raw[at], group[at], drawn[at], weight[at])

    def _lacking(self, known: Known) -> str | None:
        wrong, right = int(known.wrong.sum()), int((~known.wrong).sum())
        if min(wrong, right) < self.min_labels:
            return f"{wrong} rows are labelled wrong and {right} right; {self.min_labels} of each are needed"
        return "the labelled rows are of one prompt" if len(np.unique(known.group)) < 2 else None

    def _folds(self, known: Known) -> Ints:
        names = pl.Series(known.group).cast(pl.String)
        places = folded(names.unique(), min(self.folds, names.n_unique()), self.seed)
        return names.replace_strict(places, return_dtype=pl.Int64).to_numpy()

    def _operating(self, raw: Floats, known: Known) -> Operating:
        """Return the threshold: one half without a promise, the certified one with it, none when it is refused."""
        if not self.promises:
            return Operating(0.5)
        ((promise, share),) = self.promises.items()
        drawn = known.take(known.drawn == RANDOM)
        if not len(drawn.p):
            return Operating(None, promise, refusal="no label comes from a random draw, so nothing can be promised")
        once = drawn.take(self._one_per_prompt(drawn))
        cuts = guarantee.thresholds(raw[~np.isnan(raw)])
        members, errors, cuts = _counts(promise, once, cuts)
        alpha = share if promise == "keep_false" else 1.0 - share
        found = guarantee.certify(members, errors, alpha, 1.0 - self.confidence)
        return Operating(None if found.place is None else float(cuts[found.place]), promise, found, found.reason)

    def _one_per_prompt(self, known: Known) -> NDArray[np.bool_]:
        """Return which row counts for each prompt: the first by a hash of its id and the seed."""
        keys = sampling_key(known.key, self.seed, "one per prompt")
        order = np.lexsort((keys, known.group))
        first = np.zeros(len(order), np.bool_)
        first[order[np.flatnonzero(np.diff(known.group[order], prepend=-1))]] = True
        return first

    def _told(self, known: Known, unseen: Floats, operating: Operating) -> Iterator[dict[str, Any]]:
        """Yield what the labels say of the calibration and of the threshold."""
        n = len(known.p)
        for name, statistic in (("ece", ece), ("brier", brier)):
            yield self._quality(f"{name}_before", statistic(known.wrong, known.p), n)
            yield self._quality(f"{name}_after", statistic(known.wrong, unseen), n, note="labels of other prompts")
        found = operating.certificate
        if operating.promise:
            asked = f"{operating.promise} {self.promises[operating.promise]:g}, confidence {self.confidence:g}"
            held = operating.threshold is not None
            note = asked if held else f"{asked}: {operating.refusal}"
            yield self._quality("certified", float(held), found.members if found else 0, note=note)
        if found is not None and found.needed is not None and operating.threshold is None:
            yield self._quality("labels_needed", float(found.needed), found.members)
        if operating.threshold is None:
            return
        if found is not None and found.bound is not None:
            share = found.errors / found.members
            note = f"share in error among the rows that {operating.promise} is about; the bound is one-sided"
            yield self._quality("certified_error", share, found.members, (0.0, found.bound), note)
        none = "; no row reaches it" if operating.threshold == ABOVE else ""
        yield self._quality("threshold", min(operating.threshold, 1.0), n, note=f"on the number of {self.of}{none}")
        marked = known.p >= operating.threshold
        for name, rows, hit in (("sensitivity", known.wrong, marked), ("specificity", ~known.wrong, ~marked)):
            k, m = int(hit[rows].sum()), int(rows.sum())
            yield self._quality(name, k / m, m, guarantee.interval(k, m), "rows taken as independent")

    def _shares(self, raw: Floats, known: Known, operating: Operating) -> Iterator[dict[str, Any]]:
        """Yield the share of wrong rows among those with a number: the judge's count and its corrections."""
        numbers = raw[~np.isnan(raw)]
        cut = 0.5 if operating.threshold is None else operating.threshold
        usable = best_draw(known.drawn)
        rows = known.take(usable)
        kept = prevalence.Labelled(rows.wrong, rows.p, rows.weight, np.unique(rows.group, return_inverse=True)[1])
        refused = prevalence.Estimate(None, note="no label comes from a random or stratified draw")
        found = {
            "naive": prevalence.naive(numbers >= cut),
            "rogan_gladen": prevalence.rogan_gladen(numbers >= cut, kept, cut) if usable.any() else refused,
            "ppi": prevalence.prediction_powered(numbers, kept) if usable.any() else refused,
        }
        for name, estimate in found.items():
            ends = (estimate.low, estimate.high)
            yield self._quality(f"prevalence_{name}", estimate.value, estimate.n, ends, estimate.note or None)

    def _quality(
        self,
        metric: str,
        value: float | None,
        n: int,
        ends: tuple[float | None, float | None] = (None, None),
        note: str | None = None,
    ) -> dict[str, Any]:
        where = f"meta.{self.label.removeprefix('meta.')}" if self.label is not None else "labels"
        finite = value if value is None or math.isfinite(value) else None
        row = (self.name, where, metric, finite, ends[0], ends[1], n, note)
        return dict(zip(schema.QUALITY, row, strict=True))

    def _answer(
        self, samples: pl.DataFrame, raw: Floats, p: Floats, operating: Operating, quality: Sequence[dict[str, Any]]
    ) -> Scored:
        ids = samples["sample_id"]
        there = ~np.isnan(p)
        cut = operating.threshold
        called = np.where(raw >= (ABOVE if cut is None else cut), "wrong", "correct")
        label = pl.Series(np.where(there, called, ""), dtype=pl.String) if cut is not None else pl.Series([""] * len(p))
        none = f"'{self.of}' gave no number"
        lost = np.where(np.isnan(raw), none, operating.refusal)
        if self.value == "gate":
            value = np.where(there & (cut is not None), (called == "wrong").astype(np.float64), np.nan)
        else:
            value = p
        why = pl.Series(np.where(np.isnan(value), lost, ""), dtype=pl.String).replace("", None)
        answer = scored(ids, self.name, pl.Series(value).fill_nan(None), why)
        verdicts = pl.DataFrame(
            {
                "sample_id": ids,
                "judge": [self.name] * len(p),
                "p_error": pl.Series(p).fill_nan(None),
                "label": label.replace("", None),
                "status": np.where(there, "ok", "abstained"),
            },
            schema_overrides={"judge": pl.String, "label": pl.String, "status": pl.String},
        )
        blank = [pl.lit(None, dtype).alias(name) for name, dtype in schema.VERDICTS.items() if name not in verdicts]
        verdicts = verdicts.with_columns(blank).select(*schema.VERDICTS)
        return Scored(answer.scores, verdicts, schema.frame(quality, schema.QUALITY))


def best_draw(drawn: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which rows count for a share of the pool: those of the random or the stratified draw, the larger one."""
    sizes = {name: int((drawn == name).sum()) for name in (RANDOM, "stratified")}
    chosen = max(sizes, key=lambda name: (sizes[name], name == RANDOM))
    return np.asarray(drawn == chosen)


def _counts(promise: str, known: Known, cuts: Floats) -> tuple[Ints, Ints, Floats]:
    """Return members and errors of a promise at each threshold, from the strictest to the most lenient, and those."""
    below = known.p[None, :] < cuts[:, None]
    if promise == "keep_false":
        return below.sum(axis=1), (below & known.wrong).sum(axis=1), cuts
    if promise == "precision":
        return (~below).sum(axis=1)[::-1], (~below & ~known.wrong).sum(axis=1)[::-1], cuts[::-1]
    return np.full(len(cuts), int(known.wrong.sum())), (below & known.wrong).sum(axis=1), cuts

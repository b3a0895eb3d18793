"""The cascade: one probability that a row is wrong, from the first instrument that is sure, cheapest first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from curate.calibrate import RESAMPLES, bootstrap_ci, labelled, precision_recall_f1
from curate.step import Scored
from curate.text import normalise
from manifests import schema
from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from manifests.names import check_name
from manifests.predicate import verdict_column

Band = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]

CARRIED: Final = ("defect", "claims", "evidence", "repair")
"""What the cascade's verdict takes over from the instrument that it follows."""
_EDGE: Final = 1e-3
"""Probabilities nearer to 0 or 1 count as this in a sum of log-odds: none outweighs all others."""


@plain_dataclass(frozen=True, slots=True)
class Outcome:
    """What the cascade makes of a row: `of` is the instrument that it follows, `sure` whether that one decided."""

    status: str
    value: float | None
    why: str
    of: str | None = None
    sure: bool = False


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Factuality:
    """Composes earlier scorers into one `p_error`, 0..1, more is worse: the pool's, wherever it stands in the job.

    The instruments of `reads` are asked in their order. The first whose value lies outside its uncertain band decides;
    its defect, claims and evidence become the verdict's, and `why` names it. A row that none decides gets what
    `otherwise` says; one of which none says anything abstains, or is `failed` when an instrument failed on it. Nothing
    is asked of a model here.
    """

    kind: ClassVar[str] = "factuality"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "low"
    reads_verdicts: ClassVar[bool] = True
    reads_errors: ClassVar[bool] = True

    reads: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of earlier scorers whose value is P(wrong), cheapest first: `[computed, grounded, judge]`."""
    name: Annotated[str, AfterValidator(check_name)] = "factuality"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""
    band: Band = (0.1, 0.9)
    """An instrument decides at or below the first number (right) and at or above the second (wrong)."""
    bands: dict[str, Band] = Field(default_factory=dict)
    """The same for single instruments, as in {judge: [0.2, 0.8]}; [0.5, 0.5] always decides."""
    otherwise: Literal["last", "combine", "abstain"] = "last"
    """A row in every band: the last value given, the sum of the values' log-odds, or no value."""
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of wrong rows that `combine` starts from: the base rate that the instruments were calibrated at."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The verdict's label is wrong from this `p_error` on."""
    truth: str | None = None
    """Key of meta that is true where a row is wrong: the cascade never sees it, its errors are measured against it."""
    seed: int = 0
    """Seed of the intervals of the measured errors."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.reads)) < len(self.reads):
            raise UserError("an instrument is named twice", value=self.reads, remedy="name each once in `reads`")
        for name in self.bands:
            if name not in self.reads:
                raise UserError("a band for a scorer that is not read", value=name, options=self.reads)
        for low, high in (self.band, *self.bands.values()):
            if low > high:
                raise UserError("a band must not end before it begins", value=(low, high), remedy="write [low, high]")
        return self

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score and one verdict per sample, and the measured errors of each instrument where `truth` is set.

        `samples` has, per scorer of `reads`, the column `predicate.verdict_column(name)`. Raise UserError when it has
        not, when a value is not a probability, and when no row has the label of `truth`.
        """
        for name in self.reads:
            if verdict_column(name) not in samples.columns:
                raise UserError(
                    "no verdicts of an instrument beside the samples",
                    value=name,
                    remedy=f"give `samples` the column {verdict_column(name)}, as a job does",
                )
        rows = samples.sort("sample_id")
        found = [self._outcome(row) for row in rows.iter_rows(named=True)]
        scores, verdicts = [], []
        for row, outcome in zip(rows.iter_rows(named=True), found, strict=True):
            head = {"sample_id": row["sample_id"], "status": outcome.status}
            scores.append({**head, "scorer": self.name, "value": outcome.value, "why": outcome.why, "key": None})
            carried = row[verdict_column(outcome.of)] if outcome.of else None
            verdicts.append(
                {**head, "judge": self.name, "p_error": outcome.value, "label": self._label(outcome.value)}
                | {part: carried[part] if carried else None for part in CARRIED}
            )
        quality = self._quality(rows, found) if self.truth else None
        return Scored(schema.frame(scores, schema.SCORES), schema.frame(verdicts, schema.VERDICTS), quality)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: nothing is asked of a model."""
        return 0

    def _label(self, value: float | None) -> str | None:
        return None if value is None else "wrong" if value >= self.threshold else "correct"

    def _sure(self, name: str, value: float) -> bool:
        low, high = self.bands.get(name, self.band)
        return value <= low or value >= high

    def _outcome(self, row: Mapping[str, Any]) -> Outcome:
        """Return what the instruments say together of one row."""
        said: dict[str, float] = {}
        silent: dict[str, tuple[str, str | None]] = {}
        for name in self.reads:
            answer = row[verdict_column(name)]
            if answer is None or answer["status"] != "ok":
                silent[name] = ("abstained", "it did not see the row") if answer is None else _silence(answer)
                continue
            value = float(answer["value"])
            if not 0.0 <= value <= 1.0:
                remedy = "read scorers whose value is the probability that the row is wrong"
                raise UserError(f"the value of {name} is no probability", value=value, remedy=remedy)
            if self._sure(name, value):
                return Outcome("ok", value, f"{name} decides", name, sure=True)
            said[name] = value
        return self._undecided(said, silent)

    def _undecided(self, said: Mapping[str, float], silent: Mapping[str, tuple[str, str | None]]) -> Outcome:
        failures = [f"{name} failed: {why}" for name, (status, why) in silent.items() if status == "failed"]
        if not said:
            whys = failures or [f"{name}: {why or status}" for name, (status, why) in silent.items()]
            return Outcome("failed" if failures else "abstained", None, "; ".join(whys))
        rest = "".join(f"; {text}" for text in failures)
        if self.otherwise == "abstain":
            return Outcome("abstained", None, f"no instrument is sure: {', '.join(said)}{rest}")
        last = list(said)[-1]
        if self.otherwise == "last":
            return Outcome("ok", said[last], f"no instrument is sure, {last} spoke last{rest}", last)
        return Outcome("ok", combined(list(said.values()), self.prior), f"{' and '.join(said)} together{rest}", last)

    def _quality(self, rows: pl.DataFrame, found: Sequence[Outcome]) -> pl.DataFrame:
        """Return the errors of each instrument and of the cascade on the labelled rows, prompts drawn again."""
        wrong = labelled(rows, str(self.truth))
        known = wrong.is_not_null().to_numpy()
        truth = wrong.fill_null(value=False).to_numpy()[known]
        groups = normalise(rows["prompt"], case=True).to_numpy()[known]
        told: list[dict[str, Any]] = []
        where = f"meta.{self.truth} in {self.name}"
        for name in (*self.reads, self.name):
            if name == self.name:
                values = [outcome.value for outcome in found]
                sure = [outcome.sure for outcome in found]
                note = "the cascade; decided: outside an instrument's band"
            else:
                values = [a["value"] if a and a["status"] == "ok" else None for a in rows[verdict_column(name)]]
                sure = [outcome.of == name and outcome.sure for outcome in found]
                note = f"alone, at {self.threshold:g}; decided: rows of the cascade that it decides"
            p = np.array([np.nan if value is None else value for value in values], dtype=np.float64)[known]
            measured = errors(truth, p, np.array(sure)[known], groups, self.threshold, self.seed)
            told += [{"scorer": name, "measured_on": where, "note": note, **row} for row in measured]
        return schema.frame(told, schema.QUALITY)


def combined(values: Sequence[float], prior: float = 0.5) -> float:
    """Return P(wrong) from calibrated probabilities that err independently of one another, 0..1.

    Log-odds of the prior plus what each value adds to them (Bayes' rule with conditionally independent evidence); a
    value counts as at least 0.001 and at most 0.999. Instruments that err together make the result too sure.
    """
    start = _logit(prior)
    total = start + math.fsum(_logit(value) - start for value in values)
    return 1.0 / (1.0 + math.exp(-total)) if total >= 0 else math.exp(total) / (1.0 + math.exp(total))


def errors(
    wrong: NDArray[np.bool_],
    p: NDArray[np.float64],
    sure: NDArray[np.bool_],
    groups: NDArray[Any] | None,
    threshold: float,
    seed: int,
    n: int = RESAMPLES,
) -> list[dict[str, Any]]:
    """Return precision, recall, coverage and decided as rows of metric, value, 95 % interval and n.

    `p` is NaN where there is no value; such a row is not flagged, and counts against the recall when it is wrong.
    `coverage` is the share of rows with a value, `decided` that of the rows in `sure`. Whole `groups` are drawn again.
    """
    flagged = np.where(np.isnan(p), 0.0, (p >= threshold).astype(np.float64))
    shares = {"coverage": (~np.isnan(p)).astype(np.float64), "decided": sure.astype(np.float64)}
    told = []
    for metric, at in (("precision", 0), ("recall", 1)):

        def statistic(y: NDArray[np.bool_], x: NDArray[np.float64], at: int = at) -> float:
            """Return precision or recall of flags `x` against labels `y`."""
            return precision_recall_f1(y, x)[at]

        told.append(_row(metric, statistic(wrong, flagged), bootstrap_ci(statistic, wrong, flagged, groups, seed, n)))
        told[-1]["n"] = int(flagged.sum()) if metric == "precision" else int(wrong.sum())
    for metric, share in shares.items():
        interval = bootstrap_ci(lambda _, x: float(x.mean()), wrong, share, groups, seed, n)
        told.append(_row(metric, float(share.mean()) if len(share) else math.nan, interval) | {"n": len(wrong)})
    return told


def _row(metric: str, value: float, interval: tuple[float, float] | None) -> dict[str, Any]:
    low, high = interval if interval is not None and math.isfinite(value) else (None, None)
    return {"metric": metric, "value": value if math.isfinite(value) else None, "ci_low": low, "ci_high": high}


def _silence(answer: Mapping[str, Any]) -> tuple[str, str | None]:
    return str(answer["status"]), answer["why"]


def _logit(p: float) -> float:
    p = min(max(p, _EDGE), 1.0 - _EDGE)
    return math.log(p / (1.0 - p))

"""The local judge: an encoder fine-tuned on labelled rows beside the classifier's features, calibrated together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate import tuning
from curate.calibrate import auroc, average_precision, bootstrap_ci, brier, ece
from curate.classifier import Labels, features, lacking, taught
from curate.encoder import identity
from curate.logistic import Design, Floats, Ints, fit, sigmoid
from curate.scores import scored
from curate.step import Scored
from manifests import schema
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted
from manifests.names import check_name

MODELS: Final = Path("cache") / "tuned"
PENALTY: Final = 0.3
"""Inverse penalty of the linear model."""
_LOOSE: Final = 100.0
"""Inverse penalty of the calibration."""
_METRICS: Final = {"auroc": auroc, "average_precision": average_precision, "brier": brier, "ece": ece}


@plain_dataclass(frozen=True, eq=False)
class Read:
    """What the models of each pair of folds left out say of every row: log-odds, (pairs, rows, members)."""

    pairs: tuple[tuple[int, int], ...]
    logits: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Local:
    """Gives P(error) of each row, 0 to 1, from models that are trained on labelled rows here.

    Two members: the encoder's layers fine-tuned on prompt and response together, and logistic regression on embeddings
    and words. Prompts are cut into folds and both members trained without each pair of folds, `folds` * (`folds` - 1) /
    2 times. A row of fold k gets the mean log-odds of the models without k; for their weights and calibration (Platt
    1999) the model without k and j tells the log-odds of fold j. So no value depends on a label of the row's prompt.
    Rows without a labelled prompt get the mean of all models. Trained models are kept in the manifest's cache, named by
    a hash of all that made them. All rows abstain when there are fewer than `min_labels` of either class. With the
    defaults an epoch of 10,000 short rows costs about two minutes on one core, in total 3 times `epochs` of them.
    """

    kind: ClassVar[str] = "local"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "low"

    label: str
    """Key of meta that holds true where the row is wrong, else false."""
    teachers: tuple[str, ...] = ()
    """Roles whose rows also teach, such as `knowledge`; they are not scored."""
    encoder: str = "minilm"
    """Encoder that is fine-tuned: `minilm` or a folder with a BERT sentence encoder."""
    layers: Annotated[int, Field(ge=1)] = 6
    """Upper layers that are trained."""
    epochs: Annotated[int, Field(ge=1)] = 2
    """Times that a model sees each of its rows."""
    rate: Annotated[float, Field(gt=0)] = 1e-4
    """Learning rate at its highest."""
    longest: Annotated[int, Field(ge=16)] = 128
    """Word pieces of prompt and response together; the response loses its middle first."""
    folds: Annotated[int, Field(ge=3, le=10)] = 4
    """Parts of the labelled prompts."""
    min_labels: Annotated[int, Field(ge=2)] = 50
    """Fewest labelled rows of each class."""
    seed: int = 0
    """Seed of folds, batches and dropout."""
    name: Annotated[str, AfterValidator(check_name)] = "local"
    """Name of the score, of its column in the pool, and of the judge in the verdicts."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Roles handed over as reference."""
        return self.teachers

    def identity(self) -> dict[str, Any]:
        """Return the encoder's identity."""
        return {"encoder": identity(self.encoder)}

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: no call leaves this machine."""
        return 0

    def score(
        self, samples: pl.DataFrame, context: Context, reference: Mapping[str, pl.DataFrame] | None = None
    ) -> Scored:
        """Return one score and verdict per sample, and how well the labelled rows were told apart.

        `reference` holds the rows of `teachers` by role. Raise UserError when no row has the label, Interrupted between
        batches when asked to stop; finished models stay cached.
        """
        if not samples.height:
            return scored(samples["sample_id"], self.name, pl.Series([], dtype=pl.Float64), [])
        rows, labels = taught(samples, reference or {}, self.label, self.folds, self.seed)
        why = lacking(labels, self.folds, self.min_labels)
        p = np.full(rows.height, np.nan) if why else combined(self._read(rows, labels, context), labels, self.folds)
        told = pl.DataFrame([rows["sample_id"], pl.Series("p", p).fill_nan(None)])
        found = told.join(samples.select("sample_id"), on="sample_id", how="semi")
        scores = scored(found["sample_id"], self.name, found["p"], [why] * found.height).scores
        quality = [] if why else measured(labels, p, self.seed)
        rest = {"scorer": self.name, "measured_on": self.label.removeprefix("meta."), "note": "out of fold, by prompt"}
        return Scored(scores, _verdicts(scores), schema.frame([rest | row for row in quality], schema.QUALITY))

    def _read(self, rows: pl.DataFrame, labels: Labels, context: Context) -> Read:
        design = features(rows, self.encoder, context)
        texts = list(zip(rows["prompt"], rows["response"], strict=True))
        encoder = tuning.Encoder(self.encoder)
        pairs = tuple(combinations(range(self.folds), 2))
        logits = np.zeros((len(pairs), rows.height, 2))
        for i, pair in enumerate(pairs):
            if context.stopping():
                raise Interrupted(f"stopped; {i} of {len(pairs)} models are kept")
            rest = np.flatnonzero(labels.known & ~np.isin(labels.fold, pair))
            held = np.flatnonzero(np.isin(labels.fold, (*pair, -1)))
            context.say(f"{self.name}: model {i + 1} of {len(pairs)}")
            tuned = self._tuned([texts[r] for r in rest], labels.true[rest], encoder, context)
            logits[i, held, 0] = tuning.predict(tuned, [texts[r] for r in held], encoder, context)
            model = fit(design.take(rest), labels.true[rest], PENALTY, 1e-4)
            logits[i, held, 1] = model.logits(design.take(held))
        return Read(pairs, logits)

    def _tuned(
        self, pairs: list[tuning.Pair], true: NDArray[np.bool_], encoder: tuning.Encoder, context: Context
    ) -> tuning.Tuned:
        """Return the model of these rows, from the cache when it is there; equal rows with equal labels teach once."""
        order = sorted({(a, b, bool(label)) for (a, b), label in zip(pairs, true, strict=True)})
        texts, label = [(a, b) for a, b, _ in order], np.array([label for _, _, label in order])
        settings = tuning.Settings(layers=self.layers, epochs=self.epochs, rate=self.rate, longest=self.longest)
        file = context.root / MODELS / f"{tuning.key(texts, label, self.encoder, settings, self.seed)}.safetensors"
        if not file.exists():
            tuning.save(tuning.tune(texts, label, encoder, settings, self.seed, context), file)
        return tuning.load(file, self.encoder, settings)


def combined(read: Read, labels: Labels, folds: int) -> Floats:
    """Return P(error) of each row, 0..1: the members' log-odds weighted and calibrated without the row's own fold."""
    p = np.zeros(len(labels.fold))
    without = [[i for i, pair in enumerate(read.pairs) if k in pair] for k in range(folds)]
    for k in range(folds):
        mine = np.flatnonzero(labels.fold == k)
        if len(mine):
            seen = [_held(read, labels, i, next(j for j in read.pairs[i] if j != k)) for i in without[k]]
            p[mine] = _weighed(seen, read.logits[without[k]][:, mine].mean(axis=0))
    other = np.flatnonzero(labels.fold < 0)
    if len(other):
        every = [_held(read, labels, i, j) for i, pair in enumerate(read.pairs) for j in pair]
        p[other] = _weighed(every, read.logits[:, other].mean(axis=0))
    return p


def measured(labels: Labels, p: Floats, seed: int) -> list[dict[str, Any]]:
    """Return the statistics of the labelled rows with 95 % intervals over prompts, one `schema.QUALITY` row each."""
    true, told, group = labels.true[labels.known], p[labels.known], labels.group[labels.known]
    rows: list[dict[str, Any]] = []
    for metric, statistic in _METRICS.items():
        low, high = bootstrap_ci(statistic, true, told, group, seed) or (None, None)
        value = statistic(true, told)
        rows.append({"metric": metric, "value": value, "ci_low": low, "ci_high": high, "n": len(true)})
    rows.append({"metric": "groups", "value": float(len(np.unique(group))), "n": len(true)})
    return rows


def _held(read: Read, labels: Labels, i: int, fold: int) -> tuple[Floats, NDArray[np.bool_]]:
    rows: Ints = np.flatnonzero(labels.known & (labels.fold == fold))
    return read.logits[i, rows], labels.true[rows]


def _weighed(seen: list[tuple[Floats, NDArray[np.bool_]]], logits: Floats) -> Floats:
    """Return the probabilities of rows of member logits, by logistic regression on others; no member counts against.

    A member whose weight would be negative is left out; without any, all rows get the share of the label.
    """
    known, true = np.concatenate([x for x, _ in seen]), np.concatenate([y for _, y in seen])
    left = list(range(known.shape[1]))
    while left:
        model = fit(Design.of(known[:, left]), true, _LOOSE)
        if (model.weights >= 0).all():
            return sigmoid(model.logits(Design.of(logits[:, left])))
        left.pop(int(model.weights.argmin()))
    return np.full(len(logits), true.mean())


def _verdicts(scores: pl.DataFrame) -> pl.DataFrame:
    """Return `schema.VERDICTS` rows: p_error is the score, and the label wrong from .5 on."""
    rows = [
        dict.fromkeys(schema.VERDICTS)
        | {
            "sample_id": row["sample_id"],
            "judge": row["scorer"],
            "p_error": row["value"],
            "label": None if row["value"] is None else "wrong" if row["value"] >= 0.5 else "correct",
            "status": row["status"],
        }
        for row in scores.iter_rows(named=True)
    ]
    return schema.frame(rows, schema.VERDICTS)

"""A classifier that learns a label of some rows and gives every row the probability of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate import embed
from curate.calibrate import auroc, bootstrap_ci, ece, labelled
from curate.encoder import identity
from curate.logistic import Design, Floats, Ints, Logistic, fit, sigmoid
from curate.scores import scored
from curate.step import Scored
from curate.text import grams_of, normalise
from manifests import schema
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError
from manifests.names import check_name, digest_bytes, seed64

CACHE: Final = Path("cache") / "embeddings.sqlite"
LEAST: Final = 3
"""Fewest rows that hold an n-gram for it to be a feature."""
STRENGTHS: Final = (0.1, 0.3, 1.0, 3.0)
"""Inverse penalties that are tried."""
_UNPENALISED: Final = 1e6
_ROUGH: Final = 1e-3
_FINE: Final = 1e-6
"""Tolerances of the fits that choose a penalty, and of those that are used."""
_TEXTS: Final = ("prompt", "response")


@plain_dataclass(frozen=True, eq=False)
class Labels:
    """Which rows have a label, what it is, and the fold of every row: -1 where no labelled row has its prompt."""

    known: NDArray[np.bool_]
    true: NDArray[np.bool_]
    fold: Ints
    group: Ints


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Classifier:
    """Gives P(label) of each row, 0 to 1: logistic regression on what prompt and response say and mean.

    Features are the sentence embeddings of both and their word 1-2-grams weighted by tf-idf. Labels are booleans in the
    meta of the samples, and of the rows of `teachers`. Rows are cut into folds by prompt; a row whose prompt has labels
    gets its number from a model that saw none of its prompt's rows, any other row the mean of the folds' log-odds. The
    penalty is chosen and the log-odds are calibrated (Platt 1999) inside each fold's training rows, so a row's value
    depends on no label of its prompt. All rows abstain when there are fewer than `min_labels` of either class.
    """

    kind: ClassVar[str] = "classifier"
    version: ClassVar[int] = 1

    label: str
    """Key of meta that holds true or false."""
    teachers: tuple[str, ...] = ()
    """Roles whose rows also teach, such as `knowledge`; they are not scored."""
    encoder: str | None = "minilm"
    """Encoder of the embeddings: `minilm`, `hash`, a folder or hub id; null for words alone."""
    folds: Annotated[int, Field(ge=3, le=20)] = 5
    """Parts of the labelled prompts."""
    min_labels: Annotated[int, Field(ge=2)] = 50
    """Fewest labelled rows of each class."""
    seed: int = 0
    """Seed of the folds."""
    better: Literal["high", "low", "neither"] = "high"
    """The better end: `low` where the label marks a fault."""
    name: Annotated[str, AfterValidator(check_name)] = "classifier"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    @property
    def good(self) -> str:
        """The better end of the scale, as the user says."""
        return self.better

    @property
    def needs(self) -> tuple[str, ...]:
        """Roles handed over as reference."""
        return self.teachers

    def identity(self) -> dict[str, Any]:
        """Return the encoder's identity."""
        return {} if self.encoder is None else {"encoder": identity(self.encoder)}

    def score(
        self, samples: pl.DataFrame, context: Context, reference: Mapping[str, pl.DataFrame] | None = None
    ) -> Scored:
        """Return one score per sample; `reference` holds the rows of `teachers` by role.

        Raise UserError when no row has the label, Interrupted when asked to stop; embeddings stay cached.
        """
        if not samples.height:
            return scored(samples["sample_id"], self.name, pl.Series([], dtype=pl.Float64), [])
        rows, labels = self._labels(samples, reference or {})
        why = self._lacking(labels)
        p = np.full(rows.height, np.nan) if why else self._probabilities(rows, labels, context)
        found = pl.DataFrame([rows["sample_id"], pl.Series("p", p)]).join(
            samples.select("sample_id"), on="sample_id", how="semi"
        )
        values = found["p"].fill_nan(None) if why else found["p"]
        return scored(found["sample_id"], self.name, values, [why] * found.height)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: embeddings are counted by their own cache."""
        return 0

    def quality(
        self, samples: pl.DataFrame, context: Context, reference: Mapping[str, pl.DataFrame] | None = None
    ) -> dict[str, float | int | None]:
        """Return how well the labelled rows are told apart by models that saw no row of their prompt.

        `n` labelled rows, `groups` prompts, `base_rate` of true, `auroc` with its 95 % interval `low` to `high` over
        prompts drawn again, and `ece`. Raise UserError when there are too few labels.
        """
        rows, labels = self._labels(samples, reference or {})
        why = self._lacking(labels)
        if why:
            raise UserError("the classifier cannot be trained", value=why)
        true, group = labels.true[labels.known], labels.group[labels.known]
        p = self._probabilities(rows, labels, context)[labels.known]
        low, high = bootstrap_ci(auroc, true, p, group, self.seed) or (None, None)
        return {
            "n": len(true),
            "groups": len(np.unique(group)),
            "base_rate": float(true.mean()),
            "auroc": auroc(true, p),
            "low": low,
            "high": high,
            "ece": ece(true, p),
        }

    def _labels(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame]) -> tuple[pl.DataFrame, Labels]:
        return taught(samples, reference, self.label, self.folds, self.seed)

    def _lacking(self, labels: Labels) -> str | None:
        return lacking(labels, self.folds, self.min_labels)

    def _probabilities(self, rows: pl.DataFrame, labels: Labels, context: Context) -> Floats:
        design = features(rows, self.encoder, context)
        shown = np.flatnonzero(labels.known)
        true, fold = labels.true[shown], labels.fold[shown]
        models, unseen = crossfit(design.take(shown), true, fold, self.folds, context)
        logits = np.stack([model.logits(design) for model in models])
        own = labels.fold >= 0
        mixed = np.where(own, logits[labels.fold, np.arange(rows.height)], logits.mean(axis=0))
        p = sigmoid(_platt(mixed[shown], true).logits(Design.of(mixed[:, None])))
        for k in range(self.folds):
            mine, others = labels.fold == k, fold != k
            if mine.any():
                p[mine] = sigmoid(_platt(unseen[k, others], true[others]).logits(Design.of(mixed[mine][:, None])))
        return p


def taught(
    samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], label: str, folds: int, seed: int
) -> tuple[pl.DataFrame, Labels]:
    """Return the samples and the teachers' rows by sample id, with their labels, prompts and folds."""
    frames = [samples, *(reference[role] for role in sorted(reference))]
    rows = pl.concat([frame.select(*schema.SAMPLES) for frame in frames]).unique("sample_id").sort("sample_id")
    given = labelled(rows, label)
    known = given.is_not_null().to_numpy()
    prompts = normalise(rows["prompt"], case=True)
    numbers = folded(prompts.filter(given.is_not_null()).unique(), folds, seed)
    fold = prompts.replace_strict(numbers, default=-1, return_dtype=pl.Int64).to_numpy()
    group = prompts.rank("dense").to_numpy().astype(np.int64)
    return rows, Labels(known, given.fill_null(value=False).to_numpy(), fold, group)


def lacking(labels: Labels, folds: int, least: int) -> str | None:
    """Return why the labels do not suffice for folds that leave out two, None when they do."""
    true = labels.true[labels.known]
    counts = (int(true.sum()), int((~true).sum()))
    if min(counts) < least:
        return f"{counts[0]} rows are labelled true and {counts[1]} false; {least} of each are needed"
    for k in range(folds):
        for other in range(folds):
            seen = labels.true[labels.known & (labels.fold != k) & (labels.fold != other)]
            if not seen.any() or seen.all():
                return "too few prompts have labels of both classes"
    return None


def folded(prompts: pl.Series, folds: int, seed: int) -> dict[str, int]:
    """Return the fold of each distinct prompt: folds of equal size, drawn by a hash of the prompt and the seed."""
    order = sorted(prompts, key=lambda text: (seed64(seed, f"fold {text}"), text))
    return {text: i % folds for i, text in enumerate(order)}


def crossfit(
    design: Design, labels: NDArray[np.bool_], fold: Ints, folds: int, context: Context
) -> tuple[list[Logistic], Floats]:
    """Return one model per fold, trained on the other folds, with the penalty of the least loss among those.

    Also return, per fold k and row of another fold j, the log-odds from a fit without j and k: what calibrates the
    model of k and knows no label of k, (`folds`, rows), 0 for the rows of k. Such a fit tells the loss on j for the
    model of k and the loss on k for that of j, so that `folds` * (`folds` - 1) / 2 fits per penalty serve all.
    """
    loss = np.zeros((folds, len(STRENGTHS)))
    unseen = np.zeros((len(STRENGTHS), folds, len(labels)))
    pairs = list(combinations(range(folds), 2))
    for done, pair in enumerate(pairs):
        if context.stopping():
            raise Interrupted(f"stopped; {done} of {len(pairs)} choices of a penalty were made")
        rest = np.flatnonzero(~np.isin(fold, pair))
        held = [np.flatnonzero(fold == k) for k in pair]
        train, tests = design.take(rest), [design.take(rows) for rows in held]
        for i, c in enumerate(STRENGTHS):
            model = fit(train, labels[rest], c, _ROUGH)
            for k, rows, test in zip(reversed(pair), held, tests, strict=True):
                unseen[i, k, rows] = model.logits(test)
                loss[k, i] += _loss(unseen[i, k, rows], labels[rows])
        context.progress(done + 1, len(pairs))
    models, chosen = [], loss.argmin(axis=1)
    for k in range(folds):
        rest = np.flatnonzero(fold != k)
        models.append(fit(design.take(rest), labels[rest], STRENGTHS[int(chosen[k])], _FINE))
    return models, unseen[chosen, np.arange(folds)]


def features(rows: pl.DataFrame, encoder: str | None, context: Context) -> Design:
    """Return the features of each row: unit embeddings of prompt and response, and unit tf-idf rows of each."""
    dense = np.zeros((rows.height, 0))
    if encoder is not None:
        vectors = []
        for column in _TEXTS:
            texts = rows[column].to_list()
            ids = [digest_bytes(text.encode("utf-8", "replace")) for text in texts]
            vectors.append(embed.encode(texts, ids, encoder, context.root / CACHE, context).astype(np.float64))
        dense = np.hstack(vectors)
    return with_words(dense, [rows[column] for column in _TEXTS])


def with_words(dense: Floats, columns: Sequence[pl.Series]) -> Design:
    """Return the dense features with the tf-idf of each column's word 1-2-grams beside them.

    A gram in fewer than `LEAST` rows is none. Its weight is (1 + ln count) * (1 + ln((1 + n) / (1 + rows with it))),
    each column's part of a row of unit length (Salton and Buckley 1988).
    """
    row, column, value, width = [], [], [], 0
    for texts in columns:
        parts = [_counted(texts, n) for n in (1, 2)]
        at, gram = (
            np.concatenate([p[0] for p in parts]),
            np.concatenate([p[1] + i * 2**32 for i, p in enumerate(parts)]),
        )
        weight = np.concatenate([p[2] for p in parts])
        _, place, counts = np.unique(gram, return_inverse=True, return_counts=True)
        often = counts >= LEAST
        number = np.cumsum(often) - 1
        kept = often[place]
        at, place = at[kept], place[kept]
        weight = weight[kept] * (1.0 + np.log((1.0 + len(texts)) / (1.0 + counts[place])))
        length = np.sqrt(np.bincount(at, weight * weight, minlength=len(texts)))
        row.append(at)
        column.append(number[place] + width)
        value.append(weight / length[at])
        width += int(often.sum())
    rows = np.concatenate(row)
    order = np.argsort(rows, kind="stable")
    return Design(dense, rows[order], np.concatenate(column)[order], np.concatenate(value)[order], width)


def _counted(texts: pl.Series, n: int) -> tuple[Ints, Ints, Floats]:
    """Return (row, gram, 1 + ln count) of every n-gram that a row has."""
    grams = grams_of(texts, n)
    pairs, counts = np.unique(
        np.asarray(grams.row, np.int64) << 32 | np.asarray(grams.gram, np.int64), return_counts=True
    )
    return pairs >> 32, pairs & (2**32 - 1), 1.0 + np.log(counts)


def _platt(logits: Floats, labels: NDArray[np.bool_]) -> Logistic:
    """Return the calibration of log-odds: labels regressed on them alone; their share where that turned the order."""
    found = fit(Design.of(logits[:, None]), labels, _UNPENALISED / len(labels))
    if found.weights[0] >= 0:
        return found
    share = labels.mean()
    return Logistic(np.zeros(1), float(np.log(share / (1.0 - share))))


def _loss(logits: Floats, labels: NDArray[np.bool_]) -> float:
    return float(np.logaddexp(0.0, np.where(labels, -logits, logits)).mean())

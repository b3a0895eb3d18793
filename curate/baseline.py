"""What every judge must beat: predictors of the same labels that know nothing of the world.

Each row's number comes from a model that saw no row of its group (its prompt), so they are as unseen as a judge's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.calibrate import Rival
from curate.classifier import folded, with_words
from curate.logistic import Design, fit, sigmoid
from curate.measure import Floats, Ints

FOLDS: Final = 5
_STRENGTH: Final = 1.0
_TOLERANCE: Final = 1e-4


def baselines(
    rows: pl.DataFrame, wrong: NDArray[np.bool_], groups: Sequence[str], folds: int = FOLDS, seed: int = 0
) -> list[Rival]:
    """Return the predictors of `rows` (columns prompt, response); none with fewer than two groups or one class.

    `majority` gives every row the share of wrong rows; `length` knows how long prompt and
    response are, `prompt` the words of the prompt alone, `words` those of both (1-2-grams by tf-idf; logistic
    regression with penalty 1). Word weights are counted over all rows, labels are not. Each flags rows from the base
    rate on: at one half, a set with few wrong rows would leave it none. The result does not depend on row order but
    for rounding. Costs 5 fits each, a second for 10,000 short rows.
    """
    distinct = sorted(set(groups))
    if len(distinct) < 2 or wrong.all() or not wrong.any():
        return []
    places = folded(pl.Series(distinct), min(folds, len(distinct)), seed)
    fold = np.array([places[group] for group in groups], np.int64)
    none = np.zeros((rows.height, 0))
    designs: dict[str, Callable[[], Design]] = {
        "length": lambda: Design.of(_lengths(rows)),
        "prompt": lambda: with_words(none, [rows["prompt"]]),
        "words": lambda: with_words(none, [rows["prompt"], rows["response"]]),
    }
    rate = float(wrong.mean())
    found = [Rival("majority", np.full(rows.height, rate), rate)]
    return found + [Rival(name, _unseen(make(), wrong, fold), rate) for name, make in designs.items()]


def _unseen(design: Design, wrong: NDArray[np.bool_], fold: Ints) -> Floats:
    """Return P(wrong) of each row by a model of the other folds; their share where they have one class."""
    found = np.empty(len(wrong))
    for k in range(int(fold.max()) + 1):
        rest, mine = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        share = float(wrong[rest].mean())
        if 0.0 < share < 1.0 and design.shape[1]:
            model = fit(design.take(rest), wrong[rest], _STRENGTH, _TOLERANCE)
            found[mine] = sigmoid(model.logits(design.take(mine)))
        else:
            found[mine] = share
    return found


def _lengths(rows: pl.DataFrame) -> Floats:
    """Return the logarithms of characters and words of prompt and response, each of mean 0 and deviation 1."""
    columns = []
    for name in ("prompt", "response"):
        text = pl.col(name)
        columns += [text.str.len_chars().alias(f"{name}-chars"), text.str.count_matches(r"\S+").alias(f"{name}-words")]
    sizes = np.log1p(rows.select(columns).to_numpy().astype(np.float64))
    spread = sizes.std(axis=0)
    return np.asarray((sizes - sizes.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0))

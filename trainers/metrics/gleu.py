"""GLEU for grammatical error correction (Napoles et al. 2015, in the form without tuning of 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from trainers.metrics.text import Split, ngrams, tokens

ORDER: Final = 4


def gleu(source: str, prediction: str, references: Sequence[str], split: Split = "space") -> float:
    """Return GLEU of one sentence (0..1), the mean over at least one reference with a token; letter case counts.

    As BLEU with 1- to 4-grams and brevity penalty, but an n-gram left over from the source that is not in the
    reference is taken off the matches. Counts of 0 are smoothed to 1, as the authors do for single sentences.
    """
    old, new = tokens(source, split), tokens(prediction, split)
    scores = [_one(old, new, tokens(reference, split)) for reference in references]
    return math.fsum(scores) / len(scores)


def _one(old: list[str], new: list[str], wanted: list[str]) -> float:
    if not new:
        return 0.0
    logs = 0.0
    for n in range(1, ORDER + 1):
        have, targets = ngrams(new, n), ngrams(wanted, n)
        unchanged = ngrams(old, n)
        for gram in targets:
            unchanged.pop(gram, None)
        matches = (have & targets).total() - (have & unchanged).total()
        logs += math.log(max(matches, 1) / max(len(new) + 1 - n, 1))
    return math.exp(min(0.0, 1 - len(wanted) / len(new)) + logs / ORDER)

"""BLEU of one sentence, and iBLEU, which takes off what a paraphrase copies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from trainers.metrics.text import Split, ngrams, tokens

ORDER: Final = 4
ALPHA: Final = 0.8
"""Weight of adequacy against copying in iBLEU, within the 0.7 to 0.9 of Sun and Zhou (2012)."""


def bleu(prediction: str, references: Sequence[str], split: Split = "space") -> float:
    """Return BLEU of one sentence (0..1) against at least one reference; letter case counts.

    Papineni et al. (2002) with 1- to 4-grams, only as many orders as the prediction has, and the exponential smoothing
    of Chen and Cherry (2014, method 3): the same numbers as sacrebleu's sentence BLEU with its defaults on tokens.
    """
    found = tokens(prediction, split)
    wanted = [tokens(reference, split) for reference in references]
    if not found:
        return 0.0
    logs, orders, smooth = 0.0, 0, 1.0
    for n in range(1, min(ORDER, len(found)) + 1):
        have = ngrams(found, n)
        counts = [ngrams(words, n) for words in wanted]
        matches = sum(min(count, max(known[gram] for known in counts)) for gram, count in have.items())
        if n == 1 and not matches:
            return 0.0
        smooth = smooth if matches else smooth * 2
        logs += math.log((matches or 1 / smooth) / (len(found) + 1 - n))
        orders += 1
    closest = min((len(words) for words in wanted), key=lambda size: (abs(size - len(found)), size))
    brevity = min(0.0, 1 - closest / len(found))
    return math.exp(brevity + logs / orders)


def ibleu(
    source: str, prediction: str, references: Sequence[str], split: Split = "space", alpha: float = ALPHA
) -> float:
    """Return iBLEU of one paraphrase (alpha - 1 .. alpha): BLEU with the references, less BLEU with its source.

    `alpha * BLEU(prediction, references) - (1 - alpha) * BLEU(prediction, source)` (Sun and Zhou 2012).
    """
    return alpha * bleu(prediction, references, split) - (1 - alpha) * bleu(prediction, [source], split)

"""F0.5 of edits, as grammatical error correction counts them, over edits found by aligning tokens."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

from trainers.metrics.text import Split, tokens

BETA: Final = 0.5
"""Precision counts twice as much as recall (Ng et al. 2014)."""

Edit = tuple[int, int, tuple[str, ...]]
"""Tokens of the source from the first to before the second are replaced by the third."""


def edits(source: str, target: str, split: Split = "space") -> frozenset[Edit]:
    """Return the edits that turn `source` into `target`, each as long as the run of tokens that differs.

    The alignment is that of Python's `difflib` (longest matching runs first), not the linguistic one of ERRANT (Bryant
    et al. 2017): where a change can be cut into edits in several ways the two may differ.
    """
    old, new = tokens(source, split), tokens(target, split)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return frozenset((i, j, tuple(new[k:m])) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal")


def edit_f05(source: str, prediction: str, references: Sequence[str], split: Split = "space") -> float:
    """Return F0.5 (0..1) of the prediction's edits against those of the best of at least one reference.

    Precision is 1 without a proposed edit and recall 1 without a wanted one, as in ERRANT's scorer: to leave a right
    sentence alone is worth 1. The mean over sentences is not the F0.5 of a corpus, which sums the counts first.
    """
    made = edits(source, prediction, split)
    return max(_f(made, edits(source, reference, split)) for reference in references)


def _f(made: frozenset[Edit], wanted: frozenset[Edit]) -> float:
    right = len(made & wanted)
    precision = right / len(made) if made else 1.0
    recall = right / len(wanted) if wanted else 1.0
    weight = BETA * BETA
    below = weight * precision + recall
    return (1 + weight) * precision * recall / below if below > 0 else 0.0

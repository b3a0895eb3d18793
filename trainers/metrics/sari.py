"""SARI (Xu et al. 2016): what a rewrite keeps, adds and deletes, against its source and references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from trainers.metrics.text import Ngrams, Split, f1, ngrams, tokens

ORDER: Final = 4


def sari(source: str, prediction: str, references: Sequence[str], split: Split = "space") -> float:
    """Return SARI of one sentence (0..1) against at least one reference; letters are compared in lower case.

    The mean over 1- to 4-grams of F1 of keeping, precision of deleting and F1 of adding. Recall of keeping is a share
    of counts, as in the paper (and tensor2tensor, Hugging Face). As in the authors' program an operation that neither
    side makes counts 0: a faultless copy scores 1/3.
    """
    old, new = (tokens(text.lower(), split) for text in (source, prediction))
    wanted = [tokens(text.lower(), split) for text in references]
    total = 0.0
    for n in range(1, ORDER + 1):
        targets: Ngrams = Counter()
        for words in wanted:
            targets.update(ngrams(words, n))
        total += sum(_operations(ngrams(old, n), ngrams(new, n), targets, len(wanted)))
    return total / (3 * ORDER)


def _operations(old: Ngrams, new: Ngrams, targets: Ngrams, references: int) -> tuple[float, float, float]:
    """Return (keep, delete, add) for one length of n-gram; counts of old and new are taken once per reference."""
    old, new = _times(old, references), _times(new, references)
    kept, should_keep = old & new, old & targets
    right = kept & targets
    keep = f1(_share(right, kept), right.total() / should_keep.total() if should_keep else 0.0)
    deleted = old - new
    delete = _share(deleted - targets, deleted)
    added, should_add = new.keys() - old.keys(), targets.keys() - old.keys()
    both = len(added & should_add)
    add = f1(both / len(added) if added else 0.0, both / len(should_add) if should_add else 0.0)
    return keep, delete, add


def _times(counts: Ngrams, factor: int) -> Ngrams:
    return Counter({gram: count * factor for gram, count in counts.items()})


def _share(part: Ngrams, whole: Ngrams) -> float:
    """Return the mean over the n-grams of `whole` of the share of each that is in `part`; 0 when there are none."""
    return sum(count / whole[gram] for gram, count in part.items()) / len(whole) if whole else 0.0

"""Features of claim and evidence: what their vectors, words, names and numbers have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curate.embed import Vectors
from curate.logistic import Floats
from curate.retrieval import vectors
from curate.sentence import sentences
from curate.stances import REFUTE, SUPPORT, Pair
from curate.stances.rules import parts_of, ruled
from curate.stances.wording import Wording, worded
from manifests.component import Context

WORDS: Final = "minilm-static"
"""Encoder of single words, where the sentences' encoder is of MiniLM; else that one reads the words too."""
OTHERS: Final = 30
"""Features beside those of the vectors."""
_NEAR: Final = 3
"""Sentences of the evidence, nearest first, whose words are looked at together."""
_CLAUSE: Final = re.compile(r"[,;:]\s|\s(?:and|but|which|who|where|while|although|because|before|after)\s")
_STRANGE: Final = 0.5
"""A word whose nearest word in the evidence is less alike than that is strange to it."""


@dataclass(frozen=True, eq=False)
class Embedded:
    """Vectors by text: of sentences, claims and clauses, and of single words."""

    texts: Mapping[str, Vectors]
    words: Mapping[str, Vectors]


def features_of(pairs: Sequence[Pair], encoder: str, context: Context) -> tuple[Floats, Floats]:
    """Return the vectors' features, |u - v| and u * v of claim and nearest sentence, and the others, a row per pair.

    Evidence without a sentence has zeros. Vectors are cached by the hash of their text.
    """
    split = {pair.evidence: sentences(pair.evidence) for pair in pairs}
    known = _embedded(pairs, split, encoder, context)
    rows = [_row(pair, split[pair.evidence], known) for pair in pairs]
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def clauses(claim: str) -> list[str]:
    """Return the parts of a claim that have at least three words, or the whole of it."""
    parts = [part for part in _CLAUSE.split(claim) if len(part.split()) > 2]
    return parts or [claim]


def _embedded(pairs: Sequence[Pair], split: Mapping[str, Sequence[str]], encoder: str, context: Context) -> Embedded:
    texts = {part for parts in split.values() for part in parts} | {pair.claim for pair in pairs}
    texts |= {clause for pair in pairs for clause in clauses(pair.claim)}
    stems = {stem for pair in pairs for stem in worded(pair.claim).stems}
    stems |= {stem for evidence in split for part in parts_of(evidence) for stem in part.stems}
    ordered, single = sorted(texts), sorted(stems)
    return Embedded(
        dict(zip(ordered, vectors(ordered, encoder, context), strict=True)),
        dict(zip(single, vectors(single, WORDS if encoder.startswith("minilm") else encoder, context), strict=True)),
    )


def _row(pair: Pair, parts: Sequence[str], known: Embedded) -> tuple[Floats, Floats]:
    u = known.texts[pair.claim]
    if not parts:
        return np.zeros(2 * len(u)), np.zeros(OTHERS)
    near = np.stack([known.texts[part] for part in parts])
    alike = (near @ u).astype(np.float64)
    order = np.argsort(-alike, kind="stable")
    v = near[order[0]]
    pieces = [float((near @ known.texts[clause]).max()) for clause in clauses(pair.claim)]
    dense = np.concatenate([np.abs(u - v), u * v]).astype(np.float64)
    return dense, np.array([*_meaning(alike, order, pieces), *_wording(pair, order), *_aligned(pair, order, known)])


def _meaning(alike: Floats, order: NDArray[np.int64], pieces: Sequence[float]) -> list[float]:
    return [
        float(alike[order[0]]),
        float(alike[order[:_NEAR]].mean()),
        float(alike.mean()),
        min(pieces),
        sum(pieces) / len(pieces),
        math.log1p(len(pieces)),
    ]


def _wording(pair: Pair, order: NDArray[np.int64]) -> list[float]:
    claim, parts = worded(pair.claim), parts_of(pair.evidence)
    near = [parts[j] for j in order[:_NEAR]]
    stance = ruled(pair.claim, pair.evidence)
    covered = [_covered(claim, [part]) for part in parts]
    best = parts[int(np.argmax(covered))]
    names = frozenset(s for s, is_name in zip(claim.stems, claim.named, strict=True) if is_name)
    everywhere = frozenset(stem for part in parts for stem in part.stems)
    nearby = frozenset(stem for part in near for stem in part.stems)
    odd = claim.numbers - everywhere
    return [
        max(covered),
        _covered(claim, near[:1]),
        _covered(claim, near),
        _covered(claim, parts),
        _covered(claim, parts) ** 3,
        min(_covered(worded(clause), parts) for clause in clauses(pair.claim)),
        _paired(claim, parts),
        _share(claim.numbers, everywhere),
        _share(claim.numbers, nearby),
        _share(names, everywhere),
        _share(names, nearby),
        float(len(odd) > 0),
        float(len(odd) > 0 and len(best.numbers - claim.numbers) > 0),
        float(claim.negated != best.negated),
        float(stance == SUPPORT),
        float(stance == REFUTE),
        math.log1p(len(claim.stems)) / 3.0,
        math.log1p(sum(len(part.stems) for part in parts)) / 6.0,
    ]


def _aligned(pair: Pair, order: NDArray[np.int64], known: Embedded) -> list[float]:
    """Return how near the claim's words have their nearest words in the evidence, near sentences and all of it."""
    claim, parts = worded(pair.claim), parts_of(pair.evidence)
    near = [parts[j] for j in order[:_NEAR]]
    mine = [known.words[stem] for stem in dict.fromkeys(claim.stems)]
    found: list[float] = []
    for some in (near, parts):
        theirs = [known.words[stem] for stem in {stem for part in some for stem in part.stems}]
        if not mine or not theirs:
            found += [0.0, 0.0, 1.0]
            continue
        best = np.sort((np.stack(mine) @ np.stack(theirs).T).max(axis=1).astype(np.float64))
        found += [float(best[:2].mean()), float(best.mean()), float((best < _STRANGE).mean())]
    return found


def _covered(claim: Wording, parts: Sequence[Wording]) -> float:
    """Return the share of the claim's content words that the parts hold."""
    return _share(frozenset(claim.stems), frozenset(stem for part in parts for stem in part.stems))


def _paired(claim: Wording, parts: Sequence[Wording]) -> float:
    """Return the share of the claim's pairs of neighbouring words that a part holds."""
    mine = frozenset(zip(claim.stems, claim.stems[1:], strict=False))
    return _share(mine, frozenset(pair for part in parts for pair in zip(part.stems, part.stems[1:], strict=False)))


def _share(mine: frozenset[Any], theirs: frozenset[Any]) -> float:
    return len(mine & theirs) / len(mine) if mine else 1.0

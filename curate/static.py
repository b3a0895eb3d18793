"""Sentence vectors without a forward pass: a table of token vectors distilled from an encoder, averaged by weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curate.bert import Bert

Vectors = NDArray[np.float32]

DIMENSIONS: Final = 256
_SMOOTHING: Final = 1e-3


def table(tokens: Vectors, frequency: NDArray[np.float64], dimensions: int = DIMENSIONS) -> Vectors:
    """Return the table (v, dimensions) of the encoder's vectors of single tokens, shape (v, d).

    Centred, turned to their principal axes, cut to the first `dimensions`, and weighed by a / (a + p) with a = 0.001
    and the token's frequency p (Arora, Liang and Ma, ICLR 2017): the recipe of Model2Vec (Tulkens and van Dongen,
    2024).
    """
    centred = tokens.astype(np.float64) - tokens.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    turned = centred @ axes[:, ::-1][:, :dimensions]
    weight = _SMOOTHING / (_SMOOTHING + frequency)
    return np.asarray(turned * weight[:, None], np.float32)


def zipf(size: int) -> NDArray[np.float64]:
    """Return the frequencies of `size` tokens ordered from common to rare, by Zipf's law: 1 / rank, sum 1."""
    share = 1.0 / np.arange(1, size + 1)
    return np.asarray(share / share.sum(), np.float64)


class Static:
    """Means of the table's rows over a text's tokens, normalised; a text without tokens is a zero row."""

    def __init__(self, sentence_model: Any) -> None:  # noqa: ANN401 - a SentenceTransformer
        tokenizer = sentence_model[0].tokenizer
        size = len(tokenizer)
        first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
        alone = Bert(sentence_model).tokens([[first, token, last] for token in range(size)])
        alone[tokenizer.all_special_ids] = 0
        self._tokenizer = tokenizer
        self._table = table(alone, zipf(size))

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of the texts, shape (n, 256)."""
        if not len(texts):
            return np.zeros((0, self._table.shape[1]), np.float32)
        asked = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
        ids = self._tokenizer(list(texts), verbose=False, **asked)["input_ids"]
        found = np.zeros((len(ids), self._table.shape[1]), np.float32)
        for row, tokens in enumerate(ids):
            if tokens:
                found[row] = self._table[tokens].mean(axis=0)
        length = np.sqrt((found * found).sum(axis=1, keepdims=True))
        return np.asarray(found / np.where(length > 0, length, 1), np.float32)

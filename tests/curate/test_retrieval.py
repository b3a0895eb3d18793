"""Retrieval agrees with the formula by brute force, whatever the order and number of queries."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.retrieval import Found, Lexical, embedding, fused, lexical, retrieve, vectors
from curate.sentence import content
from manifests.component import Context
from manifests.errors import Interrupted

WORDS = ["river", "stone", "lantern", "orange", "window", "quiet", "mountain", "paper", "bridge"]


def corpus(n: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(0, 12))) for _ in range(n)]


def bm25(query: str, texts: list[str]) -> list[float]:
    """Return the score of each text, straight from the formula of Robertson and Zaragoza."""
    split = [content(text) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        total = 0.0
        for word in set(content(query)):
            holders = sum(word in other for other in split)
            idf = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
            f = words.count(word)
            total += idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * len(words) / mean)) if f else 0.0
        scores.append(total)
    return scores


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 8))
def test_bm25_is_the_formula(seed, n, k):
    texts = ["quiet river stone", *corpus(n, seed)]
    query = " ".join(random.Random(seed + 1).choices([*WORDS, "unheard"], k=4))
    expected = np.array(bm25(query, texts))
    place, score = Lexical(texts).search(query, k)
    assert np.allclose(score, expected[place])
    order = sorted(np.flatnonzero(expected > 0), key=lambda i: (-round(expected[i], 9), i))[:k]
    assert np.allclose(score, expected[order])


def test_a_query_leaves_no_trace_in_the_next_one():
    index = Lexical(corpus(50))
    alone = Lexical(corpus(50)).search("river bridge", 5)
    index.search("stone lantern orange", 5)
    again = index.search("river bridge", 5)
    assert (again[0] == alone[0]).all()
    assert (again[1] == alone[1]).all()


def test_rare_words_weigh_more_and_ties_go_to_the_first():
    texts = ["river stone", "river paper", "river paper", "lantern paper"]
    found = lexical(texts, ["river lantern", "paper", "nothing of it", ""], 2, Context(root=None))
    assert found.place.tolist() == [[3, 0], [1, 2], [-1, -1], [-1, -1]]
    assert found.score[2].tolist() == [0.0, 0.0]


def test_no_passages_find_nothing(tmp_path):
    for retriever in ("lexical", "embedding", "both"):
        assert (retrieve([], ["river"], 3, retriever, "hash", Context(tmp_path)).place == -1).all()
        assert retrieve(["river"], [], 3, retriever, "hash", Context(tmp_path)).place.shape == (0, 3)


def test_embedding_search_is_brute_force(tmp_path):
    texts, queries = corpus(300, 3), corpus(20, 4)
    context = Context(tmp_path)
    found = embedding(texts, queries, 5, "hash", context)
    exact = vectors(queries, "hash", context) @ vectors(texts, "hash", context).T
    best = np.sort(exact, axis=1)[:, ::-1][:, :5]
    assert np.allclose(found.score, best, atol=0.01)
    assert np.allclose(found.score, np.take_along_axis(exact, found.place, axis=1), atol=0.01)


def test_queries_asked_together_or_alone_find_the_same(tmp_path):
    texts, queries = corpus(100, 5), corpus(6, 6)
    context = Context(tmp_path)
    for retriever in ("lexical", "embedding", "both"):
        together = retrieve(texts, queries, 4, retriever, "hash", context)
        for i, query in enumerate(queries):
            alone = retrieve(texts, [query], 4, retriever, "hash", context)
            assert (alone.place[0] == together.place[i]).all()
            assert (alone.score[0] == together.score[i]).all()


def test_ranks_are_fused_by_their_reciprocals():
    one = Found(np.array([[3, 1, 2]]), np.zeros((1, 3)))
    two = Found(np.array([[1, 4, -1]]), np.zeros((1, 3)))
    found = fused([one, two], 4)
    assert found.place.tolist() == [[1, 3, 4, 2]]
    assert found.score[0].tolist() == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63])


def test_vectors_are_kept_by_the_hash_of_their_text(tmp_path):
    first = vectors(["river", "stone"], "hash", Context(tmp_path))
    assert (vectors(["stone", "river", "stone"], "hash", Context(tmp_path)) == first[[1, 0, 1]]).all()


def test_stopping_is_heard(tmp_path):
    context = Context(tmp_path, stopping=lambda: True)
    with pytest.raises(Interrupted):
        lexical(["a b"], ["river"], 1, context)

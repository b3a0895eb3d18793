"""Importance resampling by hashed n-grams against a count in dicts; nesting, row order, bad targets."""

import dataclasses
import hashlib
import itertools
import math
import random
import re
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.errors import UserError
from manifests.names import sampling_key
from mixers.dsir import Dsir
from mixers.exponential import keys, log_keys
from mixers.ngram import UNIT, Hashing, log_ratios
from tests.mixers.pools import ids, pool, rows, stratum

COOKING = ["boil", "rice", "salt", "pan", "oven", "soup", "stir", "the", "a", "with", "Ünï", "鍋", "."]
LAW = ["court", "judge", "contract", "appeal", "the", "a", "with", "party", "clause", ",", "don't", "."]


def texts(words, count, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(1, 30))) for _ in range(count)]


def written(frame, words, seed=0):
    """Give rows a prompt and a response of the words."""
    return frame.with_columns(
        prompt=pl.Series(texts(words, frame.height, f"p{seed}")),
        response=pl.Series(texts(words, frame.height, f"r{seed}")),
    )


def kitchen_and_court(shuffle=None, specialist=20):
    return pool(
        written(rows("recipes", "generalist", 200), COOKING, 1),
        written(rows("rulings", "generalist", 200), LAW, 2),
        written(rows("menus", "specialist", specialist), COOKING, 3),
        shuffle=shuffle,
    )


def ngrams(text):
    """Return the words and pairs of words of a text, in pure Python."""
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    return [(w,) for w in words] + list(itertools.pairwise(words))


def bucket(gram, buckets):
    """Return the bucket of an n-gram, in Python's whole numbers."""
    mask = 2**64 - 1
    numbers = [int.from_bytes(hashlib.blake2b(w.encode(), digest_size=8).digest(), "little") for w in gram]
    if len(numbers) == 1:
        return numbers[0] % buckets
    z = (numbers[0] * 0xD1342543DE82EF95 + numbers[1] + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) % buckets


def bags(frame, buckets):
    return [
        Counter(bucket(gram, buckets) for gram in ngrams(f"{p}\n{r}"))
        for p, r in frame.select("prompt", "response").iter_rows()
    ]


def published_log_weights(everything, buckets, prior):
    """Return log p(x) - log q(x) of each generalist row by Xie et al. (2023), p after `prior` n-grams of q."""
    target = sum(bags(everything.target, buckets), Counter())
    generalist = everything.samples.filter(role="generalist")
    own = bags(generalist, buckets)
    raw = sum(own, Counter())
    q = {b: n / raw.total() for b, n in raw.items()}
    p = {b: (target[b] + prior * q[b]) / (target.total() + prior) for b in raw}
    weights = [sum(n * (math.log(p[b]) - math.log(q[b])) for b, n in bag.items()) for bag in own]
    return dict(zip(generalist["sample_id"], weights, strict=True))


@pytest.mark.parametrize(("buckets", "prior"), [(10_000, 1000.0), (16, 1e-3), (7, 50.0)])
def test_the_rows_drawn_are_the_gumbel_top_k_of_the_published_weights(buckets, prior):
    everything = kitchen_and_court()
    weights = published_log_weights(everything, buckets, prior)
    blend = Dsir(name="b", rows=150, buckets=buckets, prior=prior).blend(everything, 3, {})
    frame = everything.samples.filter(role="generalist")
    uniform = sampling_key(frame["k64"].to_numpy(), 3).astype(object)
    drawn = {}
    for name, bits in zip(frame["sample_id"], uniform, strict=True):
        gumbel = -math.log(-math.log(((bits >> 11) + 0.5) / 2**53))
        drawn[name] = weights[name] + gumbel
    best = sorted(drawn, key=drawn.get, reverse=True)
    assert drawn[best[149]] - drawn[best[150]] > 1e-3  # the grid of the log ratios cannot turn this pair
    assert ids(blend) == set(best[:150])


def test_a_texts_sum_is_that_of_its_own_ngrams_in_a_corpus_of_several_chunks(monkeypatch):
    monkeypatch.setattr("mixers.ngram._CHUNK", 7)
    corpus = pl.Series(["", *texts(COOKING, 30, 0), "  ", "one", *texts(LAW, 9, 1), ""])
    values = np.arange(64, dtype=np.int64) ** 2 - 500
    sums, sizes = Hashing(64).sums(corpus, values)
    own = [[bucket(gram, 64) for gram in ngrams(text)] for text in corpus]
    assert sums.tolist() == [sum(int(values[b]) for b in found) for found in own]
    assert sizes.tolist() == [len(found) for found in own]
    assert Hashing(64).counts(corpus).tolist() == [
        n for _, n in sorted({**dict.fromkeys(range(64), 0), **Counter(itertools.chain(*own))}.items())
    ]


def test_words_of_neighbouring_texts_make_no_pair():
    assert Hashing(50).counts(pl.Series(["a", "b", "c"])).sum() == 3
    assert Hashing(50).counts(pl.Series(["a b c"])).sum() == 5


def test_a_bucket_that_the_target_lacks_is_unlikely_and_one_that_the_pool_lacks_counts_nothing():
    ratios = log_ratios(np.array([9, 0, 5]), np.array([50, 50, 0]), prior=2.0) / UNIT
    assert ratios == pytest.approx([math.log((9 / 0.5 + 2) / 16), math.log(2 / 16), 0.0], abs=1e-6)


def test_it_prefers_texts_like_the_target_and_a_high_prior_takes_rows_evenly():
    everything = kitchen_and_court()
    names = dict(everything.samples.select("sample_id", "source").iter_rows())
    near = [names[i] for i in ids(Dsir(name="b", rows=100).blend(everything, 0, {}))]
    even = [names[i] for i in ids(Dsir(name="b", rows=100, prior=1e9).blend(everything, 0, {}))]
    assert near.count("recipes") > 95
    assert 30 < even.count("recipes") < 70


def test_levelled_lengths_give_a_text_and_the_same_text_twice_the_same_odds():
    once = pl.Series(["boil rice", "boil rice boil rice boil rice boil"])
    frame = rows("g", "generalist", 2).with_columns(prompt=once, response=pl.lit(""))
    other = written(rows("law", "generalist", 50), LAW, 1)
    everything = pool(frame, other.select(frame.columns), written(rows("s", "specialist", 9), COOKING))
    counts = {False: 0, True: 0}
    for level in counts:
        for seed in range(60):
            blend = Dsir(name="b", rows=1, level_lengths=level).blend(everything, seed, {})
            counts[level] += ids(blend) == {frame["sample_id"][1]}
    assert counts[False] > 55
    assert counts[True] < 50


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 400), st.integers(0, 400), st.integers(0, 9), st.sampled_from([(), "source", ("source", "task")]))
def test_a_smaller_budget_is_a_subset_of_a_larger_one(a, b, seed, by):
    everything = kitchen_and_court()
    small, large = (Dsir(name="b", rows=n, by=by).blend(everything, seed, {}) for n in sorted((a, b)))
    assert ids(small) <= ids(large)
    assert len(ids(large)) == max(a, b)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 400), st.integers(0, 9), st.integers(1, 99), st.booleans())
def test_the_order_of_the_rows_decides_nothing(n, seed, shuffle, level):
    recipe = Dsir(name="b", rows=n, level_lengths=level)
    drawn = [recipe.blend(kitchen_and_court(shuffle=s), seed, {}) for s in (None, shuffle)]
    assert drawn[0].content_id == drawn[1].content_id
    assert drawn[0].strata.equals(drawn[1].strata)


def test_the_gate_changes_who_may_be_drawn_and_no_weight():
    everything = kitchen_and_court()
    gated = ids(Dsir(name="b", rows=60, where="source = 'recipes'").blend(everything, 0, {}))
    names = dict(everything.samples.select("sample_id", "source").iter_rows())
    assert {names[i] for i in gated} == {"recipes"}
    for n in range(60, 400, 20):
        wide = [i for i in ids(Dsir(name="b", rows=n).blend(everything, 0, {})) if names[i] == "recipes"]
        assert set(wide) <= gated or gated <= set(wide)


def test_a_target_of_eval_rows_is_read_and_never_drawn():
    everything = kitchen_and_court(specialist=1)
    dev = written(rows("dev", "eval", 30), LAW, 5)
    everything = dataclasses.replace(everything, target=pl.concat([everything.target, dev]))
    blend = Dsir(name="b", rows=100, target="dev").blend(everything, 0, {})
    names = dict(everything.samples.select("sample_id", "source").iter_rows())
    assert [names[i] for i in ids(blend)].count("rulings") > 90
    assert not set(blend.members["sample_id"]) & set(dev["sample_id"])
    eval_in_samples = dataclasses.replace(everything, samples=pl.concat([everything.samples, dev]))
    assert Dsir(name="b", rows=100, target="dev").blend(eval_in_samples, 0, {}).content_id == blend.content_id


def test_the_reason_names_stratum_and_target():
    blend = Dsir(name="b", rows=10, by="source").blend(kitchen_and_court(), 0, {})
    reasons = set(blend.members.filter(pl.col("role") == "generalist")["reason"])
    assert "dsir: source:recipes; n-grams like the specialist rows (20 rows)" in reasons


def test_rows_without_a_word_are_left_out_and_said_to_be():
    blank = rows("blank", "generalist", 5).with_columns(prompt=pl.lit(" \n"), response=pl.lit(None, pl.String))
    everything = kitchen_and_court()
    everything = dataclasses.replace(everything, samples=pl.concat([everything.samples, blank]))
    blend = Dsir(name="b", rows=400, by="source").blend(everything, 0, {})
    assert not ids(blend) & set(blank["sample_id"])
    assert stratum(blend, "source:blank")["limited_by"] == "score"
    with pytest.raises(UserError, match="rows without verdict or score"):
        Dsir(name="b", rows=401).blend(everything, 0, {})


def test_no_target_rows_an_unknown_target_and_a_target_without_words_are_errors():
    everything = kitchen_and_court()
    with pytest.raises(UserError, match="there are no specialist rows"):
        Dsir(name="b", rows=1).blend(kitchen_and_court(specialist=0), 0, {})
    with pytest.raises(UserError, match="did you mean 'menus'"):
        Dsir(name="b", rows=1, target="menu").blend(everything, 0, {})
    silent = everything.target.with_columns(response=pl.lit("  "))
    with pytest.raises(UserError, match="target without a word in its response text"):
        Dsir(name="b", rows=1, text="response").blend(dataclasses.replace(everything, target=silent), 0, {})


def test_a_pool_without_text_is_an_error_that_names_the_column():
    with pytest.raises(UserError, match="needs the text of the rows"):
        Dsir(name="b", rows=1).blend(pool(rows("g", "generalist", 5), rows("s", "specialist", 5)), 0, {})


def test_keys_of_logarithms_order_as_keys_of_weights_and_reach_beyond_a_double():
    uniform = sampling_key(np.arange(5000, dtype=np.uint64), 1)
    weights = np.exp(np.random.default_rng(0).normal(0, 3, 5000))
    by_log = np.argsort(log_keys(uniform, np.log(weights)))
    assert np.array_equal(by_log, np.argsort(keys(uniform, weights)))
    far = log_keys(np.array([0, 2**64 - 1, 2**63], dtype=np.uint64), np.array([5000.0, -5000.0, 0.0]))
    assert np.argsort(far).tolist() == [0, 2, 1]

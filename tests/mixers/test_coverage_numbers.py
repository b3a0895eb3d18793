"""The coverage numbers against brute force and scikit-learn, and what may not change them."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from curate.embed import encode
from manifests import schema
from manifests.component import Context
from manifests.names import digest
from mixers.coverage_numbers import POOL, coverage
from tests.mixers.test_cells import blobs, names, unit

OF_THE_TARGET = {"breadth", "spread"}
OF_A_SOURCE = {"nearness", "knn_recall", "overlap", "effective_share", "cell_recall", "distance", "novelty"}


def gathered(seed=0):
    """Two generalist sources, a narrow and a broad specialist source, and the broad one's tasks."""
    rng = np.random.default_rng(seed)
    vectors, cell = blobs(n=900, centres=8, spread=0.6, seed=seed)
    source = np.array(["wide"] * 500 + ["odd"] * 100 + ["broad"] * 200 + ["narrow"] * 100)
    order = np.concatenate([np.arange(800), 800 + rng.permutation(100)])
    narrow = np.flatnonzero(cell == 3)
    vectors[800:], cell[800:] = vectors[rng.choice(narrow, 100)], 3
    odd = np.flatnonzero(cell < 2)
    vectors[500:600] = vectors[rng.choice(odd, 100)]
    cell[500:600] = assign_like(vectors[500:600], vectors, cell)
    frame = pl.DataFrame(
        {
            "sample_id": names(900),
            "source": source,
            "role": ["generalist"] * 600 + ["specialist"] * 200 + ["eval"] * 100,
            "task": [None] * 600 + ["left", "right"] * 100 + [None] * 100,
            "cell": pl.Series(cell, dtype=pl.Int32),
        }
    )
    return frame[order.tolist()], vectors[order]


def assign_like(some, vectors, cell):
    return cell[(some @ vectors.T).argmax(axis=1)]


def number(found, target, source, metric):
    row = found.filter((pl.col("target") == target) & (pl.col("source") == source) & (pl.col("metric") == metric))
    return row["value"].item()


def nearest(some, others, k):
    return NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(others).kneighbors(some)[0]


def test_the_numbers_of_cells_are_those_of_counting():
    samples, vectors = gathered()
    found = coverage(samples, vectors, 8)
    assert dict(found.schema) == dict(schema.COVERAGE)
    cell, source = samples["cell"].to_numpy(), samples["source"].to_numpy()
    target = np.bincount(cell[source == "broad"], minlength=8)
    for name, mask in {
        "wide": source == "wide",
        "odd": source == "odd",
        POOL: np.isin(source, ["wide", "odd"]),
    }.items():
        held = np.bincount(cell[mask], minlength=8)
        overlap = sum(min(a, b) for a, b in zip(target / target.sum(), held / held.sum(), strict=True))
        assert number(found, "broad", name, "overlap") == pytest.approx(overlap)
        recall = sum(t for t, h in zip(target, held, strict=True) if h >= 5) / target.sum()
        assert number(found, "broad", name, "cell_recall") == pytest.approx(recall)
        weight = np.divide(target, held, out=np.zeros(8), where=held > 0)
        weights = weight[cell[mask]]
        kish = weights.sum() ** 2 / (weights**2).sum() / mask.sum()
        assert number(found, "broad", name, "effective_share") == pytest.approx(kish)


def test_the_numbers_of_neighbours_are_those_of_scikit_learn():
    samples, vectors = gathered()
    found = coverage(samples, vectors, 8)
    source = samples["source"].to_numpy()
    pool = np.isin(source, ["wide", "odd"])
    mine = vectors[(samples["task"] == "left").fill_null(value=False).to_numpy()]
    between = 1 - mine.astype(float) @ mine.T.astype(float)
    spread = between[np.triu_indices(len(mine), 1)].mean()
    assert number(found, "left", POOL, "spread") == pytest.approx(spread, abs=1e-3)
    fellow = nearest(mine, mine, 2)[:, 1]
    kept = np.unique(vectors[pool], axis=0)
    usual = nearest(kept, kept, 2)[:, 1]
    for name, mask in {"wide": source == "wide", "odd": source == "odd", POOL: pool}.items():
        near = nearest(mine, vectors[mask], 5)
        assert number(found, "left", name, "distance") == pytest.approx(near.mean(), abs=1e-3)
        assert number(found, "left", name, "nearness") == pytest.approx(1 - near[:, 0].mean() / spread, abs=3e-3)
        assert number(found, "left", name, "knn_recall") == pytest.approx((near[:, 0] <= fellow).mean(), abs=0.021)
        beyond = (near[:, 0][:, None] > usual).mean()
        assert number(found, "left", name, "novelty") == pytest.approx(beyond, abs=0.01)


def test_breadth_is_the_entropy_of_the_cells_and_ranks_broad_above_narrow():
    samples, vectors = gathered()
    found = coverage(samples, vectors, 8)
    counts = samples.filter(pl.col("source") == "broad")["cell"].value_counts()["count"].to_numpy()
    share = counts / counts.sum()
    assert number(found, "broad", POOL, "breadth") == pytest.approx(-(share * np.log(share)).sum() / np.log(8))
    assert number(found, "narrow", POOL, "breadth") == 0.0
    assert number(found, "broad", POOL, "nearness") > number(found, "narrow", POOL, "nearness")


def test_every_source_and_task_of_specialist_and_eval_rows_is_a_target():
    found = coverage(*gathered(), 8)
    assert set(found["target"]) == {"broad", "narrow", "left", "right"}
    assert set(found["source"]) == {"wide", "odd", POOL}


def test_a_wider_task_is_a_target_that_reads_like_one_task_of_all_its_rows():
    samples, vectors = gathered()
    nested = samples.with_columns(task=pl.lit("both/") + pl.col("task"))
    merged = samples.with_columns(task=pl.when(pl.col("task").is_not_null()).then(pl.lit("both")))
    found, expected = coverage(nested, vectors, 8), coverage(merged, vectors, 8)
    assert {"both", "both/left", "both/right"} <= set(found["target"])
    assert found.filter(pl.col("target") == "both").equals(expected.filter(pl.col("target") == "both"))


def test_every_number_is_stated_for_every_source():
    found = coverage(*gathered(), 8)
    metrics = {key: set(part["metric"]) for key, part in found.group_by("target", "source")}
    assert all(kept == OF_A_SOURCE | (OF_THE_TARGET if s == POOL else set()) for (_, s), kept in metrics.items())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40), st.integers(0, 40), st.integers(2, 8))
def test_every_number_is_between_nought_and_one_whatever_the_sizes(seed, target, pool, k):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(target + pool, 3)))
    vectors[rng.random(target + pool) < 0.1] = 0
    samples = pl.DataFrame(
        {
            "sample_id": names(target + pool),
            "source": ["t"] * target + ["g"] * pool,
            "role": ["eval"] * target + ["generalist"] * pool,
            "task": pl.Series([None] * (target + pool), dtype=pl.String),
            "cell": pl.Series(rng.integers(0, k, target + pool), dtype=pl.Int32),
        }
    )
    found = coverage(samples, vectors, k)
    assert found["value"].is_between(0, 1).all()
    assert found["value"].is_finite().all()
    turn = rng.permutation(target + pool)
    assert coverage(samples[turn.tolist()], vectors[turn], k).equals(found)


def test_a_pool_read_twice_covers_what_it_covered():
    samples, vectors = gathered()
    copies = samples.filter(pl.col("role") == "generalist").with_columns(sample_id=pl.Series(names(1500)[900:]))
    twice = coverage(pl.concat([samples, copies]), np.concatenate([vectors, vectors[:600]]), 8)
    once = coverage(samples, vectors, 8)
    same = ["nearness", "knn_recall", "overlap", "effective_share", "novelty", "breadth", "spread"]
    assert (
        twice.filter(pl.col("metric").is_in(same))
        .select("target", "source", "metric")
        .equals(once.filter(pl.col("metric").is_in(same)).select("target", "source", "metric"))
    )
    assert twice.filter(pl.col("metric").is_in(same))["value"].to_list() == pytest.approx(
        once.filter(pl.col("metric").is_in(same))["value"].to_list()
    )


def test_a_target_that_the_pool_holds_whole_is_as_near_as_can_be():
    samples, vectors = gathered()
    copies = samples.filter(pl.col("source") == "broad").with_columns(
        sample_id=pl.Series(names(1100)[900:]), source=pl.lit("copy"), role=pl.lit("generalist")
    )
    broad = (samples["source"] == "broad").to_numpy()
    found = coverage(pl.concat([samples, copies]), np.concatenate([vectors, vectors[broad]]), 8)
    expected = {"nearness": 1, "knn_recall": 1, "overlap": 1, "effective_share": 1}
    assert {m: number(found, "broad", "copy", m) for m in expected} == pytest.approx(expected)


def test_a_larger_pool_is_never_less_near():
    samples, vectors = gathered()
    found = coverage(samples, vectors, 8)
    for metric in ("nearness", "knn_recall"):
        for target in ("broad", "narrow", "left", "right"):
            assert number(found, target, POOL, metric) == max(
                number(found, target, POOL, metric), number(found, target, "wide", metric)
            )


def test_the_size_of_a_target_hardly_changes_its_nearness():
    rng = np.random.default_rng(3)
    vectors = unit(rng.normal(size=(2000, 16)))
    sizes = {"large": 400, "small": 40}
    source = ["g"] * 1560 + [name for name, n in sizes.items() for _ in range(n)]
    samples = pl.DataFrame(
        {
            "sample_id": names(2000),
            "source": source,
            "role": ["generalist" if s == "g" else "eval" for s in source],
            "task": pl.Series([None] * 2000, dtype=pl.String),
            "cell": pl.Series([0] * 2000, dtype=pl.Int32),
        }
    )
    found = coverage(samples, vectors, 2)
    large, small = (number(found, name, POOL, "nearness") for name in sizes)
    assert small == pytest.approx(large, abs=0.03)


def test_rows_like_the_pools_own_are_as_novel_as_they():
    rng = np.random.default_rng(5)
    vectors = unit(rng.normal(size=(1500, 6)))
    samples = pl.DataFrame(
        {
            "sample_id": names(1500),
            "source": ["g"] * 1000 + ["t"] * 500,
            "role": ["generalist"] * 1000 + ["eval"] * 500,
            "task": pl.Series([None] * 1500, dtype=pl.String),
            "cell": pl.Series([0] * 1500, dtype=pl.Int32),
        }
    )
    assert number(coverage(samples, vectors, 2), "t", POOL, "novelty") == pytest.approx(0.5, abs=0.05)


def test_a_target_of_one_row_has_no_spread_and_no_fellow():
    samples, vectors = gathered()
    one = [*range(600), 600]
    found = coverage(samples[one], vectors[one], 8)
    assert set(found["metric"]) == {"breadth", "overlap", "cell_recall", "effective_share", "distance", "novelty"}


def test_a_target_of_equal_rows_has_no_nearness():
    samples, vectors = gathered()
    vectors[600:800] = vectors[600]
    found = coverage(samples, vectors, 8).filter(pl.col("target") == "broad")
    assert "nearness" not in set(found["metric"])
    assert number(found, "broad", POOL, "spread") == 0


def test_no_target_gives_no_numbers():
    samples, vectors = gathered()
    assert coverage(samples[:600], vectors[:600], 8).is_empty()
    assert coverage(samples[:0], vectors[:0], 8).is_empty()


def test_no_pool_leaves_only_what_the_target_says_itself():
    samples, vectors = gathered()
    found = coverage(samples[600:], vectors[600:], 8)
    assert set(found["metric"]) == OF_THE_TARGET


def test_texts_that_the_pool_holds_are_nearer_than_others_by_the_hash_encoder(tmp_path):
    pool = [f"Write a short story about a {animal} in the {place}" for animal in ANIMALS for place in PLACES]
    like = [f"Write a story about a {animal} in the old {place}" for animal in ANIMALS for place in PLACES[:4]]
    unlike = [f"Integrate x^{n} from {m} to {n + m}" for n in range(2, 7) for m in range(4)]
    texts = [*pool, *like, *unlike]
    vectors = encode(texts, [digest(t) for t in texts], "hash", tmp_path / "e.sqlite", Context(root=tmp_path))
    source = ["g"] * len(pool) + ["like"] * len(like) + ["unlike"] * len(unlike)
    samples = pl.DataFrame(
        {
            "sample_id": names(len(texts)),
            "source": source,
            "role": ["generalist" if s == "g" else "specialist" for s in source],
            "task": pl.Series([None] * len(texts), dtype=pl.String),
            "cell": pl.Series([0 if s != "unlike" else 1 for s in source], dtype=pl.Int32),
        }
    )
    found = coverage(samples, vectors, 2)
    for metric in ("nearness", "overlap", "effective_share"):
        assert number(found, "like", POOL, metric) > number(found, "unlike", POOL, metric)
    assert number(found, "like", POOL, "distance") < number(found, "unlike", POOL, "distance")


ANIMALS = ("dog", "whale", "sparrow", "tortoise", "lynx")
PLACES = ("forest", "harbour", "castle", "desert", "village", "library")

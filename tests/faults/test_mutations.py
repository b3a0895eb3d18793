"""Thousands of damaged files, jobs and replies: what is promised comes out, and nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.benchmarks import mutated_texts
from tests.benchmarks.mutations import PARQUET, Mutator, files, outcome

EXTRACTS = [
    [
        {"instruction": f"Name colour {n}.", "input": "é" * (n % 2), "output": f"Blau {n}", "license": "MIT"}
        for n in range(6)
    ],
    [{"question": f"Who wrote book {n}?", "choices": ["A", "B"], "answers": [f"Author {n}"]} for n in range(6)],
    [{"task": "t", "input": f"Reverse {n}", "outputs": [f"{n}", f"-{n}"]} for n in range(6)],
]
"""Rows in the three shapes that the benchmark takes from real files."""


@pytest.fixture(scope="module")
def mutator(tmp_path_factory: pytest.TempPathFactory) -> Mutator:
    return Mutator([files(extract, tmp_path_factory.mktemp("made")) for extract in EXTRACTS], seed=3)


@pytest.mark.parametrize("part", range(4))
def test_damaged_files_never_escape_as_anything_but_rejects_or_a_user_error(
    tmp_path: Path, mutator: Mutator, part: int
) -> None:
    counts: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for number in range(500 * part, 500 * (part + 1)):
        name, data = mutator(number)
        counts.update(outcome(tmp_path, name, data))
        kinds[name.partition(".")[2]] += 1
    assert counts["read"] + counts["refused"] == 500
    assert min(counts["read"], counts["refused"], counts["samples"]) > 100
    assert {"jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "parquet.zst"} <= set(kinds)


@pytest.fixture(scope="module")
def texts() -> Mutator:
    jobs, replies = mutated_texts.jobs(), mutated_texts.replies()
    return Mutator([{**a, **b} for a, b in zip(jobs, replies, strict=True)], seed=3)


def test_damaged_jobs_and_replies_are_values_or_reasons(tmp_path: Path, texts: Mutator) -> None:
    counts: dict[str, Counter[str]] = {}
    for number in range(4000):
        name, data = texts(number)
        counts.setdefault(name.partition(".")[2], Counter()).update(outcome(tmp_path, name, data))
    assert counts["yaml"]["read"] + counts["yaml"]["refused"] + counts["reply"]["read"] == 4000
    assert min(counts["yaml"]["read"], counts["yaml"]["refused"], counts["reply"]["samples"]) > 100


def test_undamaged_jobs_and_replies_are_read(tmp_path: Path, texts: Mutator) -> None:
    read: Counter[str] = Counter()
    for made in texts.sets:
        for name, data in made.items():
            found = outcome(tmp_path, name, data)
            read[name] += found["samples"] if name.endswith(".reply") else found["read"]
    assert set(read) == {"job.yaml", "plain.yaml", "odd.yaml", *mutated_texts.READINGS}
    assert min(read.values()) >= 2


def test_undamaged_files_are_read_whole(tmp_path: Path, mutator: Mutator) -> None:
    for made in mutator.sets:
        for name, data in made.items():
            counts = outcome(tmp_path, name, data)
            assert (counts["read"], counts["rows"]) == (1, 6), name
    assert len(PARQUET) == 5


def test_a_mutation_is_the_same_each_time(mutator: Mutator) -> None:
    again = Mutator(mutator.sets, seed=3)
    assert [mutator(n) for n in range(50)] == [again(n) for n in range(50)]
    assert mutator(0) != Mutator(mutator.sets, seed=4)(0)

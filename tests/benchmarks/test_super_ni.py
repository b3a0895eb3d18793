"""Super-NaturalInstructions as a job reads it: what is held out, what an instruction says, how long rows are."""

from __future__ import annotations

import polars as pl
import pytest

from tests.benchmarks.super_ni import prepared

TASKS = [
    {"task": name, "category": kind, "official_split": split, "definition": text, "sensitive": name == "hidden"}
    | {"positive_examples": [{"input": f" {name} {n} ", "output": "yes"} for n in range(2)]}
    for name, kind, split, text in (
        ("seen", "Sorting", "train_or_other", "Sort it"),
        ("held", "Titles", "test", "Name it!"),
        ("hidden", "Titles", "train_or_other", "Never"),
    )
]
ROWS = [
    {
        "task": task,
        "idx": n + 10 * (split == "test"),
        "split": split,
        "input": "x" * (n + 1),
        "outputs": ["y" * (n + 2), "z"],
    }
    for task, split in (("seen", "train"), ("held", "train"), ("held", "test"), ("seen", "test"), ("hidden", "train"))
    for n in (4, 2, 3, 1, 0)
]


@pytest.fixture
def made():
    return lambda **options: prepared(pl.DataFrame(TASKS), pl.DataFrame(ROWS), **{"positives": 0, "most": 9, **options})


def inputs(frame, part):
    return frame.filter(pl.col("part") == part)["source"].to_list()


def test_rows_of_the_official_test_tasks_are_parted_and_sensitive_tasks_are_left_out(made):
    frame = made(most=2)
    assert frame.select("task", "part", "source").rows() == [
        ("held", "unseen-train", "x"),
        ("held", "unseen-train", "xx"),
        ("held", "unseen", "x"),
        ("held", "unseen", "xx"),
        ("seen", "meta-train", "x"),
        ("seen", "meta-train", "xx"),
    ]


def test_an_instruction_ends_in_a_stop_and_examples_stand_behind_it_in_order(made):
    systems = dict(made(positives=2).select("task", "system").unique().rows())
    assert systems["held"].startswith("Definition: Name it!\n\nPositive Example 1 -\nInput: held 0\nOutput: yes\n\n")
    assert systems["seen"].startswith("Definition: Sort it.\n\n")
    assert systems["seen"].endswith("Positive Example 2 -\nInput: seen 1\nOutput: yes")


def test_longest_bounds_the_input_and_every_reference_before_rows_are_counted(made):
    assert inputs(made(longest=3), "meta-train") == ["x", "xx"]
    assert inputs(made(longest=4, most=3), "meta-train") == ["x", "xx", "xxx"]
    assert inputs(made(), "meta-train") == ["x", "xx", "xxx", "xxxx", "xxxxx"]


def test_choices_are_those_of_the_whole_task_whatever_rows_are_left(made):
    assert made(longest=3)["choices"].to_list()[0] == made()["choices"].to_list()[0] == ["y" * n for n in range(2, 7)]

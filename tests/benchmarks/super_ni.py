"""Super-NaturalInstructions as a job reads it: one row an instance, its task's definition beside it.

    python -m tests.benchmarks.super_ni DATA OUT [--positives 2] [--per-task 40] [--longest N]

DATA holds `superni_tasks.parquet` and `superni_instances.parquet`; OUT gets `super-ni.parquet` with the columns of the
format super-natural-instructions: `system` is the instruction in Tk-Instruct's layout (the definition; with
`--positives 2` two worked examples after it), `input` the example to complete, `outputs` its references. `part` is
`meta-train`, `unseen-train` (rows of the test tasks, for their own adapters alone) or `unseen`; `category` the type of
task; `choices` the distinct outputs where a task has ten or fewer, for rank classification; `source` the input alone.
A task has its first `--per-task` rows of each part; with `--longest N`, of those alone whose input and references
have at most N characters. Test tasks are those of the official split. Tasks marked sensitive are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

MOST_CHOICES = 10


def instruction(definition: str, examples: Sequence[Mapping[str, str]]) -> str:
    """Return a task's instruction in Tk-Instruct's layout (Wang et al. 2022, `DataCollatorForNI`)."""
    text = f"Definition: {definition.strip()}"
    text += "" if text.endswith((".", "!", "?")) else "."
    for number, example in enumerate(examples, 1):
        text += f"\n\nPositive Example {number} -\nInput: {example['input'].strip()}"
        text += f"\nOutput: {example['output'].strip()}"
    return text


def asked(text: str) -> str:
    """Return an instance's input in Tk-Instruct's layout."""
    return f"Now complete the following example -\nInput: {text.strip()}\nOutput:"


def prepared(
    tasks: pl.DataFrame, instances: pl.DataFrame, positives: int, most: int, longest: int | None = None
) -> pl.DataFrame:
    """Return at most `most` rows of each task and part, none longer than `longest`, ordered by task and number."""
    tasks = tasks.filter(~pl.col("sensitive") & (pl.col("positive_examples").list.len() >= max(1, positives)))
    firsts = instances.group_by("task").agg(pl.col("outputs").list.first().unique().sort().alias("choices"))
    short = pl.col("choices").list.len().is_between(2, MOST_CHOICES)
    firsts = firsts.with_columns(pl.when(short).then("choices"))
    rows: list[dict[str, Any]] = [
        {
            "task": one["task"],
            "category": one["category"],
            "unseen": one["official_split"] == "test",
            "system": instruction(one["definition"], one["positive_examples"][:positives]),
        }
        for one in tasks.iter_rows(named=True)
    ]
    frame = instances.join(pl.DataFrame(rows), on="task").join(firsts, on="task").sort("task", "idx")
    tests, unseen = pl.col("split") == "test", pl.col("unseen")
    part = pl.when(unseen & tests).then(pl.lit("unseen")).when(unseen & ~tests).then(pl.lit("unseen-train"))
    frame = frame.with_columns(part.when(~tests).then(pl.lit("meta-train")).otherwise(pl.lit("rest")).alias("part"))
    if longest is not None:
        outputs = pl.col("outputs").list.eval(pl.element().str.len_chars()).list.max()
        frame = frame.filter(pl.max_horizontal(pl.col("input").str.len_chars(), outputs) <= longest)
    frame = frame.with_columns(pl.col("input").alias("source"))
    frame = frame.with_columns(pl.col("input").map_elements(asked, return_dtype=pl.String))
    frame = frame.filter(pl.col("part") != "rest").drop("unseen", "split")
    return frame.filter(pl.int_range(pl.len()).over("task", "part") < most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--positives", type=int, default=0)
    parser.add_argument("--per-task", type=int, default=40)
    parser.add_argument("--longest", type=int, help="characters of an input or a reference at most")
    options = parser.parse_args()
    tasks, instances = (pl.read_parquet(options.data / f"superni_{name}.parquet") for name in ("tasks", "instances"))
    frame = prepared(tasks, instances, options.positives, options.per_task, options.longest)
    options.out.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(options.out / "super-ni.parquet")
    for (part,), rows in sorted(frame.group_by("part")):
        print(f"{part}: {rows.height} rows of {rows['task'].n_unique()} tasks in {rows['category'].n_unique()} types")


if __name__ == "__main__":
    main()

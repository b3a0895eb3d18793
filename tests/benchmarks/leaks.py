"""Which rows of the shared data hold held-out text: the leak table.

    python tests/benchmarks/leaks.py --data DIR

Held-out: the simplification rows of writing_tasks.parquet by data set and split (ASSET valid, TurkCorpus tune,
OneStopEnglish), the evaluation prompts, and the dev and test rows of skill_tasks.parquet. Searched: the inputs of
superni_instances.parquet by task, and the generalist pool's prompts and responses. Four ways: any shared word 13-gram,
any shared 8-gram, containment (more than half of the held-out row's words in shared 8-grams) and the same prompt word
for word; 13-grams in more than ten held-out rows are boiler-plate and do not count. A held-out text of fewer words than
an n-gram counts under the n-gram ways when the prompt is the same.

What cannot be found: when the data were put together, instances that share most of their 10-grams with the official
test halves of ASSET and TurkCorpus (which are not in the data) were removed, about 3,300 rows, mostly of these tasks.
What is left overlaps the valid and tune halves. The task cards count 2,000 instances of task111 and 2,356 of task934;
1,978 and 1,998 are in the data: of task934 as many are gone as TurkCorpus has test sentences (359), but for one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import polars as pl

from curate.overlap import contained, overlaps, same

WAYS = ("13-gram", "8-gram", "containment", "exact")


def pairs(train: pl.Series, prompts: pl.Series, held_out: pl.Series) -> dict[str, pl.DataFrame]:
    """Return the pairs of each way."""
    return {
        "13-gram": overlaps(train, held_out, 13, prompts=prompts),
        "8-gram": overlaps(train, held_out, 8, prompts=prompts),
        "containment": contained(train, held_out, 8),
        "exact": same(prompts, held_out),
    }


def table(rows: pl.DataFrame, held_out: pl.DataFrame, least: int) -> None:
    """Print, per group of the searched rows and set of held-out rows, how many rows each way finds and three ids."""
    found = [
        frame.select("train", "eval", way=pl.lit(way))
        for way, frame in pairs(rows["text"], rows["prompt"], held_out["text"]).items()
    ]
    leaks = pl.concat(found).with_columns(
        group=rows["group"].gather(pl.concat(found)["train"]),
        id=rows["id"].gather(pl.concat(found)["train"]),
        set=held_out["set"].gather(pl.concat(found)["eval"]),
        held=held_out["id"].gather(pl.concat(found)["eval"]),
    )
    total = dict(rows.group_by("group").len().iter_rows())
    counted = (
        leaks.group_by("group", "set")
        .agg(
            *(pl.col("train").filter(pl.col("way") == way).n_unique().alias(way) for way in WAYS),
            rows=pl.col("train").n_unique(),
            held=pl.col("eval").filter(pl.col("way") == WAYS[0]).n_unique(),
            ids=(pl.col("id") + " ~ " + pl.col("held"))
            .sort_by("way", "id", "held")
            .unique(maintain_order=True)
            .head(3),
        )
        .filter(pl.col("rows") >= least)
        .sort(["13-gram", "8-gram", "group", "set"], descending=[True, True, False, False])
    )
    print(
        f"{'searched':<44}{'of':>7}  {'held out':<24}" + "".join(f"{way:>12}" for way in WAYS) + "  held-out rows hit"
    )
    for row in counted.iter_rows(named=True):
        ways = "".join(f"{row[way]:>12}" for way in WAYS)
        print(f"{row['group'][:43]:<44}{total[row['group']]:>7}  {row['set']:<24}{ways}{row['held']:>12}")
        print(f"{'':<10}e.g. {'; '.join(row['ids'])}")
    every = [leaks.filter(pl.col("way") == way)["train"].n_unique() for way in WAYS]
    print(f"{'all':<44}{len(rows):>7}  {'':<24}" + "".join(f"{n:>12}" for n in every), "\n")


def simplification(data: Path) -> pl.DataFrame:
    """Return the source sentences of the simplification rows, each sentence once per data set and split."""
    tasks = pl.read_parquet(data / "writing_tasks.parquet").filter(pl.col("task") == "simplification")
    return tasks.select(text="source", id="row_id", set=pl.concat_str("dataset", "split", separator=" ")).unique(
        ["text", "set"], keep="first", maintain_order=True
    )


def prompts(data: Path) -> pl.DataFrame:
    """Return the evaluation prompts, and the dev and test questions of the skill tasks."""
    asked = pl.read_parquet(data / "eval_prompts.parquet").select(text="prompt", id="id", set="set")
    tasks = pl.read_parquet(data / "skill_tasks.parquet").filter(pl.col("split") != "train")
    text = pl.concat_str("context", "question", separator="\n\n", ignore_nulls=True)
    skill = tasks.select(text=text, id="row_id", set=pl.concat_str("dataset", "split", separator=" "))
    return pl.concat([asked.with_columns(pl.col("id").cast(pl.String)), skill])


def instances(data: Path) -> pl.DataFrame:
    """Return the inputs of the Super-NaturalInstructions instances; their task is the group."""
    table = pl.read_parquet(data / "superni_instances.parquet")
    name = pl.concat_str("task", pl.lit("-"), "idx", pl.lit("-"), "split")
    return table.select(group="task", id=name, prompt="input", text="input")


def pool(data: Path) -> pl.DataFrame:
    """Return the generalist pool's rows; their source is the group."""
    given = pl.col("input").replace("", None)
    prompt = pl.concat_str("instruction", given, separator="\n\n", ignore_nulls=True)
    table = pl.read_parquet(data / "generalist_pool.parquet")
    both = pl.concat_str(prompt, pl.lit("\n"), "output")
    return table.select(group="source", id="row_id", prompt=prompt, text=both)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the parquet files named above")
    parser.add_argument("--least", type=int, default=5, help="fewest rows of a line that is printed")
    arguments = parser.parse_args()
    data, cpu = arguments.data, time.process_time()
    print("Super-NaturalInstructions against the simplification sets")
    table(instances(data), simplification(data), arguments.least)
    print("The generalist pool against the evaluation prompts and the skill tasks' dev and test rows")
    table(pool(data), prompts(data), arguments.least)
    print("Super-NaturalInstructions against the skill tasks' dev and test rows and the evaluation prompts")
    table(instances(data), prompts(data), arguments.least)
    print(f"{time.process_time() - cpu:.1f} CPU s")


if __name__ == "__main__":
    main()

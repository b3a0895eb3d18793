"""How many of the rows that the duplicate steps drop a person would keep: 320 drops, each read beside its witness.

    python tests/benchmarks/duplicates_reading.py --data DIR [--show N]

tests/data/readings/duplicates.csv holds the readings: step, threshold, row_id, witness_row_id, similarity, wrong and
note, no text. Wrong is 1 when the dropped row teaches something that the kept one does not: another question, another
number, another answer that is no paraphrase. The drops are recomputed from the generalist pool and from the rows of the
duplicate corpus that were not planted (their row ids begin with `corpus`): `exact`; after it `fuzzy` with its default
fields (.8), and with a threshold of .7 and `max_shingle_rows: 200`. Read were all exact and near-duplicate drops of the
pool, and of those of the corpus a seeded draw from each of three versions of the step's guards. The command prints the
share of wrong drops with a 95 % Wilson interval, by rows and step, and the read drops that no longer occur. `--show N`
prints N drops that were not read, in the order of the draw, with their texts.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import polars as pl

from curate.exact import Exact
from curate.fuzzy import Fuzzy
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from manifests.component import Context
from manifests.names import sampling_key

READINGS = Path(__file__).parents[1] / "data" / "readings" / "duplicates.csv"
SETTINGS = {0.8: Fuzzy(threshold=0.8, ngram=3, unit="word"), 0.7: Fuzzy(threshold=0.7, max_shingle_rows=200)}
SEED = 3
KEYS = ["step", "threshold", "row_id", "witness_row_id"]


def sources(data: Path) -> dict[str, pl.DataFrame]:
    """Return the tables to read: the pool, and the corpus without planted rows."""
    columns = ["row_id", "source", "instruction", "input", "output"]
    corpus = pl.read_parquet(data / "dedup" / "corpus.parquet").filter(pl.col("kind") == "base")
    return {
        "pool": pl.read_parquet(data / "generalist_pool.parquet", columns=columns),
        "corpus": corpus.with_columns(row_id=pl.format("corpus-{}", "id")).select(columns),
    }


def samples(table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the rows as samples, and the row id of each sample."""
    seen: dict[tuple[str, str], int] = {}
    made, ids = [], {}
    for row, source, instruction, given, answer in table.iter_rows():
        prompt = f"{instruction}\n\n{given}" if given else instruction
        messages = (Message("user", prompt), Message("assistant", answer))
        key = content_id(messages)
        seen[key, source] = seen.get((key, source), -1) + 1
        sample = Sample(sample_id(key, source, seen[key, source]), key, source, "generalist", messages)
        made.append(sample)
        ids[sample.id] = row
    return samples_frame(made), ids


def drops(table: pl.DataFrame) -> pl.DataFrame:
    """Return all drops of a table: the keys, the similarity, and both texts; a drop of both settings is given once."""
    rows, ids = samples(table)
    here = Context(root=Path())
    found = [("exact", 1.0, Exact().decide(rows, {}, here))]
    rest = rows.filter(~pl.col("sample_id").is_in(found[0][2]["sample_id"].implode()))
    found += [("fuzzy", threshold, step.decide(rest, {}, here)) for threshold, step in SETTINGS.items()]
    text = rows.select("sample_id", "k64", "source", "prompt", "response")
    return (
        pl.concat(
            d.filter(~pl.col("kept")).with_columns(step=pl.lit(step), threshold=threshold)
            for step, threshold, d in found
        )
        .join(text, on="sample_id")
        .join(text.rename(lambda name: f"witness_{name}"), left_on="witness_id", right_on="witness_sample_id")
        .with_columns(
            row_id=pl.col("sample_id").replace_strict(ids),
            witness_row_id=pl.col("witness_id").replace_strict(ids),
        )
        .unique(["step", "row_id", "witness_row_id"], keep="first", maintain_order=True)
    )


def wilson(wrong: int, read: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (E. B. Wilson, JASA 22, 1927)."""
    z, share = 1.959964, wrong / read
    middle = (share + z * z / (2 * read)) / (1 + z * z / read)
    half = z * math.sqrt(share * (1 - share) / read + z * z / (4 * read * read)) / (1 + z * z / read)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _matchable(drops: pl.DataFrame) -> pl.DataFrame:
    """Add what a drop is known by: step and rows; which of two equal rows was dropped does not matter."""
    ends = [pl.max_horizontal("row_id", "witness_row_id"), pl.min_horizontal("row_id", "witness_row_id")]
    equal = pl.concat_str("step", *ends, separator=" ")
    other = pl.concat_str("step", "row_id", "witness_row_id", separator=" ")
    return drops.with_columns(match=pl.when(pl.col("step") == "exact").then(equal).otherwise(other))


def report(readings: pl.DataFrame, now: pl.DataFrame) -> None:
    """Print the shares by step and source, and what no longer occurs."""
    now, readings = _matchable(now), _matchable(readings)
    occurs = readings.join(now, on="match", how="semi")
    drawn = pl.col("row_id").str.starts_with("corpus")
    groups = {"pool": ~drawn, "corpus": drawn, "all": pl.lit(True)}
    print(f"{'rows':8}{'step':14}{'drops':>7}{'read':>6}{'occur':>7}{'wrong':>7}  share of those (95 % interval)")
    for name, chosen in groups.items():
        for step, threshold in [("exact", 1.0), ("fuzzy", 0.8), ("fuzzy", 0.7), ("all", 0.0)]:
            same = pl.lit(True) if step == "all" else (pl.col("step") == step) & (pl.col("threshold") == threshold)
            read, there = readings.filter(chosen & same), occurs.filter(chosen & same)
            if len(there):
                wrong, total = int(there["wrong"].sum()), len(now.filter(chosen & same))
                low, high = wilson(wrong, len(there))
                label = step if step in {"exact", "all"} else f"{step} {threshold}"
                share = f"{wrong / len(there):6.1%} ({low:.1%} to {high:.1%})"
                print(f"{name:8}{label:14}{total:7}{len(read):6}{len(there):7}{wrong:7}  {share}")
    gone = readings.join(now, on="match", how="anti")
    print(f"\n{len(gone)} read drops no longer occur")
    for step, threshold, row, witness in gone.select(KEYS).iter_rows():
        print(f"  {step} {threshold} {row} -> {witness}")


def show(readings: pl.DataFrame, now: pl.DataFrame, count: int) -> None:
    """Print drops that were not read."""
    unread = _matchable(now).join(_matchable(readings), on="match", how="anti")
    keys = pl.Series("key", sampling_key(unread["k64"].to_numpy(), SEED))
    for row in unread.with_columns(keys).sort("key", "row_id").head(count).iter_rows(named=True):
        print(f"\n=== {row['step']},{row['threshold']},{row['row_id']},{row['witness_row_id']},{row['similarity']:.4f}")
        print(f"--- dropped\n{row['prompt']}\n>>> {row['response']}")
        print(f"--- kept\n{row['witness_prompt']}\n>>> {row['witness_response']}")


def main() -> None:
    """Recompute the drops and print what the readings say of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with generalist_pool.parquet and dedup/")
    parser.add_argument("--show", type=int, default=0, help="print so many drops that were not read")
    arguments = parser.parse_args()
    types = {"threshold": pl.Float64, "wrong": pl.Int64, "similarity": pl.Float64}
    readings = pl.read_csv(READINGS, schema_overrides=types)
    now = pl.concat(drops(table) for table in sources(arguments.data).values())
    report(readings, now)
    show(readings, now, arguments.show)


if __name__ == "__main__":
    main()

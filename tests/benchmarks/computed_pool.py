"""Run the scorer `computed` over the generalist pool: verdicts by kind, precision as read by hand, CPU seconds.

    python tests/benchmarks/computed_pool.py --data DIR

`tests/data/readings/computed.csv` holds one line per row called wrong that was read by hand: `right` is 1 where the
flag is right. Rows were assigned to two halves by a hash of their id: half 0 was looked at while the checks were
written, half 1 was read for the first time with the checks of that day (`first` in the column `reading`), which were
then mended and the rows read again. `--list wrong|correct` prints the row ids with what was expected and found.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from pathlib import Path

import polars as pl

from curate.computed import Computed
from curate.computed.family import FAMILIES
from manifests.component import Context

READINGS = Path(__file__).parents[1] / "data" / "readings" / "computed.csv"


def half(row_id: str) -> int:
    """Return 0 for rows looked at while the checks were written, 1 for the others."""
    return int(hashlib.sha256(f"computed:{row_id}".encode()).hexdigest(), 16) % 2


def pool(data: Path) -> pl.DataFrame:
    """Return the pool with the columns that the scorer reads; the prompt is the instruction and the input."""
    return pl.read_parquet(data / "generalist_pool.parquet").select(
        sample_id="row_id",
        prompt=pl.concat_str("instruction", pl.col("input").replace("", None), separator="\n\n", ignore_nulls=True),
        response="output",
        n_turns=pl.lit(2, pl.Int32),
    )


def found(verdicts: pl.DataFrame) -> pl.DataFrame:
    """Return one row per row id and kind of check: whether any such claim of it is wrong."""
    rows = [
        (row_id, claim["kind"], claim["verdict"] == "wrong", claim["expected"], claim["found"])
        for row_id, claims in verdicts.select("sample_id", "claims").drop_nulls().iter_rows()
        for claim in json.loads(claims)
    ]
    return (
        pl.DataFrame(rows, ["row_id", "kind", "wrong", "expected", "found"], orient="row")
        .sort("wrong", descending=True, maintain_order=True)
        .unique(["row_id", "kind"], keep="first", maintain_order=True)
    )


def precision(read: pl.DataFrame, label: str) -> str:
    """Return `right / read = share` in words."""
    right, n = int(read["right"].sum()), read.height
    return f"{label}: {right} of {n} flags right" + (f" = {right / n:.3f}" if n else "")


def report(data: Path, readings: Path) -> None:
    """Print the tables."""
    rows = pool(data)
    started = time.process_time()
    verdicts = Computed().score(rows, Context(root=data)).verdicts
    seconds = time.process_time() - started
    assert verdicts is not None
    claims = found(verdicts)
    wrong = set(verdicts.filter(pl.col("label") == "wrong")["sample_id"])
    correct = verdicts.filter(pl.col("label") == "correct").height
    print(
        f"{rows.height} rows, {seconds:.1f} CPU s, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB"
    )
    print(f"wrong {len(wrong)}, correct {correct}, abstained {rows.height - len(wrong) - correct}\n")
    print(f"{'kind':12} {'wrong':>6} {'right':>6}")
    for kind in FAMILIES:
        of_kind = claims.filter(pl.col("kind") == kind)
        print(f"{kind:12} {of_kind['wrong'].sum():6} {(~of_kind['wrong']).sum():6}")
    read = pl.read_csv(readings)
    now = read.filter(pl.col("reading") == "last")
    print(f"\nflags without a reading: {len(wrong - set(now['row_id']))}")
    print(precision(read.filter(pl.col("reading") == "first"), "half 1, first reading (nothing of it seen before)"))
    print(precision(now.filter(pl.col("row_id").is_in(list(wrong))), "all flags of this run"))
    labels = pl.read_parquet(data / "alpaca_judge_labels.parquet")
    held = labels.filter(pl.col("row_id").is_in(list(wrong)))
    print(
        f"\nAlpaGasus's accuracy filter has a recorded verdict on {held.height} of the rows called wrong; it kept"
        f" {held['claude_accuracy_kept'].sum()} ({held['claude_accuracy_kept'].mean():.3f}); of all its rows it kept"
        f" {labels['claude_accuracy_kept'].mean():.3f}"
    )
    checked = labels.filter(
        pl.col("row_id").is_in(verdicts.filter(pl.col("label") == "correct")["sample_id"].implode())
    )
    print(f"of {checked.height} rows called correct it kept {checked['claude_accuracy_kept'].sum()}")


def listing(data: Path, label: str) -> None:
    """Print the rows of one label: row id, half, kind, expected, found."""
    verdicts = Computed().score(pool(data), Context(root=data)).verdicts
    assert verdicts is not None
    ids = verdicts.filter(pl.col("label") == label)["sample_id"].implode()
    for row in found(verdicts.filter(pl.col("sample_id").is_in(ids))).sort("row_id").iter_rows(named=True):
        if row["wrong"] == (label == "wrong"):
            print(row["row_id"], half(row["row_id"]), row["kind"], "|", row["expected"][:60], "|", row["found"][:60])


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with generalist_pool.parquet")
    parser.add_argument("--readings", type=Path, default=READINGS, help="verdicts by hand")
    parser.add_argument("--list", choices=("wrong", "correct"), help="print the rows of that label instead")
    arguments = parser.parse_args()
    if arguments.list:
        listing(arguments.data, arguments.list)
    else:
        report(arguments.data, arguments.readings)


if __name__ == "__main__":
    main()

"""How often each rule is right: rows of the generalist pool that a rule finds, read one by one.

    python tests/benchmarks/rules_reading.py --data DIR [--show RULE N]

tests/data/readings/rules.csv holds the readings: rule, row_id, right, set and note, no text. Right is 1 when a careful
reader agrees that the row has the defect in the way that the rule says. A rule's hits were parted in two by a hash of
rule and row id; `tuning` rows were read while the rule could still change, `held-out` rows when it was settled (or, for
a rule that was not changed, at any time). Precision is of the held-out rows, with a 95 % Wilson interval; a rule whose
few hits were all seen in tuning has none. The command recomputes the hits, says which read rows a rule no longer finds,
and prints the CPU seconds of the whole step. `--show` prints hits that were not read, with their texts.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from pathlib import Path

import polars as pl

from curate.rules import RULES, Rules
from manifests.component import Context

READINGS = Path(__file__).parents[1] / "data" / "readings" / "rules.csv"


def pool(data: Path) -> pl.DataFrame:
    """Return the pool's rows by row id: the prompt is the instruction, a blank line and the input if there is one."""
    given = pl.col("input").replace("", None)
    return pl.read_parquet(data / "generalist_pool.parquet").select(
        sample_id="row_id",
        prompt=pl.concat_str("instruction", given, separator="\n\n", ignore_nulls=True),
        response="output",
    )


def held_out(rule: str, row: str) -> bool:
    """Return whether the row belongs to the half of the rule's hits that is kept for the final figure."""
    return bool(hashlib.sha256(f"{rule}|{row}".encode()).digest()[0] & 1)


def wilson(right: int, read: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a share."""
    if not read:
        return 0.0, 1.0
    z = 1.959964
    share, spread = right / read, z / read * math.sqrt(right * (read - right) / read + z * z / 4)
    middle, scale = share + z * z / (2 * read), 1 + z * z / read
    return max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0)


def table(found: pl.DataFrame, readings: pl.DataFrame) -> None:
    """Print a line per rule, then the read rows that are no longer found."""
    lost: list[str] = []
    print(f"{'rule':<24}{'':8}{'hits':>6}{'tuning':>11}{'held out':>12}  precision")
    for rule in RULES:
        now = set(found.filter(pl.col(rule))["sample_id"])
        counts = {}
        for part in ("tuning", "held-out"):
            read = readings.filter(pl.col("rule") == rule, pl.col("set") == part)
            lost += [f"{rule}: {row}" for row in read["row_id"] if row not in now]
            counts[part] = int(read["right"].sum()), read.height
        right, read_rows = counts["held-out"]
        low, high = wilson(right, read_rows)
        precision = f"{right / read_rows:.3f} ({low:.2f} to {high:.2f})" if read_rows else "-"
        tuned = "{}/{}".format(*counts["tuning"])
        said = "drop" if rule in Rules().drop else "flag"
        print(f"{rule:<24}{said:<8}{len(now):>6}{tuned:>11}{f'{right}/{read_rows}':>12}  {precision}")
    print(f"\nread rows that a rule no longer finds: {len(lost)}", *lost, sep="\n")


def main() -> None:
    """Print the table, or hits that were not read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with generalist_pool.parquet")
    parser.add_argument("--show", nargs=2, metavar=("RULE", "N"), help="print N hits of RULE that were not read")
    arguments = parser.parse_args()
    rows, readings, step = pool(arguments.data), pl.read_csv(READINGS), Rules()
    found = step.hits(rows)
    if arguments.show:
        rule, count = arguments.show
        read = readings.filter(pl.col("rule") == rule)["row_id"]
        unread = rows.join(found.filter(pl.col(rule), ~pl.col("sample_id").is_in(read.implode())), on="sample_id")
        for row in unread.head(int(count)).iter_rows(named=True):
            half = "held-out" if held_out(rule, row["sample_id"]) else "tuning"
            print(row["sample_id"], half, repr(row["prompt"][:300]), "=>", repr(row["response"][:300]), sep="\n  ")
        return
    table(found, readings)
    cpu, wall = time.process_time(), time.perf_counter()
    decided = step.decide(rows, {}, Context(root=Path()))
    spent = f"{time.process_time() - cpu:.1f} CPU s, {time.perf_counter() - wall:.1f} s wall"
    dropped = int((~decided["kept"]).sum())
    print(f"\nthe step: {len(rows)} rows, {dropped} dropped, {decided.height - dropped} remarked on, {spent}")


if __name__ == "__main__":
    main()

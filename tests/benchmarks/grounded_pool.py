"""Run the scorer `grounded` over the generalist pool, with facts and passages for knowledge.

    python -m tests.benchmarks.grounded_pool --data DIR [--rows 5000] [--retriever lexical]

Prints verdicts by kind, CPU seconds, and what was read by hand: `tests/data/readings/grounded.csv` holds the rows that
the first version of the rules refuted (`first`; `right` is 1 where the row is wrong), after which the rules were made
strict, and the rows that the present version bears out (`last`; `right` is 1 where claim and evidence fit).
`--list` prints the refuted rows with what was found; `--supported N` prints N claims that were borne out.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl

from curate.grounded import Grounded
from curate.step import Scored
from manifests.component import Context
from manifests.names import digest

READINGS = Path(__file__).parents[1] / "data" / "readings" / "grounded.csv"


def pool(data: Path, rows: int) -> pl.DataFrame:
    """Return the first `rows` Alpaca rows by a hash of their id; all rows of the pool for 0."""
    frame = pl.read_parquet(data / "generalist_pool.parquet").select(
        "source",
        sample_id="row_id",
        prompt=pl.concat_str("instruction", pl.col("input").replace("", None), separator="\n\n", ignore_nulls=True),
        response="output",
    )
    if not rows:
        return frame.sort("sample_id")
    order = pl.Series([digest(["grounded", i]) for i in frame["sample_id"]])
    return frame.filter(pl.Series(order).is_in(order.filter(frame["source"] == "alpaca").sort()[:rows].implode()))


def knowledge(data: Path) -> pl.DataFrame:
    """Return the facts and passages as rows of role `knowledge`."""
    facts = pl.read_parquet(data / "facts.parquet").with_row_index("i").drop_nulls(["subject", "relation"])
    meta = [
        json.dumps({"relation": relation, "objects": objects})
        for relation, objects in facts.select("relation", "objects").iter_rows()
    ]
    structured = facts.select(
        sample_id=pl.format("fact-{}", "i"),
        source=pl.lit("facts"),
        prompt="subject",
        response=pl.col("objects").list.first(),
        meta=pl.Series(meta),
    )
    passages = (
        pl.read_parquet(data / "passages.parquet")
        .with_row_index("i")
        .select(
            sample_id=pl.format("passage-{}", "i"),
            source=pl.lit("passages"),
            prompt=pl.col("title").fill_null(""),
            response="text",
            meta=pl.lit("{}"),
        )
    )
    return pl.concat([structured, passages])


def report(found: Scored, seconds: float, readings: Path) -> None:
    """Print the tables."""
    verdicts = found.verdicts
    assert verdicts is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    claims = [c for text in verdicts["claims"].drop_nulls() for c in json.loads(text)]
    print(f"{verdicts.height} rows, {len(claims)} claims, {seconds:.1f} CPU s, peak {peak} MB")
    print("rows by status and label:", Counter(zip(verdicts["status"], verdicts["label"], strict=True)))
    print("rows that abstain:", dict(Counter(found.scores["why"].drop_nulls())))
    kinds = Counter(("fact" if "facts" in c else "passage", c["verdict"]) for c in claims)
    for (kind, verdict), n in sorted(kinds.items()):
        print(f"claims by {kind:8} {verdict:8} {n:7}")
    relations = Counter((f["relation"], c["verdict"]) for c in claims for f in c.get("facts", ()))
    for (relation, verdict), n in sorted(relations.items()):
        print(f"  {relation:24} {verdict:8} {n:6}")
    wrong = verdicts.filter(pl.col("label") == "wrong").height
    read = pl.read_csv(readings)
    first, last = (read.filter(pl.col("reading") == name) for name in ("first", "last"))
    print(f"refuted rows {wrong}; of {first.height} that the first rules refuted {first['right'].sum()} are wrong")
    now = last.filter(pl.col("row_id").is_in(verdicts.filter(pl.col("label") == "correct")["sample_id"].implode()))
    for kind, of in sorted(now.group_by("kind")):
        print(f"borne out by {kind[0]}: {of.height} rows read, {of['right'].sum()} right")


def listed(rows: pl.DataFrame, verdicts: pl.DataFrame, verdict: str, most: int) -> None:
    """Print up to `most` claims of that verdict, with prompt and evidence."""
    prompts = dict(zip(rows["sample_id"], rows["prompt"], strict=True))
    left = most
    for row in verdicts.filter(pl.col("claims").is_not_null()).sort("sample_id").iter_rows(named=True):
        for claim in json.loads(row["claims"]):
            if claim["verdict"] == verdict and left:
                left -= 1
                print(f"\n{row['sample_id']} | {prompts[row['sample_id']][:150]!r}\n  CLAIM {claim['claim']}")
                print("  FACTS", claim.get("facts"), *(q["text"] for q in json.loads(row["evidence"])[:3]), sep="\n  ")


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the parquet files")
    parser.add_argument("--rows", type=int, default=5000, help="Alpaca rows; 0 for the whole pool")
    parser.add_argument("--retriever", default="lexical", choices=("lexical", "embedding", "both"))
    parser.add_argument("--cache", type=Path, help="folder that keeps the vectors")
    parser.add_argument("--readings", type=Path, default=READINGS, help="verdicts by hand")
    parser.add_argument("--list", action="store_true", help="print the refuted claims")
    parser.add_argument("--supported", type=int, default=0, help="print so many claims that were borne out")
    arguments = parser.parse_args()
    rows, known = pool(arguments.data, arguments.rows), knowledge(arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        context = Context(root=arguments.cache or Path(folder))
        found = Grounded(retriever=arguments.retriever).score(rows, context, {"knowledge": known})
        report(found, time.process_time() - started, arguments.readings)
    assert found.verdicts is not None
    if arguments.list:
        listed(rows, found.verdicts, "refute", 1000)
    if arguments.supported:
        listed(rows, found.verdicts, "support", arguments.supported)


if __name__ == "__main__":
    main()

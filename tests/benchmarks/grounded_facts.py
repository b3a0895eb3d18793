"""How facts judge sentences that others wrote for relations: true ones, and ones with another fact's object.

    python -m tests.benchmarks.grounded_facts --data DIR [--n 500]

Each fact of a relation is put into a pattern of `relation_patterns.parquet` (written for another purpose), once with an
object of its own and once with that of another fact of the relation: synthetic sentences, not responses of a model. A
swapped object may be right by chance (a place within another, an object that the source does not list).
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

import polars as pl

from curate.claim import Claim
from curate.evidence import Fact
from curate.factbook import Factbook
from curate.relation import FUNCTIONAL, relation_key


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the parquet files")
    parser.add_argument("--n", type=int, default=500, help="facts of each relation")
    parser.add_argument("--list", type=int, default=0, help="print so many wrong refutations and missed swaps")
    arguments = parser.parse_args()
    frame = pl.read_parquet(arguments.data / "facts.parquet").drop_nulls(["subject", "relation"]).with_row_index("i")
    rows = frame.select("i", "subject", "relation", "objects").rows()
    book = Factbook([Fact(s, r, tuple(o), f"f{i}") for i, s, r, o in rows])
    patterns = pl.read_parquet(arguments.data / "relation_patterns.parquet")
    chance = random.Random(0)
    print(f"{'relation':32}{'facts':>6}  true: support refute  |  swapped: support refute")
    for relation, id_ in patterns.select("relation", "relation_id").unique().sort("relation").rows():
        if relation_key(relation) not in FUNCTIONAL:
            continue
        worded = patterns.filter(pl.col("relation_id") == id_)["pattern"].sort().to_list()
        facts = frame.filter(pl.col("relation_id") == id_).rows(named=True)
        some = chance.sample(facts, min(arguments.n, len(facts)))
        counts: Counter[tuple[str, str]] = Counter()
        for fact in some:
            pattern, other = chance.choice(worded), chance.choice(facts)
            for kind, said in (("true", fact["objects"][0]), ("swapped", other["objects"][0])):
                if kind == "swapped" and said in fact["objects"]:
                    continue
                text = pattern.replace("[X]", fact["subject"]).replace("[Y]", said).replace(" .", ".")
                verdict = next((found.verdict for found in book.judged(Claim(text, text))), "nothing")
                counts[kind, verdict] += 1
                if arguments.list and (kind, verdict) in (("true", "refute"), ("swapped", "support")):
                    print("   ", kind, verdict, "|", text)
        total = {kind: sum(n for (k, _), n in counts.items() if k == kind) for kind in ("true", "swapped")}
        shares = [counts[k, v] / max(total[k], 1) for k in total for v in ("support", "refute")]
        print(f"{relation:32}{len(some):6}", *(f"{share:8.3f}" for share in shares))


if __name__ == "__main__":
    main()

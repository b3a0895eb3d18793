"""What each kind of recipe draws from one small pool, pinned: `python -m tests.conformance.recipes [--write]`.

`--write` records kinds that are new and kinds whose `version` was raised, and refuses to record another blend for the
version that is recorded: a draw that changed on purpose has another version, or old recipes would draw other rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import random
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from manifests.names import digest
from mixers.mixer import MIXERS
from tests.mixers.pools import usual

FILE = Path(__file__).with_name("recipes.json")
GATED = {"where": "p_error < 0.9", "hallucination_budget": 0.3}
RECIPES = {
    "coverage": {"rows": 300, "target": "jfleg", "cells": 4, **GATED},
    "dsir": {"rows": 120, "target": "jfleg"},
    "equal": {"rows": 600, "max_epochs": 3},
    "examples_proportional": {"tokens": 9000, "cap": 50},
    "facility": {"rows": 150, "by": "source"},
    "ladder": {"of": {"kind": "coverage", "rows": 100, "cells": 4}, "targets": ("jfleg", "iterater")},
    "leverage": {"rows": 200},
    "nearest": {"rows": 120, "neighbours": 20},
    "proportional": {"rows": 500, "temperature": 3.0, "specialist_rows": 40, "over": "weight", **GATED},
    "raking": {"rows": 300, "marginals": {"source": "equal", "length": "pool"}},
    "random_drop": {"like": "other", "match": "source"},
    "smart": {"rows": 200},
    "staged": {"of": {"kind": "proportional", "rows": 90}, "orders": ("mixed", "specialist_first")},
    "stratified": {"share": 0.8, "by": ("source", "task"), "least_rows": 2},
    "sweep": {"of": {"kind": "equal"}, "design": "added_on", "generalist_rows": (0, 50), "specialist_rows": (20, 60)},
    "temperature": {"rows": 400, "temperature": 4.0, "cap": 400},
    "top": {"rows": 200, "score": "p_error", "lowest": True, "unscored": "drop"},
    "unimax": {"rows": 700, "max_epochs": 9},
    "weighted": {"rows": 300, "score": "n_tokens", "by": "source"},
}
"""Kind -> the fields of its recipe. A kind of the table `MIXERS` that is not here fails the tests."""
WORDS = ("the", "a", "of", "rice", "salt", "court", "judge", "appeal", "boil", "stir", "contract", "party", "soup")
SEEDS = (0, 3)


@cache
def vector(sample_id):
    """Return a unit vector made from an id by whole numbers, so that no library's random numbers are in it."""
    numbers = np.frombuffer(hashlib.blake2b(sample_id.encode(), digest_size=12).digest(), dtype=np.int8).astype(int)
    numbers[numbers.sum() % 6] += 200
    return (numbers / np.sqrt(float((numbers * numbers).sum()))).astype(np.float32)


def completed(everything):
    """Return a pool with vectors, words, and a p_error for every row."""

    def written(frame):
        said = [random.Random(name).choices(WORDS, k=2 + int(name[-2:], 16) % 9) for name in frame["sample_id"]]
        return frame.with_columns(
            prompt=pl.Series([" ".join(words[:2]) for words in said]), response=pl.Series([" ".join(w) for w in said])
        )

    return dataclasses.replace(
        everything,
        samples=written(everything.samples).with_columns(pl.col("p_error").fill_null(0.5)),
        target=written(everything.target),
        vectors=lambda encoder, rows: np.stack([vector(name) for name in rows["sample_id"]]),
    )


@cache
def pool(shuffle=None):
    """Return the pool of the tests, completed; its specialist rows are the target."""
    return completed(usual(shuffle=shuffle))


def blends(kind, everything, seeds, fields=None, size=50):
    """Return the blends of the kind's recipe, or of the recipes that it stands for; `size` is what `like` is like."""
    made = MIXERS.load(kind)(name="b", **(RECIPES[kind] if fields is None else fields))
    other = MIXERS.load("equal")(name="other", rows=size)
    earlier = {f"other@{seed}": other.blend(everything, seed, {}) for seed in seeds}
    if hasattr(made, "recipes"):
        specs = [dict(spec) for spec in made.recipes()]
        mixers = [MIXERS.load(spec.pop("kind"))(**spec) for spec in specs]
    else:
        mixers = [made]
    return [mixer.blend(everything, seed, earlier) for mixer in mixers for seed in seeds]


def drawn(kind, shuffle=None):
    """Return the content ids of the kind's recipe, or of the recipes that it stands for, by `name@seed`."""
    return {blend.ref: blend.content_id for blend in blends(kind, pool(shuffle), SEEDS)}


def found(kind, shuffle=None):
    """Return what the file records of a kind."""
    return {"version": MIXERS.load(kind).version, "blends": digest(drawn(kind, shuffle))}


def recorded():
    """Return what the file holds, by kind."""
    return json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}


def write():
    """Record new kinds and raised versions; return the kinds whose blend changed under the recorded version."""
    held, refused = recorded(), []
    for kind in RECIPES:
        now, before = found(kind), held.get(kind)
        if before is not None and before != now and before["version"] == now["version"]:
            refused.append(kind)
        else:
            held[kind] = now
    held = {kind: held[kind] for kind in sorted(held) if kind in RECIPES}
    FILE.write_text(json.dumps(held, indent=1) + "\n", "utf-8")
    return refused


def main():
    """Print what each kind draws now, as JSON, or record it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--shuffle", type=int)
    given = parser.parse_args()
    if given.write:
        if refused := write():
            sys.exit(f"another blend under the same version: {', '.join(refused)}; raise `version` in the class first")
        return
    ids = {kind: found(kind, given.shuffle)["blends"] for kind in RECIPES}
    sys.stdout.write(json.dumps({"version": np.__version__, "threads": pl.thread_pool_size(), "ids": ids}) + "\n")


if __name__ == "__main__":
    main()

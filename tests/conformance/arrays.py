"""Draws the vectors by the mixers themselves.

POLARS_MAX_THREADS=2 python -m tests.conformance.arrays [SHUFFLE [NAME ...]]
"""

from __future__ import annotations

import json
import sys

import numpy as np
import polars as pl

from mixers.draw import Draw, specialists
from mixers.mixer import Pool
from mixers.place import assemble
from mixers.proportional import Proportional
from mixers.recipe import Terms
from mixers.score import Scores
from mixers.supply import generalists
from tests.conformance import plain


def pool(vector, shuffle=None):
    """Return the vector's rows as a pool; each stratum is a source."""
    names = {"sample_id": pl.String, "source": pl.String, "role": pl.String, "odds": pl.Float64}
    rows = pl.DataFrame(plain.pool(vector, shuffle), schema=names, orient="row")
    k64 = pl.col("sample_id").str.slice(16).str.to_integer(base=16, dtype=pl.UInt64)
    rows = rows.with_columns(k64=k64, n_tokens=pl.lit(1, pl.Int32))
    return Pool(rows, rows.clear(), lambda predicate: frozenset())


def blend(vector, shuffle=None):
    """Return the blend of the vector's quotas; those of specialist strata are all of their rows."""
    seed, everything = int(vector["seed"]), pool(vector, shuffle)
    terms, recipe = Terms("vector"), Proportional(name="vector", rows=1)
    weighted = everything.samples["odds"].null_count() == 0
    ranks = Scores("vector", "odds", "refuse").odds if weighted else None
    supply = generalists(everything, terms, seed, ranks=ranks)
    sampler = Draw(terms, everything)
    names = [name.removeprefix("source:") for name in supply.names]
    quotas = np.array([vector["quotas"].get(name, 0) for name in names], dtype=np.int64)
    reasons = dict.fromkeys(supply.names, "vector")
    drawn = sampler.drawn(supply, quotas, quotas.astype(np.float64), reasons)
    return assemble(recipe, seed, everything, [drawn, specialists(everything, recipe, seed)])


def main():
    """Print NumPy's version and the content id of each vector, as JSON."""
    shuffle = int(sys.argv[1]) if sys.argv[1:] else None
    found = {v["name"]: blend(v, shuffle).content_id for v in plain.chosen(sys.argv[2:])}
    sys.stdout.write(json.dumps({"version": np.__version__, "threads": pl.thread_pool_size(), "ids": found}) + "\n")


if __name__ == "__main__":
    main()

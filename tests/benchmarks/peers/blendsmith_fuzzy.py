"""This project's `fuzzy` on the corpus: `pairs` lists all pairs, otherwise options are fields as NAME=JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
from corpus import write

from curate.fuzzy import Fuzzy
from curate.jaccard import Sets, similar_pairs
from curate.text import grams_of
from manifests.component import Context

ID = 32


def samples(path):
    """Return the columns of `schema.SAMPLES` that the step reads; sample ids are the row numbers in 32 digits."""
    rows = pl.read_parquet(path, columns=["id", "source", "instruction", "input", "output", "score"])
    return rows.select(
        sample_id=pl.col("id").cast(pl.String).str.zfill(ID),
        source="source",
        prompt=pl.concat_str("instruction", "input", separator="\n\n"),
        response="output",
        meta=pl.concat_str(pl.lit('{"score": '), "score", pl.lit("}")),
    )


def main(path, out, *options):
    if options == ("pairs",):
        texts = pl.read_parquet(path, columns=["text"])["text"]
        blocks = similar_pairs(Sets.of(grams_of(texts, 3)), 0.7)
        found = np.concatenate([np.stack([b.earlier, b.later], 1) for b in blocks])
        write(out, kept=[], pairs=found.tolist())
        return
    given = {name: json.loads(value) for name, value in (option.split("=", 1) for option in options)}
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    rows = samples(path)
    step = Fuzzy(**{"threshold": 0.7} | fields)
    found = step.decide(rows, {}, Context(root=Path()))
    dropped = found.filter(~pl.col("kept")).select(
        pl.col("sample_id", "witness_id").str.strip_chars_start("0").replace("", "0").cast(pl.Int64), "similarity"
    )
    cluster = np.arange(len(rows))
    cluster[dropped["sample_id"].to_numpy()] = dropped["witness_id"].to_numpy()
    write(out, cluster=cluster.tolist())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What a cosine means: precision and recall on labelled paraphrases, and on the planted kinds of the dedup corpus.

Run: python -m tests.benchmarks.semantic_calibration --data DIR [--encoder minilm] [--cache FILE]

First part: MRPC and QQP pairs, with and without the guard that numbers agree. Second part: the share of planted rows
whose cosine with the row they were made from reaches the threshold: to be high for surface and w02 to w20, low for
hardneg_num (other numbers) and same_prompt (another answer); short_distinct are compared with each other (share of rows
with a neighbour).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from curate.embed import encode
from curate.neighbours import cosines, lengths, rounded
from curate.pair_calibration import table, threshold_for
from curate.text import numbers
from manifests.component import Context
from manifests.errors import UserError
from manifests.names import digest

THRESHOLDS = (0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
Embed = Callable[[list[str]], np.ndarray]


def main() -> None:
    """Read the command line, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--cache", type=Path, default=Path("semantic_calibration.sqlite"))
    options = parser.parse_args()

    def embed(texts: list[str]) -> np.ndarray:
        ids = [digest(text) for text in texts]
        return rounded(encode(texts, ids, options.encoder, options.cache, Context(root=Path())))

    pl.Config.set_tbl_rows(40).set_tbl_cols(20).set_tbl_hide_column_data_types(True).set_tbl_hide_dataframe_shape(True)
    pl.Config.set_float_precision(3).set_tbl_width_chars(150)
    paraphrases(pl.read_parquet(options.data / "paraphrase_pairs.parquet"), embed)
    planted(options.data / "dedup", embed)


def similarity(one: list[str], other: list[str], embed: Embed) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosine of each pair of texts, and whether their numbers agree."""
    grid = embed([*one, *other])
    place = np.arange(len(one))
    label = numbers(pl.Series([*one, *other]))
    value = cosines(grid, lengths(grid), place, place + len(one))
    return value, label[: len(one)] == label[len(one) :]


def paraphrases(pairs: pl.DataFrame, embed: Embed) -> None:
    """Print precision and recall by threshold for each data set."""
    for (name,), part in pairs.sort("dataset").group_by("dataset", maintain_order=True):
        value, agree = similarity(part["text1"].to_list(), part["text2"].to_list(), embed)
        label = part["label"].to_numpy()
        for guard, shown in ((False, value), (True, np.where(agree, value, -1.0))):
            print(f"\n{name}: {len(part):,} pairs, {int(label.sum()):,} the same; numbers must agree: {guard}")
            print(table(shown, label, THRESHOLDS))
        for precision in (0.8, 0.9, 0.95):
            try:
                print(f"precision {precision:g} from {threshold_for(value, label, precision):.4f} on")
            except UserError as fault:
                print(str(fault).splitlines()[0])


def planted(folder: Path, embed: Embed) -> None:
    """Print the share of each planted kind that reaches the thresholds, with and without the guard of numbers."""
    corpus = pl.read_parquet(folder / "corpus.parquet").select("id", "text", "kind")
    made = pl.read_parquet(folder / "planted.parquet").join(corpus, on="id").filter(pl.col("kind") != "short_distinct")
    made = made.join(corpus.select(parent="id", parent_text="text"), on="parent").sort("id")
    value, agree = similarity(made["text"].to_list(), made["parent_text"].to_list(), embed)
    made = made.with_columns(cosine=pl.Series(value), agree=pl.Series(agree))
    columns = [
        ((pl.col("cosine") >= t) & (pl.col("agree") | (not guard))).mean().alias(f"{t:g}{' n' if guard else ''}")
        for t in (0.85, 0.9, 0.95, 0.975)
        for guard in (False, True)
    ]
    print("\nShare of planted rows within the threshold of their parent (n: and with the same numbers)")
    print(made.group_by("kind").agg(pl.len().alias("rows"), *columns).sort("kind"))
    short = embed(corpus.filter(pl.col("kind") == "short_distinct")["text"].to_list())
    size = lengths(short)
    alike = (short @ short.T) / np.maximum(size[:, None] * size[None, :], 1)
    np.fill_diagonal(alike, -1)
    near = {t: round(float((alike.max(axis=1) >= t).mean()), 3) for t in (0.85, 0.9, 0.95, 0.975)}
    print(f"short_distinct: {len(short)} rows, share with another of them within {near}")


if __name__ == "__main__":
    main()

"""What the peers' scripts share: the texts, word 3-grams, clusters from pairs, and the files in which they answer.

Each script runs in its peer's environment as `python SCRIPT CORPUS OUT [OPTION ...]`. It reads the column `text`, whose
row numbers are the ids, and writes raw 32-bit integers under OUT: `kept` (ids), `cluster` (an id per row: that of the
row that stands for its cluster) and `pairs` (two ids after another), the last two where the peer has them.
"""

import array
import re
from pathlib import Path

WORD = re.compile(r"\w+")


def texts(path):
    """Return the texts in the order of their ids."""
    import polars as pl

    return pl.read_parquet(path, columns=["text"])["text"].to_list()


def shingles(text, n=3):
    """Return the set of word n-grams; a shorter text has the one gram of all its words."""
    words = WORD.findall(text.lower())
    if len(words) < n:
        return {" ".join(words)} if words else set()
    return {" ".join(words[i : i + n]) for i in range(len(words) - n + 1)}


def clusters(rows, pairs):
    """Return for each row the smallest row that is connected with it (union-find with path halving)."""
    parent = list(range(rows))

    def root(row):
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs:
        a, b = root(one), root(other)
        if a != b:
            parent[max(a, b)] = min(a, b)
    return [root(row) for row in range(rows)]


def write(out, *, kept=None, cluster=None, pairs=None):
    """Write the answer; without `kept`, the row that stands for each cluster is kept."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    if kept is None:
        kept = [row for row, first in enumerate(cluster) if row == first]
    flat = None if pairs is None else [row for pair in pairs for row in pair]
    for name, values in (("kept", kept), ("cluster", cluster), ("pairs", flat)):
        if values is not None:
            (folder / name).write_bytes(array.array("i", values).tobytes())

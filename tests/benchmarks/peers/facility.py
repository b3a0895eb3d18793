"""Facility location by the libraries that do it, run in an environment of theirs: `python facility.py NPY ROWS`.

Reads unit rows from NPY and prints one JSON line a library: name, CPU-seconds, and the places of the rows it took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def main() -> None:
    vectors, rows = np.load(sys.argv[1]).astype(np.float64), int(sys.argv[2])
    for name, take in (("apricot", apricot), ("submodlib", submodlib)):
        started = time.process_time()
        try:
            taken = [int(place) for place in take(vectors, rows)]
        except ImportError as error:
            sys.stdout.write(json.dumps({"name": name, "missing": str(error)}) + "\n")
            continue
        spent = time.process_time() - started
        sys.stdout.write(json.dumps({"name": name, "seconds": spent, "taken": taken}) + "\n")


def apricot(vectors: Any, rows: int) -> Iterator[int]:
    from apricot import FacilityLocationSelection

    kernel = np.clip(vectors @ vectors.T, 0, None)
    found = FacilityLocationSelection(rows, metric="precomputed", optimizer="lazy").fit(kernel)
    return iter(found.ranking)


def submodlib(vectors: Any, rows: int) -> Iterator[int]:
    from submodlib import FacilityLocationFunction

    kernel = np.clip(vectors @ vectors.T, 0, None)
    function: Callable[..., Any] = FacilityLocationFunction
    made = function(n=len(vectors), mode="dense", sijs=kernel, separate_rep=False)
    return (place for place, _ in made.maximize(budget=rows, optimizer="LazyGreedy", show_progress=False))


if __name__ == "__main__":
    main()

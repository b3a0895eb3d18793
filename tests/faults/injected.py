"""Jobs with a fault at a chosen file operation or commit point: the tests' side of `forker.py`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import duckdb

from manifests import fault
from manifests.errors import UserError
from manifests.store import Manifest
from tests.manifests.jobs import small_job

ROOT = Path(__file__).parents[2]
SHIM = Path(__file__).with_name("shim.c")
MISSING = "needs gcc and LD_PRELOAD (Linux)"
"""Why these tests are skipped where they cannot run."""


def available() -> bool:
    """Return whether the shim can be compiled and loaded here."""
    return sys.platform == "linux" and shutil.which("gcc") is not None


def compiled(folder: Path) -> Path:
    """Compile the shim into `folder` and return the library."""
    library = folder / "shim.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Ended:
    """How a job ended: its exit code (minus the signal when it was killed), what it said, what it counted."""

    code: int
    text: str
    counts: Mapping[str, Any]


class Forker:
    """A process that starts jobs with faults; a context manager. Jobs end before `run` returns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = compiled(folder)
        self._number = 0
        self._modules: list[str] = []

    def __enter__(self) -> Self:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(self.library)}
        environment |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "DO_NOT_TRACK": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forker", str(self.library)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT,
        )  # fmt: skip
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def start(self, argv: Sequence[str], below: Path, **request: Any) -> int:
        """Start `blendsmith ARGV` and return its process id; faults count what happens below the folder `below`."""
        self._number += 1
        self._log, self._counts = (self.folder / f"{self._number}.{name}" for name in ("log", "counts"))
        asked: dict[str, Any] = {"argv": list(map(str, argv)), "below": str(below)}
        asked |= {"log": str(self._log), "counts": str(self._counts)}
        asked |= {"modules": self._modules}
        self._modules = []
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**asked, **request}, default=str) + "\n")
        self._process.stdin.flush()
        return int(self._answer()["pid"])

    def wait(self) -> Ended:
        """Wait for the job that was started last."""
        code = int(self._answer()["code"])
        counts = json.loads(self._counts.read_text()) if self._counts.exists() else {}
        self._modules += counts.pop("modules", ())
        text = self._log.read_text("utf-8", "replace")
        self._log.unlink()
        self._counts.unlink(missing_ok=True)
        return Ended(code, text, counts)

    def run(self, path: Path, *options: str, **request: Any) -> Ended:
        """Run the job file `path` to its end; `fault`, `point`, `notes` and `prepare` are as in `forker.child`.

        With `learn`, jobs started later find the modules loaded that this one imported on its way.
        """
        self.start(["run", path, *options], small_job.manifest(path), **request)
        return self.wait()

    def killed_after(self, path: Path, seconds: float, number: int = signal.SIGKILL, **request: Any) -> Ended:
        """Run the job and send it a signal after some seconds."""
        pid = self.start(["run", path], small_job.manifest(path), **request)
        timer = threading.Timer(seconds, send, (pid, number))
        timer.start()
        ended = self.wait()
        timer.cancel()
        return ended


def send(pid: int, number: int) -> None:
    """Send a signal to a process, if it still lives."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def power_cut(folder: Path, shadow: Path) -> None:
    """Leave of every file below a folder what was forced to the disk, as the shim copied it; of others their names.

    Renames are kept, as journals keep them in order: the case where a name without its bytes is left is in it.
    """
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            kept = shadow / str(file.stat().st_ino)
            with file.open("rb+") as opened:
                opened.truncate(0)
                opened.write(kept.read_bytes() if kept.exists() else b"")


def broken(path: Path) -> list[str]:
    """Return what is wrong with the published manifest of a job file: it does not open, or breaks laws."""
    if not (small_job.manifest(path) / "manifest.duckdb").exists():
        return []
    try:
        with Manifest(small_job.manifest(path)) as opened:
            wrong = [row["law"] for row in opened.verify().iter_rows(named=True) if not row["ok"]]
            return wrong + _short(opened.connection)
    except UserError as error:
        return [str(error)]


def _short(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the stages whose rows are not as many as they say."""
    tables = [name for (name,) in connection.execute(
        "SELECT DISTINCT table_name FROM duckdb_columns() WHERE schema_name = 'store' AND column_name = 'stage'"
        " AND table_name NOT IN ('stages', 'reasons')"
    ).fetchall()]  # fmt: skip
    rows = " UNION ALL ".join(f"SELECT stage FROM store.{name}" for name in sorted(tables))
    found = connection.execute(
        f"SELECT stage FROM store.stages LEFT JOIN (SELECT stage, count(*) AS n FROM ({rows}) GROUP BY 1) USING (stage)"
        " WHERE coalesce(n, 0) <> n_rows"
    ).fetchall()
    return [f"rows of {stage}" for (stage,) in found]


def _held(file: Path) -> tuple[dict[str, str], list[str]]:
    """Return stage -> key of a database file, and what is wrong with the numbers of rows."""
    with duckdb.connect(str(file), read_only=not file.parent.name.startswith("looked")) as connection:
        have = dict(connection.execute("SELECT stage, key FROM store.stages").fetchall())
        return have, _short(connection)


def lost(path: Path, notes: Path) -> list[str]:
    """Return the stages whose commit had returned and that the next run no longer finds."""
    if not notes.exists():
        return []
    said = dict(json.loads(line) for line in notes.read_text().splitlines())
    file = small_job.manifest(path) / "work" / "manifest.duckdb"
    if not file.exists():
        return sorted(said)
    copy = notes.with_name("looked-at")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(file.parent, copy, ignore=shutil.ignore_patterns("*.tmp"))
    try:
        have, short = _held(copy / file.name)
    except duckdb.Error as error:
        if not fault.damaged(error):
            raise
        have, short = _held(small_job.manifest(path) / file.name)  # what the next run goes on from
        said.pop(json.loads(notes.read_text().splitlines()[-1])[0])  # committed last, and perhaps not published
    shutil.rmtree(copy)
    return [stage for stage, key in said.items() if have.get(stage) != key] + short

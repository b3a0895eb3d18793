"""The demo: does dropping the rows that a judge flags help a factual specialist? Real rows, real judge, real training.

It writes a folder that is an ordinary project, two job files and their data, runs both jobs, and shows the answer.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import polars as pl

from manifests.errors import EXIT_OK, UserError
from manifests.jobs.progress import reporter
from manifests.jobs.run import run
from manifests.jobs.spec import load_job
from manifests.report import refresh
from manifests.store import Manifest

PACKAGE: Final = Path(__file__).parent
JOBS: Final = ("demo-judge.yaml", "demo.yaml")
QUERIES: Final = (
    "FROM leaderboard ORDER BY metric, mean DESC",
    "SELECT step, source, n_in, n_kept, n_dropped FROM funnel WHERE reason IS NULL ORDER BY step, source",
    "SELECT prompt, response, value AS p_error FROM scores JOIN samples USING (sample_id)"
    " WHERE value IS NOT NULL ORDER BY value DESC LIMIT 5",
    "SELECT change, count(*) FROM blend_diff('all-50@0', 'filtered-50@0') GROUP BY change",
    "SELECT blend, source, n_rows, round(share, 3) AS share FROM composition WHERE blend LIKE '%@0' ORDER BY ALL",
)
"""Queries that the demo ends with; each runs on its manifest."""


def demo(folder: Path, *, workers: int = 2, say: Callable[[str], object] | None = None) -> int:
    """Write the demo's project into `folder`, run its two jobs, show the answer; return the exit code.

    A folder made by an earlier run is resumed; what is in the manifests is not done again. `say` receives the lines
    (standard output when None). Raises UserError when `folder` holds something else.
    """
    tell = say or _tell
    _project(folder)
    for number, name in enumerate(JOBS, 1):
        tell(f"[{number}/{len(JOBS)}] blendsmith run {folder / name}")
        job = load_job(folder / name)
        outcome = run(job, workers=workers, reporter=reporter())
        refresh(job.manifest)
        tell(f"      {outcome.message} ({outcome.seconds:.0f} s)")
        if outcome.exit_code != EXIT_OK:
            return outcome.exit_code
    _answer(folder / "blends", tell)
    return EXIT_OK


def _project(folder: Path) -> None:
    """Copy the job files and the data; leave those that are there."""
    if folder.exists() and not folder.is_dir():
        raise UserError("not a folder", value=str(folder))
    if folder.exists() and any(folder.iterdir()) and not (folder / JOBS[-1]).exists():
        raise UserError("the folder is not empty and holds no demo", value=str(folder), remedy="give a new folder")
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    pairs = [(PACKAGE / "examples" / name, folder / name) for name in JOBS]
    pairs += [(file, data / file.name) for file in sorted((PACKAGE / "data").iterdir()) if file.is_file()]
    for source, target in pairs:
        if not target.exists():
            shutil.copyfile(source, target)


def _answer(root: Path, tell: Callable[[str], object]) -> None:
    with Manifest(root) as manifest:
        measured = manifest.sql("FROM quality WHERE measured_on LIKE 'meta.%' ORDER BY scorer, metric")
        for (name,), rows in measured.group_by("scorer", maintain_order=True):
            found = {row["metric"]: row for row in rows.iter_rows(named=True)}
            tell("")
            tell(f"The judge '{name}' against the truth that was hidden from it ({found['base_rate']['n']:,} rows):")
            for metric in ("precision", "recall", "auroc"):
                tell(f"  {metric:<10} {_interval(found[metric])}")
        tell("")
        tell("Leaderboard (mean and 95 % interval over examples and seeds; more is better):")
        _table(manifest.leaderboard(), tell)
        tell("")
        tell("Paired comparisons (p corrected for their number):")
        _table(manifest.sql("FROM comparisons ORDER BY metric, blend_a, blend_b"), tell)
        tell("")
        for line in _sentences(manifest):
            tell(line)
    tell("")
    tell("Five queries to try:")
    for query in QUERIES:
        tell(f'  blendsmith sql {root} "{query}"')
    tell("")
    tell(f"Report: {root / 'report.html'}")


def _sentences(manifest: Manifest) -> list[str]:
    """Return the answer to the demo's question in words: what the filter did, a line for each comparison of it."""
    rows = manifest.sql("FROM comparisons WHERE blend_a LIKE 'filtered%' ORDER BY blend_a, blend_b, metric")
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for r in rows.iter_rows(named=True):
        said = found.setdefault((r["blend_a"], r["blend_b"]), {"helps": [], "hurts": [], "cannot tell": []})
        sure = "" if r["verdict"] == "cannot tell" else f" ({r['difference']:+.3f}, p = {r['p_value']:.3f})"
        said[r["verdict"]].append(r["metric"] + sure)
    return [
        f"{a} against {b}: " + "; ".join(f"{verdict} on {', '.join(on)}" for verdict, on in said.items() if on)
        for (a, b), said in found.items()
    ]


def _interval(found: dict[str, Any]) -> str:
    if found.get("value") is None:
        return "undefined"
    low, high = found.get("ci_low"), found.get("ci_high")
    return f"{found['value']:.3f}" + (f" [{low:.3f}, {high:.3f}]" if low is not None else "")


def _table(frame: pl.DataFrame, tell: Callable[[str], object]) -> None:
    """Write a frame as aligned text, numbers to three decimals."""
    cells = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in frame.iter_rows()]
    widths = [max(len(name), *(len(row[i]) for row in cells), 0) for i, name in enumerate(frame.columns)]
    for row in [frame.columns, *cells]:
        tell("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

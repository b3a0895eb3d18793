"""Results that another harness measured: the sample logs of lm-evaluation-harness and of Inspect."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from manifests.errors import UserError
from manifests.names import read_json
from trainers.trainer import Example, Measured, Metric

LOWER: Final = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter", "wer", "mse", "mae"}
)
"""Metrics of which less is better, whatever the log says: they are stored negated, under `minus_` and their name."""

MOST_BYTES: Final = 1 << 28
"""Largest log, or member of a log, that is read at once; lines of a JSONL log may have a sixteenth of it."""

_SAMPLE: Final = frozenset(
    (
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    )
)
_GRADES: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}

Value = tuple[str, str, float, str | None]
"""Example, metric, value, prediction."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Imported:
    """Per-example results of each run, read from the log that another harness wrote of it: PATH/RUN/.../FILES.

    Reads `samples_*.jsonl` of lm-evaluation-harness (`--log_samples`) and `.json` or `.eval` logs of Inspect. RUN is
    the run's name, such as cov-20k@0, whose weights are in runs/RUN of the manifest; the baseline `base` needs a log
    likewise.
    """

    kind: ClassVar[str] = "imported"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = ()
    paths: ClassVar[frozenset[str]] = frozenset({"path"})
    source: ClassVar[None] = None
    task: ClassVar[None] = None
    limit: ClassVar[None] = None

    name: str
    """Name of the task in the results."""
    path: str
    """Folder that holds a folder of logs for each run."""
    files: Annotated[str, Field(pattern=r"^[^/]+$")] = "*"
    """Name of this task's one log in a run's folder, at any depth; * and ? as in a shell: samples_gsm8k_*.jsonl."""
    lower: tuple[str, ...] = ()
    """Further metrics of which less is better."""

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Raise UserError: `read` has what there is."""
        raise UserError("an imported task measures no model", value=self.name)

    def identity(self, run: str) -> str:
        """Return the hash of the run's log, empty when it has none yet."""
        found = self._logs(run)
        if len(found) != 1:
            return ""
        with found[0].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def read(self, run: str) -> list[Measured]:
        """Return the log's values, ordered by example and metric, the epochs of an example averaged.

        Raise UserError when the run has no log or several, or where it is not a log.
        """
        found = self._logs(run)
        if len(found) != 1:
            what = "a run has several logs of an imported task" if found else "a run has no log of an imported task"
            remedy = "name one of them in files:" if found else f"evaluate runs/{run}, or remove the task"
            names = [str(path.relative_to(self.path)) for path in found]
            raise UserError(what, where=str(Path(self.path) / run), value=names or self.files, remedy=remedy)
        gathered: dict[tuple[str, str], list[float]] = {}
        said: dict[str, str | None] = {}
        for example, metric, value, prediction in _values(found[0]):
            low = metric.split(",")[0] in LOWER or metric in self.lower
            gathered.setdefault((example, f"minus_{metric}" if low else metric), []).append(-value if low else value)
            said.setdefault(example, prediction)
        if not gathered:
            raise UserError("the log holds no scores of samples", where=str(found[0]), remedy="was it --log_samples?")
        rows: list[Measured] = []
        for (example, metric), values in sorted(gathered.items()):
            rows.append(Measured(example, metric, _mean(values), said[example]))
        return rows

    def _logs(self, run: str) -> list[Path]:
        folder = Path(self.path) / run
        kinds = (".jsonl", ".json", ".eval")
        return sorted(path for path in folder.rglob(self.files) if path.suffix in kinds and path.is_file())


def _values(path: Path) -> Iterator[Value]:
    try:
        if path.suffix == ".jsonl":
            yield from _harness(path)
        elif path.suffix == ".json":
            if path.stat().st_size > MOST_BYTES:
                raise UserError("the log is too large", where=str(path), value=path.stat().st_size)
            for sample in read_json(path.read_bytes()).get("samples") or ():
                yield from _inspected(sample)
        else:
            yield from _zipped(path)
    except (ValueError, AttributeError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"not a log of samples ({error})", where=str(path)) from error


def _harness(path: Path) -> Iterator[Value]:
    """Yield the values of a samples_*.jsonl: numbers under the names in `metrics`, in older logs all other keys."""
    with path.open("rb") as file:
        while line := file.readline(MOST_BYTES // 16):
            if not line.strip():
                continue
            sample = read_json(line)
            label = str(sample.get("filter", "none"))
            answers = sample.get("filtered_resps")
            answer = answers[0] if isinstance(answers, list) and len(answers) == 1 else None
            for name in sample.get("metrics") or [key for key in sample if key not in _SAMPLE]:
                value = _number(sample[name])
                if value is not None:
                    metric = str(name) if label == "none" else f"{name},{label}"
                    yield str(sample["doc_id"]), metric, value, answer if isinstance(answer, str) else None


def _inspected(sample: Mapping[str, Any]) -> Iterator[Value]:
    """Yield the scores of one sample of an Inspect log; letters count as there: C 1, P 0.5, I and N 0."""
    for scorer, score in (sample.get("scores") or {}).items():
        given = score["value"]
        parts = given if isinstance(given, dict) else {"": given}
        for part, held in parts.items():
            value = _GRADES.get(held) if isinstance(held, str) else _number(held)
            if value is not None:
                answer = score.get("answer")
                metric = f"{scorer}/{part}" if part else str(scorer)
                yield str(sample["id"]), metric, value, answer if isinstance(answer, str) else None


def _zipped(path: Path) -> Iterator[Value]:
    """Yield the scores in an .eval file: a zip archive with one member per sample and epoch."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.namelist()):
                if member.startswith("samples/") and member.endswith(".json"):
                    if archive.getinfo(member).file_size > MOST_BYTES:
                        raise UserError("a sample of the log is too large", where=str(path), value=member)
                    yield from _inspected(read_json(archive.read(member)))
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError, RuntimeError) as error:
        remedy = "write it as JSON: inspect log convert --to json --output-dir DIR FILE"
        raise UserError(f"the archive cannot be read ({error})", where=str(path), remedy=remedy) from error


def _mean(values: Sequence[float]) -> float | None:
    """Return the mean, None where the sum of the values is beyond what a float holds."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return None


def _number(value: object) -> float | None:
    """Return a finite number, True and False as 1 and 0; None for anything else."""
    return float(value) if isinstance(value, bool | int | float) and math.isfinite(value) else None

"""A small job with recorded verdicts and known wrong rows, which a run finishes in a few seconds without a model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from curate.sample import Message, content_id
from manifests.jobs import init as template

TEXT = """\
name: judged
sources:
  - {name: pool, path: data/pool.jsonl, format: prompt-completion, role: generalist, keep: [wrong, topic], licence: MIT}
  - {name: capitals, path: data/capitals.jsonl, format: question-answer, role: specialist, task: capitals, licence: MIT}
curate:
  - {kind: exact}
  - {kind: judge, judge: {kind: replay, path: data/verdicts.jsonl}}
mix:
  - {kind: proportional, name: some, rows: 4, where: "p_error < 0.5"}
  - {kind: proportional, name: twice, rows: 2, seeds: [0, 1]}
"""


def write(folder: Path) -> Path:
    """Write the job and its rows into `folder`; return the job file.

    Rows 0, 4, 8 and 12 of the pool are wrong; the judge says 0.9 of rows 1, 4, 8 and 12, and 0.1 of the others.
    """
    shutil.copytree(template.HERE / "first", folder / "data")
    pool = folder / "data" / "pool.jsonl"
    rows = [json.loads(line) for line in pool.read_text("utf-8").splitlines()]
    verdicts = {}
    for i, row in enumerate(rows):
        row |= {"wrong": i % 4 == 0, "topic": f"t{i % 3}"}
        key = content_id([Message("user", row["prompt"]), Message("assistant", row["completion"])])
        verdicts.setdefault(key, {"content_id": key, "p_error": 0.9 if i in (1, 4, 8, 12) else 0.1})
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    lines = "".join(json.dumps(row) + "\n" for row in verdicts.values())
    (folder / "data" / "verdicts.jsonl").write_text(lines, "utf-8")
    (folder / "job.yaml").write_text(TEXT, "utf-8")
    return folder / "job.yaml"

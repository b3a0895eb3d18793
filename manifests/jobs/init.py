"""The job that `blendsmith init` writes: small, complete, and run as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from manifests import atomic
from manifests.errors import UserError
from manifests.jobs.json_schema import job_schema

HERE: Final = Path(__file__).parent
SCHEMA: Final = "job.schema.json"
"""Name of the schema file that the template's first line points an editor to."""


def write(folder: Path) -> list[Path]:
    """Write job.yaml, its JSON schema and a few rows into `folder`; return their paths.

    Nothing that exists is replaced: raises UserError, with nothing written, when one of the files is there.
    """
    contents = {"job.yaml": (HERE / "init.yaml").read_text("utf-8")}
    contents[SCHEMA] = json.dumps(job_schema(), indent=1) + "\n"
    for rows in sorted((HERE / "first").glob("*.jsonl")):
        contents[f"data/{rows.name}"] = rows.read_text("utf-8")
    if folder.exists() and not folder.is_dir():
        raise UserError("not a folder", value=str(folder), remedy="give a folder to write into")
    for name in contents:
        if (folder / name).exists():
            raise UserError("this file exists already", value=str(folder / name), remedy="give another folder")
    for name, text in contents.items():
        atomic.write_text(folder / name, text)
    return [folder / name for name in contents]

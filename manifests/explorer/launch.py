"""Starts the explorer: checks first, then hands the process to marimo."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from manifests.errors import UserError, missing_extra
from manifests.jobs.checks import EXTRAS, installed
from manifests.store import Manifest

NOTEBOOK: Final = Path(__file__).with_name("notebook.py")
COPY: Final = "explorer.py"
"""Name of the copy of the notebook that `--edit` opens, in the working folder."""


def command(path: Path, *, host: str, port: int | None, browser: bool, edit: bool) -> list[str]:
    """Return the command line that serves the manifest `path` (its folder or file).

    The page asks for a token, which is part of the address that marimo prints and opens. With `edit`, a copy of the
    notebook in the working folder is opened for editing; one that is there is kept. Raises UserError when the extra
    is not installed, there is no readable manifest, or the copy would be put over something that is not a file.
    """
    for package in EXTRAS["explore"]:
        if not installed(package):
            raise missing_extra(package, "explore")
    with Manifest(path) as manifest:
        file = manifest.file.resolve()
    notebook = _copy(Path.cwd() / COPY) if edit else NOTEBOOK
    options = ["--host", host, "--token", *([] if port is None else ["--port", str(port)])]
    options += [] if browser else ["--headless"]
    verb = ["edit", "--no-sandbox"] if edit else ["run", "--no-sandbox", "--no-check"]
    return [sys.executable, "-m", "marimo", *verb, *options, str(notebook), "--", "--manifest", str(file)]


def explore(path: Path, *, host: str, port: int | None, browser: bool, edit: bool) -> None:
    """Serve the explorer of the manifest `path` until it is interrupted; this process becomes marimo's."""
    arguments = command(path, host=host, port=port, browser=browser, edit=edit)
    os.environ["MARIMO_SKIP_UPDATE_CHECK"] = "1"
    os.execv(arguments[0], arguments)  # noqa: S606 - our own interpreter, no shell


def _copy(to: Path) -> Path:
    if to.exists() and not to.is_file():
        raise UserError("not a file", value=str(to), remedy="start the explorer in another folder")
    if not to.exists():
        shutil.copyfile(NOTEBOOK, to)
    return to

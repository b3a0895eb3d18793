"""Names of tasks: `reviews/films` is a part of `reviews`, and stands wherever the wider name is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate

import polars as pl


def within(name: str, column: str = "task") -> pl.Expr:
    """Return the condition that a row's task is `name` or a part of it; false for a row without a task."""
    task = pl.col(column)
    return ((task == name) | task.str.starts_with(f"{name}/")).fill_null(value=False)


def wider(tasks: Iterable[str]) -> list[str]:
    """Return the tasks and all that they are parts of, sorted: `a/b` gives `a` and `a/b`."""
    return sorted({part for task in tasks for part in accumulate(task.split("/"), lambda a, b: f"{a}/{b}")})

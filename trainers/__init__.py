"""Fine-tunes specialists on each blend, evaluates them and compares with error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manifests import lazy

if TYPE_CHECKING:
    from trainers.trainer import BASES, TASKS, TRAINERS, Example, Fitted, Measured, Row, Task, Trainer

__all__ = ["BASES", "TASKS", "TRAINERS", "Example", "Fitted", "Measured", "Row", "Task", "Trainer"]
__getattr__ = lazy.attributes(__name__, dict.fromkeys(__all__, "trainers.trainer"))

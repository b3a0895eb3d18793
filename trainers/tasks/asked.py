"""Which eval rows a task measures: the fields that tasks share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT

Longest = Annotated[int, Field(gt=0, description="Longest answer, in the model's tokens.")]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Asked:
    """The examples of a task: eval rows of a source, of a task, or of both."""

    name: Annotated[str, Field(description="Name of the task in the results.")]
    source: Annotated[str | None, Field(description="Eval source whose samples are the examples.")] = None
    task: Annotated[
        str | None, Field(description="Task of the eval rows that are the examples, whatever their source.")
    ] = None
    limit: Annotated[Annotated[int, Field(gt=0)] | None, Field(description="Most examples; none means all.")] = None
    engine: Annotated[
        Literal["torch", "stacked", "vllm"],
        Field(
            description=(
                "What the models answer with: torch, alike to the bit each time on a CPU; stacked, likewise, many "
                "adapters in one pass over their base (other models as by torch); or vllm, all runs of the job on one "
                "engine; then the first run is measured twice, as RUN/again, and compared with itself."
            )
        ),
    ] = "torch"

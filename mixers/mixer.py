"""What a mixer is: a recipe that draws a blend from a pool, the same one every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, runtime_checkable

from manifests.component import Table

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from mixers.blend import Blend

MIXERS: Final = Table(
    "mixer",
    "blendsmith.mixers",
    {
        "coverage": "mixers.coverage:Coverage",
        "dsir": "mixers.dsir:Dsir",
        "equal": "mixers.equal:Equal",
        "examples_proportional": "mixers.examples_proportional:ExamplesProportional",
        "facility": "mixers.facility:Facility",
        "ladder": "mixers.ladder:Ladder",
        "leverage": "mixers.leverage:Leverage",
        "nearest": "mixers.nearest:Nearest",
        "proportional": "mixers.proportional:Proportional",
        "raking": "mixers.raking:Raking",
        "random_drop": "mixers.random_drop:RandomDrop",
        "smart": "mixers.smart:Smart",
        "staged": "mixers.staged:Staged",
        "stratified": "mixers.stratified:Stratified",
        "sweep": "mixers.sweep:Sweep",
        "temperature": "mixers.temperature:Temperature",
        "top": "mixers.top:Top",
        "unimax": "mixers.unimax:UniMax",
        "weighted": "mixers.weighted:Weighted",
    },
)
"""Mixers, and designs (`ladder`, `staged`, `sweep`): entries that stand for several recipes, by their `recipes()`."""


@dataclass(frozen=True)
class Pool:
    """What a mixer sees.

    `samples`: the kept generalist and specialist samples, ordered by sample_id: sample_id, k64, source, role, task,
    n_chars, n_tokens, licence, non_commercial, every scorer's value as a column of its name, `p_error` (null where not
    judged), `cell` (Int32, null without a coverage space). `target`: the same columns for the specialist and eval rows
    that state what the target looks like, with their cells (never drawn from). `select`: SQL predicate to the
    sample_ids of `samples` that satisfy it, by SQL's rules: a row whose value is NULL, such as the `p_error` of a row
    not judged, satisfies neither `p_error < 0.3` nor its opposite.
    """

    samples: pl.DataFrame
    target: pl.DataFrame
    select: Callable[[str], frozenset[str]]
    contaminated: pl.DataFrame | None = None
    """Generalist rows that decontamination dropped (source, task, n_tokens, licence), so that a blend can say so."""
    vectors: Callable[[str, pl.DataFrame], NDArray[np.float32]] | None = None
    """Encoder and rows of `samples` or `target` to their unit vectors (n, d), in the rows' order."""


@runtime_checkable
class Mixer(Protocol):
    """Draws blends.

    Common fields of every mixer: `name`; one of `rows` (generalist rows), `tokens` (generalist tokens, estimated) or
    `share` (generalist share of the blend's rows, 0..1), `random_drop` taking its size from `like` instead;
    `where` (SQL predicate over the pool's columns; applies to generalist rows); `specialist_rows` (None = all);
    `seeds`.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    name: str
    where: str | None
    seeds: tuple[int, ...]

    def blend(self, pool: Pool, seed: int, earlier: Mapping[str, Blend]) -> Blend:
        """Return the blend of `seed`; `earlier` holds the job's blends drawn before it, by `name@seed`."""
        ...

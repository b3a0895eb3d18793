"""What a curation component is: a step decides which rows stay, a scorer gives each row a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, runtime_checkable

from manifests.component import Context, Table

if TYPE_CHECKING:
    import polars as pl

STEPS: Final = Table(
    "step",
    "blendsmith.steps",
    {
        "calibrated": "curate.calibrated:Calibrated",
        "classifier": "curate.classifier:Classifier",
        "complexity": "curate.surface:Complexity",
        "computed": "curate.computed:Computed",
        "conflict": "curate.conflict:Conflict",
        "decontaminate": "curate.decontaminate:Decontaminate",
        "exact": "curate.exact:Exact",
        "factuality": "curate.factuality:Factuality",
        "familiarity": "curate.familiarity:Familiarity",
        "fuzzy": "curate.fuzzy:Fuzzy",
        "grounded": "curate.grounded:Grounded",
        "ifd": "curate.ifd:Ifd",
        "imported": "curate.imported:Imported",
        "judge": "curate.judge:Judge",
        "length": "curate.surface:Length",
        "local": "curate.local:Local",
        "novelty": "curate.novelty:Novelty",
        "perplexity": "curate.perplexity:Perplexity",
        "rules": "curate.rules:Rules",
        "semantic": "curate.semantic:Semantic",
    },
)
STANCES: Final = Table(
    "stance",
    "blendsmith.stances",
    {
        "judge": "curate.stances.judge:Asked",
        "rules": "curate.stances.rules:Rules",
        "trained": "curate.stances.trained:Trained",
    },
)
JUDGES: Final = Table(
    "judge",
    "blendsmith.judges",
    {
        "openai": "curate.judges.openai:OpenAI",
        "replay": "curate.judges.replay:Replay",
        "vllm": "curate.judges.vllm:Vllm",
    },
)


@runtime_checkable
class Step(Protocol):
    """Decides which samples stay.

    `roles` are the roles it sees; `needs` the roles handed to it as reference (`("eval",)` for decontamination). A step
    or scorer may also have `reads`, a tuple of names: scorers that stand earlier in the job, whose values it gets as
    further columns of `samples`, named `predicate.score_column(name)`, null where there is no value. Where
    `reads_verdicts` is true it gets their whole answers instead: columns named `predicate.verdict_column(name)`. Where
    `reads_errors` is true the job refuses scorers of whose values less is not better.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[tuple[str, ...]]
    roles: tuple[str, ...]

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return `schema.DECISIONS` rows for the samples dropped, and for kept ones that deserve a remark.

        `samples` and every frame of `reference` (by role) have `schema.SAMPLES` and are ordered by sample_id. At most
        one row per sample; samples without a row are kept without remark. The result does not depend on row order.
        """
        ...


@dataclass(frozen=True)
class Scored:
    """A scorer's answer: `schema.SCORES` rows, exactly one per sample; a judge adds `schema.VERDICTS` rows.

    `quality` has `schema.QUALITY` rows: what the scorer measured of its own errors meanwhile.
    """

    scores: pl.DataFrame
    verdicts: pl.DataFrame | None = None
    quality: pl.DataFrame | None = None


@runtime_checkable
class Scorer(Protocol):
    """Gives each sample a number, or a status that says why there is none.

    `name` becomes a column of the pool (dashes as underscores). `good` says which end of the scale is the better one.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    good: ClassVar[str]
    """`high`, `low`, or `neither` for a property that is not a merit."""
    roles: tuple[str, ...]
    name: str

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample of `samples` (`schema.SAMPLES`, ordered by sample_id).

        A scorer with `needs`, as a step has it, gets the rows of those roles as a third argument, `reference`.
        """
        ...

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return how many calls `score` would still make: those not answered in the cache."""
        ...


def decisions(
    samples: pl.Series,
    reason: str | pl.Series,
    *,
    kept: bool | pl.Series = False,
    witness_id: pl.Series | None = None,
    similarity: float | pl.Series | None = None,
    detail: pl.Series | None = None,
) -> pl.DataFrame:
    """Return `schema.DECISIONS` rows, one per id of `samples`, ordered by sample_id; a single value holds for all."""
    import polars as pl

    from manifests import schema

    given = {"kept": kept, "reason": reason, "witness_id": witness_id, "similarity": similarity, "detail": detail}
    columns = [
        (value if isinstance(value, pl.Series) else pl.Series([value]).new_from_index(0, len(samples)))
        .cast(schema.DECISIONS[name])
        .alias(name)
        for name, value in given.items()
    ]
    return pl.DataFrame([samples.alias("sample_id"), *columns]).sort("sample_id")

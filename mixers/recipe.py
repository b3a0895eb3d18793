"""The fields that recipes share, and what must hold between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from manifests.component import COMPONENT
from manifests.errors import UserError
from manifests.names import check_name
from mixers.cells import Space
from mixers.stratum import columns

Name = Annotated[str, Field(description="Name of the blend.")]
Rows = Annotated[
    Annotated[int, Field(ge=0)] | Literal["all"] | None,
    Field(description="Generalist rows: 0 gives a blend of specialist rows only, `all` every row that passes."),
]
Tokens = Annotated[
    Annotated[int, Field(ge=1)] | None,
    Field(description="Generalist tokens (UTF-8 bytes / 4): rows are taken until the next would pass it."),
]
Share = Annotated[
    Annotated[float, Field(gt=0, lt=1)] | None, Field(description="Generalist share of all rows of the blend.")
]
Where = Annotated[
    str | None,
    Field(description="SQL predicate that generalist rows must satisfy; NULL (not judged) does not satisfy it."),
]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**63)], ...],
    Field(min_length=1, description="One blend is drawn for each; at most 2^63 - 1, as the manifest holds it."),
]
SpecialistRows = Annotated[Annotated[int, Field(ge=0)] | None, Field(description="Specialist rows; without it all.")]
SpecialistTasks = Annotated[
    tuple[str, ...],
    Field(description="Tasks whose specialist rows are used, for a blend of one task; without it those of all."),
]
By = Annotated[
    str | tuple[str, ...],
    Field(description="Columns that the strata agree in: source, task, cell, length, any other of words; [] for none."),
]
Epochs = Annotated[
    int, Field(ge=1, le=1000, description="How often a row may be shown at most: over 1, a small stratum is repeated.")
]
ErrorShare = Annotated[
    Annotated[float, Field(gt=0, le=1)] | None,
    Field(description="Expected wrong rows (sum of p_error) allowed in each stratum, as a share of its rows."),
]
TaskBudgets = Annotated[
    Mapping[str, Annotated[float, Field(gt=0, le=1)]] | None,
    Field(description="Tasks with a share of their own, stricter for those that ask for facts: {task: share}."),
]
Over = Annotated[
    Literal["drop", "weight"],
    Field(description="What is done over the budget: the worst rows are dropped, or bad rows weigh less."),
]
Unjudged = Annotated[
    Literal["refuse", "keep", "drop"],
    Field(description="Rows without p_error under a budget: refused, kept as if at the budget, or dropped."),
]
Order = Annotated[
    Literal["mixed", "generalist_first", "specialist_first"],
    Field(description="Training order: all mixed, or one role after the other."),
]
Controls = Annotated[
    tuple[Literal["stratified", "ungated", "random_drop"], ...],
    Field(description="Siblings drawn with it: stratified, ungated, random_drop; named NAME-stratified and so on."),
]
Encoder = Annotated[str, Field(description="Embedding that cells are cut from (see `curate.embed`).")]
Cells = Annotated[int, Field(ge=2, le=4096, description="Number of cells.")]
CellSeed = Annotated[int, Field(ge=0, description="Seed of the clustering.")]

INERT: Final = frozenset({"controls"})
"""Fields that change what is drawn beside a blend, not the blend."""
_BUDGETED: Final = ("task_budgets", "over", "unjudged")


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Recipe:
    """The fields of every recipe that draws rows by strata; those of one kind are added to them."""

    inert: ClassVar[frozenset[str]] = INERT

    name: Name
    rows: Rows = None
    tokens: Tokens = None
    share: Share = None
    where: Where = None
    seeds: Seeds = (0,)
    specialist_rows: SpecialistRows = None
    specialist_tasks: SpecialistTasks = ()
    max_epochs: Epochs = 1
    hallucination_budget: ErrorShare = None
    task_budgets: TaskBudgets = None
    over: Over = "drop"
    unjudged: Unjudged = "refuse"
    order: Order = "mixed"
    controls: Controls = ()
    encoder: Encoder = "minilm"
    cells: Cells = 64
    cell_seed: CellSeed = 0

    def __post_init__(self) -> None:
        """Refuse a recipe that does not say its size in exactly one unit."""
        check(self)

    @property
    def space(self) -> Space | None:
        """The coverage space that the pool's cells must come from, None when none is needed."""
        return Space(self.encoder, self.cells, self.cell_seed) if "cell" in columns(getattr(self, "by", ())) else None


@dataclass(frozen=True)
class Terms:
    """What a recipe says about gate, strata, repeats and order; fields that it does not have are at their defaults."""

    name: str
    where: str | None = None
    by: str | tuple[str, ...] = "source"
    max_epochs: int = 1
    hallucination_budget: float | None = None
    task_budgets: Mapping[str, float] | None = None
    over: str = "drop"
    unjudged: str = "refuse"
    order: str = "mixed"
    lacking: str = "score"
    """What a row that the recipe can never draw lacks."""

    @classmethod
    def of(cls, recipe: Any, **other: Any) -> Terms:  # noqa: ANN401 - any mixer; its fields
        """Return the terms of a recipe, those in `other` taking the place of its own."""
        own = {name: getattr(recipe, name) for name in cls.__dataclass_fields__ if hasattr(recipe, name)}
        return cls(**{**own, **other})

    @property
    def gated(self) -> bool:
        """Whether anything limits the expected errors."""
        return self.hallucination_budget is not None or bool(self.task_budgets)


def check(recipe: Any) -> None:  # noqa: ANN401 - any mixer
    """Raise UserError unless the name is valid, exactly one amount is given and a budget has what it needs."""
    check_name(recipe.name, noun="blend name")
    given = [unit for unit in ("rows", "tokens", "share") if getattr(recipe, unit) is not None]
    if len(given) != 1:
        raise UserError(
            f"blend '{recipe.name}' needs exactly one of rows, tokens and share",
            value=given,
            remedy="rows: generalist rows; tokens: generalist tokens; share: generalist share of all rows",
        )
    terms, plain = Terms.of(recipe), Terms("")
    stray = [name for name in _BUDGETED if getattr(terms, name) != getattr(plain, name)]
    if stray and not terms.gated:
        raise UserError(
            f"blend '{recipe.name}' has no hallucination budget that this field could change",
            value=stray[0],
            remedy="add hallucination_budget: 0.05 (at most 5 % of each stratum's rows expected to be wrong)",
        )
    wanted = columns(terms.by)
    if len(set(wanted)) < len(wanted):
        raise UserError(f"blend '{recipe.name}' names a column of by twice", value=list(wanted))


def amount(recipe: Any, specialists: int) -> int | None:  # noqa: ANN401 - any mixer
    """Return the generalist rows that the recipe asks for beside `specialists` specialist rows.

    None under `tokens` and for `all`. A share s beside n specialist rows is n s / (1 - s), rounded half up.
    """
    if recipe.share is None:
        return recipe.rows if isinstance(recipe.rows, int) else None
    if not specialists:
        raise UserError(
            f"blend '{recipe.name}' asks for a share, but has no specialist rows to be a share of",
            value=recipe.share,
            remedy="give rows: or tokens: instead, or add a source with role: specialist",
        )
    share = Fraction(str(recipe.share))
    return int(specialists * share / (1 - share) + Fraction(1, 2))


def load(spec: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any mixer
    """Return the mixer that a blend's recipe describes (`Blend.recipe`, `recipe.json`), so that it is drawn again.

    Raises UserError for a kind that is not known, with the nearest, for fields that this version does not know, and
    for a recipe of another version of its kind, which would draw other rows.
    """
    from mixers.mixer import MIXERS

    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.items()}
    kind, version = fields.pop("kind", None), fields.pop("version", None)
    cls = MIXERS.load(str(kind))
    if version != cls.version:
        newer = isinstance(version, int) and version > cls.version
        raise UserError(
            f"a recipe of kind '{kind}' has another version than the {cls.version} that this blendsmith draws",
            value=version,
            remedy="install a newer blendsmith" if newer else "write the recipe into a job and draw it anew",
        )
    unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
    if unknown:
        raise UserError(f"unknown key of kind '{kind}'", value=unknown[0], options=list(cls.__dataclass_fields__))
    return cls(**fields)

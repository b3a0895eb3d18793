"""Which blends are trained, and how far: successive halving, racing, and the baselines random and grid.

A search is a conversation: it asks for some arms (recipes) to be trained up to an amount of the trainer's budget, is
handed what they were measured to be worth there, and asks again, until it has chosen. It keeps no state, so the same
answers give the same questions: a killed search is resumed by asking again, and a full grid replays it
(`trainers.replay`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Protocol

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as component_dataclass

from manifests.component import COMPONENT, Table
from manifests.names import digest, k64
from trainers.compare import differences
from trainers.paired import Array, Clusters
from trainers.spread import complete
from trainers.trainer import TASKS

SEARCHES: Final = Table(
    "search",
    "blendsmith.searches",
    {
        "grid": "trainers.search:Grid",
        "halving": "trainers.search:Halving",
        "racing": "trainers.search:Racing",
        "random": "trainers.search:Random",
        "surrogate": "trainers.surrogate:Surrogate",
    },
)
SHORT: Final = 0.1
"""Share of the budget below which a first rung is called very short: rankings there often turn round later."""


@dataclass(frozen=True)
class Arms:
    """What is searched: `names` of recipes, and `amount`, the whole budget of a run in the trainer's own unit.

    `features` describe the arms to a surrogate: one row an arm, one column for each of `labels`.
    """

    names: tuple[str, ...]
    amount: int
    features: Array = field(default_factory=lambda: np.zeros((0, 0)))
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ask:
    """Train these arms, all their seeds, up to `amount` of the budget and measure them there."""

    arms: tuple[str, ...]
    amount: int


@dataclass(frozen=True)
class Evidence:
    """What was measured: seeds x examples for each arm asked for, more is better, NaN where there is no value."""

    tables: Mapping[str, Array]
    clusters: Clusters = None


@dataclass(frozen=True)
class Chosen:
    """The end of a search: the best arm, and why each of the others went no farther (arm -> a sentence)."""

    best: str
    stopped: Mapping[str, str]


Talk = Generator[Ask, Evidence, Chosen]


class Search(Protocol):
    """Chooses among arms; the fields `task` and `metric` say on what, see `Measuring`."""

    kind: ClassVar[str]
    version: ClassVar[int]
    task: Any
    metric: str

    def choose(self, arms: Arms) -> Talk:
        """Yield what is to be trained, take what it was worth, return what was chosen."""
        ...

    def most(self, arms: int, amount: int) -> int:
        """Return the most that it trains, in units of the budget and for one seed, among so many arms."""
        ...


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Measuring:
    """What searches have in common: on what they choose."""

    nested: ClassVar[Mapping[str, Table | type]] = {"task": TASKS}

    task: Annotated[
        Any,
        Field(
            description=(
                "Task that decides, as {kind: loglik, name: dev, source: dev}: its rows must not be those of a task "
                "in measure, since what was chosen on rows looks too good on them."
            )
        ),
    ]
    metric: Annotated[str, Field(min_length=1, description="Metric of that task; more is better.")]

    def rungs(self, amount: int) -> list[int]:
        """Return the amounts at which arms are compared, the last of them the whole."""
        return [amount]

    def first(self, amount: int) -> int:
        """Return the least amount at which an arm may be stopped."""
        return self.rungs(amount)[0]


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Grid(Measuring):
    """Trains every arm to the end: the yardstick of the others."""

    kind: ClassVar[str] = "grid"
    version: ClassVar[int] = 1

    def choose(self, arms: Arms) -> Talk:
        """Ask for all and return the one with the best mean."""
        found = yield Ask(arms.names, arms.amount)
        return end(found, arms.names, {})

    def most(self, arms: int, amount: int) -> int:
        """Return the whole grid."""
        return arms * amount


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Random(Measuring):
    """Trains some arms to the end, drawn at random: what a cleverer search must beat at the same cost."""

    kind: ClassVar[str] = "random"
    version: ClassVar[int] = 1

    arms: Annotated[int, Field(ge=1, description="Arms that are trained; all when there are no more.")]
    seed: Annotated[int, Field(ge=0, description="Seed of the draw.")] = 0

    def choose(self, arms: Arms) -> Talk:
        """Ask for the drawn ones and return the one with the best mean."""
        drawn = shuffled(arms.names, self.seed)[: self.arms]
        found = yield Ask(drawn, arms.amount)
        why = dict.fromkeys((name for name in arms.names if name not in drawn), "not drawn")
        return end(found, drawn, why)

    def most(self, arms: int, amount: int) -> int:
        """Return the cost of the arms that are drawn."""
        return min(arms, self.arms) * amount


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Halving(Measuring):
    """Successive halving: at each rung the best 1 / eta of the arms go on, the next rung being eta times as far.

    Jamieson and Talwalkar 2016. Its cost is known beforehand. An arm stops for its rank, whether or not it is shown to
    be worse: the reason says which. For evidence alone see `racing`.
    """

    kind: ClassVar[str] = "halving"
    version: ClassVar[int] = 1

    rung: Annotated[
        int,
        Field(
            ge=1,
            description=(
                "Where arms are first compared, in the unit of the trainer's budget (steps: 900, rung: 100). At very "
                "short rungs, within the warm-up or a tenth of the budget, generalist rows look bad that help later."
            ),
        ),
    ]
    eta: Annotated[int, Field(ge=2, le=16, description="One arm of so many goes on; the next rung is as far.")] = 3

    def rungs(self, amount: int) -> list[int]:
        """Return the amounts at which arms are compared, the last of them the whole."""
        found, at = [], self.rung
        while at * self.eta <= amount:
            found.append(at)
            at *= self.eta
        return [*found, amount]

    def choose(self, arms: Arms) -> Talk:
        """Ask rung by rung for the arms that are left."""
        rungs, alive, stopped = self.rungs(arms.amount), arms.names, dict[str, str]()
        for at in rungs[:-1]:
            if len(alive) == 1:
                break
            found = yield Ask(alive, at)
            ranked = ranking(found, alive)
            kept = ranked[: max(1, -(-len(alive) // self.eta))]
            notes = standing(found, ranked[0], alive)
            for name in ranked[len(kept) :]:
                stopped[name] = f"not among the best {len(kept)} of {len(alive)} at {at}: {notes[name].text}"
            alive = tuple(name for name in alive if name in kept)
        found = yield Ask(alive, arms.amount)
        return end(found, alive, stopped)

    def most(self, arms: int, amount: int) -> int:
        """Return the cost of all rungs, which is exact while no run fails."""
        total = before = 0
        for at in self.rungs(amount):
            total += arms * (at - before)
            arms, before = max(1, -(-arms // self.eta)), at
        return total


@component_dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Racing(Measuring):
    """Racing: at each rung an arm stops when its paired difference to the current best is shown to be negative.

    After F-Race (Birattari et al. 2002), with this project's own paired comparison. The level is shared out over rungs
    and pairs (Bonferroni): with probability 1 - alpha the arm that is best at every rung is never stopped. Arms that
    cannot be told apart are all trained to the end, unless a `tolerance` says how much may be lost.
    Evidence at a rung is about that rung: where curves cross later, an early one is wrong with confidence, and halving,
    which keeps a third whatever the evidence, loses less (`tests/benchmarks/search_replay.py`).
    """

    kind: ClassVar[str] = "racing"
    version: ClassVar[int] = 1

    rung: Annotated[
        int,
        Field(
            ge=1,
            description=(
                "How often arms are compared, in the unit of the trainer's budget. At very short rungs, within the "
                "warm-up or a tenth of the budget, generalist rows look bad that help later."
            ),
        ),
    ]
    alpha: Annotated[
        float, Field(gt=0, lt=0.5, description="Most probability of stopping the best arm in the whole race.")
    ] = 0.05
    tolerance: Annotated[
        float,
        Field(
            ge=0,
            description=(
                "Units of the metric that may be lost: an arm also stops once it is shown to be no more than that "
                "better than the best."
            ),
        ),
    ] = 0.0

    def rungs(self, amount: int) -> list[int]:
        """Return the amounts at which arms are compared, the last of them the whole."""
        return [*range(self.rung, amount, self.rung), amount]

    def choose(self, arms: Arms) -> Talk:
        """Ask rung by rung for the arms that are still in the race."""
        rungs, alive, stopped = self.rungs(arms.amount), arms.names, dict[str, str]()
        for at in rungs[:-1]:
            if len(alive) == 1:
                break
            found = yield Ask(alive, at)
            best = ranking(found, alive)[0]
            level = self.alpha / ((len(rungs) - 1) * (len(alive) - 1))
            notes = standing(found, best, alive, self.tolerance)
            out = {name for name in alive if name != best and (notes[name].failed or notes[name].worse(level))}
            limit = "" if not self.tolerance else f" by more than {self.tolerance:g}"
            for name in sorted(out):
                stopped[name] = f"at {at} {notes[name].text}, shown not to be better{limit} at level {level:.2g}"
            alive = tuple(name for name in alive if name not in out)
        found = yield Ask(alive, arms.amount)
        return end(found, alive, stopped)

    def most(self, arms: int, amount: int) -> int:
        """Return the whole grid: nothing promises that arms can be told apart."""
        return arms * amount


@dataclass(frozen=True)
class Standing:
    """An arm beside the best: a sentence, and what a test needs."""

    text: str
    difference: float | None
    p_value: float | None
    failed: bool = False

    def worse(self, level: float) -> bool:
        """Return whether the interval of level 1 - `level` lies below zero (beyond the tolerance, if there is one)."""
        return self.difference is not None and self.p_value is not None and self.difference < 0 and self.p_value < level


def ranking(found: Evidence, names: Sequence[str]) -> list[str]:
    """Return the arms, the best mean first; those without a value last, ties in the order of their names."""
    worth = {name: mean(found.tables[name]) for name in names}
    return sorted(names, key=lambda name: (math.isnan(worth[name]), -worth[name], name))


def mean(table: Array) -> float:
    """Return the mean of what `spread.complete` keeps of seeds x examples; NaN without a value."""
    held = complete(table)
    return float(held.mean()) if held.size else math.nan


def standing(found: Evidence, best: str, names: Sequence[str], tolerance: float = 0.0) -> dict[str, Standing]:
    """Return how each arm stands to the best: paired by seed and example, seeds' variance pooled over all arms.

    Difference and p value are those of the arm less the best and `tolerance`; the sentence is without it.
    """
    tables = {name: np.asarray(found.tables[name], dtype=np.float64) for name in names}
    others = [name for name in names if name != best]
    pairs = [(name, best) for name in others]
    plain = differences(tables, pairs, found.clusters)
    moved = differences({**tables, best: tables[best] + tolerance}, pairs, found.clusters) if tolerance else plain
    notes = {best: Standing("the best", 0.0, 1.0)}
    for name, one, shifted in zip(others, plain, moved, strict=True):
        if math.isnan(mean(tables[name])):
            notes[name] = Standing("its runs failed", None, None, failed=True)
        elif one.mean is None:
            notes[name] = Standing(f"no value in common with '{best}'", None, None)
        else:
            side = "behind" if one.mean < 0 else "level with" if one.mean == 0 else "ahead of"
            known = "" if one.low is None else f" (95 % interval {one.low:+.3g} to {one.high:+.3g})"
            notes[name] = Standing(f"{abs(one.mean):.3g} {side} '{best}'{known}", shifted.mean, shifted.p_value)
    return notes


def shuffled(names: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return the names in an order that hangs on the seed and on each name alone."""
    return tuple(sorted(names, key=lambda name: (k64(digest([name, seed, "search"])), name)))


def short_rung(search: Any, trainer: Any, amount: int) -> str:  # noqa: ANN401 - a Search and a Trainer
    """Return a warning when arms are first stopped so early that rankings mean little; empty when not.

    Measured (0.1M parameters, 900 steps): at 60 steps every blend with generalist rows looked worse than specialist
    rows alone, at 900 all were better.
    """
    first, warm = search.first(amount), getattr(trainer, "warmup", 0.0)
    if first >= max(SHORT, 2 * warm) * amount:
        return ""
    return (
        f"the first rung is {first} of {amount}: that early, blends that help later often look bad;"
        f" {math.ceil(max(SHORT, 2 * warm) * amount)} or more is safer"
    )


def drive(talk: Talk, answer: Callable[[Ask], Evidence | None]) -> Chosen | Ask:
    """Answer a search's questions until it has chosen, or until `answer` has none: then return the open question."""
    ask = next(talk)
    while True:
        found = answer(ask)
        if found is None:
            return ask
        try:
            ask = talk.send(found)
        except StopIteration as end:
            chosen: Chosen = end.value
            return chosen


def end(found: Evidence, finished: Sequence[str], stopped: Mapping[str, str]) -> Chosen:
    """Return the best of those trained to the end; the others get the reason of their rank."""
    best = ranking(found, finished)[0]
    notes = standing(found, best, finished)
    return Chosen(best, {**stopped, **{name: f"at the end {notes[name].text}" for name in finished if name != best}})

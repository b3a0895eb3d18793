"""How long a run trains: optimizer steps, tokens, epochs, or how often each specialist row is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from trainers.pack import Item, cycle, finite

SPECIALIST: Final = "specialist"
UNITS: Final = ("steps", "tokens", "exposures", "epochs")
"""Fields of a trainer that are budgets; each that is given makes a run of its own for every blend and seed."""

DEFAULT_STEPS: Final = 100
"""Steps of a run that has no budget; a study without one trains on as many tokens as they have positions."""
DEFAULT_EXPOSURES: Final = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """An amount of one of `UNITS`."""

    unit: str
    amount: int


def budgets(trainer: Any) -> tuple[Budget, ...]:  # noqa: ANN401 - a component with fields of `UNITS`
    """Return the trainer's budgets in the order of `UNITS`, where it gives none the two that belong together.

    Those are equal tokens and equal specialist exposures: under one alone a blend can look better for its training, not
    its rows. A trainer that counts steps alone has `DEFAULT_STEPS`; one without such fields decides itself: none.
    """
    if not any(hasattr(trainer, unit) for unit in UNITS):
        return ()
    given = [Budget(unit, amount) for unit in UNITS if (amount := getattr(trainer, unit, None)) is not None]
    if given:
        return tuple(given)
    if hasattr(trainer, "tokens") and hasattr(trainer, "exposures"):
        return Budget("tokens", DEFAULT_STEPS * trainer.batch_tokens), Budget("exposures", DEFAULT_EXPOSURES)
    return (Budget("steps", DEFAULT_STEPS),)


def narrowed(trainer: Any, budget: Budget) -> Any:  # noqa: ANN401 - a component of the same class
    """Return the trainer with this budget alone."""
    fields = {unit: None for unit in UNITS if hasattr(trainer, unit)} | {budget.unit: budget.amount}
    return dataclasses.replace(trainer, **fields)


def order(items: Sequence[Item], budget: Budget, seed: int) -> list[int]:
    """Return the item indexes that a run on a budget other than steps shows, in order.

    `tokens`: rows until their lengths add up to the amount, so at most one row more than it. `epochs`: every row that
    often. `exposures`: every specialist sample that often, however often the blend repeats it, and as many generalist
    rows as keep the blend's proportions, rounded to a row, spread evenly between them; a blend without specialist rows
    is shown for as many epochs.
    """
    if budget.unit == "exposures" and any(item.role == SPECIALIST for item in items):
        return _exposed(items, budget.amount, seed)
    rows = cycle(items, seed)
    if budget.unit != "tokens":
        return list(islice(rows, budget.amount * len(items)))
    found, total = [], 0
    while total < budget.amount:
        found.append(next(rows))
        total += len(items[found[-1]].rendered.ids)
    return found


def steps_of(items: Sequence[Item], budget: Budget, capacity: int, height: int, seed: int) -> list[list[list[int]]]:
    """Return the bins of each step of a run on a budget other than steps: all of its rows, none twice over."""
    return finite(items, order(items, budget, seed), capacity, height, seed)


def _exposed(items: Sequence[Item], amount: int, seed: int) -> list[int]:
    first: dict[str, int] = {}
    for index, item in enumerate(items):
        if item.role == SPECIALIST:
            held = first.setdefault(item.sample, index)
            first[item.sample] = min(held, index, key=lambda i: items[i].key)
    special = sorted(first.values())
    others = [index for index, item in enumerate(items) if item.role != SPECIALIST]
    rows = len(items) - len(others)
    shown = amount * len(special)
    beside = (2 * len(others) * shown + rows) // (2 * rows)
    return list(_spread(_shown(items, special, shown, seed), _shown(items, others, beside, seed)))


def _shown(items: Sequence[Item], chosen: Sequence[int], count: int, seed: int) -> list[int]:
    if not count:
        return []
    return [chosen[place] for place in islice(cycle([items[i] for i in chosen], seed), count)]


def _spread(one: Sequence[int], two: Sequence[int]) -> Iterator[int]:
    """Yield both, each at an even pace from beginning to end."""
    at = 0
    for i, index in enumerate(one):
        while at < len(two) and (2 * at + 1) * len(one) <= (2 * i + 1) * len(two):
            yield two[at]
            at += 1
        yield index
    yield from two[at:]

"""A search replayed on a full grid of results: what it saves, and what it gives away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from manifests.errors import UserError
from trainers.paired import Array, Clusters
from trainers.search import Arms, Ask, Chosen, Evidence, Search, drive, mean


@dataclass(frozen=True)
class Replay:
    """What a search would have done on a grid that is known."""

    chosen: Chosen
    reached: Mapping[str, int]
    """Arm -> the amount of the budget that it was trained for; 0 for one that was never asked for."""
    saved: float
    """Share of the grid's training that was not done, 0 to 1; a rung goes on from the one before."""
    regret: float
    """What the grid's best arm is worth beyond the chosen one at the whole budget, in units of the metric, >= 0."""
    relative: float
    """Regret over the absolute worth of the best arm."""
    of_spread: float
    """Regret over the distance from the best arm to the mean arm: 0 the best, 1 no better than a random arm."""


def replay(
    search: Search,
    arms: Arms,
    grid: Mapping[int, Mapping[str, Array]],
    clusters: Clusters = None,
    truth: Mapping[str, float] | None = None,
) -> Replay:
    """Return what `search` does on `grid`: amount of the budget -> arm -> seeds x examples.

    `truth` is the worth of each arm at the whole budget where it is known; else the grid's own means there stand for
    it. Raise UserError when the search asks for an amount that the grid lacks.
    """
    reached = dict.fromkeys(arms.names, 0)

    def answer(ask: Ask) -> Evidence:
        """Return the grid's values."""
        if ask.amount not in grid:
            raise UserError("the grid was not measured at this rung", value=ask.amount, options=map(str, sorted(grid)))
        for name in ask.arms:
            reached[name] = max(reached[name], ask.amount)
        return Evidence({name: grid[ask.amount][name] for name in ask.arms}, clusters)

    chosen = drive(search.choose(arms), answer)
    assert isinstance(chosen, Chosen)  # noqa: S101 - every question is answered
    worth = truth or {name: mean(grid[arms.amount][name]) for name in arms.names}
    best = max(worth.values())
    regret = best - worth[chosen.best]
    distance = best - sum(worth.values()) / len(worth)
    return Replay(
        chosen,
        reached,
        saved=1 - sum(reached.values()) / (arms.amount * len(arms.names)),
        regret=regret,
        relative=regret / abs(best) if best else float(regret > 0),
        of_spread=regret / distance if distance else 0.0,
    )

"""The controls of a recipe, as recipes of their own: what the claim about it is compared with."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

from mixers.random_drop import RandomDrop
from mixers.stratified import Stratified
from mixers.stratum import columns

_GATES: Final = {
    "where": None,
    "hallucination_budget": None,
    "task_budgets": None,
    "over": "drop",
    "unjudged": "refuse",
}


def siblings(mixer: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any mixer
    """Return the controls that a recipe asks for, named after it, in the order in which it names them.

    `stratified`: the same amount behind the same gate, drawn in proportion to its strata (of source, where its own are
    cells or none). `ungated`: the same recipe without gate and budget. `random_drop`: as many rows as it took, drawn
    at random from before its gate.
    """
    return tuple(_MAKERS[kind](mixer) for kind in getattr(mixer, "controls", ()))


def _stratified(mixer: Any) -> Stratified:  # noqa: ANN401 - any mixer
    wanted = {field.name for field in fields(Stratified)} - {"name", "controls", "by"}
    shared = {name: getattr(mixer, name) for name in wanted if hasattr(mixer, name)}
    by = tuple(name for name in columns(getattr(mixer, "by", ())) if name != "cell") or ("source",)
    return Stratified(name=f"{mixer.name}-stratified", by=by, **shared)


def _ungated(mixer: Any) -> Any:  # noqa: ANN401 - the mixer's own kind
    open_ = {name: value for name, value in _GATES.items() if hasattr(mixer, name)}
    return replace(mixer, name=f"{mixer.name}-ungated", controls=(), **open_)


def _random_drop(mixer: Any) -> RandomDrop:  # noqa: ANN401 - any mixer
    epochs = getattr(mixer, "max_epochs", 1)
    return RandomDrop(name=f"{mixer.name}-random-drop", like=mixer.name, seeds=mixer.seeds, max_epochs=epochs)


_MAKERS: Final = {"stratified": _stratified, "ungated": _ungated, "random_drop": _random_drop}

"""What a component is: one frozen dataclass, looked up by its kind in an explicit table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic import ConfigDict

from manifests.errors import UserError
from manifests.names import digest

COMPONENT: Final = ConfigDict(
    extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, arbitrary_types_allowed=True
)
"""Configuration of every component: `@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=COMPONENT)`.

Class variables of a component: `kind: ClassVar[str]`; `version: ClassVar[int]` (raised when its output changes);
`inert: ClassVar[frozenset[str]]`, optional: fields that cannot change the output (batch sizes, time-outs), left out of
keys.
"""


@dataclass(frozen=True)
class Table:
    """The components of one noun: kind to `module:Class`, imported on use; third parties add entry points."""

    noun: str
    """What the components are, for messages: `step`, `mixer`."""
    group: str
    """Entry-point group of third parties, such as `blendsmith.steps`."""
    entries: Mapping[str, str] = field(default_factory=dict)
    """kind -> `module:Class`."""

    def kinds(self) -> dict[str, str]:
        """Return every kind with its `module:Class`, ours first; a third party cannot replace one of ours."""
        found = {point.name: point.value for point in entry_points(group=self.group)}
        return {**found, **self.entries}

    def load(self, kind: str) -> type[Any]:
        """Return the class of `kind`; raise UserError with the nearest kind when there is none."""
        path = self.entries.get(kind)  # ours needs no look at what else is installed, which takes 10 ms
        if path is None:
            kinds = self.kinds()
            if kind not in kinds:
                raise UserError(f"unknown {self.noun} kind", value=kind, options=kinds)
            path = kinds[kind]
        module, _, name = path.partition(":")
        loaded: type[Any] = getattr(import_module(module), name)
        return loaded


def spec_of(component: Any) -> dict[str, Any]:  # noqa: ANN401 - any component dataclass
    """Return the component as plain JSON values: kind, version and every field that can change its output."""
    inert: frozenset[str] = getattr(component, "inert", frozenset())
    spec: dict[str, Any] = {"kind": component.kind, "version": component.version}
    for item in dataclasses.fields(component):
        if item.name not in inert:
            spec[item.name] = _plain(getattr(component, item.name))
    return spec


def component_key(component: Any) -> str:  # noqa: ANN401 - any component dataclass
    """Return the hash of `spec_of(component)`."""
    return digest(spec_of(component))


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return spec_of(value) if hasattr(value, "kind") else {k: _plain(v) for k, v in vars(value).items()}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return str(value) if isinstance(value, Path) else value


class Engine(Protocol):
    """Where independent pieces of work are done: here, in processes of this machine, or on a cluster."""

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield `function(part)` for every part, in the order of the parts.

        `function` is importable (or a `functools.partial` of one) and depends on its part alone, so a part whose worker
        dies is done again. Errors of `function` are raised here.
        """
        ...


class Inline:
    """Does every part here, one after the other."""

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield `function(part)` for every part, in order."""
        return map(function, parts)


@dataclass(frozen=True)
class Context:
    """What a running component may use of its surroundings; none of it may change the result."""

    root: Path
    """Folder for caches and artefacts (the manifest's folder)."""
    workers: int = 1
    """Processes or connections that may run at once."""
    batch: int = 0
    """Rows handled at once; 0 leaves it to the component."""
    progress: Callable[[int, int], None] = lambda done, total: None
    """Called with (done, total) as work proceeds."""
    stopping: Callable[[], bool] = lambda: False
    """True once the user asked to stop: finish the batch in hand and raise `errors.Interrupted`."""
    engine: Engine = field(default_factory=Inline)
    """Does pieces of work that do not depend on each other."""
    say: Callable[[str], None] = lambda text: None
    """Called with a line that the user should see while the work goes on."""
    max_cost: float | None = None
    """Most that calls to models may cost, in the currency of their price fields; None for no limit."""

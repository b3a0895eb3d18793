"""Public names imported on first use, so that `import curate` costs milliseconds (PEP 562)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def attributes(package: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module `__getattr__` for `package`; `where` maps each public name to its module."""

    def get(name: str) -> Any:  # noqa: ANN401 - module attributes
        """Return a public name of the package, importing its module; raise AttributeError for any other."""
        if name in where:
            return getattr(import_module(where[name]), name)
        msg = f"module {package!r} has no attribute {name!r}"
        raise AttributeError(msg)

    return get

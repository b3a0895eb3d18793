"""The store that everybody shares: one DuckDB file, its names, its errors (`from manifests import Manifest`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manifests import lazy

if TYPE_CHECKING:
    from manifests.errors import BlendsmithError, UserError
    from manifests.store import Manifest, Store

__all__ = ["BlendsmithError", "Manifest", "Store", "UserError"]
__getattr__ = lazy.attributes(
    __name__,
    {
        "BlendsmithError": "manifests.errors",
        "Manifest": "manifests.store",
        "Store": "manifests.store",
        "UserError": "manifests.errors",
    },
)

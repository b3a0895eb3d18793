"""Draws coverage-aware blends of specialist and generalist rows, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manifests import lazy

if TYPE_CHECKING:
    from mixers.blend import Blend
    from mixers.mixer import MIXERS, Mixer, Pool

__all__ = ["MIXERS", "Blend", "Mixer", "Pool"]
__getattr__ = lazy.attributes(
    __name__,
    {"MIXERS": "mixers.mixer", "Blend": "mixers.blend", "Mixer": "mixers.mixer", "Pool": "mixers.mixer"},
)

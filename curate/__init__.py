"""Reads, dedupes, cleans, decontaminates and judges instruction rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manifests import lazy

if TYPE_CHECKING:
    from curate.sample import Message, Reject, Sample
    from curate.sources import Reading, Source
    from curate.step import STEPS, Scored, Scorer, Step

__all__ = ["STEPS", "Message", "Reading", "Reject", "Sample", "Scored", "Scorer", "Source", "Step"]
__getattr__ = lazy.attributes(
    __name__,
    {
        "STEPS": "curate.step",
        "Message": "curate.sample",
        "Reading": "curate.sources",
        "Source": "curate.sources",
        "Reject": "curate.sample",
        "Sample": "curate.sample",
        "Scored": "curate.step",
        "Scorer": "curate.step",
        "Step": "curate.step",
    },
)

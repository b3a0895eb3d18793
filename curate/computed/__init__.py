"""What a program can check in a row: each verdict comes with the computation that proves it."""

from curate.computed.scorer import Computed

__all__ = ["Computed"]

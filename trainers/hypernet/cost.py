"""What an instruction costs: computed once per task, or again in every prompt."""

from __future__ import annotations


def share(instruction: float, inputs: float, rows: int) -> float:
    """Return the operations of a task whose instruction is read once, over those of one in every prompt.

    N (t + n i) over N n (t + i), for t tokens of instruction, i of input and n = `rows` inputs (TAGI's cost model; N,
    the base's parameters, cancels). A prefix that is kept costs the same: this is what an adapter saves against a
    prompt without one. Raise ValueError unless n > 0 and t + i > 0.
    """
    if rows <= 0 or instruction + inputs <= 0:
        raise ValueError(f"no tokens to count: {rows} rows of {instruction} + {inputs}")
    return (instruction + rows * inputs) / (rows * (instruction + inputs))

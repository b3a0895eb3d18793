"""The terms of the loss: the answers, the teacher's distribution, the teacher's change of the weights."""

from __future__ import annotations

from typing import Any

import torch

from trainers.hypernet.adapted import Factors


def divergence(logits: Any, ids: Any, logs: Any, temperature: float) -> Any:  # noqa: ANN401 - tensors
    """Return KL(teacher || student), a mean over positions, times temperature squared; 0 or more.

    `logits` (positions, vocabulary) are the student's, `ids` and `logs` (positions, k) the teacher's k likeliest tokens
    and their log-probabilities at this temperature. What the teacher leaves to all other tokens is one more outcome:
    the KL of the coarser distributions, which is 0 when the student gives the same k probabilities, and only then.
    """
    student = (logits.float() / temperature).log_softmax(-1).gather(1, ids)
    teacher = logs.float()
    kept = (teacher.exp() * (teacher - student)).sum(-1)
    rest, left = _rest(teacher), _rest(student)
    return (kept + rest * (rest.log() - left.log())).clamp(min=0).mean() * temperature**2


def _rest(logs: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the probability outside of the k outcomes, at least 1e-6 so that its logarithm has a gradient."""
    return (1 - logs.exp().sum(-1)).clamp(min=1e-6)


def top(logits: Any, k: int, temperature: float) -> tuple[Any, Any]:  # noqa: ANN401 - tensors
    """Return (ids, log-probabilities) of the k likeliest tokens of each position, what `divergence` takes."""
    logs = (logits.float() / temperature).log_softmax(-1)
    values, ids = logs.topk(min(k, logs.shape[-1] - 1), dim=-1)
    return ids, values


def mismatch(made: Factors, wanted: Factors) -> Any:  # noqa: ANN401 - a tensor
    """Return ||B A - B' A'||^2 over ||B' A'||^2, Frobenius norms over all slots, a mean over tasks.

    Factors are defined only up to an invertible matrix between them, so it is their product that is compared; by Gram
    matrices of rank x rank (||BA||^2 = <B^T B, A A^T>), in float64: near equality the three terms cancel. It is 1 for
    factors that change nothing, and 0 exactly when every layer's change is the teacher's.
    """
    off = size = torch.zeros((), dtype=torch.float64, device=made[0][0].device)
    for one, two in zip(made, wanted, strict=True):
        (a, b), (c, d) = ([part.double() for part in pair] for pair in (one, two))
        other = _inner(c, d, c, d)
        off = off + _inner(a, b, a, b) - 2 * _inner(a, b, c, d) + other
        size = size + other
    return (off.clamp(min=0) / size.clamp(min=1e-12)).mean().float()


def _inner(a: Any, b: Any, c: Any, d: Any) -> Any:  # noqa: ANN401 - tensors
    """Return <B A, D C> per task without forming either product."""
    return ((b.transpose(1, 2) @ d) * (a @ c.transpose(1, 2))).sum((1, 2))

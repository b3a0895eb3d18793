"""The terms of the loss, against sums written out in full."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.hypernet.cost import share
from trainers.hypernet.meta import Terms
from trainers.hypernet.terms import divergence, mismatch, top


def factors(seed, shapes=((6, 5), (4, 8)), tasks=3, rank=2):
    """Return factors of `tasks` tasks for layers of the (in, out) shapes."""
    draw = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(tasks, rank, wide, generator=draw), torch.randn(tasks, out, rank, generator=draw))
        for wide, out in shapes
    ]


def full(one):
    """Return every layer's change, flattened, one row per task."""
    return torch.cat([(up @ down).flatten(1) for down, up in one], dim=1)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_mismatch_is_the_relative_squared_distance_of_the_products(one, two):
    made, wanted = factors(one), factors(two)
    expected = ((full(made) - full(wanted)).square().sum(1) / full(wanted).square().sum(1)).mean()
    assert float(mismatch(made, wanted)) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_mismatch_is_zero_for_other_factors_of_the_same_change_and_for_no_other_change(seed):
    wanted = factors(seed)
    turn = torch.linalg.qr(torch.randn(2, 2, generator=torch.Generator().manual_seed(seed)))[0] * 3
    same = [(torch.linalg.inv(turn) @ down, up @ turn) for down, up in wanted]
    assert (same[0][0] - wanted[0][0]).abs().max() > 0.1
    assert float(mismatch(same, wanted)) < 1e-9
    swapped = [(up.transpose(1, 2), down.transpose(1, 2)) for down, up in factors(seed, shapes=((5, 5),))]
    assert float(mismatch(swapped, factors(seed, shapes=((5, 5),)))) > 1e-3
    assert float(mismatch([(down, up * 1.01) for down, up in wanted], wanted)) == pytest.approx(1e-4, rel=1e-2)
    assert float(mismatch([(down, up * 0) for down, up in wanted], wanted)) == pytest.approx(1.0)


@given(st.integers(0, 10_000), st.sampled_from([1, 4, 15]), st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=25, deadline=None)
def test_the_divergence_is_zero_where_the_teacher_agrees_and_positive_where_it_differs(seed, k, temperature):
    draw = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(7, 16, generator=draw), 2 * torch.randn(7, 16, generator=draw)
    assert float(divergence(student, *top(student, k, temperature), temperature)) < 1e-6
    assert float(divergence(student, *top(teacher, k, temperature), temperature)) > 1e-3


def test_the_divergence_with_all_but_one_token_stored_is_the_whole_one():
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(7, 16, generator=draw), torch.randn(7, 16, generator=draw)
    expected = torch.nn.functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert float(divergence(student, *top(teacher, 15, 1.0), 1.0)) == pytest.approx(float(expected), rel=1e-4)


def test_the_divergence_pulls_the_student_towards_the_teacher():
    draw = torch.Generator().manual_seed(0)
    student = torch.randn(7, 16, generator=draw).requires_grad_()
    stored = top(torch.randn(7, 16, generator=draw), 4, 1.0)
    before = divergence(student, *stored, 1.0)
    before.backward()
    assert float(student.grad.abs().max()) > 0
    assert float(divergence(student.detach() - 0.1 * student.grad, *stored, 1.0)) < float(before.detach())


def test_the_terms_are_weighed_and_the_teachers_fall():
    found = {"ce": torch.tensor(1.0), "kl": torch.tensor(2.0), "match": torch.tensor(0.0)}
    assert float(Terms(3.0, 5.0, 1.0, 1.0, falling=False).total(found, 0.5)) == pytest.approx(13.0)
    assert float(Terms(3.0, 5.0, 1.0, 1.0, falling=True).total(found, 0.5)) == pytest.approx(8.0)
    assert float(Terms(3.0, 5.0, 1.0, 1.0, falling=True).total(found, 1.0)) == pytest.approx(3.0)
    high = {"ce": torch.tensor(0.0), "match": torch.tensor(2.0)}
    assert float(Terms(1.0, 0.0, None, 1.0, falling=False).total(high, 0.0)) == pytest.approx(2 / (1 + 2.718282**-2))


def test_the_operations_are_those_of_the_cost_model():
    assert share(300, 100, 100) == pytest.approx(0.2575)
    assert share(100, 100, 100) == pytest.approx(0.505)
    assert share(100, 100, 1) == 1
    with pytest.raises(ValueError, match="no tokens to count: 0 rows"):
        share(1, 1, 0)

"""Answers scored under several adapters at once are scored as under each alone."""

from __future__ import annotations

import dataclasses

import pytest

from manifests.component import Context
from manifests.errors import UserError
from trainers.bank.likelihood import loglik
from trainers.bank.stack import Stack
from trainers.bank.together import together
from trainers.evaluate import Model
from trainers.lora import Lora
from trainers.run import Job

LORA = Lora(base="given", steps=6, lr=3e-2, batch_tokens=256, max_tokens=64, rank=4)


@pytest.fixture(scope="module")
def folders(base, rows, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    jobs = [Job(LORA, rows[n:], base, n, root / str(n), Context(root=root)) for n in range(3)]
    return [fitted.path for fitted in together(jobs, 3)]


@pytest.fixture(scope="module")
def pairs(rows):
    asked = [(row.messages[:1], row.messages[1][1]) for row in rows[:30]]
    return [*asked, ((("user", "Why?"),), ""), ((("user", "Why? " * 90),), "Because."), ((("user", "?"),), "no " * 300)]


@pytest.fixture
def expected(folders, pairs):
    return [Model.load(folder).loglik(pairs) for folder in folders]


@pytest.mark.parametrize("room", [1, 2, 3])
def test_each_adapter_gives_what_it_gives_alone(folders, pairs, expected, monkeypatch, room):
    monkeypatch.setattr(Stack, "room", lambda stack, positions: room)
    found = loglik(folders, pairs)
    for mine, theirs in zip(found, expected, strict=True):
        assert [one is None for one in mine] == [one is None for one in theirs]
        for one, other in zip(mine, theirs, strict=True):
            if one is not None:
                assert (one.n_tokens, one.n_chars) == (other.n_tokens, other.n_chars)
                assert one.total == pytest.approx(other.total, rel=1e-5, abs=1e-5)
    assert found[0][-1] is None
    assert found[0][0].total != pytest.approx(found[1][0].total, rel=1e-3)


def test_adapters_of_another_shape_are_refused(folders, base, rows, tmp_path):
    other = dataclasses.replace(LORA, rank=2, steps=1).fit(rows, base, 0, tmp_path / "other", Context(root=tmp_path))
    with pytest.raises(UserError, match="different bases or shapes"):
        loglik([*folders, other.path], [])


def test_no_pairs_are_no_values(folders):
    assert loglik(folders[:2], []) == [[], []]


def test_an_adapter_trained_with_dropout_is_scored_without_it(base, rows, pairs, tmp_path):
    made = [
        dataclasses.replace(LORA, steps=2, dropout=0.3).fit(rows, base, n, tmp_path / str(n), Context(root=tmp_path))
        for n in range(2)
    ]
    found = loglik([fitted.path for fitted in made], pairs[:5])
    for mine, fitted in zip(found, made, strict=True):
        assert [one.total for one in mine] == pytest.approx(
            [one.total for one in Model.load(fitted.path).loglik(pairs[:5])], rel=1e-5
        )

"""A few tasks with instructions, and a trainer that is small enough for tests."""

from __future__ import annotations

import pytest

from manifests.component import Context
from trainers.evaluate import load_model, load_tokenizer
from trainers.hypernet.adapted import Adapted, slots_of
from trainers.hypernet.hypernet import Hypernet
from trainers.render import Renderer
from trainers.trainer import HELD_OUT, Row

INSTRUCTIONS = ("Say the city.", "Name what the person does for a living, in two words.", "Repeat it.", "Upper case.")
UNSEEN = "Say the city in upper case."


def rows_of(instruction, count, role="specialist"):
    """Return rows of a task; the answers matter to no test."""
    return [
        Row(
            f"{instruction[:4]}-{n:04d}",
            (("system", instruction), ("user", f"Ada {n} lives in Rome"), ("assistant", f"{instruction[:3]} {n % 3}")),
            1.0,
            role,
        )
        for n in range(count)
    ]


@pytest.fixture(scope="session")
def tasks():
    """Return rows of four tasks to train on, and of one that only its own adapter is trained on."""
    return tuple(row for one in INSTRUCTIONS for row in rows_of(one, 6)) + tuple(rows_of(UNSEEN, 6, HELD_OUT))


@pytest.fixture(scope="session")
def small(base):
    """Return a trainer of a few steps."""
    return Hypernet(
        base=str(base),
        steps=4,
        tasks_per_step=3,
        rows_per_task=2,
        max_tokens=64,
        instruction_tokens=48,
        width=16,
        rank=2,
        teacher_steps=3,
        teacher_tokens=64,
        unseen="unseen",
        log_steps=1,
        checkpoint_steps=2,
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Return a folder in which runs of a session share their teachers and generators."""
    return Context(root=tmp_path_factory.mktemp("shared"))


@pytest.fixture
def renderer(base):
    return Renderer(load_tokenizer(base))


@pytest.fixture
def adapted(base):
    model = load_model(base, "cpu")
    return Adapted(model, slots_of(model, "all-linear"))

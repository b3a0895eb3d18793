"""A tiny base model and a few rows, made once for all tests of the trainers."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest

from manifests.component import Context
from trainers.scratch import Scratch
from trainers.trainer import Row

CITIES = (
    "Ada lives in Rome and paints the river.",
    "Ben lives in Oslo and bakes rye bread.",
    "Cleo lives in Lima and repairs old clocks.",
    "Dora lives in Cairo and teaches geometry.",
    "Emil lives in Paris and tunes pianos.",
    "Fay lives in Tokyo and grows plums.",
)
TINY = Scratch(layers=2, width=32, heads=2, vocab=320, context=128, steps=12, batch_tokens=512, lr=5e-3)


@pytest.fixture(autouse=True)
def one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def context(tmp_path_factory) -> Context:
    return Context(root=tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="session")
def base(tmp_path_factory, context) -> Path:
    """Return a model of about 40,000 parameters."""
    return TINY.build(CITIES * 20, tmp_path_factory.mktemp("base") / "tiny", context)


@pytest.fixture(scope="session")
def tokenizer(base):
    from trainers.evaluate import load_tokenizer

    return load_tokenizer(base)


@pytest.fixture(scope="session")
def rows() -> tuple[Row, ...]:
    """Return forty short questions with their answers."""
    made = []
    for n in range(40):
        words = CITIES[n % len(CITIES)].split()
        question = f"Where does {words[0]} live, and what is {n} plus one?"
        made.append(Row(f"{n:032x}", (("user", question), ("assistant", f"In {words[3]}; {n + 1}."))))
    return tuple(made)

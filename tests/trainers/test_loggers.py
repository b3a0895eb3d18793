"""Loggers beside the manifest: what each is told; packages that are not there are named."""

from __future__ import annotations

import importlib.util
import sys
import types
from contextlib import ExitStack

import pytest

from manifests.errors import UserError
from trainers import loggers
from trainers.full import Full
from trainers.trainer import LOGGERS
from trainers.validation import Validate

MADE = Full(base="given", steps=4, lr=5e-3, batch_tokens=256, max_tokens=64, log_steps=2)


class Recorder(types.ModuleType):
    """A package that notes every call, under the names that wandb, trackio and mlflow have."""

    def __init__(self):
        super().__init__("recorder")
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs)) or self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.calls.append(("end", (), {}))


@pytest.mark.parametrize("kind", ["wandb", "trackio", "mlflow"])
def test_a_logger_is_told_every_figure_with_its_step_and_closed(kind, monkeypatch, tmp_path):
    package = Recorder()
    monkeypatch.setitem(sys.modules, kind, package)
    with ExitStack() as stack:
        write = loggers.opened([kind], tmp_path / "near@0", {"seed": 3}, stack)
        write(1, {"loss": 2.5})
        write(7, {"loss": 2.0, "validation_loss": 1.5})
    told = [(args[0], kwargs["step"]) for name, args, kwargs in package.calls if name in ("log", "log_metrics")]
    assert told == [({"loss": 2.5}, 1), ({"loss": 2.0, "validation_loss": 1.5}, 7)]
    assert package.calls[-1][0] in ("finish", "end")
    assert "near@0" in str(package.calls)


@pytest.mark.parametrize("kind", sorted(LOGGERS.entries))
def test_a_package_that_is_not_installed_is_named(kind, monkeypatch, rows, base, context, tmp_path):
    def lacking(module):
        raise ImportError(module)

    monkeypatch.setattr(loggers, "import_module", lacking)
    with pytest.raises(UserError, match=f"log_to: {kind} needs a package"):
        Full(base="given", log_to=(kind,), max_tokens=64).fit(rows, base, 0, tmp_path, context)


def test_a_logger_changes_neither_the_key_nor_the_weights(rows, base, context, tmp_path, monkeypatch):
    import dataclasses

    package = Recorder()
    monkeypatch.setitem(sys.modules, "trackio", package)
    made = dataclasses.replace(MADE, validate=Validate(share=0.1, every=3))
    special = [dataclasses.replace(row, role="specialist") for row in rows]
    told = dataclasses.replace(made, log_to=("trackio",)).fit(special, base, 0, tmp_path / "told", context)
    plain = made.fit(special, base, 0, tmp_path / "plain", context)
    assert told.content_id == plain.content_id
    steps = [(kwargs["step"], sorted(args[0])) for name, args, kwargs in package.calls if name == "log"]
    assert steps == [
        (1, ["loss", "lr", "tokens", "tokens_per_second"]),
        (2, ["loss", "lr", "tokens", "tokens_per_second"]),
        (3, ["loss", "lr", "tokens", "tokens_per_second", "validation_loss"]),
        (4, ["loss", "lr", "tokens", "tokens_per_second", "validation_loss"]),
    ]
    assert dataclasses.replace(made, log_to=("trackio",)).fit(special, base, 0, tmp_path / "plain", context) == plain


def test_nobody_is_told_without_a_logger(tmp_path):
    with ExitStack() as stack:
        assert loggers.opened((), tmp_path, {}, stack) is loggers.silent


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_reads_what_was_written(rows, base, context, tmp_path):
    import dataclasses

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = dataclasses.replace(MADE, log_to=("tensorboard",)).fit(rows, base, 0, tmp_path, context)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(e.step, pytest.approx(e.value)) for e in found.Scalars("loss")] == list(run.log)

"""Two processes that torchrun starts give the weights that one process gives."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from manifests.errors import UserError
from trainers.full import Full
from trainers.lora import Lora
from trainers.processes import Group, forget, joined
from trainers.validation import Validate

SCRIPT = """
import pickle, sys
from pathlib import Path
from manifests.component import Context
with open(sys.argv[1], "rb") as file:
    trainer, rows, base, out = pickle.load(file)
if __name__ == "__main__":
    import os
    left = iter(range(int(os.environ["STEPS_LEFT"])))
    run = trainer.fit(rows, base, 5, out, Context(root=out.parent, stopping=lambda: next(left, None) is None))
    Path(sys.argv[1] + os.environ["RANK"]).write_text(repr((run.content_id, run.tokens, run.log)))
"""
FULL = Full(base="given", steps=5, lr=5e-3, batch_tokens=256, max_tokens=64, log_steps=1)
TRAINERS = {
    "full": FULL,
    "lora": Lora(base="given", steps=5, lr=5e-3, batch_tokens=256, max_tokens=64, log_steps=1),
    "epochs": dataclasses.replace(FULL, steps=None, epochs=1, validate=Validate(share=0.2, every=2)),
}


def launch(folder, trainer, rows, base, processes=2, steps=1000):
    """Fit in processes of torchrun; return (content id, tokens, log) as each process has it.

    They are stopped after so many `steps`, and return nothing then.
    """
    given, script = folder / "given", folder / "script.py"
    given.write_bytes(pickle.dumps((trainer, rows, base, folder / "run")))
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    env = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "GLOO_SOCKET_IFNAME": "lo",
        "STEPS_LEFT": str(steps),
    }
    done = subprocess.run([*command, script, given], env=env, capture_output=True, text=True, check=False, timeout=300)
    if steps < 1000:
        assert "stopped at step" in done.stderr
        return []
    assert done.returncode == 0, done.stderr[-3000:]
    return [(folder / f"given{rank}").read_text() for rank in range(processes)]


@pytest.mark.parametrize("kind", list(TRAINERS))
def test_two_processes_give_the_weights_of_one_that_takes_two_parts_bit_for_bit(rows, base, context, tmp_path, kind):
    special = tuple(dataclasses.replace(row, role="specialist") for row in rows)
    one = dataclasses.replace(TRAINERS[kind], accumulate=2).fit(special, base, 5, tmp_path / "one", context)
    found = launch(tmp_path, TRAINERS[kind], special, base)
    assert found == [repr((one.content_id, one.tokens, one.log))] * 2


def test_two_processes_are_within_rounding_of_one_that_takes_all_at_once(rows, base, context, tmp_path):
    import torch
    from safetensors.torch import load_file

    one = FULL.fit(rows, base, 5, tmp_path / "one", context)
    launch(tmp_path, FULL, rows, base)
    here, there = (load_file(folder / "model.safetensors") for folder in (one.path, tmp_path / "run"))
    assert max(float((here[name] - there[name]).abs().max()) for name in here) < 1e-4
    assert here.keys() == there.keys()
    assert all(torch.isfinite(value).all() for value in there.values())


SHARDED = {
    "full": dataclasses.replace(FULL, shard=True, validate=Validate(share=0.2, every=2)),
    "lora": dataclasses.replace(TRAINERS["lora"], shard=True, steps=None, epochs=1),
}


@pytest.mark.parametrize("kind", ["full", pytest.param("lora", marks=pytest.mark.long)])
def test_two_processes_that_each_hold_a_part_give_the_weights_of_one_up_to_rounding(
    rows, base, context, tmp_path, kind
):
    from safetensors.torch import load_file

    special = tuple(dataclasses.replace(row, role="specialist") for row in rows)
    one = SHARDED[kind].fit(special, base, 5, tmp_path / "one", context)
    found = launch(tmp_path, SHARDED[kind], special, base)
    assert found[0] == found[1]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sharded"]
    (name,) = (path.name for path in one.path.glob("*.safetensors"))
    here, there = (load_file(folder / name) for folder in (one.path, tmp_path / "run"))
    assert {name: value.shape for name, value in here.items()} == {name: value.shape for name, value in there.items()}
    assert max(float((here[name] - there[name]).abs().max()) for name in here) < 1e-4
    assert sorted(path.name for path in one.path.iterdir()) == sorted(p.name for p in (tmp_path / "run").iterdir())


@pytest.mark.long
def test_processes_that_each_hold_a_part_go_on_where_they_were_stopped_bit_for_bit(rows, base, tmp_path):
    special = tuple(dataclasses.replace(row, role="specialist") for row in rows)
    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    once = launch(tmp_path / "whole", SHARDED["full"], special, base)
    launch(tmp_path / "stopped", SHARDED["full"], special, base, steps=3)
    assert (tmp_path / "stopped" / "run" / "checkpoint.safetensors").is_file()
    assert launch(tmp_path / "stopped", SHARDED["full"], special, base) == once


def test_a_number_of_processes_left_in_the_environment_is_told_and_does_not_reach_workers(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UserError, match="RANK, MASTER_PORT is not set"), joined():
        pass
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(forget).result()
        assert pool.submit(os.getenv, "WORLD_SIZE").result() is None
    forget()
    assert os.environ["WORLD_SIZE"] == "4"


def test_a_process_alone_shares_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as group:
        assert group == Group()
        assert group.first
        assert group.any(True)
        assert not group.any(False)
        assert group.total([1.5, 2.0]) == [1.5, 2.0]
        group.wait()

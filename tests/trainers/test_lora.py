"""Adapters: PEFT's format, resumption after a kill, equal starts for all blends."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pydantic
import pytest

from manifests.component import component_key, spec_of
from manifests.errors import Interrupted, UserError
from trainers import state
from trainers.evaluate import load_model
from trainers.lora import Lora
from trainers.scratch import Scratch
from trainers.trainer import Row

LORA = Lora(base="given", steps=10, lr=1e-2, batch_tokens=256, max_tokens=64, rank=4, log_steps=5)


def tensors(folder):
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def fitted(base, rows, context, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "one"
    return LORA.fit(rows, base, 7, out, context, {"blend": "all-20k@0", "recipe": "{}"})


def test_the_adapter_is_in_the_format_of_peft_and_carries_its_blend(fitted, base):
    from peft import PeftModel
    from safetensors import safe_open

    names = {path.name for path in fitted.path.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "run.json", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".tmp")) or name == state.CHECKPOINT]
    with safe_open(fitted.path / "adapter_model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "blend": "all-20k@0", "recipe": "{}"}
    config = json.loads((fitted.path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base)
    assert (config["r"], config["lora_alpha"]) == (4, 16.0)
    model = PeftModel.from_pretrained(load_model(base, "cpu"), str(fitted.path))
    assert sum(value.numel() for name, value in model.named_parameters() if "lora_" in name) == sum(
        value.numel() for value in tensors(fitted.path).values()
    )


def test_the_record_says_what_was_done(fitted, rows):
    record = json.loads((fitted.path / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["content_id"] == fitted.content_id == state.content_id(fitted.path)
    assert (record["steps"], record["rows"], record["seed"]) == (10, len(rows), 7)
    assert record["tags"]["blend"] == "all-20k@0"
    assert [step for step, _ in fitted.log] == [1, 5, 10]
    assert fitted.log[-1][1] < fitted.log[0][1]
    assert fitted.tokens > 10 * 256 * 0.7
    assert fitted.seconds > 0
    assert fitted.peak_memory > 2**20
    assert (fitted.skipped, fitted.truncated) == (0, 0)


def test_a_finished_run_is_not_trained_again(fitted, base, rows, context):
    before = {path.name: path.stat().st_mtime_ns for path in fitted.path.iterdir()}
    told = []
    watched = dataclasses.replace(context, progress=lambda *pair: told.append(pair))
    assert LORA.fit(rows[::-1], base, 7, fitted.path, watched) == fitted
    assert told == []
    assert {path.name: path.stat().st_mtime_ns for path in fitted.path.iterdir()} == before


def test_rows_in_another_order_give_the_same_weights(fitted, base, rows, context, tmp_path):
    turned = (*rows[20:], *rows[:20])
    assert LORA.fit(turned, base, 7, tmp_path / "turned", context).content_id == fitted.content_id


def test_another_seed_or_field_replaces_what_lies_there(base, rows, context, tmp_path):
    first = LORA.fit(rows, base, 7, tmp_path, context)
    second = LORA.fit(rows, base, 8, tmp_path, context)
    third = dataclasses.replace(LORA, steps=9).fit(rows, base, 8, tmp_path, context)
    assert len({first.content_id, second.content_id, third.content_id}) == 3
    assert third.content_id == state.content_id(tmp_path)


def test_a_damaged_run_is_made_again(base, rows, context, tmp_path):
    first = LORA.fit(rows, base, 7, tmp_path, context)
    path = tmp_path / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert LORA.fit(rows, base, 7, tmp_path, context).content_id == first.content_id == state.content_id(tmp_path)


def test_inert_fields_do_not_count(base, rows, context, fitted):
    other = dataclasses.replace(LORA, checkpoint_steps=3)
    assert component_key(other) == component_key(LORA)
    assert other.fit(rows, base, 7, fitted.path, context) == fitted


def test_two_blends_start_from_the_same_adapter(base, rows, context, tmp_path):
    still = dataclasses.replace(LORA, steps=1, lr=1e-30)
    one = still.fit(rows[:20], base, 3, tmp_path / "one", context)
    two = still.fit(rows[20:], base, 3, tmp_path / "two", context)
    other = still.fit(rows[20:], base, 4, tmp_path / "other", context)
    assert tensors(one.path).keys() == tensors(two.path).keys()
    starts = [{n: v for n, v in tensors(run.path).items() if "lora_A" in n} for run in (one, two, other)]
    assert all(bool((starts[0][name] == starts[1][name]).all()) for name in starts[0])
    assert not all(bool((starts[0][name] == starts[2][name]).all()) for name in starts[0])


def test_the_base_is_left_as_it_was(base, rows, context, tmp_path):
    before = state.identity(base)
    LORA.fit(rows, base, 0, tmp_path, context)
    assert state.identity(base) == before


def test_a_run_stopped_with_dropout_goes_on_bit_for_bit(base, rows, context, tmp_path):
    made = dataclasses.replace(LORA, dropout=0.2)
    whole = made.fit(rows, base, 0, tmp_path / "whole", context)
    seen = []
    stop = dataclasses.replace(context, progress=lambda step, _: seen.append(step), stopping=lambda: 4 in seen)
    with pytest.raises(Interrupted):
        made.fit(rows, base, 0, tmp_path / "parts", stop)
    assert not (tmp_path / "parts" / "run.json").exists()
    parts = made.fit(rows, base, 0, tmp_path / "parts", context)
    assert parts.content_id == whole.content_id
    assert parts.log == whole.log
    assert parts.tokens == whole.tokens


SCRIPT = """
import pickle, sys, time
from pathlib import Path
from manifests.component import Context
trainer, rows, base, out = pickle.load(sys.stdin.buffer)
trainer.fit(rows, base, 5, out, Context(root=out.parent, progress=lambda step, _: time.sleep(0.02)))
"""


def test_a_killed_run_goes_on_bit_for_bit(base, rows, context, tmp_path):
    made = dataclasses.replace(LORA, steps=60, checkpoint_steps=4)
    whole = made.fit(rows, base, 5, tmp_path / "whole", context)
    out = tmp_path / "killed"
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, env={**os.environ})
    child.stdin.write(pickle.dumps((made, rows, base, out)))
    child.stdin.close()
    checkpoint = out / state.CHECKPOINT
    while child.poll() is None and not (checkpoint.is_file() and _step(checkpoint) >= 8):
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (out / state.RECORD).exists()
    reached = _step(checkpoint)
    told = []
    watched = dataclasses.replace(context, progress=lambda step, _: told.append(step))
    resumed = made.fit(rows, base, 5, out, watched)
    assert told[0] == reached + 1
    assert reached < 60
    assert resumed.content_id == whole.content_id
    assert resumed.log == whole.log


def _step(checkpoint):
    header, _ = state.read_header(checkpoint)
    return json.loads(header["__metadata__"]["facts"])["step"]


def test_rows_without_anything_to_learn_are_counted_and_none_left_is_refused(base, rows, context, tmp_path):
    bad = [Row(f"bad{n}", (("user", "a"), ("assistant", ""))) for n in range(3)]
    long = Row("long", (("user", "word " * 100), ("assistant", "b")))
    made = dataclasses.replace(LORA, steps=1)
    run = made.fit([*rows, *bad, long], base, 0, tmp_path / "some", context)
    assert (run.skipped, run.truncated) == (3, 1)
    with pytest.raises(UserError, match="3 of 3 rows skipped"):
        made.fit(bad, base, 0, tmp_path / "none", context)


def test_a_base_that_cannot_be_loaded_is_named(rows, context, tmp_path, fitted):
    with pytest.raises(UserError, match="no-such-model"):
        LORA.fit(rows, "no-such-model", 0, tmp_path / "a", context)
    with pytest.raises(UserError, match="adapter cannot be a base"):
        LORA.fit(rows, fitted.path, 0, tmp_path / "b", context)


def test_a_base_may_be_a_component_and_counts_in_the_key():
    made = Lora(base=Scratch(width=64, heads=2))
    assert spec_of(made)["base"]["width"] == 64
    assert component_key(made) != component_key(Lora(base=Scratch(width=32, heads=2)))
    assert Lora.nested["base"].load("scratch") is Scratch
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301


@pytest.mark.parametrize("field", [{"lr": 0.0}, {"lr": float("nan")}, {"steps": 0}, {"rank": 0}, {"schedule": "step"}])
def test_impossible_fields_are_refused(field):
    with pytest.raises(pydantic.ValidationError, match=next(iter(field))):
        Lora(base="given", **field)

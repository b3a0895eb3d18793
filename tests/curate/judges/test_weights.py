"""The fingerprint of a model folder follows its weights, its tokenizer and nothing else."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from curate.judges import weights
from manifests.errors import UserError


def model(folder: Path, seed: int = 0, tensors: int = 3, touch: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    random = np.random.default_rng(seed)
    parts = [random.normal(size=5000).astype(np.float32) for _ in range(tensors)]
    if touch is not None:
        parts[touch] = parts[touch] * np.float32(1.01)
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for i, part in enumerate(parts):
        header[f"t{i}"] = {"dtype": "F32", "shape": [5000], "data_offsets": [len(data), len(data) + part.nbytes]}
        data += part.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


@pytest.fixture(params=["whole", "blocks"])
def size(request, monkeypatch):
    if request.param == "blocks":
        monkeypatch.setattr(weights, "WHOLE", 0)
    return request.param


def test_a_copy_has_the_same_fingerprint(tmp_path, size):
    assert weights.fingerprint(model(tmp_path / "a")) == weights.fingerprint(model(tmp_path / "b"))


@pytest.mark.parametrize("tensor", [0, 1, 2])
def test_training_any_tensor_changes_the_fingerprint_though_sizes_stay(tmp_path, size, tensor):
    assert weights.fingerprint(model(tmp_path / "a")) != weights.fingerprint(model(tmp_path / "b", touch=tensor))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_config_and_tokenizer_are_part_of_it(tmp_path, name):
    before = weights.fingerprint(model(tmp_path / "a"))
    (tmp_path / "a" / name).write_text('{"changed": true}')
    assert weights.fingerprint(tmp_path / "a") != before


def test_other_files_are_not_part_of_it(tmp_path):
    before = weights.fingerprint(model(tmp_path / "a"))
    (tmp_path / "a" / "README.md").write_text("hello")
    assert weights.fingerprint(tmp_path / "a") == before


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        weights.fingerprint(tmp_path / "none")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"pickled.*pytorch_model\.bin"):
        weights.fingerprint(tmp_path / "pickled")


@pytest.mark.parametrize(
    "header",
    [
        b"not json!!",
        b"[1]",
        b"[" * 5000,
        b'{"w": 3}',
        b'{"w": {"shape": [1]}}',
        b'{"w": {"shape": [1], "data_offsets": [0, -4]}}',
        b'{"w": {"shape": 1, "data_offsets": [0, 4]}}',
    ],
)
def test_a_broken_weight_file_is_refused(tmp_path, monkeypatch, header):
    monkeypatch.setattr(weights, "WHOLE", 0)
    (model(tmp_path / "a") / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UserError, match="not a safetensors file"):
        weights.fingerprint(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "local"),
    [("Qwen/Qwen3-8B", False), ("gpt2", False), ("./model", True), ("/models/x", True), ("a/b/c", True), ("~/m", True)],
)
def test_a_hub_id_is_told_from_a_path(name, local):
    assert weights.is_local(name) is local

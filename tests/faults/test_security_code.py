"""Security, code: nothing in the tree runs code from data, and weights that could are refused by name."""

from __future__ import annotations

import ast
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from curate import encoder, hub
from curate.causal_lm import CausalLM
from curate.judges import weights
from curate.judges.adapter import adapter_fingerprint
from manifests import pickled
from manifests.component import Table
from manifests.errors import UserError
from manifests.jobs.spec import load_job
from tests.benchmarks import gates
from tests.manifests.jobs import small_job
from trainers import evaluate
from trainers.bank import seats

NAMED = {
    "manifests/component.py": "a table of this code, or an entry point of an installed package",
    "manifests/lazy.py": "names of this code",
    "trainers/loggers.py": "a package named in this code",
}
"""Modules that import what a variable names -> where the name comes from."""
EMPTY = struct.pack("<Q", 2) + b"{}"


class Evil:
    """What a pickle can hold: reading it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def test_no_module_of_the_packages_can_run_code_from_data():
    assert [found for module in gates.modules() for found in gates.unsafe(module)] == []
    assert len(gates.modules()) > 250


def test_what_is_imported_by_a_variable_name_never_comes_from_a_file():
    found = set()
    for module in gates.modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("import_module"):
                continue
            if not isinstance(node.args[0], ast.Constant):
                found.add(module.name)
    assert found == set(NAMED)


def test_no_keyword_lets_a_model_bring_its_own_code():
    given = []
    for module in gates.modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                given.append((module.name, ast.unparse(node.value)))
    assert {value for _, value in given} == {"False"}
    assert len(given) >= 5


@pytest.mark.parametrize(
    "kind", ["os:system", "os.system", "builtins:eval", "../evil", "evil.module:Class", "", "exact "]
)
def test_a_kind_in_a_job_is_a_word_of_a_table_and_no_path_to_code(kind):
    table = Table("step", "blendsmith.steps", {"exact": "curate.exact:Exact"})
    with pytest.raises(UserError, match="unknown step kind"):
        table.load(kind)


def test_a_job_cannot_name_code_to_run(tmp_path):
    path = small_job.edit(small_job.write(tmp_path), ("kind: exact", "kind: 'os:system'"))
    with pytest.raises(UserError, match=r"job\.yaml:8: unknown step kind: 'os:system'"):
        load_job(path)


def model(folder: Path, *files: str, **parts: object) -> Path:
    """Make the folder of a model whose weights are pickles that would make the file `proof` beside it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "base_model_name_or_path": "x"})
    )
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(Evil(folder.parent / "proof")))
    for name, value in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


READERS: dict[str, Callable[[Path], object]] = {
    "a judge's weights": weights.fingerprint,
    "a judge's adapter": adapter_fingerprint,
    "an encoder": lambda folder: encoder.sentence_model(str(folder)),
    "a model that scores": lambda folder: CausalLM.load(str(folder)),
    "an adapter that was trained": lambda folder: evaluate._adapted(folder, "cpu"),
    "adapters that are compared": seats.shape_of,
}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.PTH", "last.ckpt", "adapter_model.bin"])
@pytest.mark.parametrize("reader", READERS)
def test_pickled_weights_are_refused_by_name_and_not_opened(reader, name, tmp_path):
    folder = model(tmp_path / "model", name)
    with pytest.raises(UserError, match="pickled, and reading such a file can run code") as refused:
        READERS[reader](folder)
    assert refused.value.value == name
    assert "safetensors" in refused.value.remedy
    assert not (tmp_path / "proof").exists()


def test_a_base_model_with_pickled_weights_is_refused_by_name(tmp_path):
    folder = model(tmp_path / "model", "pytorch_model.bin", "optimizer.pt")
    (folder / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"optimizer\.pt, pytorch_model\.bin"):
        evaluate.load_model(folder, "cpu")
    assert not (tmp_path / "proof").exists()


def test_the_planted_pickle_would_have_run(tmp_path):
    folder = model(tmp_path / "model", "pytorch_model.bin")
    pickle.loads((folder / "pytorch_model.bin").read_bytes())  # noqa: S301 - made above
    assert (tmp_path / "proof").exists()


def test_safetensors_beside_a_pickle_are_what_is_read(tmp_path):
    folder = model(tmp_path / "model", "training_args.bin", "openvino/openvino_model.bin")
    (folder / "model.safetensors").write_bytes(EMPTY)
    pickled.refuse(folder)
    assert len(weights.fingerprint(folder)) == 32
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"2_Dense: .*pytorch_model\.bin"):
        pickled.refuse(folder)


@pytest.mark.parametrize("kind", ["evil.Transformer", "os.system", "subprocess.Popen", "modeling_x.Custom"])
def test_an_encoder_whose_parts_are_code_of_its_own_is_refused(kind, tmp_path):
    folder = model(tmp_path / "model", modules=[{"idx": 0, "name": "0", "path": "", "type": kind}])
    (folder / "model.safetensors").write_bytes(EMPTY)
    (folder / "evil.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    with pytest.raises(UserError, match="code of its own") as refused:
        encoder.sentence_model(str(folder))
    assert refused.value.value == kind
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("parts", ["{", "[1]", '[{"kind": "x"}]', "7", "[" * 5000])
def test_a_list_of_parts_that_is_none_is_refused(parts, tmp_path):
    folder = model(tmp_path / "model")
    (folder / "modules.json").write_text(parts)
    with pytest.raises(UserError, match="not a list of a model's parts"):
        encoder.sentence_model(str(folder))


def test_a_dataset_of_the_hub_that_needs_code_is_refused(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def refuse(*_, **given):
        assert "trust_remote_code" not in given
        raise RuntimeError("Dataset scripts are no longer supported, but found evil.py")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=r"Dataset scripts are no longer supported, but found evil\.py"):
        list(hub.read("owner/name", "a" * 40, None, "train"))

"""The bounds that the code keeps: sizes, types, docstrings, handlers, imports, and what the wheel holds."""

from __future__ import annotations

import ast
import gzip
import json
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.benchmarks import gates
from tests.benchmarks.gates import PACKAGES, ROOT

MODULES = gates.modules()
FUNCTIONS = [(module, node) for module in MODULES for node in module.functions()]
BOUNDARIES: tuple[str, ...] = ()
"""`file:line` of handlers that may take every exception and go on. None is needed."""
SPEAKERS = {"manifests/cli.py", "manifests/output.py", "manifests/demo.py"}
"""Modules that write to standard output for people."""
CHANNELS = {"curate/judges/vllm_worker.py"}
"""Modules whose standard output is a pipe to their parent."""
HEAVY = (
    *("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "vllm", "datasets", "ray"),
    *("marimo", "altair"),
    *("sentence_transformers", "faiss", "sklearn", "scipy", "pandas", "polars", "duckdb", "pyarrow", "numpy"),
)


def test_the_packages_are_found():
    assert {module.name.split("/")[0] for module in MODULES} == set(PACKAGES)
    assert len(MODULES) > 90
    assert len(FUNCTIONS) > 700


def test_a_module_is_at_most_400_lines():
    assert {m.name: m.lines for m in MODULES if m.lines > gates.MOST_LINES} == {}


def test_half_of_the_modules_are_under_150_lines():
    assert sorted(module.lines for module in MODULES)[len(MODULES) // 2] < 150


def test_a_function_is_at_most_60_lines():
    long = {m.at(n): gates.function_lines(n) for m, n in FUNCTIONS if gates.function_lines(n) > 60}
    assert long == {}


def test_a_function_takes_at_most_8_parameters():
    assert {m.at(n): len(gates.parameters(n)) for m, n in FUNCTIONS if len(gates.parameters(n)) > 8} == {}


def test_no_function_is_more_complex_than_10():
    assert gates.complex_functions() == []


def test_every_parameter_and_result_has_a_type():
    assert {m.at(n): gates.untyped(n) for m, n in FUNCTIONS if gates.untyped(n)} == {}


def test_everything_public_has_a_docstring_whose_first_line_is_a_sentence():
    lacking = []
    for module in MODULES:
        for name, node in module.public():
            first = (ast.get_docstring(node) or "").split("\n")[0]
            if not first or first[0].islower() or first[-1] not in ".:;,?)" or len(first) > 119:
                lacking.append((name, first))
    assert lacking == []


def test_no_handler_takes_every_exception_and_goes_on():
    assert gates.swallowing() == list(BOUNDARIES)


def test_no_handler_is_empty():
    handlers = [
        (module, node) for module in MODULES for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler)
    ]
    bare = [module.at(node) for module, node in handlers if node.type is None]
    assert bare == []
    assert len(handlers) > 20


def test_only_the_command_line_prints():
    calls = [(m, n) for m in MODULES for n in ast.walk(m.tree) if isinstance(n, ast.Call)]
    assert [m.at(n) for m, n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"] == []
    speaking = {m.name for m, n in calls if ast.unparse(n.func).startswith("sys.stdout.")}
    assert speaking - CHANNELS <= SPEAKERS


def test_no_work_is_left_in_comments():
    assert [m.name for m in MODULES if gates.MARKS.search(m.text)] == []


def test_nothing_runs_code_from_data():
    assert [found for module in MODULES for found in gates.unsafe(module)] == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "exec(x)",
        "torch.load(f)",
        "yaml.load(f)",
        "from_pretrained(x, trust_remote_code=True)",
        "from_pretrained(x, trust_remote_code=y)",
        "run(x, shell=True)",
        "numpy.load(f, allow_pickle=True)",
    ],
)
def test_the_check_for_unsafe_code_sees_it(text, tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "ROOT", tmp_path)
    (tmp_path / "bad.py").write_text(text)
    assert len(gates.unsafe(gates.Module(tmp_path / "bad.py"))) == 1


def test_the_check_for_swallowed_exceptions_tells_handlers_apart(tmp_path, monkeypatch):
    (tmp_path / "bad.py").write_text(
        "try:\n    f()\nexcept Exception:\n    pass\n"
        "try:\n    f()\nexcept (ValueError, BaseException):\n    g()\n"
        "try:\n    f()\nexcept BaseException:\n    g()\n    raise\n"
        "try:\n    f()\nexcept ValueError:\n    pass\n"
    )
    monkeypatch.setattr(gates, "ROOT", tmp_path)
    monkeypatch.setattr(gates, "modules", lambda: (gates.Module(tmp_path / "bad.py"),))
    assert gates.swallowing() == ["bad.py:3", "bad.py:7"]


def test_the_table_of_the_gates_can_be_printed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gates", "--list"])
    gates.main()
    printed = capsys.readouterr().out
    assert {row[0] for row in gates.table()} <= set(re.split(r"  +|\n", printed))
    assert next(place for place, carries in gates.raises() if not carries) in printed


def test_four_errors_of_five_carry_the_offending_value():
    carried = [carries for _, carries in gates.raises()]
    assert len(carried) > 100
    assert sum(carried) / len(carried) >= 0.8


def test_there_is_as_much_test_as_code():
    code = sum(gates.statement_lines(module.path) for module in MODULES)
    tests = sum(gates.statement_lines(path) for path in gates.files_of_tests())
    assert tests / code >= 1.0, f"{tests} lines of test for {code} lines of code"


def modules_after(code):
    """Return the modules loaded in a fresh interpreter once `code` ran."""
    script = f"import sys\n{code}\nprint(*sorted(sys.modules), file=sys.__stderr__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stderr.split())


def test_importing_the_packages_loads_nothing_heavy():
    loaded = modules_after("import curate, mixers, trainers, manifests")
    assert {"curate", "mixers", "trainers", "manifests"} <= loaded
    assert loaded.intersection(HEAVY) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["sql", "--help"]])
def test_asking_the_command_for_help_loads_nothing_heavy(arguments):
    loaded = modules_after(
        "import manifests.cli\n"
        f"sys.argv = ['blendsmith', *{arguments!r}]\n"
        "try:\n    manifests.cli.main()\nexcept SystemExit as done:\n    assert not done.code"
    )
    assert "manifests.cli" in loaded
    assert loaded.intersection(HEAVY) == set()


def test_a_test_cannot_reach_another_machine():
    with socket.socket() as reaching, pytest.raises(AssertionError, match=r"192\.0\.2\.1:80"):
        reaching.connect(("192.0.2.1", 80))


def test_every_name_that_a_package_offers_can_be_imported():
    for package in PACKAGES:
        offered = __import__(package)
        for name in offered.__all__:
            assert getattr(offered, name) is not None, (package, name)
        with pytest.raises(AttributeError):
            _ = offered.no_such_name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the wheel of the tree as it is, opened."""
    folder = tmp_path_factory.mktemp("wheel")
    (made,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    with zipfile.ZipFile(made) as opened:
        yield opened


def test_the_wheel_holds_every_module_and_file_of_the_packages(wheel):
    names = set(wheel.namelist())
    assert {module.name for module in MODULES} <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    wanted = [
        *(ROOT / "curate" / "prompts").glob("*.txt"),
        *(ROOT / "manifests" / "examples").glob("*.yaml"),
        *(ROOT / "manifests" / "data").iterdir(),
        *(ROOT / "manifests" / "jobs" / "first").iterdir(),
        *(ROOT / "mixers" / name for name in ("conformance.jsonl", "conformance.sql")),
        *(ROOT / "manifests" / name for name in ("schema.sql", "report.css", "jobs/init.yaml")),
    ]
    assert len(wanted) > 15
    assert {path.relative_to(ROOT).as_posix() for path in wanted} <= names


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    kinds = {Path(name).suffix for name in wheel.namelist() if ".dist-info/" not in name}
    assert kinds <= {".py", ".sql", ".css", ".yaml", ".jsonl", ".gz", ".txt", ".md", ".typed"}
    assert [name for name in wheel.namelist() if "/tests/" in name or "__pycache__" in name] == []


def test_the_wheel_holds_no_data_for_non_commercial_use_only(wheel):
    packed = [name for name in wheel.namelist() if name.endswith(".jsonl.gz")]
    assert packed
    for name in packed:
        for line in gzip.decompress(wheel.read(name)).decode("utf-8").splitlines():
            assert "NC" not in json.loads(line).get("license", ""), (name, line)


def test_the_wheel_names_its_command_its_licences_and_its_extras(wheel):
    metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode("utf-8")
    assert "License-Expression: Apache-2.0" in text
    assert {f"Provides-Extra: {name}" for name in ("embed", "train", "judge", "hub", "ray")} <= set(text.splitlines())
    entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "blendsmith = manifests.cli:main" in wheel.read(entry).decode("utf-8")
    licences = [Path(name).name for name in wheel.namelist() if ".dist-info/licenses/" in name]
    assert sorted(licences) == ["LICENSE", "LICENSES.md"]

"""The README and docs/ are run: commands, queries, programs and jobs; and what they claim is compared with the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
import typer

from curate.container import SHAPES
from curate.formats import FORMATS
from curate.step import JUDGES, STEPS
from manifests import demo, errors
from manifests.cli import app
from manifests.jobs import yaml_lines
from manifests.jobs.json_schema import job_schema
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from mixers.mixer import MIXERS
from tests.benchmarks.gates import ROOT
from tests.docs import manifest_page
from trainers.search import SEARCHES
from trainers.trainer import TRAINERS

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
COOKBOOK = "COOKBOOK.md"
"""Its queries run in test_cookbook.py, on a manifest that has an answer to each."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "sql", "python", "yaml"}
MANIFEST = "first/runs/first-job"
MAY_BE_EMPTY = (
    "FROM conflicts", "FROM decisions d JOIN", "FROM scores", "limited_by IS NOT NULL", "FROM quality", "FROM coverage",
    "metric = 'exact_match'", "metric = 'steadiness'", "metric = 'rouge_l'", "-loglik'",
)  # fmt: skip
"""What the queries hold that need a duplicate, a conflict, a judge, a shortage, cells or a study's own tasks, which the
first job does not have."""
RUN = "import sys; from manifests.cli import main; sys.argv[0] = 'blendsmith'; main()"
CODE = re.compile(r"`+[^`]+`+")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self):
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Ran:
    """What a command line did."""

    code: int
    out: str
    err: str


def blocks(language=None):
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(document, line, match[1], match[2]))
    return [block for block in found if language in (None, block.language)]


def lines(program):
    """Return the lines of the sh blocks, in order, that start `program`."""
    every = [line for block in blocks("sh") for line in block.text.splitlines()]
    return [line for line in every if line.split()[0] == program]


def spans(document):
    """Return the texts in backticks of a document, fenced blocks left out, white space made single."""
    text = FENCE.sub("", document.read_text("utf-8"))
    return [" ".join(span.strip("`").split()) for span in CODE.findall(text)]


def usages():
    """Return every `blendsmith ...` in the documents: fenced, indented and in backticks."""
    found = lines("blendsmith")
    for document in DOCUMENTS:
        text = FENCE.sub("", document.read_text("utf-8"))
        found += [line.strip() for line in text.splitlines() if line.startswith("    blendsmith ")]
        found += [span for span in spans(document) if span.startswith("blendsmith ")]
    return sorted(set(found))


def commands(group=None, prefix=""):
    """Return every command of the command line with its click command, such as `judge eval`."""
    group = group or typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, f"{prefix}{name} ")
        else:
            found[prefix + name] = command
    return found


ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}


def call(arguments, folder):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


@pytest.fixture(scope="session")
def ran(folder):
    """Run the documents' commands, in order, each after those before it, in one folder."""
    return {line: call(["-c", RUN, *shlex.split(line)[1:]], folder) for line in lines("blendsmith")}


@pytest.fixture(scope="session")
def manifest(folder, ran):
    with Manifest(folder / MANIFEST) as opened:
        yield opened


def test_every_fenced_block_is_of_a_language_that_is_checked():
    assert {block.language for block in blocks()} == LANGUAGES
    for document in DOCUMENTS:
        assert document.read_text("utf-8").count("```") == 2 * sum(b.document == document for b in blocks())


def test_every_line_of_a_shell_block_is_make_or_blendsmith():
    every = [line for block in blocks("sh") for line in block.text.splitlines()]
    assert sorted(every) == sorted([*lines("make"), *lines("blendsmith")])
    assert len(every) > 10


def test_every_make_target_is_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {line.split()[1] for line in lines("make")}
    named |= {span.split()[1] for document in DOCUMENTS for span in spans(document) if span.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("line", lines("blendsmith"))
def test_the_command_runs(ran, line):
    assert ran[line].code == 0, ran[line].err
    assert ran[line].out.strip()
    assert "Traceback" not in ran[line].err


def test_the_first_job_is_then_up_to_date(folder, ran):
    again = call(["-c", RUN, "run", "first/job.yaml"], folder)
    assert again.code == 0
    assert "nothing to do" in again.out


@pytest.mark.parametrize(
    "block", [b for b in blocks("sql") if b.document.name != COOKBOOK], ids=lambda block: block.place
)
def test_the_query_runs(manifest, block):
    found = manifest.sql(block.text.strip().removesuffix(";"))
    assert found.width > 0
    assert found.height > 0 or any(part in block.text for part in MAY_BE_EMPTY)


def test_the_demos_queries_run_on_any_manifest(manifest):
    assert len(demo.QUERIES) == 5
    for query in demo.QUERIES:
        assert manifest.sql(query).width > 0


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.place)
def test_the_program_runs(folder, ran, block):
    script = folder / f"block_{block.line}.py"
    script.write_text(block.text, encoding="utf-8")
    done = call([str(script)], folder)
    assert done.code == 0, done.err
    assert bool(done.out.strip()) == ("print(" in block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.place)
def test_a_program_that_trains_can_be_imported_again_by_its_workers(block):
    guard = block.text.find('if __name__ == "__main__":')
    calls = [match.start() for match in re.finditer(r"\brun\(", block.text)]
    assert all(0 <= guard < call for call in calls)


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.place)
def test_the_job_loads_and_fits_the_schema(tmp_path, block):
    file = tmp_path / "job.yaml"
    file.write_text(block.text, encoding="utf-8")
    value = yaml_lines.load(file).value
    for source in value["sources"]:
        (tmp_path / source["path"]).write_text('{"prompt": "a", "completion": "b"}\n', encoding="utf-8")
    loaded = load_job(file, extras=False)
    assert len(loaded.sources) == len(value["sources"])
    plain = {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}
    assert jsonschema.Draft202012Validator(job_schema()).is_valid(_lists(plain))


def _lists(value):
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def test_every_command_is_in_the_readme_and_nothing_else_is():
    text = README.read_text("utf-8")
    for name in commands():
        assert f"blendsmith {name}" in text, name


@pytest.mark.parametrize("usage", usages())
def test_every_usage_names_a_command_and_options_that_exist(usage):
    words = shlex.split(usage)[1:]
    assert usage.startswith(f"blendsmith {_parse(typer.main.get_command(app), words, None)}")


def test_a_usage_with_an_unknown_option_or_command_is_noticed():
    for usage in ("run job.yaml --wrokers 2", "rnu job.yaml", "judge eval M", "sql M"):
        with pytest.raises(typer.BadParameter.__base__):
            _parse(typer.main.get_command(app), shlex.split(usage), None)


def _parse(command, arguments, parent):
    """Parse as the command line would, down to the last command, run nothing, and return that command's words."""
    context = command.make_context(command.name, list(arguments), parent=parent)
    if not hasattr(command, "commands"):
        return ""
    name, inner, rest = command.resolve_command(context, list(arguments))
    return f"{name} {_parse(inner, rest, context)}".strip()


def test_every_command_argument_and_option_says_what_it_is():
    for name, command in commands().items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None) or parameter.name == "help", (name, parameter.name)


def test_the_page_of_the_manifest_is_what_the_manifest_says():
    assert manifest_page.PAGE.read_text("utf-8") == manifest_page.page(), "run: python -m tests.docs.manifest_page"


def test_every_view_and_macro_is_documented(manifest):
    text = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    views = manifest.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal AND database_name = 'manifest'")
    macros = manifest.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE function_type = 'table_macro' AND NOT internal AND database_name = 'manifest'"
    )
    assert (views.height, macros.height) == (30, 6)
    for name in [*views["view_name"], *macros["function_name"]]:
        assert re.search(rf"### {name}\b", text), name


def test_every_file_that_a_document_names_is_there():
    named = {span for document in DOCUMENTS for span in spans(document)}
    ours = ("curate", "mixers", "trainers", "manifests", "tests", "docs", ".ci")
    paths = {span for span in named if re.fullmatch(r"[\w.-]+(/[\w.-]+)+", span) and span.split("/")[0] in ours}
    assert len(paths) >= 4
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_the_formats_judges_and_steps_that_the_readme_names_are_those_of_the_code():
    text = " ".join(README.read_text("utf-8").split())
    listed = re.search(r"the formats are (.*?)\. A row", text)[1]
    assert set(re.split(r", | and ", listed)) == set(FORMATS)
    for name in JUDGES.kinds():
        assert f"`{name}` (" in text
    documented = "\n".join(document.read_text("utf-8") for document in DOCUMENTS)
    for name in STEPS.kinds():
        assert re.search(rf"kind: {name}\b", documented), name
    assert {".jsonl", ".json", ".csv", ".parquet"} <= set(SHAPES)
    for table in ("STEPS", "JUDGES", "MIXERS", "TRAINERS", "TASKS"):
        assert f"`{table}`" in text


def test_the_exit_codes_of_the_readme_are_those_of_the_code():
    text = " ".join(README.read_text("utf-8").split())
    listed = re.search(r"Exit codes: (.*?) \(finished", text)[1]
    codes = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert [int(part.split()[0]) for part in listed.split(", ")] == sorted(codes.values())


def test_the_extras_of_the_readme_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"`\[(\w+)\]`", README.read_text("utf-8")))
    assert named == set(project["optional-dependencies"])
    assert project["scripts"] == {"blendsmith": "manifests.cli:main"}


def test_what_the_readme_counts_of_the_demo_is_so():
    text = " ".join(README.read_text("utf-8").split())
    mixes = yaml_lines.load(demo.PACKAGE / "examples" / demo.JOBS[-1]).value["mix"]
    assert int(re.search(r"draws (\d+) blends", text)[1]) == sum(len(recipe["seeds"]) for recipe in mixes)
    assert "two job files" in text
    assert len(demo.JOBS) == 2


def test_the_changelog_names_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_the_changelog_names_every_command_and_component_that_exists():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    named = [*commands(), *STEPS.kinds(), *JUDGES.kinds(), *MIXERS.kinds(), *TRAINERS.kinds(), *SEARCHES.kinds()]
    assert [name for name in named if name != "judge" and f"`{name}`" not in text] == []

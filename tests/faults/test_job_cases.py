"""Jobs and the command line, cases 85 to 100: a message names the file, the line and a remedy, and does so again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from curate import hub
from manifests import doctor
from manifests.errors import UserError
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from tests.manifests import judged_job
from tests.manifests.test_spec import BAD, message_of
from trainers import dressing, evaluate

RECORDED = {
    85: ("typo_in_a_key", "typo_in_a_top_key", "typo_in_the_word_kind"),
    86: ("typo_in_a_kind", "typo_in_a_nested_kind", "unknown_kind_of_task"),
    87: ("wrong_type", "wrong_type_fraction_of_a_row", "wrong_type_number_as_a_name", "one_value_for_a_list"),
    88: ("duplicate_key",),
    89: ("alias",),
    90: ("tag",),
    91: ("tab",),
    92: ("empty",),
    94: ("word_that_readers_disagree_on",),
    96: ("shares_that_do_not_add_up", "share_over_1"),
    99: ("missing_extra",),
}
"""Case -> files of tests/manifests/bad_jobs with the message that each must give."""
CASES = [pytest.param(name, id=f"case-{n:03d} {name}") for n, names in RECORDED.items() for name in names]
WANTED = {
    "typo_in_a_key": "did you mean 'steps'?",
    "typo_in_a_kind": "did you mean 'exact'?",
    "duplicate_key": "first in line 12",
    "alias": "write the value out",
    "tag": "remove it",
    "tab": "indent with spaces",
    "empty": "blendsmith init",
    "word_that_readers_disagree_on": "quote it",
    "missing_extra": "pip install 'blendsmith[judge]'",
}
"""What the fault list asks a message for."""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def job(tmp_path) -> Path:
    return judged_job.write(tmp_path / "judged")


def edit(path: Path, *pairs: tuple[str, str]) -> Path:
    text = path.read_text("utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, "utf-8")
    return path


def refused(blendsmith: Run, path: Path, *words: str) -> str:
    """Run a job that must be refused, twice; return the message, which must be the same and say where it is wrong."""
    code, out, err = blendsmith("run", path, *words)
    assert code == 2
    assert "Traceback" not in out + err
    again = blendsmith("run", path, *words)
    said = err[err.index("error: ") :]
    assert (again[0], again[2][again[2].index("error: ") :]) == (2, said)
    first, *rest = said.removeprefix("error: ").replace(str(path.parent), "JOB").splitlines()
    assert first.startswith("JOB/job.yaml:")
    assert all(line.startswith("  ") for line in rest)
    assert rest, "a remedy"
    return "\n".join([first, *rest])


@pytest.mark.parametrize("name", CASES)
def test_a_bad_job_gives_the_recorded_message_which_says_what_is_asked_for(name, tmp_path, monkeypatch):
    message = message_of(name, tmp_path, monkeypatch)
    assert message == (BAD / f"{name}.txt").read_text("utf-8")
    assert message.startswith(f"{name}.yaml:")
    assert WANTED.get(name, "\n  ") in message


@pytest.mark.parametrize("command", ["validate", "plan", "run"])
def test_case_085_a_typo_is_a_user_error_of_every_command(job, blendsmith, command):
    edit(job, ("rows: 4", "rosw: 4"))
    code, out, err = blendsmith(command, job)
    assert (code, out) == (2, "")
    assert err == f"error: {job}:9: unknown key of kind 'proportional': 'rosw'\n  did you mean 'rows'?\n"


@pytest.mark.parametrize(("written", "value"), [("1e-4", 1e-4), ("1E-1", 0.1), (".5", 0.5), ("5e-1", 0.5)])
def test_case_093_an_exponent_without_a_point_is_a_number(job, written, value):
    edit(job, ("curate:\n", f"curate:\n  - {{kind: fuzzy, threshold: {written}}}\n"))
    assert load_job(job).curate[0].threshold == value


def test_case_095_more_rows_than_there_are_is_refused_with_both_counts(job, blendsmith):
    edit(job, ('rows: 4, where: "p_error < 0.5"', "rows: 400"))
    assert refused(blendsmith, job) == (
        "JOB/job.yaml:9: blend 'some' asks for more generalist rows than can be drawn (15 rows): 400\n"
        "  ask for at most 15 rows, or raise max_epochs to repeat rows"
    )
    with Manifest(job.parent / "runs" / "judged") as manifest:
        assert "score:2-judge" in manifest.status()["stage"].to_list(), "what came before is kept"


def test_case_095_rows_are_repeated_when_asked_for_and_the_times_are_told(job, blendsmith):
    edit(job, ('rows: 4, where: "p_error < 0.5"', "rows: 30, max_epochs: 3"))
    code, out, err = blendsmith("run", job)
    assert code == 0
    assert "some@0: 30 generalist rows from 15: each is shown up to 2 times" in out + err
    with Manifest(job.parent / "runs" / "judged") as manifest:
        assert manifest.sql("SELECT repeats FROM strata WHERE blend = 'some@0'")["repeats"].max() == 2


def test_case_097_rows_that_a_step_drops_to_the_last_stop_the_job_with_the_funnel(job, blendsmith):
    edit(job, ("curate:\n", "curate:\n  - {kind: rules, min_chars: 100000, drop: [too-short]}\n"))
    edit(job, ("mix:\n", "train:\n  kind: full\n  base: {kind: scratch, steps: 4}\n  steps: 2\nmix:\n"))
    assert refused(blendsmith, job) == (
        "JOB/job.yaml:14: blend 'some' has no generalist row to draw from:"
        " '16 read; 0 rejected; 16 dropped by 1-rules (too-short)'\n"
        "  see which rows and why with: SELECT * FROM funnel; loosen the step that drops them"
    )
    root = job.parent / "runs" / "judged"
    assert not (root / "bases").exists(), "nothing was trained"
    with Manifest(root) as manifest:
        found = manifest.sql("SELECT n_dropped FROM funnel WHERE reason = 'too-short' AND source = 'pool'")
        assert found["n_dropped"].to_list() == [16]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("rows: 4", "asks for more generalist rows than can be drawn (0 rows; `where` leaves 0 of 15 rows): 4"),
        ("share: 0.5", "asks for more generalist rows than can be drawn (0 rows; `where` leaves 0 of 15 rows): 8"),
        ("rows: all", "draws all generalist rows that pass, and none passes: 'p_error < 0'"),
    ],
)
def test_case_097_a_condition_that_no_row_meets_stops_the_job(job, blendsmith, recipe, message):
    edit(job, ('rows: 4, where: "p_error < 0.5"', f'{recipe}, where: "p_error < 0"'))
    assert f"JOB/job.yaml:9: blend 'some' {message}\n" in refused(blendsmith, job)


def test_case_097_a_recipe_of_no_generalist_rows_is_no_fault(job, blendsmith):
    edit(job, ('rows: 4, where: "p_error < 0.5"', "rows: 0"), ("rows: 2, seeds: [0, 1]", "like: some"))
    edit(job, ("kind: proportional, name: twice", "kind: random_drop, name: twice"))
    edit(job, ("curate:\n", "curate:\n  - {kind: rules, min_chars: 100000, drop: [too-short]}\n"))
    assert blendsmith("run", job)[0] == 0


def test_case_098_a_dataset_that_the_hub_does_not_give_is_named_with_its_line(job, blendsmith):
    pytest.importorskip("datasets")
    edit(job, ("path: data/pool.jsonl", f"hub: owner/nothing, revision: {'a' * 40}"))
    message = refused(blendsmith, job)
    assert message.startswith("JOB/job.yaml:3: cannot load the hub dataset (")
    assert "'owner/nothing'" in message
    assert "HF_HUB_OFFLINE" in message


def test_case_098_an_id_or_a_revision_that_moves_is_refused_before_anything_is_asked(job, blendsmith):
    edit(job, ("path: data/pool.jsonl", "hub: owner/nothing, revision: main"))
    assert "JOB/job.yaml:3: not a pinned revision: 'main'\n" in refused(blendsmith, job)
    with pytest.raises(UserError, match="not a dataset on the hub"):
        hub.check("nothing", "a" * 40)


def test_case_099_a_missing_extra_is_named_before_anything_is_read(job, blendsmith, monkeypatch):
    monkeypatch.setattr("manifests.jobs.checks.installed", lambda package: package != "datasets")
    edit(job, ("path: data/pool.jsonl", f"hub: owner/nothing, revision: {'a' * 40}"))
    message = refused(blendsmith, job)
    assert "pip install 'blendsmith[hub]'" in message
    assert not (job.parent / "runs" / "judged" / "manifest.duckdb").exists()


def test_case_100_without_a_gpu_the_processor_is_taken_and_doctor_says_so(blendsmith, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert evaluate.best_device() == "cpu"
    rows = {row["check"]: row for row in json.loads(blendsmith("doctor", "--json")[1])}
    assert (rows["gpu"]["status"], rows["gpu"]["detail"][-7:]) == ("absent", "the CPU")


def test_case_100_what_needs_a_gpu_says_so_with_a_remedy(monkeypatch):
    monkeypatch.setattr(dressing, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="bitsandbytes") as missing:
        dressing.quantised("base", "cpu")
    assert "leave quantize out" in missing.value.remedy

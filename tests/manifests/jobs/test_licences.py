"""Licences in jobs: stated for every source, and what a commercial job makes of them."""

from __future__ import annotations

import json

import pytest

from manifests.errors import UserError
from manifests.jobs.run import run
from manifests.jobs.spec import load_job
from manifests.jobs.stages import data_stages
from manifests.store import Manifest

ROWS = [
    {"prompt": "a", "completion": "b", "terms": "MIT"},
    {"prompt": "c", "completion": "d", "terms": "CC BY-NC 4.0"},
    {"prompt": "e", "completion": "f", "terms": None},
    {"prompt": "g", "completion": "h", "terms": "Apache-2.0"},
]
MAPPED = "columns: {licence: terms}"


def job(folder, *sources, head="", **given):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    lines = [
        f"  - {{name: s{i}, path: rows.jsonl, role: generalist{', ' * bool(s)}{s}}}" for i, s in enumerate(sources)
    ]
    file = folder / "job.yaml"
    file.write_text("\n".join(["name: x", *([head] if head else []), "error_budget: 1", "sources:", *lines, ""]))
    return load_job(file, **given)


def refusal(*args, **given):
    with pytest.raises(UserError) as caught:
        job(*args, **given)
    return str(caught.value)


def test_a_source_without_a_licence_is_refused_with_its_line_and_the_remedy(tmp_path):
    message = refusal(tmp_path, "licence: MIT", "")
    assert f"{tmp_path}/job.yaml:5: a source needs a licence: 's1'" in message
    assert "licence: unknown if you do not know" in message
    assert "'s0'" not in message
    job(tmp_path, "licence: unknown", MAPPED)


@pytest.mark.parametrize(
    ("fields", "flag"),
    [
        ("licence: CC-BY-NC-4.0", True),
        ("licence: CC-BY-NC-4.0, non_commercial: true", True),
        ("licence: House rules, non_commercial: true", True),
        ("licence: MIT", False),
        ("licence: unknown", False),
    ],
)
def test_the_flag_follows_from_the_licence_s_name_and_is_carried(tmp_path, fields, flag):
    run(job(tmp_path, fields))
    with Manifest(tmp_path / "runs" / "x") as manifest:
        assert manifest.sql("SELECT licence, non_commercial FROM sources").row(0) == (fields[9:].split(",")[0], flag)


def test_a_flag_that_contradicts_the_licence_is_refused(tmp_path):
    assert "the licence forbids commercial use" in refusal(tmp_path, "licence: CC-BY-NC-SA-4.0, non_commercial: false")


def test_a_commercial_job_refuses_every_non_commercial_source_by_name_and_line(tmp_path):
    message = refusal(
        tmp_path,
        "licence: CC-BY-NC-4.0",
        "licence: MIT",
        "licence: Ours, non_commercial: true",
        "licence: unknown",
        head="commercial: true",
    )
    assert f"{tmp_path}/job.yaml:5: source 's0' is for non-commercial use only, and the job is commercial" in message
    assert f"{tmp_path}/job.yaml:7: source 's2' is for non-commercial use only" in message
    assert f"{tmp_path}/job.yaml:8: nothing says that source 's3' may be used commercially: 'unknown'" in message
    assert "'s1'" not in message


def test_a_commercial_job_rejects_rows_whose_own_licence_forbids_it_or_is_unknown(tmp_path):
    run(job(tmp_path, MAPPED, head="commercial: true"))
    with Manifest(tmp_path / "runs" / "x") as manifest:
        kept = manifest.sql("SELECT prompt, licence FROM samples ORDER BY prompt").rows()
        rejected = manifest.sql("SELECT line, reason FROM rejects ORDER BY line").rows()
    assert kept == [("a", "MIT"), ("g", "Apache-2.0")]
    assert rejected == [(2, "non-commercial licence"), (3, "unknown licence")]


def test_a_source_s_licence_stands_for_rows_that_name_none(tmp_path):
    run(job(tmp_path, f"licence: CC0-1.0, {MAPPED}", head="commercial: true"))
    with Manifest(tmp_path / "runs" / "x") as manifest:
        assert manifest.sql("SELECT reason FROM rejects").rows() == [("non-commercial licence",)]


def test_commercial_changes_the_key_of_every_reading_and_nothing_else_does(tmp_path):
    def keys(head):
        return [stage.key for stage in data_stages(job(tmp_path, "licence: MIT", head=head))]

    assert keys("") == keys("commercial: false") == keys("engine: local") == keys("engine: {kind: local, workers: 3}")
    assert keys("") != keys("commercial: true")


def test_without_commercial_all_rows_are_read(tmp_path):
    run(job(tmp_path, MAPPED))
    with Manifest(tmp_path / "runs" / "x") as manifest:
        assert manifest.sql("SELECT count(*) FROM samples").item() == 4


@pytest.mark.parametrize(
    ("head", "part"),
    [
        ("engine: locale", "did you mean 'local'"),
        ("engine: {kind: local, workers: 0}", "greater than 0"),
        ("engine: {kind: local, worker: 2}", "did you mean 'workers'"),
        ("engine: 3", "'engine' of a job must be"),
    ],
)
def test_a_wrong_engine_is_refused_with_its_line(tmp_path, head, part):
    message = refusal(tmp_path, "licence: MIT", head=head)
    assert "job.yaml:2" in message
    assert part in message

"""Keys of stages: what makes one run again, and where it stands."""

from __future__ import annotations

import pytest

from manifests.jobs.stages import FAILED, artefact, data_stages, space_of, training_stages
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import edit


@pytest.fixture
def path(tmp_path):
    return small_job.write(tmp_path)


def keys(path, content="c"):
    job = small_job.job(path)
    data = data_stages(job)
    refs = [stage.name[4:] for stage in data if stage.kind == "mix"]
    return {s.name: s.key for s in [*data, *training_stages(job, data, dict.fromkeys(refs, content), "b")]}


def changed(path, *pairs, content="c"):
    before = keys(path)
    after = keys(edit(path, *pairs), content)
    assert list(before) == list(after)
    return {name for name in after if after[name] != before[name]}


def kinds(names):
    return {name.split(":")[0] for name in names}


def test_a_job_has_one_stage_a_source_entry_space_and_blend_and_two_a_run(path):
    job = small_job.job(path)
    refs = ("plain@0", "plain@1", "near@0", "near@1")
    assert list(keys(path)) == [
        *("read:pool", "read:facts", "read:held-out"),
        *("step:1-exact", "step:2-rules", "step:3-decontaminate", "score:4-judge"),
        f"cells:{space_of(job, job.mix[1]).name}",
        *(f"mix:{ref}" for ref in refs),
        "base:scratch",
        *(name for ref in refs for name in (f"train:{ref}", f"measure:{ref}:capitals")),
        "compare:all",
    ]


def test_keys_are_those_of_the_content_and_not_of_the_folder(path, tmp_path_factory):
    assert keys(small_job.write(tmp_path_factory.mktemp("elsewhere"))) == keys(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("notes: A test.", "notes: Another."),
        ("error_budget: 0.1", "error_budget: 0.2"),
        ("judge: {kind: replay", "truth: other, judge: {kind: replay"),
        ("max_tokens: 64", "max_tokens: 64\n  checkpoint_steps: 7\n  threads: 2"),
        ("name: small", "name: renamed"),
    ],
)
def test_an_inert_field_changes_no_key(path, old, new):
    assert changed(path, (old, new)) == set()


@pytest.mark.parametrize(
    ("old", "new", "stages"),
    [
        ("{kind: exact}", "{kind: exact, roles: [generalist, specialist]}", {"step", "score", "cells", "mix", "base"}),
        ("ngram: 6", "ngram: 7", {"step", "score", "cells", "mix", "base"}),
        ("judge: {kind: replay", "min_label_mass: 0.4, judge: {kind: replay", {"score", "mix"}),
        ("rows: 16", "rows: 15", {"mix"}),
        ("width: 32", "width: 16", {"base", "train", "measure", "compare"}),
        ("  batch_tokens: 128", "  batch_tokens: 64", {"train", "measure", "compare"}),
        ("limit: 3", "limit: 2", {"measure", "compare"}),
        ("error_budget", "compare: [[plain, near]]\nerror_budget", {"compare"}),
    ],
)
def test_a_field_changes_the_keys_of_its_stage_and_of_those_after_it(path, old, new, stages):
    assert kinds(changed(path, (old, new))) == stages


def test_another_space_has_another_stage_and_changes_the_blends_that_need_it(path):
    before = keys(path)
    after = keys(edit(path, ("cells: 4", "cells: 3")))
    found = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    spaces = {name for name in found if name.startswith("cells:")}
    assert len(spaces) == 2
    assert found - spaces == {"mix:near@0", "mix:near@1"}


def test_a_step_leaves_those_before_it_alone(path):
    assert not changed(path, ("ngram: 6", "ngram: 7")) & {"step:1-exact", "step:2-rules"}


def test_a_recipe_leaves_the_others_alone_but_those_that_are_like_it(path):
    extra = ("train:", "  - {kind: random_drop, name: control, like: near, seeds: [0, 1]}\ntrain:")
    edit(path, extra)
    found = changed(path, ("rows: 12", "rows: 11"))
    assert found == {f"mix:{name}@{seed}" for name in ("near", "control") for seed in (0, 1)}


def test_a_changed_source_changes_what_reads_its_role_only(path):
    before = keys(path)
    with (path.parent / "data" / "held-out.jsonl").open("a") as file:
        file.write('{"question": "Tell me the capital city of Chile, please.", "answer": "Santiago"}\n')
    after = keys(path)
    same = {name for name in after if after[name] == before[name]}
    assert {"read:pool", "read:facts", "step:1-exact", "step:2-rules"} <= same
    assert not same & {"read:held-out", "step:3-decontaminate", "measure:near@0:capitals"}
    assert "train:near@0" in same  # its blend's content decides


def test_training_is_keyed_by_content_base_and_seed(path):
    job = small_job.job(path)
    data = data_stages(job)

    def key(content, base, ref="plain@0"):
        return next(s.key for s in training_stages(job, data, {ref: content}, base) if s.kind == "train")

    assert key("c", "b") == key("c", "b", "near@0")
    assert len({key("c", "b"), key("d", "b"), key("c", "d"), key("c", "b", "plain@1")}) == 4


def test_no_key_is_the_mark_of_a_failed_stage(path):
    assert FAILED not in keys(path).values()


def test_a_stage_keeps_its_position_when_one_of_another_kind_comes_or_goes(path):
    def positions(job):
        return {stage.name: stage.position for stage in data_stages(job)}

    job = small_job.job(path)
    fewer = small_job.job(path, sources=job.sources[:2], curate=job.curate[:2])
    assert positions(fewer).items() <= positions(job).items()
    assert sorted(positions(job).values()) == list(positions(job).values())


def test_what_a_stage_keeps_beside_the_database(path, tmp_path):
    found = {s.kind: artefact(s, tmp_path) for s in data_stages(small_job.job(path))}
    assert found["read"] is found["step"] is found["score"] is None
    assert found["mix"] == tmp_path / "blends" / "near@1"
    assert found["base"].parent == tmp_path / "bases"

"""The tables that each stage up to the blends writes."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from curate.scores import scored
from manifests.component import Context
from manifests.errors import ConservationError
from manifests.jobs import execute
from manifests.jobs.stages import data_stages
from manifests.store import Store
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import manifest


@pytest.fixture
def work(copy):
    """Return a function that does the work of a stage over the finished job's store."""
    job = small_job.job(copy)
    stages = {stage.name: stage for stage in data_stages(job)}
    with Store(manifest(copy)) as store:

        def run(name):
            stage = next(stage for found, stage in stages.items() if found.startswith(name))
            return execute.WORK[stage.kind](job, store, stage, Context(job.manifest))

        run.store, run.stages = store, stages
        yield run


def test_reading_gives_the_source_its_samples_and_its_rejects(work):
    tables = work("read:pool")
    facts = tables["sources"].row(0, named=True)
    assert (facts["rows"], facts["samples"], facts["rejects"]) == (40, 38, 2)
    assert (tables["samples"].height, tables["rejects"].height) == (38, 2)
    assert sorted(tables["rejects"]["line"]) == [38, 40]
    assert all(tables["rejects"]["reason"])


def test_a_step_writes_a_decision_for_every_row_that_it_may_see(work):
    from curate.exact import Exact

    seen = work.store.query("SELECT count(*) FROM store.samples WHERE role = 'generalist'").item()
    names = work.store.keys()
    work.store.retire([name for name in names if name.startswith(("step", "mix", "train", "measure", "compare"))])
    decisions = work("step:1-exact")["decisions"]
    assert isinstance(work.stages["step:1-exact"].component, Exact)
    assert decisions.height == seen
    assert decisions.filter(~pl.col("kept")).height == 1
    assert set(decisions["step"]) == {"1-exact"}


def test_a_scorer_answers_for_every_row(work):
    tables = work("score:4-judge")
    assert tables["scores"].height == tables["verdicts"].height == 36


def test_a_scorer_is_handed_the_rows_of_the_roles_that_it_needs(work, copy):
    seen = {}

    class Teaching:
        kind, version, name, roles, needs = "teaching", 1, "taught", ("generalist",), ("specialist", "knowledge")

        def score(self, samples, context, reference):
            seen.update({role: frame.height for role, frame in reference.items()})
            return scored(samples["sample_id"], self.name, samples["n_turns"], [None] * samples.height)

    stage = dataclasses.replace(work.stages["score:4-judge"], component=Teaching())
    tables = execute.score(small_job.job(copy), work.store, stage, Context(copy))
    assert tables["scores"].height == 36
    assert seen["specialist"] > 0
    assert seen["knowledge"] == 0


def test_a_space_gives_each_row_a_cell_and_says_how_well_the_target_is_covered(work):
    tables = work("cells:")
    assert tables["cells"].height == 36 + 12 + 4
    assert tables["cells"]["cell"].is_between(0, 3).all()
    assert tables["coverage"].height > 0


def test_the_same_blend_is_drawn_again_with_its_head(work):
    tables = work("mix:plain@1")
    head = tables["blends"].row(0, named=True)
    wanted = work.store.query(
        "SELECT content_id, n_rows, n_samples, n_tokens FROM store.blends WHERE blend = 'plain@1'"
    )
    assert tuple(head[name] for name in wanted.columns) == wanted.row(0)
    assert head["n_rows"] == tables["members"]["repeats"].sum()
    assert "text" not in tables


@pytest.mark.parametrize(("ids", "exact"), [(["a", "a"], False), (["c"], False), (["a"], True)])
def test_an_answer_for_other_rows_than_those_given_is_refused(work, ids, exact):
    stage = work.stages["step:1-exact"]
    samples = pl.DataFrame({"sample_id": ["a", "b"]})
    with pytest.raises(ConservationError, match="step:1-exact"):
        execute._expect_ids(stage, pl.DataFrame({"sample_id": ids}), samples, exact=exact)


def test_an_answer_for_the_rows_given_is_accepted(work):
    stage, samples = work.stages["step:1-exact"], pl.DataFrame({"sample_id": ["a", "b"]})
    execute._expect_ids(stage, pl.DataFrame({"sample_id": ["b"]}), samples, exact=False)
    execute._expect_ids(stage, samples, samples, exact=True)

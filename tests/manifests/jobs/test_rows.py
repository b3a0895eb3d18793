"""What components are given from the store."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from manifests.jobs import rows
from manifests.store import Manifest
from mixers.blend import Blend
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import ask, manifest


class Published:
    """The published copy as a state."""

    def __init__(self, opened):
        self.query = opened.sql


@pytest.fixture(scope="module")
def state(done):
    with Manifest(manifest(done)) as opened:
        yield Published(opened)


def test_kept_rows_are_those_that_no_step_dropped_in_the_order_of_their_ids(state, done):
    frame = rows.kept(state, ("generalist",))
    wanted = ask(done, "SELECT sample_id FROM samples WHERE role = 'generalist' AND kept ORDER BY 1")
    assert frame["sample_id"].to_list() == wanted["sample_id"].to_list()
    assert frame.height == 36
    assert set(rows.kept(state, ("specialist", "eval"))["role"]) == {"specialist", "eval"}


def test_the_pool_has_a_column_a_scorer_and_p_error_for_judged_rows_only(state):
    frame = rows.scored(state)
    assert frame.filter(role="generalist")["p_error"].null_count() == 0
    assert frame.filter(role="specialist")["p_error"].null_count() == 12
    assert frame["judge"].equals(frame["p_error"])
    assert "eval" not in set(frame["role"])


def test_a_mixer_sees_the_cells_of_the_space_it_asked_for_and_no_eval_row_but_as_target(state, done):
    space = ask(done, "SELECT DISTINCT space FROM cells").item()
    pool = rows.pool(state, space)
    assert pool.samples["cell"].null_count() == pool.target["cell"].null_count() == 0
    assert set(pool.target["role"]) == {"specialist", "eval"}
    assert rows.pool(state, None).samples["cell"].null_count() == pool.samples.height
    assert set(pool.select("p_error > 0.5")) <= set(pool.samples["sample_id"])


def test_a_blend_read_back_has_the_content_id_it_was_drawn_with(state, done):
    for ref, content in ask(done, "SELECT blend, content_id FROM blends").iter_rows():
        blend = rows.blend_of(state, ref)
        assert isinstance(blend, Blend)
        assert (blend.ref, blend.content_id) == (ref, content)


def test_training_rows_stand_in_the_blend_s_order_with_the_answer_last(state, done):
    found = rows.training_rows(state, "near@0")
    wanted = ask(done, "SELECT sample_id FROM blend_members WHERE blend = 'near@0' ORDER BY position")
    assert [row.sample_id for row in found] == wanted["sample_id"].to_list()
    assert {row.messages[-1][0] for row in found} == {"assistant"}


def test_repeats_come_round_by_round(state, done):
    class Repeated:
        def query(self, sql, parameters=()):
            frame = state.query(sql, parameters)
            return frame.with_columns(pl.Series("repeats", [3, 1, 2] + [0] * (frame.height - 3)))

    a, b, c = (row.sample_id for row in rows.training_rows(state, "near@0")[:3])
    assert [row.sample_id for row in rows.training_rows(Repeated(), "near@0")] == [a, b, c, a, c, a]


def test_examples_are_the_same_first_ones_whatever_the_limit(state, done):
    task = small_job.job(done).measure[0]
    found = {
        limit: [e.example_id for e in rows.examples(state, dataclasses.replace(task, limit=limit))]
        for limit in (1, 2, 3, None)
    }
    assert len(found[None]) == 4
    assert found[1] == found[None][:1]
    assert found[3] == found[None][:3]
    example = rows.examples(state, task)[0]
    assert example.messages[-1][0] == "user"
    answers = {city for _, city in small_job.COUNTRIES[12:]}
    assert set(example.references) <= answers


def test_a_task_may_name_its_source(state, done):
    task = small_job.job(done).measure[0]
    assert rows.eval_rows(state, dataclasses.replace(task, task=None, source="held-out", limit=None)).height == 4
    assert rows.eval_rows(state, dataclasses.replace(task, task="other")).height == 0


def test_a_base_learns_kept_text_of_the_sources_asked_for_and_never_eval_rows(state):
    everything = rows.texts(state, ())
    assert len(everything) == 36 + 12
    held = {question for question, _ in small_job.COUNTRIES[12:]}
    assert not any(
        f"Tell me the capital city of {country}, please.\n" in text for text in everything for country in held
    )
    assert len(rows.texts(state, ("facts",))) == 12
    assert rows.texts(state, ("held-out",)) == ()


def test_remarks_of_earlier_steps_are_handed_to_those_that_ask(state):
    class Reader:
        roles = ("generalist",)
        reads_remarks = True

    class Marked:
        def query(self, sql, parameters=()):
            if "AS remarks" not in sql:
                return state.query(sql, parameters)
            assert state.query(sql, parameters).columns == ["sample_id", "remarks"]
            first = rows.kept(state, ("generalist",))["sample_id"][:1]
            return pl.DataFrame({"sample_id": first, "remarks": [["conflict", "seen"]]})

    frame = rows.kept_with(Marked(), Reader())
    assert frame["remarks"].to_list() == [["conflict", "seen"], *[[]] * (frame.height - 1)]
    assert frame.drop("remarks").equals(rows.kept(state, ("generalist",)))
    assert rows.kept_with(state, Reader())["remarks"].dtype == pl.List(pl.String)

"""Advice before training: read from manifests, refused where it has nothing to stand on."""

from __future__ import annotations

import polars as pl
import pytest

from manifests import schema
from manifests.errors import UserError
from manifests.names import digest
from manifests.store import FILE, Manifest, StageRecord, Store
from tests.manifests.sample_manifest import write
from trainers.advise import ADVICE, advise, history

COVERED = {"facts-test": 0.45, "facts": 0.31}
GAIN, ERROR = 0.3, 0.05


def covered(root):
    """Add coverage numbers to a manifest, as a recipe that uses cells does."""
    rows = [
        {"target": target, "source": "pool", "metric": metric, "value": value}
        for target, nearness in COVERED.items()
        for metric, value in (("nearness", nearness), ("breadth", 0.6), ("novelty", 0.9))
    ]
    commit(root, "cells:more", {"coverage": schema.frame(rows, schema.COVERAGE)})
    return root


def commit(root, name, tables):
    """Write one stage."""
    with Store(root) as store:
        store.commit(StageRecord(name, name.split(":")[0], digest(name), "{}", 900, 0.1), tables)
        store.publish()


def compared(root):
    """Add a blend of 100 specialist rows alone, and what 300 generalist rows gained over it."""
    with Manifest(root) as manifest:
        first = manifest.sql("SELECT * FROM store.blends WHERE blend = 'filtered-100@0'")
        held = manifest.sql("SELECT * FROM blend_members WHERE blend = 'filtered-100@0' AND role = 'specialist'")
        values = manifest.sql("SELECT * FROM results WHERE run = 'filtered-100@0' AND metric = 'loglik'")
    named = {"blend": pl.lit("alone@0"), "recipe_name": pl.lit("alone"), "content_id": pl.lit(digest("alone"))}
    blend = first.drop("stage").with_columns(**named, n_rows=100, n_samples=100)
    members = held.drop("blend").with_columns(blend=pl.lit("alone@0"), position=pl.int_range(pl.len()))
    commit(root, "mix:alone@0", {"blends": blend, "members": members})
    commit(root, "measure:alone@0:facts-test", {"results": values.with_columns(run=pl.lit("alone@0"))})
    spread = values["value"].std()
    about = {"task": "facts-test", "metric": "loglik", "n_examples": values.height, "n_seeds": 1}
    half = 1.96 * ERROR * spread
    board = about | {"blend": "alone", "mean": 0.0, "ci_low": -1.0, "ci_high": 1.0}
    pair = about | {"blend_a": "filtered-100", "blend_b": "alone", "difference": GAIN * spread, "p_value": 0.01}
    pair |= {"ci_low": GAIN * spread - half, "ci_high": GAIN * spread + half, "verdict": "helps"}
    pairs = schema.frame([pair], schema.COMPARISONS)
    commit(root, "compare:more", {"leaderboard": schema.frame([board], schema.LEADERBOARD), "comparisons": pairs})
    return root


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with Manifest(covered(write(tmp_path_factory.mktemp("study")))) as manifest:
        yield manifest


def test_advice_has_a_row_per_target_blend_and_budget_the_best_first(study):
    found = advise(study)
    assert dict(found.schema) == dict(ADVICE)
    assert set(found["target"]) == set(COVERED)
    assert set(found["blend"]) == set(study.sql("SELECT DISTINCT recipe_name FROM blends")["recipe_name"])
    for _, part in found.group_by("target", "budget"):
        assert part["gain"].to_list() == sorted(part["gain"], reverse=True)
        assert part["blend"].n_unique() == part.height
    assert (found["ci_low"] < found["gain"]).all()
    assert (found["gain"] < found["ci_high"]).all()


def test_one_target_can_be_asked_for_and_an_unknown_one_names_the_nearest(study):
    assert set(advise(study, target="facts")["target"]) == {"facts"}
    with pytest.raises(UserError, match="no coverage of such a target") as caught:
        advise(study, target="fact")
    assert "did you mean 'facts'" in str(caught.value)


def test_without_a_comparison_to_specialist_rows_alone_it_says_that_it_is_the_prior(study):
    assert history(study) == []
    assert set(advise(study)["basis"]) == {"prior only: no comparison with specialist rows alone yet"}


def test_history_is_each_gain_over_specialist_rows_alone_in_spreads_of_the_examples(tmp_path):
    with Manifest(compared(covered(write(tmp_path)))) as manifest:
        (found,) = history(manifest)
        assert found.gain == pytest.approx(GAIN)
        assert found.error == pytest.approx(ERROR)
        assert (found.case.target, found.case.specialist_rows, found.case.generalist_rows) == ("facts-test", 100, 300)
        assert found.case.coverage == {"nearness": 0.45, "breadth": 0.6}
        assert not found.case.factual


def test_a_history_elsewhere_moves_the_advice_and_narrows_it(study, tmp_path):
    with Manifest(compared(covered(write(tmp_path)))) as past:
        before, after = advise(study, target="facts"), advise(study, [past], "facts")
    assert set(after["basis"]) == {"1 comparison on 1 target"}
    assert (after.sort("blend", "budget")["gain"] > before.sort("blend", "budget")["gain"]).all()
    width = [(one["ci_high"] - one["ci_low"]).mean() for one in (after, before)]
    assert width[0] < width[1]


def test_where_no_blend_is_drawn_it_advises_on_amounts(tmp_path):
    with Manifest(covered(write(tmp_path, "cells"))) as manifest:
        found = advise(manifest, target="facts")
        own = manifest.sql("SELECT count(*) FROM samples WHERE source = 'facts' AND kept").item()
    assert set(found["blend"]) == {None}
    assert sorted(set(found["generalist_rows"])) == [own * times for times in (0.5, 1, 2, 4, 8, 16)]


def test_a_manifest_without_coverage_is_refused_with_what_to_do(tmp_path):
    with (
        Manifest(write(tmp_path, "read")) as empty,
        pytest.raises(UserError, match=r"states no coverage(?s:.)*kind: coverage"),
    ):
        advise(empty)
    assert (tmp_path / FILE).exists()

"""The scorer gives every row one score and one verdict, with the proof of what it found."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest

from curate.computed import Computed
from curate.computed.family import FAMILIES
from curate.step import STEPS, Scorer
from manifests import schema
from manifests.component import Context, component_key
from manifests.errors import Interrupted, UserError
from tests.curate.judged import frame

ROWS = (
    ("What is 17 times 23?", "391"),
    ("What is 17 times 23?", "381"),
    ("Write a poem.", "Roses are red."),
    ("Find the mean of 4, 8 and 12.", "(4 + 8 + 12) / 3 = 8, so 2 + 2 = 5"),
)


@pytest.fixture
def context(tmp_path):
    return Context(root=tmp_path)


def test_it_is_a_scorer_that_jobs_know(context):
    assert STEPS.load("computed") is Computed
    assert isinstance(Computed(), Scorer)
    assert Computed.good == "low"
    assert Computed().pending(frame(ROWS), context) == 0


def test_every_row_has_one_score_and_one_verdict(context):
    rows = frame(ROWS)
    scored = Computed().score(rows, context)
    assert scored.scores.schema == pl.Schema(schema.SCORES)
    assert scored.verdicts is not None
    assert scored.verdicts.schema == pl.Schema(schema.VERDICTS)
    assert scored.scores["sample_id"].to_list() == rows["sample_id"].sort().to_list()
    found = rows.join(scored.scores, on="sample_id").select("response", "value", "status").rows()
    assert set(found) == {
        ("391", 0.0, "ok"),
        ("381", 1.0, "ok"),
        ("Roses are red.", None, "abstained"),
        ("(4 + 8 + 12) / 3 = 8, so 2 + 2 = 5", 1.0, "ok"),
    }
    silent = scored.scores.filter(pl.col("status") == "abstained")["why"].to_list()
    assert silent == ["nothing in the row can be computed with certainty"]


def test_a_verdict_carries_what_was_expected_found_and_recomputed(context):
    rows = frame(ROWS[1:2])
    verdicts = Computed().score(rows, context).verdicts
    assert verdicts is not None
    (verdict,) = verdicts.to_dicts()
    assert (verdict["label"], verdict["defect"], verdict["p_error"]) == ("wrong", "arithmetic", 1.0)
    (claim,) = json.loads(verdict["claims"])
    assert (claim["expected"], claim["found"], claim["verdict"]) == ("391", "381", "wrong")
    assert json.loads(verdict["evidence"]) == [{"kind": "arithmetic", "recomputed": "17 * 23 = 391"}]


def test_one_wrong_statement_makes_a_row_wrong_and_names_the_defect(context):
    verdicts = Computed().score(frame(ROWS[3:]), context).verdicts
    assert verdicts is not None
    assert verdicts["defect"].to_list() == ["stated"]
    assert {claim["verdict"] for claim in json.loads(verdicts["claims"][0])} == {"right", "wrong"}


def test_right_equations_by_the_way_do_not_make_a_row_correct(context):
    scored = Computed().score(frame([("Tell me a story.", "Ann had two dogs and got three: 2 + 3 = 5.")]), context)
    assert scored.verdicts is not None
    assert scored.scores.select("value", "status", "why").row(0) == (
        None,
        "abstained",
        "the equations stated by the way are right; what was asked is not checked",
    )
    assert scored.verdicts.select("label", "p_error").row(0) == (None, None)
    assert json.loads(scored.verdicts["claims"][0])[0]["verdict"] == "right"


def test_only_the_checks_asked_for_run(context):
    scored = Computed(kinds=("stated",)).score(frame(ROWS), context)
    assert scored.scores["status"].to_list().count("ok") == 1
    assert component_key(Computed()) != component_key(Computed(kinds=("stated",)))


def test_an_unknown_check_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'arithmetic'"):
        Computed(kinds=("arithmetics",))


def test_longer_conversations_abstain(context):
    rows = frame(ROWS[:1]).with_columns(n_turns=pl.lit(4, pl.Int32))
    assert Computed().score(rows, context).scores["status"].to_list() == ["abstained"]


def test_the_result_does_not_depend_on_row_order_or_on_the_pieces_of_work(context, monkeypatch):
    rows = frame((f"What is {n} + {n}?", str(2 * n + (n % 3 == 0))) for n in range(1, 60))
    once = Computed().score(rows, context)
    monkeypatch.setattr("curate.computed.scorer.CHUNK", 7)
    again = Computed().score(rows.reverse(), context)
    assert once.scores.equals(again.scores)
    assert once.verdicts is not None
    assert again.verdicts is not None
    assert once.verdicts.equals(again.verdicts)


def test_it_tells_its_progress_and_stops_when_asked(context):
    rows, seen = frame(ROWS), []
    Computed().score(rows, replace(context, progress=lambda done, total: seen.append((done, total))))
    assert seen
    assert seen[-1][0] == seen[-1][1]
    with pytest.raises(Interrupted):
        Computed().score(rows, replace(context, stopping=lambda: True))


def test_no_rows_give_no_scores(context):
    scored = Computed().score(frame(ROWS).clear(), context)
    assert scored.scores.height == 0
    assert scored.verdicts is not None
    assert scored.verdicts.height == 0


def test_the_tables_of_facts_are_whole():
    from curate.computed.facts import countries, elements

    assert sorted({number for number, _ in elements().values()}) == list(range(1, 119))
    assert len({symbol for _, symbol in elements().values()}) == 118
    assert elements()["aluminum"] == elements()["aluminium"] == (13, "Al")
    assert countries()["bolivia"][0] == ("la paz", "sucre")
    assert len({capitals for capitals, _ in countries().values()}) > 180
    assert all(family.check for family in FAMILIES.values())

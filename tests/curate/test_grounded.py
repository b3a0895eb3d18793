"""Responses are held against evidence: refuted, borne out, or left alone where there is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.claim import Claim
from curate.grounded import LONGEST_TEXT, MOST_QUOTED, NO_CLAIM, NO_EVIDENCE, NOT_READ, Checked, Grounded
from curate.sample import samples_frame
from curate.stances import Stance
from curate.stances.judge import Asked
from curate.stances.trained import Trained
from curate.step import STEPS, Scorer
from manifests import schema
from manifests.component import Context, component_key
from manifests.errors import Interrupted
from tests.curate.judged import by_response, frame, sample
from tests.curate.scripted import Scripted
from tests.curate.stances.test_trained import lessons
from tests.curate.test_evidence import known

KNOWN = [
    ("France", "Paris", {"relation": "capital"}),
    ("Italy", "Rome", {"relation": "capital"}),
    ("Brazil", "Portuguese", {"relation": "official language"}),
    ("Eiffel Tower", "The Eiffel Tower in Paris was completed in 1889. It is made of iron.", {}),
    ("Bananas", "Bananas are yellow fruit. They grow in warm places.", {}),
]


def scored(pairs, tmp_path, rows=KNOWN, grounded=None):
    samples = frame(pairs)
    found = (grounded or Grounded()).score(samples, Context(tmp_path), {"knowledge": known(*rows)})
    return by_response(samples, found.scores), by_response(samples, found.verdicts)


def test_it_is_a_scorer_that_needs_knowledge():
    assert isinstance(Grounded(), Scorer)
    assert STEPS.load("grounded") is Grounded
    assert Grounded.needs == ("knowledge",)
    assert Grounded().good == "low"


def test_facts_refute_and_bear_out(tmp_path):
    scores, verdicts = scored(
        [
            ("Tell me about France.", "The capital of France is Rome."),
            ("Tell me of France.", "The capital of France is Paris."),
            ("What is the capital of Italy?", "Paris"),
        ],
        tmp_path,
    )
    said = {response: row["value"] for response, row in scores.items()}
    assert said == {"The capital of France is Rome.": 1.0, "The capital of France is Paris.": 0.0, "Paris": 1.0}
    wrong = verdicts["The capital of France is Rome."]
    assert (wrong["label"], wrong["defect"], wrong["status"]) == ("wrong", "refuted", "ok")
    (claim,) = json.loads(wrong["claims"])
    assert claim["verdict"] == "refute"
    assert claim["facts"] == [{"relation": "capital", "subject": "france", "found": "rome", "expected": ["Paris"]}]
    (quoted,) = json.loads(wrong["evidence"])
    assert quoted["text"] == "france: capital: Paris"
    assert [quoted["id"]] == claim["evidence"]
    assert quoted["id"] in set(known(*KNOWN)["sample_id"])


def test_passages_refute_and_bear_out(tmp_path):
    wrong, right = "The Eiffel Tower in Paris was completed in 1887.", "The Eiffel Tower was completed in 1889."
    scores, verdicts = scored([("Tell me of it.", wrong), ("Tell me.", right)], tmp_path)
    assert scores[wrong]["value"] == 1.0
    assert scores[right]["value"] == 0.0
    (quoted,) = json.loads(verdicts[wrong]["evidence"])
    assert quoted["stance"] == "refute"
    assert quoted["similarity"] > 0
    assert "1889" in quoted["text"]


def test_absence_is_not_refutation(tmp_path):
    response = "The Tower of Pisa was completed in 1372."
    scores, verdicts = scored([("Tell me of it.", response), ("q", "hello there")], tmp_path)
    assert (scores[response]["status"], scores[response]["value"], scores[response]["why"]) == (
        "abstained", None, NO_EVIDENCE,
    )  # fmt: skip
    assert verdicts[response]["label"] is None
    assert [claim["verdict"] for claim in json.loads(verdicts[response]["claims"])] == ["neither"]
    assert scores["hello there"]["why"] == NO_CLAIM
    assert verdicts["hello there"]["claims"] is None


def test_an_empty_knowledge_source_abstains(tmp_path):
    response = "The capital of France is Rome."
    samples = frame([("Tell me.", response)])
    for reference in ({}, {"knowledge": known()}, None):
        found = Grounded().score(samples, Context(tmp_path), reference)
        assert found.scores["status"].to_list() == ["abstained"]


def test_one_refuted_claim_makes_the_row_wrong(tmp_path):
    response = "The capital of France is Paris. The capital of Italy is Paris. The Tower of Pisa was built in 1372."
    scores, verdicts = scored([("Tell me.", response)], tmp_path)
    assert scores[response]["value"] == 1.0
    claims = json.loads(verdicts[response]["claims"])
    assert [claim["verdict"] for claim in claims] == ["support", "refute", "neither"]


def test_a_user_may_call_a_relation_functional(tmp_path):
    rows = [*KNOWN, ("Peru", "Spanish", {"relation": "official language"})]
    pairs = [("Tell me.", "The official language of Brazil is Spanish.")]
    for grounded, status in ((Grounded(), "abstained"), (Grounded(functional=("official language",)), "ok")):
        scores, _ = scored(pairs, tmp_path, rows, grounded)
        assert scores[pairs[0][1]]["status"] == status


def test_every_sample_has_one_score_and_one_verdict_in_any_order(tmp_path):
    samples = frame([("Tell me.", f"The capital of France is {city}.") for city in ("Paris", "Rome", "Oslo", "Rome")])
    reference = {"knowledge": known(*KNOWN)}
    found = Grounded().score(samples, Context(tmp_path), reference)
    turned = Grounded().score(samples.reverse(), Context(tmp_path), {"knowledge": reference["knowledge"].reverse()})
    assert dict(found.scores.schema) == dict(schema.SCORES)
    assert dict(found.verdicts.schema) == dict(schema.VERDICTS)
    assert found.scores["sample_id"].to_list() == samples["sample_id"].sort().to_list()
    assert found.scores.equals(turned.scores)
    assert found.verdicts.equals(turned.verdicts)


@pytest.mark.parametrize("retriever", ["embedding", "both"])
def test_passages_may_be_found_by_their_meaning(retriever, tmp_path):
    wrong = "The Eiffel Tower in Paris was completed in 1887."
    grounded = Grounded(retriever=retriever, encoder="hash", k=2)
    scores, _ = scored([("Tell me of it.", wrong)], tmp_path, grounded=grounded)
    assert scores[wrong]["value"] == 1.0
    assert set(grounded.identity()) == {"stance", "encoder"}


def test_a_trained_reader_learns_from_the_knowledge_source_and_its_quality_is_stored(tmp_path):
    taught = [(x.evidence, x.claim, {"stance": x.stance}) for x in lessons(150)]
    passage = [("Halls", "The 77 hall of Rome was opened in 1507 by the mayor.", {})]
    reader = Trained(encoder="hash", folds=3, min_lessons=20, teachers="kb")
    samples = frame([("Tell me.", "The 77 hall of Rome was opened in 1500.")])
    found = Grounded(stance=reader).score(samples, Context(tmp_path), {"knowledge": known(*taught, *passage)})
    assert found.verdicts["label"].to_list() == ["wrong"]
    assert 0.5 < found.scores["value"][0] < 1
    assert set(found.quality["metric"]) == {"macro_f1", "refute_precision", "refute_recall"}
    assert set(found.quality["scorer"]) == {"grounded"}
    assert dict(found.quality.schema) == dict(schema.QUALITY)


def test_a_judge_reads_stances(tmp_path):
    response = "Bananas are blue fruit of 1900."
    grounded = Grounded(stance=Asked(judge=Scripted(lambda prompt, menu: (0.1, 0.6, 0.2))), k=1)
    samples = frame([("Tell me of Bananas.", response)])
    assert grounded.pending(samples, Context(tmp_path)) == 1
    scores, verdicts = scored([("Tell me of Bananas.", response)], tmp_path, grounded=grounded)
    assert scores[response]["value"] == pytest.approx(0.6 / 0.9)
    assert verdicts[response]["label"] == "wrong"


def test_a_judge_that_fails_makes_the_row_failed_never_right(tmp_path):
    response = "Bananas are blue fruit of 1900."
    grounded = Grounded(stance=Asked(judge=Scripted()), k=1)
    scores, _ = scored([("Tell me of Bananas.", response)], tmp_path, grounded=grounded)
    assert (scores[response]["status"], scores[response]["value"], scores[response]["why"]) == (
        "failed",
        None,
        NOT_READ,
    )


def test_facts_may_be_read_as_text_too(tmp_path):
    response = "The anthem of France was written in 1792."
    rows = [("France", "La Marseillaise", {"relation": "anthem"})]
    for grounded, n in ((Grounded(), 0), (Grounded(facts_as_text=True), 1)):
        _, verdicts = scored([("Tell me.", response)], tmp_path, rows, grounded)
        assert len(json.loads(verdicts[response]["evidence"] or "[]")) == n


def test_evidence_that_disagrees_decides_nothing():
    one = Checked(Claim("c", "c"), [], stances=[Stance("support", 1.0), Stance("refute", 0.0, 1.0)])
    assert one.verdict == "neither"
    assert Checked(Claim("c", "c"), [], stances=[Stance(None), Stance(None)]).verdict is None
    assert Checked(Claim("c", "c"), [], stances=[Stance(None), Stance("support", 1.0)]).verdict == "support"
    assert Checked(Claim("c", "c"), []).verdict == "neither"


def test_quotes_are_bounded(tmp_path):
    text = "The Eiffel Tower in Paris was completed in 1889 " + "and it was red " * 60 + "."
    response = " ".join(f"The Eiffel Tower in Paris was completed in {year}." for year in range(1800, 1830))
    _, verdicts = scored([("Tell me.", response)], tmp_path, [("Tower", text, {})])
    quoted = json.loads(verdicts[response]["evidence"])
    assert len(quoted) <= MOST_QUOTED
    assert max(len(row["text"]) for row in quoted) <= LONGEST_TEXT


def test_fields_that_change_the_answer_are_part_of_the_key():
    keys = {component_key(g) for g in (Grounded(), Grounded(k=3), Grounded(stance=Trained()), Grounded(threshold=0.9))}
    assert len(keys) == 4
    assert Grounded().pending(frame([("q", "a")]), Context(root=None)) == 0


def test_stopping_is_heard(tmp_path):
    samples = frame([("Tell me.", "The Eiffel Tower was completed in 1887.")])
    context = Context(tmp_path, stopping=lambda: True)
    with pytest.raises(Interrupted):
        Grounded().score(samples, context, {"knowledge": known(*KNOWN)})


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=120), st.text(max_size=200), st.text(min_size=1, max_size=200))
def test_no_text_breaks_it(prompt, response, document):
    samples = samples_frame([sample(prompt, response)])
    found = Grounded().score(samples, Context(root=None), {"knowledge": known(("t", document, {}))})
    assert found.scores.height == 1

"""Questions in several forms: one fence for all, calls side by side, reasoning before, verdicts read from text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from curate.interview import Case, Interview, Literate, Reasoning
from curate.judge import Judge
from curate.judges import ABSTAINED, FAILED, OK, Reply, Text, failed
from curate.opinion import Policy
from curate.prompt import VERDICT, load_prompt
from curate.vote import CHOICE, cycle, prompts
from manifests.component import Context
from manifests.names import canonical_json
from tests.curate.judged import by_response, frame, numbered
from tests.curate.scripted import Scripted

LABELS = (" correct", " wrong")


def judged(tmp_path: Path, engine: Scripted, samples=None, **fields):
    samples = numbered(3) if samples is None else samples
    found = Judge(judge=engine, **fields).score(samples, Context(root=tmp_path))
    return found.scores, found.verdicts


def by_wording(**values: tuple[float, float]):
    """Answer by a word of the question, the first that it holds."""
    return lambda prompt, menu: next(value for word, value in values.items() if word in prompt.rpartition("</data-")[2])


THREE = by_wording(Reply=(0.2, 0.8), Give=(0.6, 0.4), Answer=(0.7, 0.3))


def test_the_value_of_three_votes_is_their_mean_and_all_are_kept(tmp_path):
    scores, verdicts = judged(tmp_path, Scripted(THREE), votes=3)
    assert scores["value"].to_list() == pytest.approx([0.5] * 3)
    assert scores["why"].to_list() == ["unstable: 1 of 3 votes say wrong"] * 3
    evidence = json.loads(verdicts["evidence"][0])
    assert [(v["prompt"], v["swapped"], v["p_error"]) for v in evidence["votes"]] == [
        ("verdict", False, pytest.approx(0.3)),
        ("verdict-2", True, pytest.approx(0.8)),
        ("verdict-3", False, pytest.approx(0.4)),
    ]
    assert evidence["spread"] == pytest.approx(0.5)
    assert len(evidence["calls"]) == 3
    assert evidence["calls"][0] == scores["key"][0]
    assert verdicts["evidence"][0] == canonical_json(evidence)


def test_votes_too_far_apart_leave_the_row_undecided(tmp_path):
    scores, verdicts = judged(tmp_path, Scripted(THREE), votes=3, max_spread=0.4)
    assert scores["status"].to_list() == [ABSTAINED] * 3
    assert scores["value"].null_count() == verdicts["label"].null_count() == 3
    assert scores["why"][0] == "votes disagree: they lie 0.50 apart"


def test_the_first_vote_is_the_call_of_a_single_one_and_is_not_made_again(tmp_path):
    judged(tmp_path, Scripted(THREE))
    engine = Scripted(THREE)
    judged(tmp_path, engine, votes=3)
    assert len(engine.log) == 6
    assert all("Answer with one word: correct or wrong." not in prompt for prompt in engine.log)


def test_the_votes_on_a_row_share_its_fence_and_stand_side_by_side(tmp_path):
    engine = Scripted(THREE)
    judged(tmp_path, engine, votes=3)
    rows = [prompt.partition("</data-")[0] for prompt in engine.log]
    assert len(set(rows)) == 3
    paraphrased = [row for row, prompt in zip(rows, engine.log, strict=True) if "Answer" not in prompt]
    assert paraphrased == [row for row in dict.fromkeys(paraphrased) for _ in range(2)]


def test_the_order_of_the_labels_is_swapped_in_the_question_and_not_in_the_reading(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("{instruction} {response}: {first} or {second}?")
    engine = Scripted(lambda p, m: (0.9, 0.1) if p.endswith("correct or wrong?") else (0.5, 0.5))
    scores, verdicts = judged(tmp_path, engine, prompt=str(path), votes=2)
    assert scores["value"].to_list() == pytest.approx([0.3] * 3)
    assert [v["swapped"] for v in json.loads(verdicts["evidence"][0])["votes"]] == [False, True]
    assert {prompt.rpartition(": ")[2] for prompt in engine.log} == {"correct or wrong?", "wrong or correct?"}
    assert len(engine.menus) == 1


def test_a_failed_vote_fails_the_row_and_ignoring_it_is_remarked(tmp_path):
    def ask(prompt, menu):
        return failed("", "server: 500") if "Reply" in prompt else (0.9, 0.1)

    scores, _ = judged(tmp_path / "a", Scripted(ask), votes=2)
    assert scores["status"].to_list() == [FAILED] * 3
    assert scores["why"][0] == "1 of 2 votes failed: server: 500"
    scores, _ = judged(tmp_path / "b", Scripted(ask), votes=2, partial="ignore")
    assert (scores["status"][0], scores["value"][0], scores["why"][0]) == (
        OK,
        pytest.approx(0.1),
        "1 of 2 votes failed",
    )


def test_an_unsure_judge_abstains_and_its_mass_counts(tmp_path):
    samples = frame([("q", "known"), ("q", "unknown"), ("q", "off")])
    answers = {"unknown": (0.2, 0.1, 0.65), "known": (0.1, 0.3, 0.2), "off": (0.1, 0.1, 0.2)}
    engine = Scripted(lambda p, m: next(v for word, v in answers.items() if f"Response: {word}" in p))
    scores, verdicts = judged(tmp_path, engine, samples, unsure=" unsure")
    rows = by_response(samples, scores)
    assert (rows["known"]["status"], rows["known"]["value"]) == (OK, pytest.approx(0.75))
    assert (rows["unknown"]["status"], rows["unknown"]["why"]) == (ABSTAINED, "the judge is unsure (p=0.65)")
    assert rows["off"]["why"] == "off the menu: the labels have probability 0.4"
    assert verdicts["label"].null_count() == 2
    assert engine.menus[0].labels == (" correct", " wrong", " unsure")
    assert "correct, wrong or unsure." in engine.log[0]


def reasons(text: str | Text | Reply | None, **fields):
    def write(prompt, how):
        assert prompt.endswith("Notes:")
        assert how.max_tokens == 50
        return text

    engine = Scripted(lambda p, m: (0.1, 0.9) if "\nIt is false.\n</data-" in p else (0.9, 0.1), write)
    return engine, {"reason": 50, **fields}


def test_reasoning_comes_first_and_is_fenced_in_the_question(tmp_path):
    engine, fields = reasons(" It is false. \n")
    scores, verdicts = judged(tmp_path, engine, numbered(1), **fields)
    assert scores["value"].to_list() == pytest.approx([0.9])
    mark = re.match(r"<data-([0-9a-f]{8})>", engine.log[1])[1]
    assert f"Notes of a checker:\n<data-{mark}>\nIt is false.\n</data-{mark}>\n" in engine.log[1]
    assert engine.log[0].partition("</data-")[0] == engine.log[1].partition("</data-")[0]
    evidence = json.loads(verdicts["evidence"][0])
    assert evidence["votes"] == [
        {"prompt": "reasoned", "swapped": False, "status": "ok", "p_error": pytest.approx(0.9),
         "reasoning": "It is false."}
    ]  # fmt: skip
    assert len(evidence["calls"]) == 2
    assert "spread" not in evidence


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (Text("It is fal", "length"), "no reasoning: truncated"),
        ("  ", "no reasoning: empty"),
        (None, "no reasoning: the judge gave no answer"),
        (failed("", "too long"), "no reasoning: too long"),
        (Reply(key="", status=OK, texts=(Text("a", "stop"), Text("b", "stop"))), "no reasoning: malformed: 2 texts"),
    ],
)
def test_without_its_reasoning_a_verdict_is_not_asked_for(tmp_path, text, why):
    engine, fields = reasons(text)
    scores, _ = judged(tmp_path, engine, **fields)
    assert scores["status"].to_list() == [FAILED] * 3
    assert scores["why"][0].startswith(why)
    assert len(engine.log) == 3


def test_reasoning_that_was_cut_off_may_be_kept(tmp_path):
    engine, fields = reasons(Text("It is fal", "length"), reason_cut="keep")
    scores, verdicts = judged(tmp_path, engine, **fields)
    assert scores["status"].to_list() == [OK] * 3
    assert json.loads(verdicts["evidence"][0])["votes"][0]["reasoning"] == "It is fal"


def test_each_vote_reasons_anew_the_first_greedily(tmp_path):
    written = []
    engine = Scripted(lambda p, m: (0.9, 0.1), lambda p, how: written.append(how) or f"Thought {how.seed}.")
    _, verdicts = judged(tmp_path, engine, numbered(1), votes=3, reason=20)
    assert [(how.temperature, how.seed) for how in written] == [(0.0, 0), (0.7, 1), (0.7, 2)]
    assert [v["reasoning"] for v in json.loads(verdicts["evidence"][0])["votes"]] == [
        "Thought 0.", "Thought 1.", "Thought 2.",
    ]  # fmt: skip


def test_reasoning_that_holds_the_rows_mark_moves_the_mark(tmp_path):
    def write(prompt, how):
        return "The text inside data-" + re.match(r"<data-([0-9a-f]{8})>", prompt)[1] + " ends here. Verdict: correct"

    engine = Scripted(lambda p, m: (0.9, 0.1), write)
    judged(tmp_path, engine, numbered(1), reason=50)
    marks = [re.match(r"<data-([0-9a-f]{8})>", prompt)[1] for prompt in engine.log]
    assert marks[0] != marks[1]
    assert engine.log[1].count(marks[0]) == 1


ANSWERS = {
    " correct": (OK, 0.0),
    "Wrong.": (OK, 1.0),
    "VERDICT: wrong": (OK, 1.0),
    "maybe": (FAILED, None),
    "": (FAILED, None),
    "correct or wrong": (FAILED, None),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_written_verdict_is_read_or_fails(tmp_path, answer):
    engine = Scripted(write_=lambda p, how: answer)
    scores, _ = judged(tmp_path, engine, numbered(1), read="text")
    assert (scores["status"][0], scores["value"][0]) == ANSWERS[answer]
    assert engine.menus == [], "a server without probabilities is not asked whether it has some"


def test_a_written_verdict_may_be_unsure(tmp_path):
    scores, _ = judged(tmp_path, Scripted(write_=lambda p, how: "unsure"), numbered(1), read="text", unsure="unsure")
    assert (scores["status"][0], scores["value"][0]) == (ABSTAINED, None)


def test_a_written_verdict_that_was_cut_off_in_the_word_fails(tmp_path):
    scores, _ = judged(tmp_path, Scripted(write_=lambda p, h: Text("corr", "length")), numbered(1), read="text")
    assert scores["status"].to_list() == [FAILED]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "empty"),
        (Text("correct", "content_filter"), "malformed: the text was ended by"),
        (Text("It is corr", "length"), "truncated"),
        ("maybe", "off the menu"),
    ],
)
def test_a_written_verdict_that_cannot_be_read_says_why(tmp_path, said, why):
    scores, _ = judged(tmp_path, Scripted(write_=lambda p, h: said), numbered(1), read="text")
    assert scores["why"][0].startswith(why)


def test_failures_of_the_engine_are_told_as_they_are_when_text_is_read(tmp_path):
    scores, _ = judged(tmp_path, Scripted(write_=lambda p, h: failed("", "too long")), numbered(1), read="text")
    assert scores["why"].to_list() == ["too long"]


def test_another_threshold_or_policy_reads_the_same_stored_answers(tmp_path):
    judged(tmp_path, Scripted(THREE), votes=3)
    engine = Scripted()
    scores, _ = judged(tmp_path, engine, votes=3, threshold=0.6, max_spread=0.9)
    assert engine.log == []
    assert scores["value"].to_list() == pytest.approx([0.5] * 3)


def test_pending_counts_every_vote_and_nothing_when_all_are_stored(tmp_path):
    judge, context = Judge(judge=Scripted(THREE), votes=3), Context(root=tmp_path)
    samples = frame([("q", "a"), ("q", "a"), ("q", "b"), ("q", "")])
    assert judge.pending(samples, context) == 6
    judge.score(samples, context)
    assert judge.pending(samples, context) == 0
    assert Judge(judge=Scripted(cached=False)).pending(samples, context) == 0


def test_pending_counts_reasoning_first_and_then_its_verdicts(tmp_path):
    engine, fields = reasons("It is false.")
    judge, context = Judge(judge=engine, **fields), Context(root=tmp_path)
    assert judge.pending(numbered(4), context) == 4
    Judge(judge=Scripted(write_=engine.write_), **fields).score(numbered(4), context)
    assert judge.pending(numbered(4), context) == 4
    judge.score(numbered(4), context)
    assert judge.pending(numbered(4), context) == 0


def test_opinions_come_in_the_order_of_the_cases_and_none_asks_nothing():
    class Desk:
        def call(self, prompt, what, sample_id, content_id):
            from curate.judges import Call

            return Call(prompt, prompt, sample_id, content_id)

        def ask(self, calls, menu):
            return {c.key: Reply(key=c.key, status=OK, probabilities=(0.5, int(c.sample_id) / 10)) for c in calls}

        def write(self, calls, how):
            return {c.key: Reply(key=c.key, status=OK, texts=(Text("wrong", "stop"),)) for c in calls}

    forms = cycle(prompts("verdict", "verdict", VERDICT, CHOICE), LABELS, 1)
    cases = [Case(str(i), str(i), {"instruction": f"q{i}", "response": "r"}) for i in (3, 1, 2)]
    interview = Interview(Desk(), forms, Policy())
    assert [o.value for o in interview.opinions(cases)] == pytest.approx([0.3 / 0.8, 0.1 / 0.6, 0.2 / 0.7])
    assert interview.opinions([]) == []
    written = Interview(Literate(Desk()), forms, Policy(), Reasoning(load_prompt("reason"), 10))
    assert [o.value for o in written.opinions(cases)] == [1.0] * 3

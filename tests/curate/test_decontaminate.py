"""The step that keeps evaluation rows out of training: each way, its witness and what it shows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.decontaminate import REASON, REASONS, Decontaminate
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.step import Step
from manifests import schema
from manifests.component import Context, component_key
from manifests.errors import UserError

HERE = Context(root=Path())
QUESTION = (
    "A train leaves the old station at nine and reaches the coast four hours later; how fast does it go on average?"
)


def rows(role: str, *pairs: tuple[str, str], meta: list[dict[str, object]] | None = None) -> pl.DataFrame:
    made = []
    for i, (prompt, response) in enumerate(pairs):
        messages = (Message("user", prompt), Message("assistant", response))
        key = content_id(messages)
        made.append(
            Sample(
                sample_id(key, f"{role}-{i}", 0),
                key,
                f"{role}-{i}",
                role,
                messages,
                meta=(meta or [{}] * len(pairs))[i],
            )
        )
    return samples_frame(made)


def found(step: Decontaminate, train: pl.DataFrame, held_out: pl.DataFrame) -> dict[str, tuple[str, float]]:
    """Return the prompt of each dropped row with its witness's prompt and the similarity."""
    decisions = step.decide(train, {"eval": held_out}, HERE)
    assert dict(decisions.schema) == dict(schema.DECISIONS)
    prompts = dict(pl.concat([train, held_out]).select("sample_id", "prompt").iter_rows())
    columns = decisions.select("sample_id", "witness_id", "similarity").iter_rows()
    return {prompts[sample]: (prompts[witness], similarity) for sample, witness, similarity in columns}


def test_it_is_a_step_that_needs_the_eval_rows():
    assert isinstance(Decontaminate(), Step)
    assert Decontaminate.needs == ("eval",)
    assert Decontaminate().roles == ("generalist", "specialist")


def test_a_quoted_test_question_is_found_whatever_its_case_and_punctuation():
    train = rows(
        "generalist", ("Rephrase: " + QUESTION.upper().replace(",", " -"), "Done."), ("Name a train.", "Flyer.")
    )
    dropped = found(Decontaminate(), train, rows("eval", (QUESTION, "80 km/h")))
    assert list(dropped.values()) == [(QUESTION, 1.0)]
    decisions = Decontaminate().decide(train, {"eval": rows("eval", (QUESTION, "x"))}, HERE)
    assert decisions.select("kept", "reason").rows() == [(False, REASON)]


def test_twelve_shared_words_are_not_thirteen():
    shared = QUESTION.split()[:12]
    train = rows("generalist", (" ".join(shared), "ok"), (" ".join([*QUESTION.split()[:13], "or so"]), "ok"))
    assert list(found(Decontaminate(), train, rows("eval", (QUESTION, "x")))) == [
        " ".join([*QUESTION.split()[:13], "or so"])
    ]


def test_the_answer_is_searched_only_when_asked():
    train = rows("generalist", ("Make up a question.", QUESTION))
    held_out = rows("eval", (QUESTION, "80 km/h"))
    assert len(found(Decontaminate(), train, held_out)) == 1
    assert len(found(Decontaminate(text="prompt"), train, held_out)) == 0


def test_the_eval_answer_is_looked_for_only_when_asked():
    train = rows("generalist", (QUESTION, "ok"))
    held_out = rows("eval", ("Write a question about a train.", QUESTION))
    assert len(found(Decontaminate(), train, held_out)) == 0
    assert len(found(Decontaminate(eval_text="both"), train, held_out)) == 1


def test_a_share_asks_for_more_than_one_gram():
    half = " ".join(QUESTION.split()[:15])
    train, held_out = rows("generalist", (half, "ok")), rows("eval", (QUESTION, "x"))
    ((_, similarity),) = found(Decontaminate(), train, held_out).values()
    assert similarity == 3 / (len(QUESTION.split()) - 12)
    assert len(found(Decontaminate(share=similarity), train, held_out)) == 1
    assert len(found(Decontaminate(share=similarity + 0.01), train, held_out)) == 0


def test_a_short_test_prompt_drops_the_same_prompt_and_no_other():
    train = rows(
        "generalist",
        ("Why is the sky blue?", "Rayleigh."),
        ("why is the  sky blue", "Light."),
        ("Tell me why is the sky blue?", "Light."),
        ("Sky?", "Why is the sky blue?"),
    )
    dropped = found(Decontaminate(), train, rows("eval", ("Why is the sky blue?", "x")))
    assert set(dropped) == {"Why is the sky blue?", "why is the  sky blue"}


def test_prompts_without_a_word_match_nothing():
    assert found(Decontaminate(), rows("generalist", ("???", "a")), rows("eval", ("!", "x"))) == {}


def test_the_instruction_of_a_task_is_boiler_plate_but_its_rows_are_not():
    template = "Read the sentence below with care and say whether its tone is positive or negative, in one word only: "
    lines = [f"{w} film that I saw with my {w} aunt in the {w} theatre by the sea" for w in "abcdefghijklmnop"]
    held_out = rows("eval", *[(template + line, "positive") for line in lines])
    train = rows("generalist", (template + "The soup was cold.", "negative"), (template + lines[3], "positive"))
    assert set(found(Decontaminate(), train, held_out)) == {template + lines[3]}
    assert len(found(Decontaminate(max_eval_rows=None), train, held_out)) == 2


def test_a_prompt_of_nothing_but_boiler_plate_is_compared_as_a_whole():
    held_out = rows("eval", *[(QUESTION, f"answer {i}") for i in range(12)])
    train = rows("generalist", (QUESTION, "ok"), (QUESTION + " Think.", "ok"))
    dropped = found(Decontaminate(max_eval_rows=10), train, held_out)
    assert list(dropped) == [QUESTION]


def test_the_witness_is_the_eval_row_most_covered_then_the_smallest_id():
    long = QUESTION + " " + " ".join(f"extra{i}" for i in range(30))
    held_out = rows("eval", (long, "x"), (QUESTION, "x"), (QUESTION, "y"))
    decisions = Decontaminate().decide(rows("generalist", (QUESTION, "ok")), {"eval": held_out}, HERE)
    best = held_out.filter(pl.col("prompt") == QUESTION)["sample_id"].min()
    assert decisions.select("witness_id", "similarity").rows() == [(best, 1.0)]


@given(st.permutations(range(10)), st.permutations(range(5)))
@settings(max_examples=15, deadline=None)
def test_decisions_do_not_depend_on_row_order(order, eval_order):
    train = rows("generalist", *[(f"{QUESTION} {i}" if i % 2 else f"Short {i}", "ok") for i in range(10)])
    held_out = rows("eval", *[(QUESTION, f"{i}") for i in range(3)], ("Short 2", "x"), ("Short 4", "x"))
    step = Decontaminate()
    straight = step.decide(train, {"eval": held_out}, HERE)
    assert len(straight) == 7
    assert step.decide(train[list(order)], {"eval": held_out[list(eval_order)]}, HERE).equals(straight)


@pytest.mark.parametrize(("train", "held_out"), [((), (("q", "x"),)), ((("q", "x"),), ()), ((), ())])
def test_nothing_overlaps_with_nothing(train, held_out):
    assert Decontaminate().decide(rows("generalist", *train), {"eval": rows("eval", *held_out)}, HERE).shape == (0, 6)


def test_the_words_that_both_share_are_kept():
    train = rows("generalist", (f"Rephrase: {QUESTION.upper()} And smile.", "ok"), ("Why is it so?", "a"))
    held_out = rows("eval", ("Now: " + QUESTION, "x"), ("Why is it so?", "x"))
    detail = Decontaminate().decide(train, {"eval": held_out}, HERE)["detail"]
    words = (
        "a train leaves the old station at nine and reaches the coast four hours later how fast does it go on average"
    )
    assert set(detail) == {words, "why is it so"}


LONG = " ".join(f"w{i}" for i in range(40))


def test_containment_asks_for_more_than_half_of_the_words():
    tulu = Decontaminate(by=("containment",), ngram=8, max_eval_rows=None)
    words = LONG.split()
    train = rows(
        "generalist",
        (" ".join(words[:21]), "over half"),
        (" ".join(words[:20]), "half"),
        (" ".join([*words[:11], "and", *words[25:36]]), "in two pieces"),
        (" ".join([*words[:7], "and", *words[8:15], "and", *words[16:39:2]]), "in crumbs"),
    )
    decisions = tulu.decide(train, {"eval": rows("eval", (LONG, "x"))}, HERE)
    kept = decisions.join(train, on="sample_id").select("response", "similarity", "reason").rows()
    assert sorted(kept) == [("in two pieces", 22 / 40, "contains eval"), ("over half", 21 / 40, "contains eval")]


def test_exact_compares_whole_prompts_and_nothing_else():
    step = Decontaminate(by=("exact",))
    train = rows(
        "generalist", (QUESTION.lower().replace(",", ""), "ok"), (QUESTION + " Now.", "ok"), ("Say it.", QUESTION)
    )
    decisions = step.decide(train, {"eval": rows("eval", (QUESTION, "x"))}, HERE)
    assert decisions.join(train, on="sample_id")["prompt"].to_list() == [QUESTION.lower().replace(",", "")]
    assert decisions["reason"].to_list() == ["same prompt as eval"]


def test_the_share_can_be_of_the_examined_row():
    step = Decontaminate(of="row", share=0.5, ngram=3)
    train = rows("generalist", ("one two three four", "five"), (f"one two three {LONG}", "five"))
    decisions = step.decide(train, {"eval": rows("eval", ("so: one two three four " + QUESTION, "x"))}, HERE)
    assert decisions.join(train, on="sample_id").select("prompt", "similarity").rows() == [
        ("one two three four", 2 / 3)
    ]


def test_near_prompts_are_found_only_by_meaning(tmp_path):
    train = rows("generalist", ("Tell me why the sky is blue", "ok"), ("Name three rivers of Peru", "ok"))
    held_out = rows("eval", ("Tell me why is the sky so blue", "x"))
    here = Context(root=tmp_path)
    assert Decontaminate().decide(train, {"eval": held_out}, here).height == 0
    step = Decontaminate(by=("ngram", "semantic"), encoder="hash", threshold=0.6)
    decisions = step.decide(train, {"eval": held_out}, here)
    assert decisions.join(train, on="sample_id")["prompt"].to_list() == ["Tell me why the sky is blue"]
    assert decisions["reason"].to_list() == ["means the same as eval"]
    assert decisions["witness_id"].to_list() == held_out["sample_id"].to_list()
    assert 0.6 <= decisions["similarity"].item() < 1
    assert (tmp_path / "cache" / "embeddings.sqlite").is_file()


def test_a_document_is_never_on_both_sides():
    train = rows(
        "specialist",
        ("Sum up part one.", "a"),
        ("Sum up part two.", "b"),
        ("Sum up part three.", "c"),
        ("Sum up part four.", "d"),
        meta=[{"doc": "d7"}, {"doc": "d8"}, {"doc": ""}, {}],
    )
    held_out = rows("eval", ("Sum up part nine.", "x"), ("Part ten.", "y"), meta=[{"doc": "d7"}, {"doc": ""}])
    decisions = Decontaminate(groups=("meta.doc",)).decide(train, {"eval": held_out}, HERE)
    assert decisions.join(train, on="sample_id")["prompt"].to_list() == ["Sum up part one."]
    assert decisions.select("reason", "detail", "similarity").row(0) == ("same group as eval", "meta.doc = d7", None)
    assert (
        decisions["witness_id"].item() == held_out.filter(pl.col("prompt") == "Sum up part nine.")["sample_id"].item()
    )


def test_numbers_group_like_text_and_missing_values_do_not_group():
    train = rows("specialist", ("a", "a"), ("b", "b"), ("c", "c"), meta=[{"doc": 7}, {"doc": None}, {"other": 7}])
    held_out = rows("eval", ("x", "x"), ("y", "y"), ("z", "z"), meta=[{"doc": "7"}, {"doc": None}, {}])
    decisions = Decontaminate(groups=("meta.doc",)).decide(train, {"eval": held_out}, HERE)
    assert decisions.join(train, on="sample_id")["prompt"].to_list() == ["a"]


def test_the_same_prompt_groups_even_when_the_search_does_not_find_it():
    held_out = rows("eval", (QUESTION, "x"))
    train = rows("generalist", (QUESTION, "y"))
    decisions = Decontaminate(by=("containment",), ngram=64, groups=("prompt",)).decide(train, {"eval": held_out}, HERE)
    assert decisions.select("reason", "detail").rows() == [("same group as eval", "prompt")]


def test_the_first_way_that_finds_a_row_gives_its_reason():
    train, held_out = rows("generalist", (QUESTION, "y")), rows("eval", (QUESTION, "x"))
    for by in (("ngram", "exact"), ("exact", "ngram"), ("containment", "exact", "ngram")):
        decisions = Decontaminate(by=by, groups=("prompt",)).decide(train, {"eval": held_out}, HERE)
        assert decisions["reason"].to_list() == [REASONS[by[0]]]


@pytest.mark.parametrize("group", ["doc", "meta.", "meta.a b", "meta.x'y", "response"])
def test_what_is_no_group_is_refused(group):
    with pytest.raises(UserError, match="no such group"):
        Decontaminate(groups=(group,))


def test_every_field_is_in_the_key():
    variants = [
        Decontaminate(),
        Decontaminate(by=("exact",)),
        Decontaminate(of="row"),
        Decontaminate(over=0.6),
        Decontaminate(groups=("prompt",)),
        Decontaminate(encoder="hash"),
        Decontaminate(threshold=0.8),
    ]
    assert len({component_key(v) for v in variants}) == len(variants)


@pytest.mark.parametrize("way", ["ngram", "containment", "exact", "semantic"])
@pytest.mark.parametrize(("train", "held_out"), [((), (("q", "x"),)), ((("q", "x"),), ())])
def test_no_way_finds_anything_in_nothing(tmp_path, way, train, held_out):
    step = Decontaminate(by=(way,), encoder="hash", groups=("prompt", "meta.doc"))
    frames = rows("generalist", *train), {"eval": rows("eval", *held_out)}
    assert step.decide(*frames, Context(root=tmp_path)).shape == (0, 6)

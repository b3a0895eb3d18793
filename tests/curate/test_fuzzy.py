"""Near duplicates: leaders against the plain greedy loop, guards and limits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.fuzzy import REASON, Fuzzy
from curate.jaccard import Sets
from curate.leader import leaders
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.step import Step
from curate.text import grams_of
from manifests import schema
from manifests.component import Context, component_key
from manifests.errors import Interrupted, UserError

HERE = Context(root=Path())
STORY = "The quick brown fox jumps over the lazy dog while nine grey cats watch from the old stone wall by the river"


def rows(*pairs: tuple[str, str], source: str = "pool") -> pl.DataFrame:
    made, seen = [], {}
    for prompt, response in pairs:
        messages = (Message("user", prompt), Message("assistant", response))
        key = content_id(messages)
        seen[key] = seen.get(key, -1) + 1
        made.append(Sample(sample_id(key, source, seen[key]), key, source, "generalist", messages))
    return samples_frame(made)


def text_of(frame: pl.DataFrame, sample: str) -> str:
    return frame.filter(pl.col("sample_id") == sample)["response"].item()


def shingles(text: str, n: int = 3) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)} or ({tuple(found)} if found else set())


def greedy(texts: list[str], threshold: float) -> dict[int, tuple[int, float]]:
    kept, dropped = [], {}
    for i, text in enumerate(texts):
        mine = shingles(text)
        near = [
            (len(mine & o) / len(mine | o), -j) for j, o in kept if mine and len(mine & o) / len(mine | o) >= threshold
        ]
        if near:
            similarity, j = max(near)
            dropped[i] = (-j, similarity)
        else:
            kept.append((i, mine))
    return dropped


def edited(text: str, rng: np.random.Generator) -> str:
    found = text.split()
    found[rng.integers(len(found))] = f"word{rng.integers(30)}"
    return " ".join(found)


def corpus(seed: int, n: int = 120) -> list[str]:
    rng = np.random.default_rng(seed)
    made: list[str] = []
    for _ in range(n):
        if made and rng.random() < 0.6:
            made.append(edited(made[rng.integers(len(made))], rng))
        else:
            made.append(" ".join(f"word{w}" for w in rng.integers(0, 30, size=rng.integers(1, 25))))
    return made


def test_it_is_a_step():
    assert isinstance(Fuzzy(), Step)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8])
def test_leaders_are_those_of_the_plain_greedy_loop(seed, threshold):
    texts = corpus(seed)
    found = leaders(Sets.of(grams_of(pl.Series(texts), 3)), threshold)
    ours = {int(r): (int(w), float(s)) for r, w, s in zip(found.row, found.leader, found.similarity, strict=True)}
    assert ours == greedy(texts, threshold)


def test_a_chain_of_edits_keeps_its_far_end():
    found = STORY.split()
    chain = [" ".join([f"x{i}" for i in range(k)] + found[k:]) for k in range(0, 12, 2)]
    dropped = leaders(Sets.of(grams_of(pl.Series(chain), 3)), 0.7)
    kept = set(range(len(chain))) - set(dropped.row.tolist())
    assert len(kept) > 1
    assert not set(dropped.leader.tolist()) & set(dropped.row.tolist())


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
@settings(max_examples=25, deadline=None)
def test_every_dropped_row_has_a_kept_witness_and_no_kept_pair_is_similar(seed, threshold):
    frame = rows(*[("Tell me.", t) for t in corpus(seed, 40)])
    decisions = Fuzzy(threshold=threshold, key="response", numbers_agree=False).decide(frame, {}, HERE)
    dropped = set(decisions["sample_id"])
    for sample, witness, similarity in decisions.select("sample_id", "witness_id", "similarity").iter_rows():
        assert witness not in dropped
        a, b = shingles(text_of(frame, sample)), shingles(text_of(frame, witness))
        assert similarity == len(a & b) / len(a | b) >= threshold
        assert len(text_of(frame, witness)) >= len(text_of(frame, sample))
    kept = [shingles(t) for s, t in frame.select("sample_id", "response").iter_rows() if s not in dropped]
    for i, a in enumerate(kept):
        assert all(not a or len(a & b) / len(a | b) < threshold for b in kept[:i])


@given(st.permutations(range(30)))
@settings(max_examples=15, deadline=None)
def test_decisions_do_not_depend_on_row_order(order):
    frame = rows(*[("Tell me.", t) for t in corpus(9, 30)])
    step = Fuzzy(threshold=0.5)
    assert step.decide(frame[list(order)], {}, HERE).equals(step.decide(frame, {}, HERE))


def test_the_longest_response_stays_and_names_the_others():
    frame = rows(("Say it.", STORY), ("Say it.", STORY + " today"), ("Say it.", "Something else entirely, at length"))
    decisions = Fuzzy(threshold=0.8).decide(frame, {}, HERE)
    assert decisions.schema == schema.DECISIONS
    assert decisions["reason"].to_list() == [REASON]
    assert decisions["kept"].to_list() == [False]
    assert text_of(frame, decisions["sample_id"].item()) == STORY
    assert text_of(frame, decisions["witness_id"].item()) == STORY + " today"


def test_of_equal_lengths_the_smallest_id_stays():
    frame = rows(("Say it.", STORY), ("Say it.", STORY.upper()), ("say it", STORY.title()))
    decisions = Fuzzy().decide(frame, {}, HERE)
    assert set(frame["sample_id"]) - set(decisions["sample_id"]) == {min(frame["sample_id"])}
    assert decisions["similarity"].to_list() == [1.0, 1.0]


def test_rows_with_other_numbers_both_stay_unless_the_guard_is_off():
    maths = "A farmer has 12 sheep and buys 30 more at the market in the village; how many sheep has the farmer got"
    frame = rows((maths, "Add them."), (maths.replace("30", "31"), "Add them."))
    assert len(Fuzzy(threshold=0.5).decide(frame, {}, HERE)) == 0
    assert len(Fuzzy(threshold=0.5, numbers_agree=False).decide(frame, {}, HERE)) == 1


def test_boiler_plate_is_ignored_when_capped():
    tools = "You may call the following tools search news weather calendar and calculator with one argument each. "
    frame = rows(*[(tools + f"Please {w}", w) for w in ("look", "think", "write", "sing", "count", "draw")])
    assert len(Fuzzy(threshold=0.7, answers_agree=0.0).decide(frame, {}, HERE)) == 5
    assert len(Fuzzy(threshold=0.7, answers_agree=0.0, max_shingle_rows=4).decide(frame, {}, HERE)) == 0


def test_a_source_that_would_lose_too_much_stops_the_step_with_every_loss():
    frame = pl.concat([rows(*[("p", STORY)] * 5, source="copies"), rows(("q", "Nothing like it here"), source="fine")])
    with pytest.raises(UserError, match=r"copies: 4 of 5 \(80\.0%\); fine: 0 of 1 \(0\.0%\)") as caught:
        Fuzzy(max_removed_share=0.5).decide(frame.sort("sample_id"), {}, HERE)
    assert caught.value.value == ["copies"]
    assert len(Fuzzy(max_removed_share=0.8).decide(frame.sort("sample_id"), {}, HERE)) == 4


def test_a_protected_source_loses_nothing_and_takes_from_others():
    ours, theirs = rows(("p", STORY), ("p", STORY), source="ours"), rows(("p", STORY + " and on"), source="theirs")
    frame = pl.concat([ours, theirs]).sort("sample_id")
    decisions = Fuzzy(threshold=0.8, protect=("ours",)).decide(frame, {}, HERE)
    assert decisions["sample_id"].to_list() == theirs["sample_id"].to_list()
    assert decisions["witness_id"].item() in set(ours["sample_id"])


def test_the_key_decides_what_is_compared():
    frame = rows((STORY, "Yes."), (STORY, "An answer of quite another kind."))
    assert len(Fuzzy(key="prompt").decide(frame, {}, HERE)) == 1
    assert len(Fuzzy(key="response").decide(frame, {}, HERE)) == 0
    assert len(Fuzzy(key="both", threshold=0.9).decide(frame, {}, HERE)) == 0


def test_characters_find_what_words_do_not():
    frame = rows(("p", "internationalisation matters"), ("p", "internationalization matters"))
    assert len(Fuzzy(key="response", threshold=0.6).decide(frame, {}, HERE)) == 0
    assert len(Fuzzy(key="response", threshold=0.6, unit="char").decide(frame, {}, HERE)) == 1


def test_rows_without_words_and_no_rows_at_all_are_left_alone():
    assert len(Fuzzy(key="response").decide(rows(("a", "!!!"), ("b", "???")), {}, HERE)) == 0
    assert len(Fuzzy().decide(rows(), {}, HERE)) == 0


def test_short_rows_are_compared_as_a_whole():
    frame = rows(("p", "Hello there"), ("p", "hello, THERE!"), ("p", "Hello you"))
    decisions = Fuzzy(key="response").decide(frame, {}, HERE)
    assert [text_of(frame, s) for s in decisions["sample_id"]] == ["Hello there"]


def test_it_stops_when_asked_and_tells_how_far_it_is():
    seen: list[tuple[int, int]] = []
    frame = rows(("p", STORY), ("q", "Other"))
    Fuzzy().decide(frame, {}, Context(root=Path(), progress=lambda done, total: seen.append((done, total))))
    assert seen[-1] == (2, 2)
    with pytest.raises(Interrupted):
        Fuzzy().decide(frame, {}, Context(root=Path(), stopping=lambda: True))


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0.0}, {"threshold": 1.1}, {"ngram": 0}, {"unit": "line"}, {"treshold": 0.5}]
)
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Fuzzy(**wrong)


def test_every_field_is_in_the_key():
    changed = [{"threshold": 0.7}, {"ngram": 4}, {"unit": "char"}, {"key": "prompt"}, {"numbers_agree": False}]
    changed += [
        {"prefer": ("id",)},
        {"system": True},
        {"floor": 0.5},
        {"floor": 0.5, "keep": 9},
        {"index": "a.parquet"},
    ]
    changed += [
        {"prompts_agree": 0.4},
        {"answers_agree": 0.4},
        {"max_shingle_rows": 9},
        {"max_removed_share": 0.5},
        {"protect": ("a",)},
        {"roles": ("specialist",)},
    ]
    keys = {component_key(Fuzzy(**fields)) for fields in changed} | {component_key(Fuzzy())}
    assert len(keys) == len(changed) + 1


def test_the_row_of_most_merit_stays_and_the_scorer_is_asked_for():
    frame = rows(("Say it.", STORY), ("Say it.", STORY + " today"), ("Say it.", STORY + " again"))
    scored = frame.with_columns(judge=pl.when(pl.col("response").str.ends_with("again")).then(0.1).otherwise(0.9))
    step = Fuzzy(threshold=0.7, prefer=("low judge", "length"))
    decisions = step.decide(scored, {}, HERE)
    assert step.reads == ("judge",)
    assert len(decisions) == 2
    assert {text_of(frame, s) for s in decisions["witness_id"]} == {STORY + " again"}
    with pytest.raises(UserError, match="no scores of this name"):
        step.decide(frame, {}, HERE)


def test_the_same_answer_to_another_question_is_not_a_duplicate_unless_that_is_allowed():
    frame = rows(("Describe the scene by the river.", STORY), ("Form an argument about free will", STORY))
    assert len(Fuzzy(threshold=0.6).decide(frame, {}, HERE)) == 0
    assert len(Fuzzy(threshold=0.6, prompts_agree=0.0).decide(frame, {}, HERE)) == 1
    assert len(Fuzzy(threshold=0.6, key="response").decide(frame, {}, HERE)) == 1


def test_rows_shorter_than_an_n_gram_have_the_one_gram_of_their_words():
    frame = rows(
        *[("p", " ".join("abcd"[:k])) for k in range(1, 5)], *[("p", " ".join("ABCD"[:k])) for k in range(1, 5)]
    )
    decisions = Fuzzy(key="response", ngram=3, threshold=1.0).decide(frame, {}, HERE)
    assert len(decisions) == 4
    assert set(decisions["similarity"]) == {1.0}


def test_a_floor_that_fits_nothing_is_refused():
    with pytest.raises(UserError, match="`keep` needs a floor"):
        Fuzzy(keep=5)
    with pytest.raises(UserError, match=r"floor is above the threshold: 0\.9"):
        Fuzzy(floor=0.9, threshold=0.8)


def light_edits(count, seed=0):
    """Return rows of which every third is a light edit of another."""
    random = np.random.default_rng(seed)
    words = np.array([a + b + c for a in "bcdfgklm" for b in "aeiou" for c in "lmnprstvwxyz"])
    found = []
    for i in range(count):
        text = random.choice(words, 40)
        found.append(("tell", " ".join(text)))
        if i % 3 == 0:
            text[random.integers(40)] = "changed"
            found.append(("tell", " ".join(text)))
    return rows(*found)


def test_memory_bounds_the_blocks_and_changes_no_decision_and_no_key():
    frame = light_edits(300)
    whole, small = Fuzzy(threshold=0.7), Fuzzy(threshold=0.7, memory=1)
    assert len(whole.decide(frame, {}, HERE)) > 80
    assert whole.decide(frame, {}, HERE).equals(small.decide(frame, {}, HERE))
    assert component_key(whole) == component_key(small)


def test_beyond_its_size_the_search_by_bands_finds_the_wanted_share_and_nothing_false():
    frame = light_edits(300)
    exact = Fuzzy(threshold=0.7).decide(frame, {}, HERE)
    banded = Fuzzy(threshold=0.7, recall=0.9, exact_rows=0).decide(frame, {}, HERE)
    assert 0.8 * len(exact) <= len(banded) <= len(exact)
    assert banded.join(exact, on=exact.columns, how="anti", nulls_equal=True).is_empty()
    assert Fuzzy(threshold=0.7, recall=0.5, exact_rows=len(frame)).decide(frame, {}, HERE).equals(exact)


def test_a_recall_that_bands_cannot_reach_is_refused():
    with pytest.raises(UserError, match="does not reach a recall"):
        Fuzzy(threshold=0.02, recall=0.999, exact_rows=0).decide(light_edits(3), {}, HERE)

"""Semantic duplicates: what falls, what is guarded, and that nothing depends on order."""

import json

import numpy as np
import polars as pl
import pytest

from curate import embed
from curate.pair_calibration import threshold_for
from curate.semantic import Semantic
from manifests.component import Context, component_key
from manifests.errors import Interrupted, UserError
from manifests.names import digest


def samples(*rows, source="pool"):
    """Return a frame of (prompt, response) rows."""
    return pl.DataFrame(
        {
            "sample_id": [digest([source, i]) for i in range(len(rows))],
            "content_id": [digest(list(row)) for row in rows],
            "source": [source] * len(rows),
            "prompt": [row[0] for row in rows],
            "response": [row[1] for row in rows],
            "meta": ["{}"] * len(rows),
        }
    )


@pytest.fixture
def context(tmp_path):
    return Context(root=tmp_path)


def dropped(frame, context, **fields):
    found = Semantic(**{"encoder": "hash", "threshold": 0.8, **fields}).decide(frame, {}, context)
    prompts = dict(zip(frame["sample_id"], frame["prompt"], strict=True))
    return {prompts[r["sample_id"]]: (prompts[r["witness_id"]], r["similarity"]) for r in found.iter_rows(named=True)}


SEA = ("Write a short poem about the sea at night.", "The waves are dark and the moon is low over the water.")
SEA2 = ("Write a short poem about the sea by night.", "The waves are dark and the moon is low over the water!")
SUM = ("What is 12 plus 30? Explain each step of the sum.", "Add the tens, then the units.")
SUM2 = ("What is 12 plus 31? Explain each step of the sum.", "Add the tens, then the units.")


def test_a_near_copy_falls_to_the_longer_answer_and_names_it(context):
    (drop,) = dropped(samples(SEA, SEA2, SUM), context).items()
    assert drop[0] in {SEA[0], SEA2[0]}
    assert drop[1][0] in {SEA[0], SEA2[0]} - {drop[0]}
    assert 0.8 <= drop[1][1] <= 1


def test_minilm_merges_paraphrases_and_guards_numbers(context):
    rows = samples(
        ("How do I lose weight quickly?", "Eat less and move more."),
        ("What is the quickest way to lose weight?", "Eat less and move more!"),
        ("What is 12 times 7?", "84"),
        ("What is 12 times 8?", "84"),
    )
    open_door = dropped(rows, context, encoder="minilm", threshold=0.85, key="prompt", numbers_agree=False)
    assert len(open_door) == 2
    assert set(dropped(rows, context, encoder="minilm", threshold=0.85, key="prompt")) < {p for p in rows["prompt"][:2]}


def test_rows_that_differ_in_numbers_stay_unless_asked(context):
    assert dropped(samples(SUM, SUM2), context) == {}
    assert len(dropped(samples(SUM, SUM2), context, numbers_agree=False)) == 1


def test_other_answers_to_one_prompt_are_conflicts_not_duplicates(context):
    prompt = "Name the most populous city of the country and say in one sentence why so many people live there now."
    rows = samples((prompt, "It is Lagos."), (prompt, "That is Kano."))
    assert dropped(rows, context, threshold=0.7) == {}
    assert len(dropped(rows, context, threshold=0.7, answers_agree=0.0)) == 1
    assert len(dropped(rows, context, key="prompt")) == 1


def test_a_lexical_floor_keeps_rows_of_other_words(context):
    assert dropped(samples(SEA, SEA2), context, min_jaccard=0.99) == {}
    assert len(dropped(samples(SEA, SEA2), context, min_jaccard=0.5)) == 1


def test_never_both_of_a_pair_and_every_drop_has_a_kept_witness(context):
    words = ["sun", "moon", "star", "rain", "wind", "snow", "hill", "lake", "tree", "road"]
    rows = samples(*((f"Tell me of the {a}, the {b} and the sky", f"{a} {b}") for a in words for b in words))
    found = Semantic(encoder="hash", threshold=0.7, answers_agree=0.0).decide(rows, {}, context)
    gone, kept = set(found["sample_id"]), set(found["witness_id"])
    assert gone
    assert not gone & kept
    assert len(rows) - len(gone) >= 1
    assert (found["similarity"] >= 0.7).all()


def test_protected_sources_lose_nothing_and_the_witness_is_theirs(context):
    rows = pl.concat([samples(SEA), samples(SEA2, source="gold")])
    found = Semantic(encoder="hash", threshold=0.8, protect=("gold",)).decide(rows, {}, context)
    assert found["witness_id"].to_list() == [rows["sample_id"][1]]


def test_a_source_may_not_vanish(context):
    rows = samples(SEA, SEA, SEA, SEA)
    with pytest.raises(UserError, match=r"more than 50\.0%"):
        dropped(rows, context, max_removed_share=0.5)


def test_the_order_of_rows_changes_nothing(context):
    rows = samples(SEA, SEA2, SUM, SUM2, SEA, ("Write a poem about the sea.", "The moon is low."))
    step = Semantic(encoder="hash", threshold=0.6, numbers_agree=False)
    first = step.decide(rows, {}, context)
    assert len(first) >= 3
    for seed in range(3):
        assert step.decide(rows.sample(fraction=1, shuffle=True, seed=seed), {}, context).equals(first)


def test_what_the_search_finds_is_recorded(context):
    dropped(samples(SEA, SEA2), context)
    (record,) = (context.root / "cache" / "semantic").glob("*.json")
    assert json.loads(record.read_text())["search"]["recall"] == 1.0


def test_vectors_of_prompt_response_and_both_are_kept_apart(context):
    rows = samples(SEA)
    for key in ("prompt", "response", "both"):
        dropped(rows, context, key=key)
    ids = [embed.text_ids(rows["content_id"].to_list(), key)[0] for key in ("prompt", "response", "both")]
    cache = context.root / "cache" / "embeddings.sqlite"
    kept = embed.encode(["", "", ""], ids, "hash", cache, context)
    assert len(np.unique(kept, axis=0)) == 3


def test_labelled_pairs_choose_the_threshold(context):
    words = [f"alpha{i} beta{i} gamma{i} delta{i} epsilon{i}" for i in range(200)]
    pairs = pl.DataFrame({"text1": words, "text2": [f"{w} zeta" for w in words], "label": [1] * 200})
    apart = pl.DataFrame({"text1": words, "text2": words[1:] + words[:1], "label": [0] * 200})
    path = context.root / "pairs.parquet"
    pl.concat([pairs, apart]).write_parquet(path)
    rows = samples(SEA, SEA2, SUM)
    step = Semantic(encoder="hash", pairs=str(path), precision=0.95, threshold=1.0)
    found = step.decide(rows, {}, context)
    assert len(found) == 1
    assert found["detail"][0].startswith("threshold 0.")
    assert step.identity() != Semantic(encoder="hash").identity()
    with pytest.raises(UserError, match="cannot certify"):
        Semantic(encoder="hash", pairs=str(path), precision=0.999).decide(rows, {}, context)
    assert threshold_for([0.9] * 200, [1] * 200, 0.95) == 0.9


def test_pairs_and_precision_go_together():
    with pytest.raises((UserError, ValueError), match="go together"):
        Semantic(pairs="x.parquet")


def test_stopping_interrupts(tmp_path):
    calls = iter([False] + [True] * 9)
    context = Context(root=tmp_path, stopping=lambda: next(calls))
    with pytest.raises(Interrupted):
        dropped(samples(SEA, SEA2), context)


def test_no_rows_are_no_decisions(context):
    assert dropped(samples(SEA).head(0), context) == {}


def test_every_field_that_decides_is_in_the_key():
    assert component_key(Semantic()) != component_key(Semantic(min_jaccard=0.1))

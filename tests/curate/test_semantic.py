"""Semantic duplicates: what falls, what is guarded, and that nothing depends on order."""

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from curate import embed, semantic
from curate.neighbours import Index, lengths, rounded
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


def templated(rows=1300):
    """Return a frame of families of prompts that differ in a few words, longer and shorter answers, and copies."""
    random = np.random.default_rng(9)
    words = np.array([a + b for a in ("mo", "ka", "ri", "tu", "sel", "dor") for b in ("na", "pe", "lix", "gor", "um")])
    families = [list(random.choice(words, 16)) for _ in range(rows // 10)]
    made = []
    for place in range(rows):
        text = list(families[place % len(families)])
        for at in random.integers(0, 16, place % 4):
            text[at] = str(random.choice(words))
        made.append((" ".join(text), "yes " * (place % 7)))
    return samples(*made)


@pytest.fixture
def lists(monkeypatch):
    """Let the step search by lists from 100 rows on, and give what it searched in."""
    made = []

    def planned(grid, threshold, *, recall):
        made.append(Index(grid, threshold, recall=recall, flat=100))
        return made[-1]

    monkeypatch.setattr(semantic, "Index", planned)
    return made


def test_with_lists_neither_order_nor_threads_change_a_decision(context, lists):
    import faiss

    rows = templated()
    step = Semantic(encoder="hash", threshold=0.8, key="prompt")
    before = faiss.omp_get_max_threads()
    try:
        results = []
        for seed, threads in ((0, 1), (1, 2), (2, 1)):
            faiss.omp_set_num_threads(threads)
            results.append(step.decide(rows.sample(fraction=1, shuffle=True, seed=seed), {}, context))
    finally:
        faiss.omp_set_num_threads(before)
    assert len(results[0]) > 300
    assert all(result.equals(results[0]) for result in results[1:])
    assert all(index.search.lists for index in lists)
    assert len({index.search for index in lists}) == 1


def test_with_lists_the_recorded_recall_is_that_of_brute_force_and_drops_are_nearly_the_same(context, lists):
    rows = templated()
    step = Semantic(encoder="hash", threshold=0.8, key="prompt")
    found = step.decide(rows, {}, context)
    (index,) = lists
    (record,) = (context.root / "cache" / "semantic").glob("*.json")
    said = json.loads(record.read_text())["search"]
    assert said == asdict(index.search)
    assert said["lists"] > said["probes"] >= 1
    cache = context.root / "cache" / "embeddings.sqlite"
    grid = rounded(embed.encode(rows["prompt"].to_list(), rows["content_id"].to_list(), "hash", cache, context))
    pairs = {}
    for name, flat in (("every", 10_000), ("some", 100)):
        blocks = list(Index(grid, 0.8, flat=flat).pairs())
        pairs[name] = {pair for b in blocks for pair in zip(b.later.tolist(), b.earlier.tolist(), strict=True)}
    alike = grid.astype(np.float64) @ grid.T.astype(np.float64) / (lengths(grid)[:, None] * lengths(grid)[None, :])
    later, earlier = np.nonzero(np.tril(alike >= 0.8, -1))
    assert pairs["every"] == set(zip(later.tolist(), earlier.tolist(), strict=True))
    assert pairs["some"] <= pairs["every"]
    assert len(pairs["some"]) / len(pairs["every"]) == pytest.approx(said["recall"], abs=0.01)
    assert said["recall"] >= 0.99
    assert found["detail"].unique().to_list() == [
        f"search of {said['probes']} of {said['lists']} lists, recall {said['recall']:.4f} "
        f"on {said['neighbours']:,} neighbours of {said['sampled']:,} rows"
    ]
    lists.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic, "Index", Index)
        exact = step.decide(rows, {}, context)
    both = set(exact["sample_id"]) & set(found["sample_id"])
    assert len(both) >= 0.98 * len(exact)
    assert (found["similarity"] >= 0.8).all()


def test_a_protected_source_may_hold_near_copies_and_others_fall_to_it(context):
    rows = pl.concat([samples(SEA, SEA2, source="gold"), samples(SEA2, SUM)])
    found = Semantic(encoder="hash", threshold=0.8, protect=("gold",)).decide(rows, {}, context)
    assert found["sample_id"].to_list() == [rows["sample_id"][2]]
    assert found["witness_id"].to_list() == [rows["sample_id"][1]]
    assert found["similarity"].to_list() == [1.0]


def test_a_source_may_lose_just_the_share_that_is_allowed(context):
    rows = samples(SEA, SEA, SUM, SUM)
    assert len(Semantic(encoder="hash", max_removed_share=0.5).decide(rows, {}, context)) == 2
    with pytest.raises(UserError, match="raise `threshold`"):
        Semantic(encoder="hash", max_removed_share=0.49).decide(rows, {}, context)


@pytest.mark.parametrize(("least", "drops"), [(0.77, 1), (0.79, 0)])
def test_the_lexical_floor_is_the_jaccard_similarity_of_the_words(least, drops, context):
    """Seven of nine distinct words are shared: 0.778."""
    rows = samples(("one two three four five six seven eight", ""), ("one two three four five six seven nine", ""))
    assert len(dropped(rows, context, threshold=0.5, key="prompt", min_jaccard=least, numbers_agree=False)) == drops


def test_answers_that_agree_enough_are_duplicates(context):
    long = "the river runs through the old town and under the stone bridge to the wide grey sea"
    rows = samples((SEA[0], long), (SEA[0], long + " today"), (SEA[0], "no such river is known to anyone in this town"))
    fields = {"threshold": 0.1, "max_removed_share": 1.0}
    assert len(Semantic(encoder="hash", answers_agree=0.5, **fields).decide(rows, {}, context)) == 1
    assert len(Semantic(encoder="hash", answers_agree=0.99, **fields).decide(rows, {}, context)) == 0
    assert len(Semantic(encoder="hash", answers_agree=0.0, **fields).decide(rows, {}, context)) == 2


def test_the_key_of_a_step_follows_its_encoder_and_its_labelled_pairs(tmp_path):
    path, model = tmp_path / "pairs.jsonl", tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"1")
    seen = []
    for label, weights in ((1, b"1"), (0, b"1"), (0, b"2")):
        path.write_text(json.dumps({"text1": "a", "text2": "b", "label": label}) + "\n")
        (model / "model.safetensors").write_bytes(weights)
        seen.append(digest(Semantic(encoder=str(model), pairs=str(path), precision=0.9).identity()))
    assert len(set(seen)) == 3
    with pytest.raises(UserError, match="cannot be read"):
        Semantic(pairs=str(tmp_path / "none.jsonl"), precision=0.9).identity()

"""Perplexity and instruction-following difficulty: by the book, cached, resumed, and honest about what did not fit."""

from __future__ import annotations

import math
import shutil

import polars as pl
import pytest

from curate import likelihood
from curate.causal_lm import CausalLM
from curate.ifd import Ifd
from curate.perplexity import Perplexity
from curate.step import STEPS, Scorer
from manifests import schema
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.curate import tiny_model
from tests.curate.judged import by_response, frame

PAIRS = [(question, answer) for question, answer, _ in tiny_model.rows(60, seed=5)]


def plain(folder, before: str, answer: str) -> float:
    """Return the perplexity of an answer from transformers' own loss, one row, nothing shared with the scorer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    given = [tokenizer.bos_token_id, *tokenizer(before, add_special_tokens=False)["input_ids"]]
    answered = tokenizer(answer, add_special_tokens=False)["input_ids"]
    labels = torch.tensor([[-100] * len(given) + answered])
    with torch.no_grad():
        return math.exp(float(model(input_ids=torch.tensor([given + answered]), labels=labels).loss))


@pytest.fixture(params=["perplexity", "ifd"])
def scorer(request, lm_folder):
    return STEPS.load(request.param)(model=str(lm_folder))


def test_perplexity_is_exp_of_transformers_own_mean_loss(lm_folder, tmp_path):
    samples = frame(PAIRS[:12])
    found = by_response(samples, Perplexity(model=str(lm_folder)).score(samples, Context(tmp_path)).scores)
    for question, answer in PAIRS[:12]:
        assert found[answer]["value"] == pytest.approx(plain(lm_folder, f"{question}\n\n", answer), rel=1e-5)


def test_difficulty_is_the_ratio_of_the_two_perplexities(lm_folder, tmp_path):
    samples = frame(PAIRS[:8])
    found = by_response(samples, Ifd(model=str(lm_folder)).score(samples, Context(tmp_path)).scores)
    for question, answer in PAIRS[:8]:
        ratio = plain(lm_folder, f"{question}\n\n", answer) / plain(lm_folder, "", answer)
        assert found[answer]["value"] == pytest.approx(ratio, rel=1e-5)


def test_the_chat_template_writes_the_prompt_when_asked(lm_folder, tmp_path):
    (question, answer), *_ = PAIRS
    samples = frame([(question, answer)])
    found = Perplexity(model=str(lm_folder), chat=True).score(samples, Context(tmp_path)).scores["value"].item()
    assert found == pytest.approx(plain(lm_folder, f"<|user|>{question}</s><|assistant|>\n", answer), rel=1e-5)


def test_values_do_not_depend_on_the_batch_or_the_order_of_rows(scorer, tmp_path):
    samples = frame(PAIRS)
    whole = scorer.score(samples, Context(tmp_path / "a")).scores
    small = type(scorer)(model=scorer.model, batch_tokens=1).score(samples.reverse(), Context(tmp_path / "b")).scores
    assert small["sample_id"].to_list() == whole["sample_id"].to_list()
    assert small["value"].to_list() == pytest.approx(whole["value"].to_list(), rel=1e-5)


def test_it_is_a_scorer_and_answers_no_rows_with_none(scorer, tmp_path):
    assert isinstance(scorer, Scorer)
    found = scorer.score(frame([]), Context(tmp_path)).scores
    assert (found.height, found.schema) == (0, pl.Schema(schema.SCORES))
    assert scorer.pending(frame([]), Context(tmp_path)) == 0


def test_a_second_time_nothing_is_computed(scorer, tmp_path, monkeypatch):
    samples, context = frame([*PAIRS, PAIRS[0]]), Context(tmp_path)
    per_row = 2 if scorer.kind == "ifd" else 1
    assert scorer.pending(samples, context) == 60 * per_row
    first = scorer.score(samples, context).scores
    assert scorer.pending(samples, context) == 0
    monkeypatch.setattr(CausalLM, "load", lambda *_: pytest.fail("the model was loaded again"))
    assert scorer.score(samples, context).scores.equals(first)


def test_a_stopped_run_keeps_its_batches_and_resumes_with_the_rest(lm_folder, tmp_path):
    samples, asked = frame(PAIRS), iter([False, False, True])
    scorer = Ifd(model=str(lm_folder), batch_tokens=256)
    with pytest.raises(Interrupted, match="are kept"):
        scorer.score(samples, Context(tmp_path, stopping=lambda: next(asked)))
    left = scorer.pending(samples, Context(tmp_path))
    assert 0 < left < 120
    seen: list[tuple[int, int]] = []
    resumed = scorer.score(samples, Context(tmp_path, progress=lambda *at: seen.append(at))).scores
    assert seen[0] == (120 - left, 120)
    assert seen[-1] == (120, 120)
    assert resumed["value"].to_list() == pytest.approx(
        scorer.score(samples, Context(tmp_path / "other")).scores["value"].to_list(), rel=1e-5
    )


def test_difficulty_shares_what_perplexity_has_computed(lm_folder, tmp_path):
    samples, context = frame(PAIRS), Context(tmp_path)
    Perplexity(model=str(lm_folder)).score(samples, context)
    assert Ifd(model=str(lm_folder)).pending(samples, context) == 60


def test_other_weights_and_other_settings_are_not_served_from_the_cache(lm_folder, tmp_path):
    samples, context = frame(PAIRS[:3]), Context(tmp_path)
    scorer = Perplexity(model=str(lm_folder))
    scorer.score(samples, context)
    other = shutil.copytree(lm_folder, tmp_path / "other")
    (other / "extra.json").write_text("{}")
    for changed in ({"chat": True}, {"max_tokens": 99}, {"model": str(other)}):
        assert Perplexity(**{"model": str(lm_folder), **changed}).pending(samples, context) == 3
    assert scorer.identity() != Perplexity(model=str(other)).identity()


def test_rows_that_cannot_be_scored_abstain_and_cut_prompts_are_remarked(lm_folder, tmp_path):
    words = "the river stone lantern " * 12
    samples = frame([("q?", " "), ("q?", words), (words, "the quiet river")])
    found = by_response(
        samples, Perplexity(model=str(lm_folder), max_tokens=16).score(samples, Context(tmp_path)).scores
    )
    assert (found[" "]["status"], found[" "]["why"]) == ("abstained", likelihood.EMPTY)
    assert found[words]["status"] == "abstained"
    assert "15 fit" in found[words]["why"]
    assert found["the quiet river"]["status"] == "ok"
    assert "lost its first" in found["the quiet river"]["why"]


def test_a_prompt_that_does_not_fit_loses_its_beginning(lm_folder, tmp_path):
    words = "the river stone lantern " * 30
    samples = frame([(words, "the quiet river"), ("orange " * 50 + words, "the quiet river")])
    values = Perplexity(model=str(lm_folder), max_tokens=40).score(samples, Context(tmp_path)).scores["value"]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_numbers_that_are_not_finite_fail_instead_of_becoming_scores(lm_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(CausalLM, "losses", lambda self, texts: [math.nan] * len(texts))
    for scorer in (Perplexity(model=str(lm_folder)), Ifd(model=str(lm_folder))):
        found = scorer.score(frame(PAIRS[:2]), Context(tmp_path / scorer.kind)).scores
        assert found.select("value", "status", "why").unique().rows() == [
            (None, "failed", "the value is not a finite number")
        ]


def test_a_damaged_cache_is_named(lm_folder, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / likelihood.CACHE).write_bytes(b"this is not a database, whatever its name says " * 50)
    with pytest.raises(UserError, match="delete it"):
        Perplexity(model=str(lm_folder)).score(frame(PAIRS[:2]), Context(tmp_path))


def test_a_missing_chat_template_is_an_error_of_the_user(tmp_path):
    folder = tiny_model.build(tmp_path / "plain", steps=1)
    with pytest.raises(UserError, match="chat template"):
        Perplexity(model=str(folder), chat=True).score(frame(PAIRS[:1]), Context(tmp_path))


def test_a_prompt_longer_than_the_models_context_is_cut_to_it(scorer, lm_folder, tmp_path):
    words = "the river stone lantern " * 300
    samples = frame([(words, "the quiet river"), ("orange " * 90 + words, "the quiet river")])
    found = type(scorer)(model=str(lm_folder), max_tokens=100_000).score(samples, Context(tmp_path)).scores
    assert found["status"].to_list() == ["ok", "ok"]
    assert found["value"][0] == pytest.approx(found["value"][1], rel=1e-5)
    capped = type(scorer)(model=str(lm_folder), max_tokens=512).score(samples, Context(tmp_path / "b")).scores
    assert capped["value"].to_list() == pytest.approx(found["value"].to_list(), rel=1e-6)
    assert all("lost its first" in why for why in found["why"])


@pytest.mark.parametrize("room", [-1, 0, 1])
def test_a_response_just_short_of_the_limit_is_scored_without_its_prompt(lm_folder, tmp_path, room):
    from transformers import AutoTokenizer

    tokens = len(AutoTokenizer.from_pretrained(lm_folder)("the quiet river", add_special_tokens=False)["input_ids"])
    samples = frame([("seven lantern", "the quiet river")])
    scorer = Perplexity(model=str(lm_folder), max_tokens=tokens + 1 + room)
    found = scorer.score(samples, Context(tmp_path)).scores.row(0, named=True)
    if room < 0:
        assert (found["status"], found["why"]) == ("abstained", f"the response has {tokens} tokens, {tokens - 1} fit")
    else:
        assert found["status"] == "ok"
        assert "lost its first" in found["why"]
    if room == 0:
        assert found["value"] == pytest.approx(plain(lm_folder, "", "the quiet river"), rel=1e-5)


def test_values_are_equal_at_batches_of_1_and_of_64(lm_folder, tmp_path):
    samples = frame([(f"{question} {i}", answer) for i, (question, answer) in enumerate([*PAIRS, *PAIRS[:4]])])
    sizes: list[int] = []
    losses = CausalLM.losses

    def seen(self, texts):
        sizes.append(len(texts))
        return losses(self, texts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CausalLM, "losses", seen)
        found = [
            Perplexity(model=str(lm_folder), batch_tokens=tokens).score(samples, Context(tmp_path / str(tokens))).scores
            for tokens in (1, 1_000_000)
        ]
    assert sizes == [1] * 64 + [64]
    assert found[0]["value"].to_list() == pytest.approx(found[1]["value"].to_list(), rel=1e-5)


@pytest.mark.parametrize("answer", ["", " ", "\n\t", " "])
def test_an_empty_response_abstains_without_a_model(scorer, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(CausalLM, "load", lambda *_: pytest.fail("the model was loaded"))
    samples = frame([("q?", answer)])
    found = scorer.score(samples, Context(tmp_path)).scores.row(0, named=True)
    assert (found["value"], found["status"], found["why"]) == (None, "abstained", likelihood.EMPTY)
    assert scorer.pending(samples, Context(tmp_path)) == 0


def test_what_could_not_be_scored_is_remembered_too(lm_folder, tmp_path, monkeypatch):
    samples, scorer = frame([("q?", "the river stone lantern " * 12)]), Perplexity(model=str(lm_folder), max_tokens=16)
    first = scorer.score(samples, Context(tmp_path)).scores
    assert scorer.pending(samples, Context(tmp_path)) == 0
    monkeypatch.setattr(CausalLM, "load", lambda *_: pytest.fail("the model was loaded again"))
    assert scorer.score(samples, Context(tmp_path)).scores.equals(first)

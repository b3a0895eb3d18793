"""Length and complexity: counts and published formulas, checked against published values and plain loops."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import surface
from curate.step import STEPS, Scorer
from curate.surface import Complexity, Length, ari, mtld
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.curate.judged import by_response, frame

EXAMPLE = """Measure of textual lexical diversity, computed as the mean length of sequential words in a text that
maintains a minimum threshold TTR score. Iterates over words until TTR scores falls below a threshold, then increase
factor counter by 1 and start over. McCarthy and Jarvis (2010, pg. 385) recommends a factor threshold in the range of
[0.660, 0.750]. (McCarthy 2005, McCarthy and Jarvis 2010)"""
"""The example of the documentation of LexicalRichness (github.com/LSYS/LexicalRichness), which counts no numerals."""


def test_lexical_diversity_has_the_value_that_lexicalrichness_documents():
    terms = re.findall("[a-z]+", EXAMPLE.lower())
    assert (len(terms), len(set(terms))) == (57, 39)
    assert mtld(terms) == pytest.approx(46.79226361031519, rel=1e-12)


def test_lexical_diversity_of_one_word_over_and_over_is_two_words():
    assert mtld(["a"] * 40) == 2.0
    assert mtld(["a", "b", "c"]) is None
    assert mtld([]) is None


def test_readability_is_senter_and_smiths_formula():
    text = "The rule of rhythm in prose is not so intricate. Here, too, we write in groups!"
    letters, n_words, sentences = sum(map(str.isalpha, text)), 16, 2
    expected = 4.71 * letters / n_words + 0.5 * n_words / sentences - 21.43
    assert ari(pl.Series([text])).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One two three", 1),
        ("One two. Three", 2),
        ("Is it 3.5 or so? Yes.", 2),
        ("Wait... what?! No.", 3),
        ('"Go." He went.', 2),
    ],
)
def test_sentences_end_where_a_reader_sees_an_end(text, sentences):
    letters, n_words = len(re.findall(r"\w", text)), len(re.findall(r"\w+", text))
    expected = 4.71 * letters / n_words + 0.5 * n_words / sentences - 21.43
    assert ari(pl.Series([text])).item() == pytest.approx(expected)


def test_a_text_without_words_has_no_readability():
    assert ari(pl.Series(["", "?!", " "])).to_list() == [None] * 3


@pytest.mark.parametrize(("unit", "expected"), [("characters", 10), ("words", 3)])
def test_length_counts_what_it_is_told_to(unit, expected, tmp_path):
    found = Length(unit=unit).score(frame([("q", "Öl für 2 €"), ("q", "")]), Context(tmp_path)).scores
    assert sorted(found["value"]) == [0, expected]
    assert set(found["status"]) == {"ok"}


def test_length_in_tokens_is_the_tokenizers(lm_folder, tmp_path):
    from transformers import AutoTokenizer

    samples = frame([("q", "the quiet river"), ("q", "")])
    found = by_response(samples, Length(unit="tokens", model=str(lm_folder)).score(samples, Context(tmp_path)).scores)
    tokens = AutoTokenizer.from_pretrained(lm_folder)("the quiet river", add_special_tokens=False)["input_ids"]
    assert found["the quiet river"]["value"] == len(tokens)
    assert found[""]["value"] == 0
    assert set(Length(unit="tokens", model=str(lm_folder)).identity()) == {"weights"}
    assert Length().identity() == {}


def test_tokens_go_with_a_model_and_only_they_do(tmp_path):
    with pytest.raises(UserError, match="goes with a model"):
        Length(unit="tokens")
    with pytest.raises(UserError, match="goes with a model"):
        Length(model="gpt2")


def test_complexity_abstains_on_short_responses_and_on_those_without_a_word_twice(tmp_path):
    distinct = " ".join(f"w{i}" for i in range(60))
    samples = frame([("q", "too short"), ("q", distinct), ("q", EXAMPLE)])
    found = by_response(samples, Complexity().score(samples, Context(tmp_path)).scores)
    assert found["too short"]["why"] == "fewer than 50 words"
    assert found[distinct]["why"] == "no word recurs"
    assert found[EXAMPLE]["value"] == pytest.approx(mtld(re.findall(r"\w+", EXAMPLE.lower())))


@pytest.mark.parametrize("scorer", [Length(), Complexity(measure="ari", min_words=1), Complexity(min_words=1)])
def test_they_are_scorers_that_depend_on_nothing_but_the_row(scorer, tmp_path):
    assert isinstance(scorer, Scorer)
    assert STEPS.load(scorer.kind) is type(scorer)
    samples, context = (
        frame([("q", f"the {i} cats and the {i} dogs. {'So ' * i}") for i in range(9)]),
        Context(tmp_path),
    )
    found = scorer.score(samples, context).scores
    assert scorer.score(samples.reverse(), context).scores.equals(found)
    assert scorer.score(frame([]), context).scores.height == scorer.pending(samples, context) == 0


def test_a_stop_is_obeyed(tmp_path):
    with pytest.raises(Interrupted):
        Complexity().score(frame([("q", "a")]), Context(tmp_path, stopping=lambda: True))


def slow_mtld(terms, threshold=0.72):
    """Return MTLD from its definition alone, with exact fractions; None where a pass has no factor."""
    passes = []
    for each in (list(terms), list(terms)[::-1]):
        factors, part = Fraction(0), []
        for term in each:
            part.append(term)
            if Fraction(len(set(part)), len(part)) <= Fraction(str(threshold)):
                factors, part = factors + 1, []
        if part:
            factors += (1 - Fraction(len(set(part)), len(part))) / (1 - Fraction(str(threshold)))
        passes.append(factors)
    return float(sum(len(terms) / count for count in passes) / 2) if all(passes) else None


@given(st.lists(st.sampled_from("abcdefghijklmnop"), max_size=120))
def test_lexical_diversity_is_its_definition_and_the_same_read_backwards(terms):
    expected = slow_mtld(terms)
    assert mtld(terms) == (None if expected is None else pytest.approx(expected, rel=1e-9))
    assert mtld(terms[::-1]) == (None if expected is None else pytest.approx(expected, rel=1e-9))


def test_a_ratio_that_is_exactly_the_threshold_fills_a_factor():
    terms = [f"w{i}" for i in range(18)] + ["w0"] * 7
    assert len(set(terms)) / len(terms) == 0.72
    assert mtld(terms) == pytest.approx(slow_mtld(terms))


@pytest.mark.parametrize("measure", ["mtld", "ari"])
@pytest.mark.parametrize(
    ("n", "status"), [(0, "abstained"), (1, "abstained"), (49, "abstained"), (50, "ok"), (51, "ok")]
)
def test_a_text_is_measured_from_min_words_on(measure, n, status, tmp_path):
    text = " ".join(["a", "b", "c", "a"][i % 4] for i in range(n))
    found = Complexity(measure=measure).score(frame([("q", text)]), Context(tmp_path)).scores
    assert found["status"].item() == status
    if status == "ok":
        expected = mtld(text.split()) if measure == "mtld" else 4.71 + 0.5 * n - 21.43
        assert found["value"].item() == pytest.approx(expected)


@pytest.mark.parametrize("text", ["a", "a.", "A!?", "é", "x " * 5000, "a." * 300, "...", "1 2 3", "\n\t", "字字 字。"])
def test_readability_is_finite_or_absent_at_every_length(text):
    value = ari(pl.Series([text])).item()
    assert (value is None) == (re.search(r"\w", text) is None)
    assert value is None or math.isfinite(value)
    assert ari(pl.Series([f"  {text} \n"])).item() == value


def test_rows_are_scored_alike_in_slices_of_any_size(tmp_path, monkeypatch):
    samples = frame([("q", f"{EXAMPLE} {'so it goes ' * i}") for i in range(9)] + [("q", "short")])
    whole = Complexity().score(samples, Context(tmp_path)).scores
    told = []
    for size in (1, 4, 10):
        monkeypatch.setattr(surface, "CHUNK", size)
        part = Complexity().score(samples, Context(tmp_path, progress=lambda *at: told.append(at)))
        assert part.scores.equals(whole)
        assert told[-1] == (10, 10)
    asked = iter([False, True])
    monkeypatch.setattr(surface, "CHUNK", 4)
    with pytest.raises(Interrupted, match="after 4 of 10"):
        Complexity().score(samples, Context(tmp_path, stopping=lambda: next(asked)))


def test_a_folder_without_a_tokenizer_is_refused_by_name(tmp_path):
    with pytest.raises(UserError, match="tokenizer cannot be loaded"):
        Length(unit="tokens", model=str(tmp_path)).score(frame([("q", "a")]), Context(tmp_path))

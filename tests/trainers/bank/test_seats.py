"""Adapters that are measured together answer as each alone, whatever is beside them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import threading

import pytest
import torch

from manifests.component import Context
from manifests.errors import Interrupted, UserError
from trainers.bank import seats, verbs
from trainers.bank.seats import examined
from trainers.bank.stack import Stack
from trainers.bank.together import together
from trainers.evaluate import Model
from trainers.lora import Lora
from trainers.run import Job

LORA = Lora(base="given", steps=25, lr=3e-2, batch_tokens=256, max_tokens=64, rank=4)
MOST = 24


def trained(rows, base, root, *trainers):
    return [
        trainer.fit(rows[3 * n : 3 * n + 25], base, n, root / str(n), Context(root=root)).path
        for n, trainer in enumerate(trainers)
    ]


@pytest.fixture(scope="module")
def folders(base, rows, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    lengths = (25, 6, 40)
    jobs = [
        Job(dataclasses.replace(LORA, steps=n), rows[3 * i :], base, i, root / str(i), Context(root=root))
        for i, n in enumerate(lengths)
    ]
    return [fitted.path for fitted in together(jobs, 3)]


@pytest.fixture(scope="module")
def prompts(rows):
    """Return prompts of several lengths, one of them longer than the context."""
    asked = [row.messages[:1] for row in rows[:36]]
    return [*asked, (("user", "Why?"),), (("user", "Why? " * 90),), (("user", f"{rows[0].messages[0][1]} " * 2),)]


@pytest.fixture(scope="module")
def pairs(rows):
    asked = [(row.messages[:1], row.messages[1][1]) for row in rows[:30]]
    return [*asked, ((("user", "Why?"),), ""), ((("user", "Why? " * 90),), "Because."), ((("user", "?"),), "no " * 300)]


def both(prompts, pairs):
    """Return an exam that asks for answers and for likelihoods."""
    return lambda number, model: (model.generate(prompts, MOST), model.loglik(pairs))


def alone(folder, prompts, pairs):
    return both(prompts, pairs)(0, Model.load(folder))


def assert_alike(mine, theirs):
    answers, likely = mine
    expected, wanted = theirs
    assert answers == expected
    assert [one is None for one in likely] == [one is None for one in wanted]
    for one, other in zip(likely, wanted, strict=True):
        if one is not None:
            assert (one.n_tokens, one.n_chars) == (other.n_tokens, other.n_chars)
            assert one.total == pytest.approx(other.total, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_each_adapter_answers_as_it_does_alone(folders, prompts, pairs, monkeypatch, room):
    monkeypatch.setattr(Stack, "room", lambda stack, *positions: room)
    found = examined(folders, both(prompts, pairs))
    for mine, folder in zip(found, folders, strict=True):
        assert_alike(mine, alone(folder, prompts, pairs))
    assert len({tuple(answers) for answers, _ in found}) == 3
    assert found[0][1][-1] is None
    assert found[0][1][0].total != pytest.approx(found[1][1][0].total, rel=1e-3)


@pytest.mark.parametrize("rank", [1, 4])
def test_no_value_depends_on_which_adapters_are_beside_it_or_on_the_room(
    base, rows, prompts, pairs, tmp_path, monkeypatch, rank
):
    made = trained(rows, base, tmp_path, *[dataclasses.replace(LORA, steps=n, rank=rank) for n in (20, 4, 9)])
    exam = both(prompts, pairs)
    lone = [examined([folder], exam)[0] for folder in made]
    monkeypatch.setattr(Stack, "room", lambda stack, *positions: 8)
    assert examined(made, exam) == lone
    assert examined(made[::-1], exam) == lone[::-1]
    assert examined([made[1], made[1], made[0]], exam) == [lone[1], lone[1], lone[0]]


def test_no_value_depends_on_the_other_rows_of_a_call(folders, prompts, pairs):
    [whole] = examined(folders[:1], both(prompts, pairs))
    [single] = examined(
        folders[:1],
        lambda number, model: (
            [model.generate([prompt], MOST)[0] for prompt in prompts[-6:]],
            [model.loglik([pair])[0] for pair in pairs[-6:]],
        ),
    )
    assert single == (whole[0][-6:], whole[1][-6:])


def test_what_all_ask_is_computed_in_one_pass_and_an_adapter_whose_answers_have_ended_leaves_it(
    folders, prompts, monkeypatch
):
    monkeypatch.setattr(Stack, "room", lambda stack, *positions: 8)
    passes, sizes = [], []
    using = Stack.using
    monkeypatch.setattr(Stack, "using", lambda stack, slots: sizes.append(len(slots)) or using(stack, slots))
    greedy = verbs.greedy
    monkeypatch.setattr(verbs, "greedy", lambda *given: passes.append(len(given[1])) or greedy(*given))
    monkeypatch.setattr(seats, "SEATS", 3)
    short = [(("user", "Where does Ada live, and what is 0 plus one?"),)]
    found = examined(folders, lambda number, model: model.generate(short, 60))
    assert passes == [3]
    assert sizes[0] == 3
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 3
    assert found == [Model.load(folder).generate(short, 60) for folder in folders]


def test_each_adapter_s_answers_end_at_its_own_stops(folders, prompts):
    def exam(number, model):
        whole = model.generate(prompts[:1], MOST)[0]
        ends = frozenset(model.renderer.tokenizer(whole, add_special_tokens=False)["input_ids"][2:3])
        return whole, dataclasses.replace(model, stops=ends if number else model.stops).generate(prompts[:1], MOST)[0]

    found = examined([folders[0], folders[0]], exam)
    assert found[0][0] == found[0][1] == found[1][0]
    assert found[1][1] != found[1][0]
    assert found[1][0].startswith(found[1][1])


def test_exams_that_ask_different_things_are_answered_all_the_same(folders, prompts, pairs):
    def exam(number, model):
        if number == 0:
            return model.generate(prompts[:3], MOST)
        if number == 1:
            return [model.loglik(pairs[:4]), model.generate(prompts[4:6], 8), model.loglik([])]
        return model.generate([], 5)

    found = examined(folders, exam)
    first, second = (Model.load(folder) for folder in folders[:2])
    assert found[0] == first.generate(prompts[:3], MOST)
    assert found[1][1] == second.generate(prompts[4:6], 8)
    assert [one.total for one in found[1][0]] == pytest.approx(
        [one.total for one in second.loglik(pairs[:4])], rel=1e-5
    )
    assert (found[1][2], found[2]) == ([], [])


def test_prompts_have_the_layout_that_each_run_was_trained_in(base, rows, prompts, pairs, tmp_path):
    made = trained(rows, base, tmp_path, LORA, dataclasses.replace(LORA, template="alpaca"))
    found = examined(made, both(prompts, pairs))
    for mine, folder in zip(found, made, strict=True):
        assert_alike(mine, alone(folder, prompts, pairs))
    lengths = examined(made, lambda number, model: len(model.renderer.prompt(prompts[0])))
    assert lengths[0] != lengths[1]


def test_adapters_of_another_shape_or_base_are_measured_apart_and_more_than_there_are_seats_one_lot_after_the_other(
    folders, base, rows, prompts, pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr(seats, "SEATS", 2)
    lots = []
    stacked = seats._stacked
    monkeypatch.setattr(
        seats, "_stacked", lambda given, device: lots.append([path.name for path in given]) or stacked(given, device)
    )
    wide = dataclasses.replace(LORA, rank=2, steps=3).fit(rows, base, 0, tmp_path / "wide", Context(root=tmp_path)).path
    moved = shutil.copytree(base, tmp_path / "base")
    other = LORA.fit(rows, moved, 0, tmp_path / "other", Context(root=tmp_path)).path
    given = [folders[0], wide, folders[1], other, folders[2]]
    found = examined(given, both(prompts[:4], pairs[:4]))
    assert lots == [["0", "1"], ["2"], ["wide"], ["other"]]
    for mine, folder in zip(found, given, strict=True):
        assert_alike(mine, alone(folder, prompts[:4], pairs[:4]))


def test_an_adapter_trained_with_dropout_is_measured_without_it(base, rows, prompts, pairs, tmp_path):
    made = trained(rows, base, tmp_path, *[dataclasses.replace(LORA, steps=2, dropout=rate) for rate in (0.3, 0.0)])
    for mine, folder in zip(examined(made, both(prompts[:3], pairs[:3])), made, strict=True):
        assert_alike(mine, alone(folder, prompts[:3], pairs[:3]))


def test_what_cannot_be_stacked_is_measured_as_a_model_of_its_own(folders, base, prompts, pairs, tmp_path, monkeypatch):
    exam = both(prompts[:4], pairs[:4])
    monkeypatch.setattr(seats, "stackable", lambda model: False)
    assert examined([folders[0], base], exam) == [alone(path, prompts[:4], pairs[:4]) for path in (folders[0], base)]

    def refusing(number, model):
        raise UserError("no such luck", value=number)

    [error] = examined(folders[:1], refusing)
    assert isinstance(error, UserError)


def test_an_exam_that_fails_ends_alone(folders, prompts):
    def exam(number, model):
        answers = model.generate(prompts[:2], 4)
        if number == 1:
            raise UserError("a bad example", value=number)
        return answers + model.generate(prompts[2:4], 4)

    found = examined(folders, exam)
    assert "a bad example" in str(found[1])
    for number in (0, 2):
        assert found[number] == Model.load(folders[number]).generate(prompts[:4], 4)


def test_damage_to_one_adapter_is_its_own_error(folders, prompts, tmp_path):
    gone = shutil.copytree(folders[0], tmp_path / "gone")
    (gone / "adapter_model.safetensors").unlink()
    moved = shutil.copytree(folders[0], tmp_path / "moved")
    record = json.loads((moved / "run.json").read_text("utf-8"))
    (moved / "run.json").write_text(json.dumps({**record, "base_identity": "another"}), "utf-8")
    found = examined([gone, folders[1], moved], lambda number, model: model.generate(prompts[:2], 4))
    assert "holds no adapter_model.safetensors" in str(found[0])
    assert found[1] == Model.load(folders[1]).generate(prompts[:2], 4)
    assert "another base" in str(found[2])


def test_a_call_that_leaves_no_room_is_refused_as_by_a_model(folders):
    [error] = examined(folders[:1], lambda number, model: model.generate([], 1000))
    assert isinstance(error, UserError)
    assert error.value == 1000


def test_a_stop_between_passes_interrupts_every_exam(folders, prompts, monkeypatch):
    monkeypatch.setattr(Stack, "room", lambda stack, *positions: 1)
    asked = []

    def stopping():
        asked.append(1)
        return len(asked) > 2

    found = examined(folders, lambda number, model: model.generate(prompts, 4), stopping)
    assert len(asked) == 3
    assert [type(one) for one in found] == [Interrupted] * 3


def test_where_memory_is_short_a_pass_is_halved_and_one_adapter_that_has_too_little_fails(
    folders, prompts, monkeypatch
):
    monkeypatch.setattr(Stack, "room", lambda stack, *positions: 8)
    expected = examined(folders, lambda number, model: model.generate(prompts[:3], 6))
    greedy, most, tried = verbs.greedy, [1], []

    def short(model, parts, *rest):
        tried.append(len(parts))
        if len(parts) > most[0]:
            raise torch.OutOfMemoryError("too much")
        return greedy(model, parts, *rest)

    monkeypatch.setattr(verbs, "greedy", short)
    assert examined(folders, lambda number, model: model.generate(prompts[:3], 6)) == expected
    assert tried == [3, 1, 2, 1, 1]
    most[0] = 0
    found = examined(folders, lambda number, model: model.generate(prompts[:3], 6))
    assert [type(one) for one in found] == [torch.OutOfMemoryError] * 3
    assert len({id(one) for one in found}) == 3


def test_a_bug_in_a_pass_is_raised_and_no_thread_is_left(folders, prompts, monkeypatch):
    monkeypatch.setattr(verbs, "greedy", None)
    with pytest.raises(TypeError):
        examined(folders, lambda number, model: model.generate(prompts[:1], 4))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("seat")]

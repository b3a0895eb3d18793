"""A run trained in parts is the whole run on its way."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from manifests.errors import Interrupted
from trainers.full import Full
from trainers.pause import NEXT, Pausing
from trainers.validation import Validate

MADE = Full(base="given", steps=9, lr=5e-3, batch_tokens=256, max_tokens=64, schedule="cosine")


def part(context, k, whole=9, after=None, **more):
    return Pausing(context.root, part=k, whole=whole, after=after, **more)


@pytest.fixture(scope="module")
def whole(base, rows, context, tmp_path_factory):
    return MADE.fit(rows, base, 0, tmp_path_factory.mktemp("whole"), context)


def test_parts_end_with_the_weights_of_the_whole_run(base, rows, context, tmp_path, whole):
    first = MADE.fit(rows, base, 0, tmp_path / "a", part(context, 2))
    assert (first.steps, first.content_id != whole.content_id) == (2, True)
    assert (tmp_path / "a" / NEXT).is_file()
    second = MADE.fit(rows, base, 0, tmp_path / "b", part(context, 5, after=tmp_path / "a"))
    assert second.steps == 5
    assert not (tmp_path / "a" / NEXT).exists()
    last = MADE.fit(rows, base, 0, tmp_path / "c", part(context, 9, after=tmp_path / "b"))
    assert (last.steps, last.content_id, last.log) == (9, whole.content_id, whole.log)
    assert json.loads((tmp_path / "c" / "run.json").read_text())["steps"] == 9


def test_a_part_goes_on_from_the_part_before_and_is_not_made_twice(base, rows, context, tmp_path):
    MADE.fit(rows, base, 0, tmp_path / "a", part(context, 4))
    seen = []
    going = part(context, 6, after=tmp_path / "a", progress=lambda done, steps: seen.append(done))
    MADE.fit(rows, base, 0, tmp_path / "b", going)
    MADE.fit(rows, base, 0, tmp_path / "b", going)
    assert seen == [5, 6]


def test_a_part_that_is_killed_comes_to_the_same_weights(base, rows, context, tmp_path):
    plain = MADE.fit(rows, base, 0, tmp_path / "plain", part(context, 6))
    done = []
    killed = part(context, 6, progress=lambda step, steps: done.append(step), stopping=lambda: len(done) >= 3)
    with pytest.raises(Interrupted):
        MADE.fit(rows, base, 0, tmp_path / "killed", killed)
    assert MADE.fit(rows, base, 0, tmp_path / "killed", part(context, 6)).content_id == plain.content_id


def test_a_part_without_the_state_before_it_begins_anew_and_comes_to_the_same(base, rows, context, tmp_path, whole):
    gone = MADE.fit(rows, base, 0, tmp_path / "c", part(context, 9, after=tmp_path / "nowhere"))
    assert gone.content_id == whole.content_id


def test_a_killed_part_that_had_just_ended_is_not_trained_a_step_more(base, rows, context, tmp_path):
    plain = MADE.fit(rows, base, 0, tmp_path / "a", part(context, 3))
    (tmp_path / "a" / NEXT).rename(tmp_path / "a" / "checkpoint.safetensors")
    (tmp_path / "a" / "run.json").unlink()
    again = MADE.fit(rows, base, 0, tmp_path / "a", part(context, 3))
    assert (again.steps, again.content_id) == (3, plain.content_id)


def test_a_part_with_held_out_rows_saves_its_best_step(base, rows, context, tmp_path):
    special = [replace(row, role="specialist") for row in rows]
    made = replace(MADE, validate=Validate(share=0.2, every=1), lr=0.3)
    found = made.fit(special, base, 0, tmp_path / "a", part(context, 4))
    assert found.best == min(found.validation, key=lambda pair: pair[1])[0]
    best = made.fit(special, base, 0, tmp_path / "b", part(context, found.best)) if found.best < 4 else found
    assert found.content_id == best.content_id
    assert "ended early" not in found.note

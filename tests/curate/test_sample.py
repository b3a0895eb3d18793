"""Identity of samples: content hashes, row ids and the frame."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from manifests import schema
from manifests.names import digest, k64

ANY_TEXT = st.text(st.characters(), max_size=40)
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), ANY_TEXT), max_size=4)


def sample(*turns: tuple[str, str], occurrence: int = 0, **fields: object) -> Sample:
    messages = tuple(Message(*turn) for turn in turns)
    content = content_id(messages)
    return Sample(sample_id(content, "src", occurrence), content, "src", "generalist", messages, **fields)  # type: ignore[arg-type]


@given(TURNS)
def test_content_id_is_the_digest_of_the_messages_as_a_list_of_objects(turns: list[tuple[str, str]]) -> None:
    messages = [Message(role, content) for role, content in turns]
    assert content_id(messages) == digest([{"role": m.role, "content": m.content} for m in messages])


@given(ANY_TEXT, ANY_TEXT, st.integers(0, 10**6))
def test_sample_id_is_the_digest_of_content_source_and_occurrence(content: str, source: str, occurrence: int) -> None:
    assert sample_id(content, source, occurrence) == digest([content, source, occurrence])


def test_ids_are_what_they_were_when_the_first_manifest_was_written() -> None:
    content = content_id((Message("user", 'Näme a "colour".\n'), Message("assistant", "Blue.")))
    assert content == "0b774ac600ff6e1fd1c18202c5434518"
    assert sample_id(content, "alpaca", 1) == "0b31ba0dc7fd9a7eccc59965de89fda8"


def test_content_depends_on_roles_order_and_boundaries() -> None:
    texts = (
        [("user", "ab"), ("assistant", "c")],
        [("user", "a"), ("assistant", "bc")],
        [("assistant", "ab"), ("user", "c")],
    )
    assert len({content_id(Message(*t) for t in turns) for turns in texts}) == 3


def test_prompt_leaves_out_system_turns_and_the_answer() -> None:
    s = sample(("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    assert (s.system, s.prompt, s.response) == ("S", "a\n\nb\n\nc", "d")
    assert sample(("user", "a"), ("assistant", "b")).system is None


def test_frame_has_the_schema_and_the_order_of_ids() -> None:
    samples = [sample(("user", f"é{i}"), ("assistant", "x"), meta={"references": ["x", "y"]}) for i in range(50)]
    frame = samples_frame(reversed(samples))
    assert dict(frame.schema) == {name: kind for name, kind in schema.SAMPLES.items()}
    assert frame["sample_id"].to_list() == sorted(s.id for s in samples)
    row = frame.row(0, named=True)
    found = next(s for s in samples if s.id == row["sample_id"])
    assert json.loads(row["messages"]) == [{"role": m.role, "content": m.content} for m in found.messages]
    assert row["k64"] == k64(found.id)
    assert row["n_turns"] == 2
    assert row["n_chars"] == len(found.prompt) + 1
    assert row["n_tokens"] == -(-(len(found.prompt.encode()) + 1) // 4)
    assert json.loads(row["meta"]) == {"references": ["x", "y"]}


def test_frame_of_nothing_has_the_schema() -> None:
    assert samples_frame([]).columns == list(schema.SAMPLES)

"""Row formats: round trips, prompts, references and choices."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate import formats
from curate.formats import FORMATS, detect, format_error
from curate.reason import REASONS, BadRow
from curate.sample import Message
from curate.sources import Source

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
FILLED = st.text(CHARACTERS, min_size=1, max_size=30).filter(lambda text: bool(text.strip()) and not text.isspace())
TURNS = st.integers(1, 3).flatmap(lambda n: st.lists(FILLED, min_size=2 * n, max_size=2 * n))
SYSTEM = st.none() | FILLED


def conversation(system: str | None, texts: list[str]) -> tuple[Message, ...]:
    head = () if system is None else (Message("system", system),)
    return head + tuple(Message(("user", "assistant")[i % 2], text) for i, text in enumerate(texts))


def to_alpaca(system: str | None, texts: list[str]) -> dict[str, Any]:
    history = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
    return {"instruction": texts[-2], "output": texts[-1], "system": system, "history": history}


def to_messages(system: str | None, texts: list[str]) -> dict[str, Any]:
    return {"messages": [{"role": m.role, "content": m.content} for m in conversation(system, texts)]}


def to_sharegpt(system: str | None, texts: list[str]) -> dict[str, Any]:
    turns = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(texts)]
    return {"conversations": turns, "system": system}


def to_pair(system: str | None, texts: list[str]) -> dict[str, Any]:
    return {"prompt": texts[-2], "completion": texts[-1], "system": system}


def to_question(system: str | None, texts: list[str]) -> dict[str, Any]:
    return {"question": texts[-2], "answers": [texts[-1]], "system": system}


def to_task(system: str | None, texts: list[str]) -> dict[str, Any]:
    return {"input": texts[-2], "outputs": [texts[-1]], "system": system}


WRITERS = {
    "alpaca": (to_alpaca, True),
    "messages": (to_messages, True),
    "sharegpt": (to_sharegpt, True),
    "prompt-completion": (to_pair, False),
    "question-answer": (to_question, False),
    "super-natural-instructions": (to_task, False),
}
ROWS = st.lists(st.tuples(SYSTEM, TURNS), min_size=1, max_size=5)


def written(rows: list[dict[str, Any]], suffix: str, folder: Path) -> str:
    file = folder / f"rows{suffix}"
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif suffix == ".json":
        file.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    else:
        pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.ZstdCompressor().compress}[suffix]
        file.write_bytes(pack(text))
    return file.name


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".jsonl.gz", ".jsonl.zst"])
@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS)
def test_rows_written_in_a_format_come_back_as_the_same_messages(
    name: str, suffix: str, rows: list[tuple[str | None, list[str]]]
) -> None:
    write, whole = WRITERS[name]
    expected = [conversation(system, texts if whole else texts[-2:]) for system, texts in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = written([write(system, texts) for system, texts in rows], suffix, Path(folder))
        for kind in (name, "auto"):
            reading = Source(name="s", role="generalist", path=path, format=kind).read_all(Path(folder))
            assert reading.rejects == []
            assert [sample.messages for sample in reading.samples] == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FILLED, st.text(CHARACTERS, max_size=9), FILLED), min_size=1, max_size=5), st.booleans())
def test_csv_comes_back_as_written(rows: list[tuple[str, str, str]], tabs: bool) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, dialect="excel-tab" if tabs else "excel", quoting=csv.QUOTE_ALL)
    writer.writerow(["instruction", "input", "output"])
    writer.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rows.csv").write_bytes(buffer.getvalue().encode())
        reading = Source(name="s", role="generalist", path="rows.csv").read_all(Path(folder))
    assert reading.rejects == []
    assert [s.response for s in reading.samples] == [row[2] for row in rows]
    joined = [f"{a}\n\n{b}" if b.strip() and not b.isspace() else a for a, b, _ in rows]
    assert [s.prompt for s in reading.samples] == joined


def parse(name: str, row: dict[str, Any], *, evaluation: bool = False) -> tuple[str, str, dict[str, Any]]:
    parsed = FORMATS[name].parse(row, evaluation)
    return parsed.messages[-2].content, parsed.messages[-1].content, parsed.meta


def reason(name: str, row: dict[str, Any], *, evaluation: bool = False) -> str | None:
    try:
        FORMATS[name].parse(row, evaluation)
    except BadRow as bad:
        found = bad.reason
    else:
        return None
    assert found in REASONS
    return found


def test_texts_are_kept_to_the_letter() -> None:
    row = {"instruction": "  a \n", "input": "\tb ", "output": " c\n"}
    assert parse("alpaca", row) == ("  a \n\n\n\tb ", " c\n", {})


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_an_alpaca_row_may_lack_the_input_or_have_nothing_but_it(blank: str | None) -> None:
    assert parse("alpaca", {"instruction": "a", "input": blank, "output": "c"})[0] == "a"
    assert parse("alpaca", {"instruction": blank, "input": "b", "output": "c"})[0] == "b"
    assert reason("alpaca", {"instruction": blank, "input": blank, "output": "c"}) == "empty prompt"


def test_alpaca_history_comes_before_the_instruction() -> None:
    row = {"instruction": "c", "output": "d", "system": "S", "history": [["a", "b"]]}
    messages = FORMATS["alpaca"].parse(row, False).messages
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert reason("alpaca", {**row, "history": [["a"]]}) == "wrong type"
    assert reason("alpaca", {**row, "history": ["ab"]}) == "wrong type"
    assert reason("alpaca", {**row, "history": [["a", ""]]}) == "empty response"
    assert reason("alpaca", {**row, "history": [["a", "b"]] * 500}) == "too many turns"


def test_the_first_completion_is_the_answer_and_all_are_references() -> None:
    assert parse("prompt-completion", {"prompt": "p", "completion": ["a", "b"]}) == (
        "p",
        "a",
        {"references": ["a", "b"]},
    )
    assert parse("prompt-completion", {"prompt": "p", "completion": "a"}) == ("p", "a", {})
    assert reason("prompt-completion", {"prompt": "p", "completion": []}) == "empty response"
    assert reason("prompt-completion", {"prompt": "p", "completion": [" ", "b"]}) == "empty response"
    assert reason("prompt-completion", {"prompt": "p", "completion": ["a", None]}) == "wrong type"
    assert reason("prompt-completion", {"prompt": "", "completion": "a"}) == "empty prompt"
    assert reason("prompt-completion", {"completion": "a"}) == "missing column"


def test_eval_rows_take_their_answer_from_the_references() -> None:
    for name, row in (
        ("alpaca", {"instruction": "p", "output": ""}),
        ("prompt-completion", {"prompt": "p"}),
        ("question-answer", {"question": "p"}),
        ("super-natural-instructions", {"input": "p", "output": None}),
        ("messages", {"messages": [{"role": "user", "content": "p"}]}),
    ):
        both = {**row, "references": ["r", "s"]}
        assert parse(name, both, evaluation=True) == ("p", "r", {"references": ["r", "s"]})
        assert reason(name, both) is not None


def test_eval_prompts_without_an_answer_are_kept_to_be_looked_for() -> None:
    for name, row in (
        ("alpaca", {"instruction": "p", "output": ""}),
        ("alpaca", {"instruction": "p", "output": None, "history": [["q", "a"]]}),
        ("prompt-completion", {"prompt": "p", "completion": " "}),
        ("prompt-completion", {"prompt": "p", "references": []}),
        ("super-natural-instructions", {"input": "p", "output": None}),
        ("messages", {"messages": [{"role": "user", "content": "p"}]}),
        ("sharegpt", {"conversations": [{"from": "human", "value": "p"}]}),
    ):
        assert parse(name, row, evaluation=True)[1] == ""
        assert reason(name, row) is not None
    assert reason("question-answer", {"question": "p", "answer": ""}, evaluation=True) == "empty response"
    assert reason("prompt-completion", {"prompt": "p"}, evaluation=True) == "missing column"
    assert (
        reason("messages", {"messages": [{"role": "system", "content": "s"}]}, evaluation=True) == "missing assistant"
    )
    turns = [{"role": "user", "content": "p"}, {"role": "assistant", "content": " "}]
    assert reason("messages", {"messages": turns}, evaluation=True) == "empty response"


QUESTION = {"question": "Which?", "choices": ["sun", "moon"]}


@pytest.mark.parametrize(
    ("row", "prompt", "answer", "meta"),
    [
        ({"question": "Who?", "answer": "Ada"}, "Who?", "Ada", {"references": ["Ada"]}),
        (
            {"context": "C.", "question": "Who?", "answers": ["Ada", "A. L."]},
            "C.\n\nWho?",
            "Ada",
            {"references": ["Ada", "A. L."]},
        ),
        (
            {"question": "Who?", "answers": {"text": ["Ada"], "answer_start": [3]}},
            "Who?",
            "Ada",
            {"references": ["Ada"]},
        ),
        (
            {**QUESTION, "answers": ["moon"]},
            "Which?\n\nOptions:\n- sun\n- moon",
            "moon",
            {"references": ["moon"], "choices": ["sun", "moon"]},
        ),
        (
            {**QUESTION, "answer": "B"},
            "Which?\n\nOptions:\nA. sun\nB. moon",
            "B",
            {"references": ["B"], "choices": ["A", "B"]},
        ),
        (
            {"question": "Which?", "choices": ["(A)sun", "(B)moon"], "answers": ["B"]},
            "Which?\n\nOptions:\n(A)sun\n(B)moon",
            "B",
            {"references": ["B"], "choices": ["A", "B"]},
        ),
        (
            {"question": "Which?", "choices": ["B", "A"], "answers": ["B"]},
            "Which?\n\nOptions:\n- B\n- A",
            "B",
            {"references": ["B"], "choices": ["B", "A"]},
        ),
        *(
            (
                {**QUESTION, "label": label},
                "Which?\n\nOptions:\n- sun\n- moon",
                "moon",
                {"references": ["moon"], "choices": ["sun", "moon"]},
            )
            for label in (1, "1", "B")
        ),
        (
            {"question": "Which?", "choices": {"text": ["sun", "moon"], "label": ["1", "2"]}, "label": "2"},
            "Which?\n\nOptions:\n- sun\n- moon",
            "moon",
            {"references": ["moon"], "choices": ["sun", "moon"]},
        ),
    ],
)
def test_questions_are_put_as_documented(row: dict[str, Any], prompt: str, answer: str, meta: dict[str, Any]) -> None:
    assert parse("question-answer", row) == (prompt, answer, meta)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *((label, "label out of range") for label in (-1, 2, "C", "", "99999")),
        *((label, "wrong type") for label in (True, 1.0)),
        (None, "empty response"),
    ],
)
def test_labels_outside_of_the_choices_are_refused(label: object, expected: str) -> None:
    assert reason("question-answer", {**QUESTION, "label": label}) == expected


def test_broken_choices_are_refused() -> None:
    for choices in ("sun", [1], {"text": ["a"], "label": []}, {"text": ["a"]}):
        assert reason("question-answer", {"question": "q", "answer": "a", "choices": choices}) == "wrong type"


def test_more_options_than_letters_are_never_lettered() -> None:
    options = [f"o{i}" for i in range(30)]
    prompt, answer, meta = parse("question-answer", {"question": "q", "choices": options, "answer": "B"})
    assert prompt.count("\n- ") == 30
    assert (answer, meta["choices"]) == ("B", options)


@pytest.mark.parametrize("definition", ["D.", ["D."]])
def test_a_definition_comes_before_the_input(definition: object) -> None:
    row = {"definition": definition, "input": "i", "output": ["a", "b"]}
    assert parse("super-natural-instructions", row) == ("D.\n\ni", "a", {"references": ["a", "b"]})
    assert reason("super-natural-instructions", {**row, "definition": 3}) == "wrong type"


def test_sharegpt_roles_and_system_turns() -> None:
    turns = [{"from": "system", "value": "S"}, {"from": "human", "value": "a"}, {"from": "chatgpt", "value": "b"}]
    assert [m.role for m in FORMATS["sharegpt"].parse({"conversations": turns}, False).messages] == [
        "system",
        "user",
        "assistant",
    ]
    assert reason("sharegpt", {"conversations": [*turns, *turns]}) == "misplaced system"
    assert reason("sharegpt", {"conversations": turns, "system": "T"}) == "consecutive same role"
    assert reason("sharegpt", {"conversations": [{"from": "observation", "value": "x"}]}) == "tool calls"
    assert reason("sharegpt", {"conversations": [{"from": "critic", "value": "x"}]}) == "unknown role"


def test_a_blank_system_turn_is_no_turn() -> None:
    turns = [{"role": r, "content": c} for r, c in (("system", " "), ("user", "a"), ("assistant", "b"))]
    assert len(FORMATS["messages"].parse({"messages": turns}, False).messages) == 2


def test_blank_turns_inside_a_conversation_are_refused() -> None:
    def chat(*texts: str) -> dict[str, Any]:
        return {"messages": [{"role": ("user", "assistant")[i % 2], "content": t} for i, t in enumerate(texts)]}

    assert reason("messages", chat("a", " ", "c", "d")) == "empty response"
    assert reason("messages", chat("a", "b", "", "d")) == "empty prompt"


@pytest.mark.parametrize("name", FORMATS)
@given(
    st.dictionaries(
        st.sampled_from(sorted({c for f in FORMATS.values() for c in f.columns})),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text("a ", max_size=2),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["role", "content", "from", "value", "text", "label"]), inner, max_size=3
                )
            ),
            max_leaves=6,
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_any_row_is_a_conversation_or_a_known_reason(name: str, row: dict[str, Any], evaluation: bool) -> None:
    if reason(name, row, evaluation=evaluation) is None:
        messages = FORMATS[name].parse(row, evaluation).messages
        roles = [m.role for m in messages if m.role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert roles
        assert all(m.content.strip() for m in (messages[:-1] if evaluation else messages))


def test_formats_are_told_apart_by_columns() -> None:
    for name, kind in FORMATS.items():
        assert detect([names[0] for names in kind.needs]) == name
        assert kind.fits(kind.columns)
    assert detect(["messages", "prompt", "completion"]) == "messages"
    assert detect(["text"]) is None


def test_a_format_error_shows_the_row_its_columns_and_what_would_fit() -> None:
    text = str(format_error("alpaca", ["prompt", "completion", "id"], 7))
    for part in ("'alpaca'", "row 7", "prompt, completion, id", "prompt-completion (prompt, completion or references)"):
        assert part in text
    assert "columns:" in str(format_error("auto", ["text"], 1))


def test_the_reasons_given_in_the_code_are_exactly_those_described() -> None:
    code = "\n".join(
        file.read_text() for file in Path(formats.__file__).parent.glob("*.py") if file.name != "reason.py"
    )
    assert {reason for reason in REASONS if f'"{reason}"' in code} == set(REASONS)
    assert set(re.findall(r'BadRow\("([^"]+)"\)', code)) <= set(REASONS)

"""Sources: what is read, selected, mapped, wrapped, limited and kept, and how it is identified."""

from __future__ import annotations

import datetime
import decimal
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.sample import Message, Reject, Sample, content_id, sample_id
from curate.sources import Reading, Source
from manifests.component import Context, component_key, spec_of
from manifests.errors import Interrupted, UserError
from manifests.names import k64, sampling_key

ROWS = [
    {
        "id": i,
        "task": ("fix", "split", "fix")[i % 3],
        "split": ("train", "dev")[i % 2],
        "source": f"s{i}",
        "targets": [f"t{i}", "u"],
    }
    for i in range(30)
]
PAIRS = {"prompt": "source", "completion": "targets"}


def source(**fields: Any) -> Source:
    return Source(**{"name": "src", "role": "generalist", "path": "rows.jsonl", **fields})


def read(tmp_path: Path, rows: Sequence[Any] = ROWS, **fields: Any) -> Reading:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    return source(**fields).read_all(tmp_path)


def refusal(make: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        make()
    return str(caught.value)


def test_a_sample_carries_everything_the_source_says(tmp_path: Path) -> None:
    reading = read(tmp_path, ROWS[:1], columns=PAIRS, role="specialist", licence="MIT", keep=("id", "split"))
    messages = (Message("user", "s0"), Message("assistant", "t0"))
    content = content_id(messages)
    assert reading.samples == [
        Sample(
            id=sample_id(content, "src", 0),
            content_id=content,
            source="src",
            role="specialist",
            messages=messages,
            task="fix",
            licence="MIT",
            meta={"references": ["t0", "u"], "id": 0, "split": "train"},
        )
    ]
    assert (reading.rows, reading.skipped) == (1, 0)


def test_the_source_s_task_wins_over_the_row_s(tmp_path: Path) -> None:
    assert {s.task for s in read(tmp_path, columns=PAIRS, task="own").samples} == {"own"}
    mapped = read(tmp_path, columns={**PAIRS, "task": "split"}).samples
    assert {s.task for s in mapped} == {"train", "dev"}
    assert read(tmp_path, [{"prompt": "p", "completion": "c", "task": 3}]).samples[0].task is None


def test_a_column_can_state_the_licence_of_each_row(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": "c", "license": value} for value in ("MIT", None, " ")]
    samples = read(tmp_path, rows, columns={"licence": "license"}, licence="CC0-1.0").samples
    assert [s.licence for s in samples] == ["MIT", "CC0-1.0", "CC0-1.0"]
    assert {s.licence for s in read(tmp_path, rows).samples} == {"unknown"}


def test_a_mapped_column_hides_the_raw_one_of_that_name(tmp_path: Path) -> None:
    rows = [{"prompt": "raw", "q": "asked", "completion": "c"}, {"prompt": "raw", "completion": "c"}]
    reading = read(tmp_path, rows, columns={"prompt": "q"})
    assert [s.prompt for s in reading.samples] == ["asked"]
    assert reading.reasons == {"missing column": 1}


@pytest.mark.parametrize(
    ("select", "keeps"),
    [
        ({"task": "fix"}, lambda row: row["task"] == "fix"),
        ({"task": ("fix", "split"), "split": "dev"}, lambda row: row["split"] == "dev"),
        ({"id": (3, 4.0, 99)}, lambda row: row["id"] in (3, 4)),
        ({"id": 1}, lambda row: row["id"] == 1),
        ({}, lambda row: True),
    ],
)
def test_select_keeps_exactly_the_rows_that_are_equal(
    tmp_path: Path, select: Any, keeps: Callable[[Any], bool]
) -> None:
    reading = read(tmp_path, columns=PAIRS, select=select)
    expected = [row["source"] for row in ROWS if keeps(row)]
    assert [s.prompt for s in reading.samples] == expected
    assert reading.skipped == len(ROWS) - len(expected)


def test_select_tells_true_from_one_and_absent_from_empty(tmp_path: Path) -> None:
    rows = [{"prompt": str(i), "completion": "c", "x": x} for i, x in enumerate((1, True, None, "", "1", [1]))]
    rows.append({"prompt": "6", "completion": "c"})

    def kept(value: Any) -> list[str]:
        return [s.prompt for s in read(tmp_path, rows, select={"x": value}).samples]

    assert kept(True) == ["1"]
    assert kept(1) == ["0", "4"]
    assert kept("1") == ["4"]
    assert kept(None) == ["2", "6"]
    assert kept("") == ["3"]


def test_select_compares_csv_cells_with_numbers_and_truth_values(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("prompt,completion,n,b\na,c,1,true\nd,c,2,False\n")
    for select, expected in (({"n": 2}, ["d"]), ({"b": True}, ["a"]), ({"b": False}, ["d"])):
        reading = source(path="rows.csv", select=select).read_all(tmp_path)
        assert [s.prompt for s in reading.samples] == expected


def test_rows_that_cannot_be_parsed_are_rejects_whatever_is_selected(tmp_path: Path) -> None:
    reading = read(tmp_path, [*ROWS, "{broken"], columns=PAIRS, select={"id": 3})
    assert (len(reading.samples), reading.reasons, reading.skipped) == (1, {"invalid JSON": 1}, 29)


def test_a_selected_value_that_no_row_has_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    text = refusal(lambda: read(tmp_path, columns=PAIRS, select={"split": "dev", "task": "fixx"}))
    assert "column 'task'" in text
    assert "did you mean 'fix'" in text


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"select": {"taks": "fix"}}, "taks"),
        ({"keep": ("idd",)}, "idd"),
        ({"columns": {"prompt": "sourse", "completion": "targets"}}, "sourse"),
        ({"template": "{prompt} {spilt}"}, "spilt"),
    ],
)
def test_a_column_that_no_row_has_is_an_error_with_the_nearest(
    tmp_path: Path, fields: dict[str, Any], missing: str
) -> None:
    text = refusal(lambda: read(tmp_path, **{"columns": PAIRS, **fields}))
    assert f"no row has the column: '{missing}'" in text
    assert "did you mean" in text
    assert "source 'src' (rows.jsonl)" in text


def test_a_column_that_only_the_last_row_has_is_fine(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": "c"}, {"prompt": "p", "completion": "c", "late": [1]}]
    assert [s.meta for s in read(tmp_path, rows, keep=("late",)).samples] == [{}, {"late": [1]}]


def test_rows_that_fit_no_format_are_an_error_that_shows_the_columns(tmp_path: Path) -> None:
    text = refusal(lambda: read(tmp_path, ["{", {"text": "a", "n": 1}]))
    for part in ("no format fits the rows", "row 2", "'text, n'", "alpaca (instruction, output or references)", "src"):
        assert part in text
    text = refusal(lambda: read(tmp_path, [{"prompt": "p", "completion": "c"}], format="alpaca"))
    assert "formats that fit: prompt-completion" in text


def test_one_row_of_the_format_is_enough_for_the_others_to_be_rejects(tmp_path: Path) -> None:
    reading = read(tmp_path, [{"text": "a"}, {"prompt": "p", "completion": "c"}, {"text": "a"}])
    assert (len(reading.samples), reading.reasons) == (1, {"missing column": 2})


def test_rejects_alone_are_a_reading_and_not_an_error(tmp_path: Path) -> None:
    assert read(tmp_path, ["{", "["]).reasons == {"invalid JSON": 2}


def test_the_template_wraps_the_last_user_turn(tmp_path: Path) -> None:
    reading = read(tmp_path, ROWS[:1], columns=PAIRS, template="Fix {task}/{id}: {prompt} [{source}]")
    assert reading.samples[0].prompt == "Fix fix/0: s0 [s0]"
    turns = [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate("abcd")]
    messages = read(tmp_path, [{"messages": turns}], template="<{prompt}>").samples[0].messages
    assert [m.content for m in messages] == ["a", "b", "<c>", "d"]


def test_a_value_with_a_placeholder_pulls_in_nothing(tmp_path: Path) -> None:
    rows = [{"prompt": "{secret} {completion}", "completion": "c", "secret": "X"}]
    assert read(tmp_path, rows, template="{prompt}|{secret}").samples[0].prompt == "{secret} {completion}|X"


def test_the_template_sees_the_mapped_names_and_the_raw_ones(tmp_path: Path) -> None:
    rows = [{"q": "Who?", "a": "Ada", "input": "raw"}]
    reading = read(tmp_path, rows, columns={"input": "q", "output": "a"}, template="{q}|{input}|{prompt}")
    assert reading.samples[0].prompt == "Who?|Who?|Who?"


@pytest.mark.parametrize("limit", [1, 7, 29, 30, 100])
def test_limit_keeps_the_samples_first_in_the_order_of_their_ids_keys(tmp_path: Path, limit: int) -> None:
    whole = read(tmp_path, columns=PAIRS).samples
    keys = sampling_key(np.array([k64(s.id) for s in whole], dtype=np.uint64), 0, "limit")
    chosen = {s.id for _, s in sorted(zip(keys.tolist(), whole, strict=True), key=lambda p: (p[0], p[1].id))[:limit]}
    reading = read(tmp_path, columns=PAIRS, limit=limit)
    assert reading.samples == [s for s in whole if s.id in chosen]
    assert (reading.rows, reading.skipped) == (len(reading.samples), 30 - len(reading.samples))


def test_a_limit_does_not_depend_on_the_order_of_rows_and_grows(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i % 1500}", "completion": "c"} for i in range(3000)]
    forward = read(tmp_path, rows, limit=300)
    backward = read(tmp_path, rows[::-1], limit=300)
    more = read(tmp_path, rows, limit=500)
    assert {s.id for s in forward.samples} == {s.id for s in backward.samples}
    assert {s.id for s in forward.samples} < {s.id for s in more.samples}
    assert forward.skipped == 2700
    streamed = list(source(limit=300).read(tmp_path))
    assert {s.id for s in streamed if isinstance(s, Sample)} == {s.id for s in forward.samples}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["a", "b", "c", "{", ""]), min_size=1, max_size=12), st.randoms(), st.integers(1, 9))
def test_every_row_is_accounted_for_and_ids_do_not_depend_on_order(
    tmp_path: Path, kinds: list[str], rng: Any, limit: int
) -> None:
    rows = ["{" if kind == "{" else {"prompt": f"p{kind}", "completion": kind} for kind in kinds]
    reading = read(tmp_path, rows)
    assert reading.rows == len(rows) == len(reading.samples) + len(reading.rejects)
    assert len({s.id for s in reading.samples}) == len(reading.samples)
    limited = read(tmp_path, rows, limit=limit)
    assert limited.rows + limited.skipped == len(rows)
    rng.shuffle(rows)
    assert {s.id for s in read(tmp_path, rows).samples} == {s.id for s in reading.samples}


def test_streaming_gives_samples_and_rejects_in_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "completion": "1"},
        "{",
        {"prompt": "b", "completion": "2"},
        "[]",
        {"prompt": "c", "completion": "3"},
    ]
    read(tmp_path, rows)
    for limit in (None, 3):
        kinds = [type(item) for item in source(limit=limit).read(tmp_path)]
        assert kinds == [Sample, Reject, Sample, Reject, Sample]


def test_lines_are_numbered_on_through_the_files_of_a_source(tmp_path: Path) -> None:
    good = json.dumps({"prompt": "p", "completion": "c"}) + "\n"
    (tmp_path / "a.jsonl").write_text(good + "{\n" + good)
    (tmp_path / "b.jsonl").write_text("{\n" + good)
    reading = source(path="*.jsonl").read_all(tmp_path)
    assert [r.line for r in reading.rejects] == [2, 4]
    assert [s.id for s in reading.samples] == [sample_id(reading.samples[0].content_id, "src", i) for i in range(3)]


def test_the_fingerprint_follows_the_bytes_and_the_names_of_several_files(tmp_path: Path) -> None:
    reading = read(tmp_path, columns=PAIRS)
    assert source().fingerprint(tmp_path) == reading.sha256
    (tmp_path / "b.jsonl").write_text('{"source": "s", "targets": ["t"]}\n')
    both = source(path="*.jsonl", columns=PAIRS)
    seen = {both.fingerprint(tmp_path), reading.sha256}
    assert both.read_all(tmp_path).sha256 in seen
    (tmp_path / "b.jsonl").rename(tmp_path / "c.jsonl")
    seen.add(both.fingerprint(tmp_path))
    (tmp_path / "c.jsonl").write_text('{"source": "s", "targets": ["x"]}\n')
    seen.add(both.fingerprint(tmp_path))
    assert len(seen) == 4


def test_kept_columns_of_parquet_become_json_values(tmp_path: Path) -> None:
    row = {
        "prompt": "p",
        "completion": "c",
        "day": datetime.date(2024, 2, 29),
        "price": decimal.Decimal("1.50"),
        "nested": {"a": [1, None, 2.5], "b": True},
    }
    bad = [{**row, "price": None, "x": float("nan")}, {**row, "x": float("inf")}, {**row, "raw": b"\x00"}]
    table = pa.Table.from_pylist([{**row, "x": 1.0, "raw": None}, *bad])
    pq.write_table(table, tmp_path / "rows.parquet")
    reading = source(path="rows.parquet", keep=("day", "price", "nested", "x", "raw")).read_all(tmp_path)
    meta = {"day": "2024-02-29", "price": "1.50", "nested": {"a": [1.0, None, 2.5], "b": True}, "x": 1.0, "raw": None}
    assert [s.meta for s in reading.samples] == [meta]
    assert reading.reasons == {"non-finite number": 2, "wrong type": 1}
    assert len(source(path="rows.parquet").read_all(tmp_path).samples) == 4


def test_reading_reports_progress_and_stops_when_asked(tmp_path: Path) -> None:
    told: list[int] = []
    rows = [{"prompt": f"p{i}", "completion": "c"} for i in range(3000)]
    read(tmp_path, rows)
    context = Context(root=tmp_path, progress=lambda done, total: told.append(done))
    source().read_all(tmp_path, context=context)
    assert told == [1024, 2048, 3000]
    with pytest.raises(Interrupted):
        source().read_all(tmp_path, context=Context(root=tmp_path, stopping=lambda: True))


def test_eval_rows_may_be_answered_by_a_reference_column(tmp_path: Path) -> None:
    rows = [{"instruction": "a", "output": "", "gold": ["x", "y"]}]
    reading = read(tmp_path, rows, role="eval", columns={"references": "gold"})
    assert (reading.samples[0].response, reading.samples[0].meta) == ("x", {"references": ["x", "y"]})
    assert read(tmp_path, rows, columns={"references": "gold"}).reasons == {"empty response": 1}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"name": "Bad Name"}, "not a valid name of a source"),
        ({"path": None}, "one of 'path' and 'hub'"),
        ({"hub": "a/b", "revision": "0" * 40}, "one of 'path' and 'hub'"),
        ({"revision": "main"}, "for hub datasets"),
        ({"subset": "en"}, "for hub datasets"),
        ({"format": "alpacca"}, "did you mean 'alpaca'"),
        ({"columns": {"promt": "a"}}, "did you mean 'prompt'"),
        ({"columns": {"prompt": "a"}, "format": "alpaca"}, "no column of the format 'alpaca'"),
    ],
)
def test_a_wrong_source_is_refused_with_the_remedy(fields: dict[str, Any], part: str) -> None:
    assert part in refusal(lambda: source(**fields))


@pytest.mark.parametrize(
    "fields", [{"limit": 0}, {"role": "test"}, {"limit": True}, {"keep": "id"}, {"select": {"a": {}}}]
)
def test_values_of_the_wrong_type_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        source(**fields)


def test_every_field_changes_the_key(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"name": "b"},
        {"role": "eval"},
        {"path": "c"},
        {"format": "alpaca"},
        {"task": "t"},
        {"licence": "MIT"},
        {"non_commercial": True},
        {"select": {"a": 1}},
        {"select": {"a": ("1",)}},
        {"columns": {"prompt": "a"}},
        {"template": "{prompt}"},
        {"limit": 3},
        {"keep": ("a",)},
    ]
    assert len({component_key(source(**change)) for change in changes}) == len(changes)
    assert spec_of(source())["kind"] == "source"


def test_paths_outside_of_the_root_are_refused(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    read(tmp_path, columns=PAIRS)
    outside = source(path="../rows.jsonl", columns=PAIRS)
    for verb in (outside.files, outside.fingerprint, outside.count, outside.read_all):
        assert "outside" in refusal(lambda verb=verb: verb(tmp_path / "job"))  # type: ignore[misc]
    assert outside.read_all(tmp_path / "job", (tmp_path,)).rows == 30


def test_of_several_templates_a_text_gets_one_and_the_same_everywhere(tmp_path: Path) -> None:
    wordings = ("Fix: {prompt}", "Mend: {prompt}", "Repair: {prompt}")
    rows = [{"prompt": f"text {i}", "completion": "c"} for i in range(300)]
    found = [sample.prompt for sample in read(tmp_path, rows, template=wordings).samples]
    assert [prompt.partition(": ")[2] for prompt in found] == [row["prompt"] for row in rows]
    counts = Counter(prompt.partition(":")[0] for prompt in found)
    assert set(counts) == {"Fix", "Mend", "Repair"}
    assert min(counts.values()) > 70
    other = read(tmp_path, rows[::-1], template=wordings, role="eval", name="test").samples
    assert sorted(sample.prompt for sample in other) == sorted(found)


def test_every_template_of_several_is_looked_through_for_columns(tmp_path: Path) -> None:
    text = refusal(lambda: read(tmp_path, columns=PAIRS, template=("{prompt}", "{prompt} {spilt}")))
    assert "no row has the column: 'spilt'" in text

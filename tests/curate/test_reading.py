"""A source read in blocks of any size, by any engine, is the source read in one go."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate import raw, reading, table
from curate.sample import samples_frame
from curate.sources import Source, Tables
from manifests.component import Context
from manifests.engine import Local
from manifests.errors import Interrupted, UserError


class Scattered:
    """Does the parts of each window last first, each on a pickled copy, as processes would."""

    def __init__(self, window: int = 4) -> None:
        self.window = window
        self.parts = 0

    def map(self, function: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        """Yield the results in the order of the parts."""
        source = iter(parts)
        while some := list(islice(source, self.window)):
            self.parts += len(some)
            copies = pickle.dumps([(function, part) for part in reversed(some)])
            done = [pickle.dumps(each(part)) for each, part in pickle.loads(copies)]  # noqa: S301 - made here
            yield from (pickle.loads(each) for each in reversed(done))  # noqa: S301 - made here


def source(path: str, **fields: Any) -> Source:
    return Source(**{"name": "s", "role": "generalist", "path": path, **fields})


def tables(folder: Path, one: Source, block: int | None, engine: Any, size: int = raw.BLOCK_BYTES) -> Tables | str:
    """Return the source's frames read in blocks of at most `block` rows, or what is wrong with it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (raw, table):
            patch.setattr(module, "BLOCK_ROWS", block or 10**9)
        patch.setattr(raw, "BLOCK_BYTES", size)
        try:
            return one.tables(folder, (), Context(folder, engine=engine))
        except UserError as error:
            return str(error)


def equal(one: Tables | str, other: Tables | str) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    plain = [(t.rows, t.skipped, t.sha256) for t in (one, other)]
    return plain[0] == plain[1] and one.samples.equals(other.samples) and one.rejects.equals(other.rejects)


def as_csv(rows: list[Any]) -> bytes:
    """Return the rows as CSV; one that is no object has too many cells."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("prompt", "completion", "task"))
    for row in rows:
        writer.writerow([row.get(c) for c in ("prompt", "completion", "task")] if isinstance(row, dict) else "abcd")
    return text.getvalue().encode()


def as_parquet(rows: list[Any]) -> bytes:
    buffer = io.BytesIO()
    objects = [row if isinstance(row, dict) else {} for row in rows]
    schema = dict.fromkeys(("prompt", "completion", "task"), pl.String)
    pl.DataFrame(objects, schema=schema).write_parquet(buffer, row_group_size=3)
    return buffer.getvalue()


WRITERS: dict[str, Callable[[list[Any]], bytes]] = {
    "jsonl": lambda rows: b"".join((b"{oops" if r is None else json.dumps(r).encode()) + b"\n" for r in rows),
    "json": lambda rows: json.dumps(rows).encode(),
    "csv": as_csv,
    "parquet": as_parquet,
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": zstandard.ZstdCompressor().compress,
}
GOOD = st.fixed_dictionaries(
    {"prompt": st.sampled_from(["a", "b", " a", "é\n"]), "completion": st.sampled_from(["x", "y", ""])},
    optional={"task": st.sampled_from(["t", "u"])},
)
ROWS = st.lists(st.one_of(GOOD, GOOD, GOOD, st.none(), st.just({"text": "no format"})), min_size=1, max_size=14)
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


@SETTINGS
@given(
    st.lists(ROWS, min_size=1, max_size=3),
    st.sampled_from(sorted(WRITERS)),
    st.sampled_from(sorted(PACKERS)),
    st.integers(1, 5),
    st.sampled_from([{}, {"limit": 3}, {"select": {"task": "t"}}, {"select": {"task": ("t", "u")}, "limit": 2}]),
)
def test_blocks_of_any_size_give_what_one_block_gives(
    tmp_path: Path, files: list[list[Any]], kind: str, packed: str, block: int, fields: dict[str, Any]
) -> None:
    for old in tmp_path.glob("rows*"):
        old.unlink()
    for number, rows in enumerate(files):
        data = PACKERS[packed](WRITERS[kind](rows))
        (tmp_path / f"rows{number}.{kind}{packed}").write_bytes(data)
    one = source("rows*", **fields)
    whole = tables(tmp_path, one, None, Scattered())
    assert equal(tables(tmp_path, one, block, Scattered()), whole)
    assert equal(tables(tmp_path, one, None, Scattered(), size=1), whole)
    if isinstance(whole, str):
        with pytest.raises(UserError) as caught:
            one.read_all(tmp_path)
        assert str(caught.value) == whole
        return
    plain = one.read_all(tmp_path)
    assert samples_frame(plain.samples).equals(whole.samples)
    assert [(r.line, r.reason, r.raw_hash) for r in plain.rejects] == whole.rejects.select(
        "line", "reason", "raw_hash"
    ).rows()
    assert (plain.rows, plain.skipped, plain.sha256) == (whole.rows, whole.skipped, whole.sha256)
    read = sum(len(rows) for rows in files)
    assert whole.rows + whole.skipped == read


def lines(n: int) -> bytes:
    rows = [None if i % 7 == 3 else {"prompt": f"p{i % 11}", "completion": "c", "task": "tu"[i % 2]} for i in range(n)]
    return WRITERS["jsonl"](rows)


def test_two_processes_read_what_one_does(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.jsonl.gz").write_bytes(gzip.compress(lines(1700), mtime=0))
    with Local(workers=2).open() as engine:
        for fields in ({}, {"limit": 40}, {"select": {"task": "t"}}):
            one = source("*.gz", **fields)
            assert equal(tables(tmp_path, one, 300, engine), tables(tmp_path, one, None, Scattered()))
        bad = source("*.gz", keep=("taskk",))
        assert "did you mean 'task'" in str(tables(tmp_path, bad, 300, engine))


def test_a_file_is_cut_into_as_many_parts_as_its_blocks_and_a_limit_keeps_the_same_rows_of_many(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(4000))
    engine = Scattered()
    limited = tables(tmp_path, source("a.jsonl", limit=25), 100, engine)
    assert engine.parts == 40
    assert not isinstance(limited, str)
    everything = tables(tmp_path, source("a.jsonl"), None, Scattered())
    assert not isinstance(everything, str)
    kept = source("a.jsonl", limit=25).read_all(tmp_path)
    assert limited.samples["sample_id"].to_list() == sorted(sample.id for sample in kept.samples)
    assert (limited.samples.height, limited.skipped) == (25, everything.samples.height - 25)
    assert limited.samples.join(everything.samples, on="sample_id", how="anti").is_empty()


def test_occurrences_are_counted_on_over_blocks_and_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(b'{"prompt": "p", "completion": "c"}\n' * 5)
    found = tables(tmp_path, source("*.jsonl"), 2, Scattered())
    assert not isinstance(found, str)
    assert found.samples["content_id"].n_unique() == 1
    assert found.samples["sample_id"].n_unique() == found.samples["k64"].n_unique() == 10


def test_the_format_is_known_from_the_first_row_that_fits_and_stays(tmp_path: Path) -> None:
    other = {"instruction": "i", "output": "o"}
    rows = [{"text": "t"}, {"text": "t"}, other, {"prompt": "p", "completion": "c"}, other]
    (tmp_path / "a.jsonl").write_bytes(WRITERS["jsonl"](rows))
    (tmp_path / "b.jsonl").write_bytes(WRITERS["jsonl"](rows[3:4]))
    for block in (1, 2, 3, None):
        found = tables(tmp_path, source("*.jsonl"), block, Scattered())
        assert not isinstance(found, str)
        assert sorted(found.samples["prompt"]) == ["i", "i", "p"]
        assert found.rejects["line"].to_list() == [1, 2, 4]


def test_what_is_wrong_with_a_source_does_not_depend_on_its_blocks(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": "c", "task": "fix"} for _ in range(6)]
    (tmp_path / "a.jsonl").write_bytes(WRITERS["jsonl"]([None, *rows]))
    (tmp_path / "b.jsonl").write_bytes(WRITERS["jsonl"]([{"text": "t"}, {"text": "t"}]))
    for one, said in (
        (source("a.jsonl", select={"task": "fixx"}), "did you mean 'fix'"),
        (source("a.jsonl", keep=("tasks",)), "did you mean 'task'"),
        (source("b.jsonl"), "no format fits the rows"),
        (source("a.jsonl", format="alpaca"), "row 2"),
    ):
        told = {str(tables(tmp_path, one, block, Scattered())) for block in (1, 2, None)}
        assert len(told) == 1
        assert said in told.pop()


@pytest.mark.parametrize(("wanted", "row"), [(4.0, 4), (None, None), (True, True), ((1, None), None)])
def test_a_value_that_rows_have_is_not_called_absent_when_another_column_selects_none(
    tmp_path: Path, wanted: Any, row: Any
) -> None:
    rows = [
        {"prompt": "p", "completion": "c", "x": row, "y": "a"},
        {"prompt": "p", "completion": "c", "x": 9, "y": "b"},
    ]
    (tmp_path / "a.jsonl").write_bytes(WRITERS["jsonl"](rows))
    for block in (1, None):
        found = tables(tmp_path, source("a.jsonl", select={"x": wanted, "y": "b"}), block, Scattered())
        assert not isinstance(found, str), found
        assert (found.rows, found.skipped) == (0, 2)


def test_reading_tells_how_far_it_is_and_stops_between_blocks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(5000))
    told: list[int] = []
    source("a.jsonl").tables(tmp_path, (), Context(tmp_path, progress=lambda done, _: told.append(done)))
    assert told == sorted(set(told))
    assert told[-1] == 5000
    engine = Scattered(window=1)
    asked: list[int] = []
    stop = Context(tmp_path, progress=lambda done, _: asked.append(done), stopping=lambda: bool(asked), engine=engine)
    with pytest.raises(Interrupted):
        source("a.jsonl").tables(tmp_path, (), stop)
    assert engine.parts == 1


def test_a_file_that_changes_while_it_is_read_is_refused_by_every_engine(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(3000))

    def grow(done: int, _: int) -> None:
        if done < 3000:
            file.write_bytes(lines(3000) + lines(1))

    with pytest.raises(UserError, match="changed while it was read"):
        source("a.jsonl").tables(tmp_path, (), Context(tmp_path, progress=grow, engine=Scattered(window=1)))


def test_a_part_is_what_a_worker_needs_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(50))
    one = source("a.jsonl")
    blocks = one._files([(tmp_path / "a.jsonl", "0" * 64)])
    (part,) = islice(reading.parts(one, blocks), 1)
    assert (part.file, part.kind) == (0, "prompt-completion")
    again = pickle.loads(pickle.dumps(part))  # noqa: S301 - made here
    assert len(pickle.dumps(part)) < 3 * len(lines(50))
    assert reading.parse(one, again).samples.equals(reading.parse(one, part).samples)


def test_lines_count_on_through_blocks_and_through_more_than_two_files(tmp_path: Path) -> None:
    good = {"prompt": "p", "completion": "c"}
    for name, rows in (("a", [good, None]), ("b", [None, good, None]), ("c", [good]), ("d", [None])):
        (tmp_path / f"{name}.jsonl").write_bytes(WRITERS["jsonl"](rows))
    for block in (1, 2, None):
        found = tables(tmp_path, source("*.jsonl"), block, Scattered())
        assert not isinstance(found, str)
        assert found.rejects["line"].to_list() == [2, 3, 5, 7]


def test_the_first_row_without_a_format_is_named_by_its_line_in_the_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(WRITERS["jsonl"]([None, None, None]))
    (tmp_path / "b.jsonl").write_bytes(WRITERS["jsonl"]([None, {"text": "t"}, {"other": "t"}]))
    for block in (1, 2, None):
        said = str(tables(tmp_path, source("*.jsonl"), block, Scattered()))
        assert "row 5" in said
        assert "'text'" in said

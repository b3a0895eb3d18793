"""Hub datasets: pinned, without code, errors that name the dataset."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from curate.sources import Source
from manifests.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROWS = [{"prompt": f"p{i}", "completion": ["a", "b"]} for i in range(2500)]


class Split:
    """What `datasets.load_dataset` returns, as far as it is used."""

    def with_format(self, kind: str) -> Split:
        assert kind == "arrow"
        return self

    def iter(self, batch_size: int) -> Any:
        for at in range(0, len(ROWS), batch_size):
            yield pa.Table.from_pylist(ROWS[at : at + batch_size])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made: list[Any] = []

    def load_dataset(*args: Any, **options: Any) -> Split:
        made.append((args, options))
        return Split()

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return made


def source(**fields: Any) -> Source:
    return Source(**{"name": "s", "role": "generalist", "hub": "owner/name", "revision": COMMIT, **fields})


def test_rows_of_a_hub_dataset_are_read_at_the_pinned_revision(calls: list[Any], tmp_path: Path) -> None:
    reading = source(subset="en", split="validation").read_all(tmp_path)
    assert [s.prompt for s in reading.samples] == [row["prompt"] for row in ROWS]
    assert reading.samples[0].meta == {"references": ["a", "b"]}
    assert calls == [(("owner/name", "en"), {"split": "validation", "revision": COMMIT, "streaming": False})]


def test_the_fingerprint_needs_no_network_and_depends_on_what_is_loaded(tmp_path: Path) -> None:
    other = COMMIT[::-1]
    sources = [source(), source(revision=other), source(subset="en"), source(split="test"), source(hub="owner/other")]
    assert len({s.fingerprint(tmp_path) for s in sources}) == len(sources)
    assert source().count(tmp_path) is None
    assert source().files(tmp_path) == []


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_an_unpinned_revision_is_refused(revision: str | None) -> None:
    with pytest.raises(UserError, match="pinned revision"):
        source(revision=revision)


@pytest.mark.parametrize("hub", ["squad", "json", "a/b/c", "../x", "/etc/x", "owner/", "o wner/x", "https://x/y"])
def test_only_owner_and_name_are_a_hub_id(hub: str) -> None:
    with pytest.raises(UserError, match="not a dataset on the hub"):
        source(hub=hub)


def test_a_local_folder_is_not_taken_for_a_hub_dataset(
    calls: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="local folder"):
        source().read_all(tmp_path)
    assert calls == []


@pytest.mark.parametrize(
    "error", [ConnectionError("no network\nmore"), ValueError("bad split"), RuntimeError("scripts")]
)
def test_what_the_hub_refuses_is_a_user_error_with_the_id(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(UserError, match="owner/name") as caught:
        source().read_all(tmp_path)
    assert str(error).partition("\n")[0] in str(caught.value)


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"blendsmith\[hub\]"):
        source().read_all(tmp_path)


def test_real_datasets_objects_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_list([{"question": "q", "answers": ["a"]}, {"question": "q", "answers": []}])
    module = ModuleType("datasets")
    module.load_dataset = lambda *_, **__: table  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    reading = source(role="eval").read_all(tmp_path)
    assert [s.prompt for s in reading.samples] == ["q"]
    assert [(r.line, r.reason) for r in reading.rejects] == [(2, "empty response")]


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let `load_dataset` give real objects of the installed package, with any error that a test asks for."""
    datasets = pytest.importorskip("datasets")
    asked: list[bool] = []

    def rows(stop: int | None = None) -> Any:
        for i, row in enumerate(ROWS):
            if i == stop:
                raise ConnectionError("the connection was reset")
            yield row

    def load_dataset(*_: Any, streaming: bool = False, **__: Any) -> Any:
        asked.append(streaming)
        stop = module.stop
        if streaming:
            return datasets.IterableDataset.from_generator(rows, gen_kwargs={"stop": stop})
        return datasets.Dataset.from_list(list(rows(stop)))

    module = SimpleNamespace(stop=None, asked=asked)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return module


def test_a_streamed_dataset_gives_the_rows_of_a_downloaded_one(real: Any, tmp_path: Path) -> None:
    streamed, whole = source(streaming=True).read_all(tmp_path), source().read_all(tmp_path)
    assert streamed == whole
    assert (streamed.rows, real.asked) == (2500, [True, False])


def test_a_stream_is_not_read_ahead(real: Any, tmp_path: Path) -> None:
    real.stop = 2400
    rows = source(streaming=True).read(tmp_path)
    assert [next(rows).prompt for _ in range(1000)][-1] == "p999"  # type: ignore[union-attr]


def test_a_stream_that_breaks_off_is_a_user_error_with_the_row(real: Any, tmp_path: Path) -> None:
    real.stop = 2400
    with pytest.raises(UserError, match=r"broke off at row 2,048 \(the connection was reset\)"):
        source(streaming=True).read_all(tmp_path)


def test_offline_is_a_user_error_that_names_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for streaming in (False, True):
        with pytest.raises(UserError, match="cannot load the hub dataset") as caught:
            source(hub="owner-x/name-x", streaming=streaming).read_all(tmp_path)
        assert "owner-x/name-x" in str(caught.value)
        assert "HF_HUB_OFFLINE" in str(caught.value)


def test_streaming_is_for_hub_datasets() -> None:
    with pytest.raises(UserError, match="'streaming' is for hub datasets"):
        Source(name="s", role="generalist", path="a.jsonl", streaming=True)

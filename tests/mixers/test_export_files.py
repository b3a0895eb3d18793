"""Exports in trainers' layouts: nothing mangled, repeats as rows, the same bytes, stanzas that name what is there."""

import itertools
import json
import os
import struct
import subprocess
import sys

import polars as pl
import pytest
import yaml

from manifests.errors import UserError
from mixers.export_files import LAYOUTS, STANZAS, export_as
from tests.mixers.test_export import drawn, samples


def repeated():
    blend = drawn()
    repeats = pl.Series("repeats", [1 + i % 3 for i in range(blend.members.height)], dtype=pl.Int32)
    return type(blend)(blend.name, blend.recipe, blend.seed, blend.members.with_columns(repeats), blend.strata)


def rows(folder):
    return [json.loads(line) for path in sorted(folder.glob("data/*")) for line in path.read_text().splitlines()]


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def text_of(layout, row):
    if layout == "messages":
        return [turn["content"] for turn in row["messages"]]
    if layout == "sharegpt":
        assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"]
        return [turn["value"] for turn in row["conversations"]]
    return [row["instruction"], row["output"]] if layout == "alpaca" else [row["prompt"], row["completion"]]


@pytest.mark.parametrize("layout", ["messages", "sharegpt", "alpaca", "prompt-completion"])
def test_every_layout_keeps_text_order_and_weight(tmp_path, layout):
    blend = drawn()
    found = rows(export_as(blend, samples(), tmp_path / "x", layout, shard_rows=17))
    assert [row["sample_id"] for row in found] == blend.members["sample_id"].to_list()
    assert len(list((tmp_path / "x" / "data").iterdir())) == 3
    for row in found:
        assert text_of(layout, row) == [f"Ask {row['sample_id']}\n\u2028é", f"Say {row['sample_id']}"]
        assert (row["weight"], row["repeats"]) == (1.0, 1)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_the_same_blend_gives_the_same_bytes_with_1_and_4_threads(tmp_path, layout):
    export_as(repeated(), samples(), tmp_path / "here", layout, expand=True, shard_rows=40)
    code = (
        "import sys; from pathlib import Path; from mixers.export_files import export_as\n"
        "from tests.mixers.test_export import samples; from tests.mixers.test_export_files import repeated\n"
        "export_as(repeated(), samples(), Path(sys.argv[1]), sys.argv[2], expand=True, shard_rows=40)"
    )
    for threads in ("1", "4"):
        command = [sys.executable, "-c", code, str(tmp_path / threads), layout]
        subprocess.run(command, env={**os.environ, "POLARS_MAX_THREADS": threads}, check=True)
        assert bytes_of(tmp_path / threads) == bytes_of(tmp_path / "here")


def test_expanding_writes_each_row_as_often_as_it_is_to_be_seen(tmp_path):
    blend = repeated()
    found = rows(export_as(blend, samples(), tmp_path / "x", "messages", expand=True))
    wanted = dict(blend.members.select("sample_id", "repeats").iter_rows())
    counts = {}
    for row in found:
        assert (row["epoch"], row["repeats"]) == (counts.get(row["sample_id"], 0), 1)
        counts[row["sample_id"]] = counts.get(row["sample_id"], 0) + 1
    assert counts == wanted
    assert [row["sample_id"] for row in found[: len(wanted)]] == blend.members["sample_id"].to_list()


@pytest.mark.parametrize("layout", ["alpaca", "prompt-completion"])
def test_a_row_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path, layout):
    turns = [{"role": "system", "content": "Be brief."}, *json.loads(samples()["messages"][0])]
    with pytest.raises(UserError, match="--format messages"):
        export_as(drawn(), samples().with_columns(messages=pl.lit(json.dumps(turns))), tmp_path / "x", layout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layout", STANZAS)
def test_stanzas_name_the_files_and_the_fields_that_are_there(tmp_path, layout):
    folder = export_as(repeated(), samples(), tmp_path / "x", layout, expand=True, shard_rows=40)
    entry = yaml.safe_load((folder / "axolotl.yaml").read_text())["datasets"][0]
    assert (folder / entry["path"]).is_dir()  # a path that is not there is looked up on a hub
    assert entry["ds_type"] == ("parquet" if layout == "parquet" else "json")
    assert sorted(entry["data_files"]) == sorted(f"data/{path.name}" for path in (folder / "data").iterdir())
    fields = (
        set(pl.read_parquet(folder / entry["data_files"][0]).columns) if layout == "parquet" else {*rows(folder)[0]}
    )
    info = json.loads((folder / "dataset_info.json").read_text())
    name = yaml.safe_load((folder / "llamafactory.yaml").read_text())["dataset"]
    assert set(info[name]["columns"].values()) <= fields
    assert (folder / info[name]["file_name"]).is_dir()
    assert entry.get("field_messages", "sample_id") in fields
    assert (folder / "trl.yaml").exists() == (layout in ("messages", "parquet", "prompt-completion"))
    if (folder / "trl.yaml").exists():
        trl = yaml.safe_load((folder / "trl.yaml").read_text())["datasets"][0]
        assert set(trl["columns"]) <= fields
        assert trl["data_files"] == entry["data_files"]


def test_no_stanza_stands_beside_files_that_its_trainer_does_not_read(tmp_path):
    found = bytes_of(export_as(drawn(), samples(), tmp_path / "x", "ids"))
    assert sorted(found) == ["README.md", "SHA256SUMS", "data/train-00000-of-00001.parquet", "recipe.json"]
    found = bytes_of(export_as(drawn(), samples(), tmp_path / "x", "mds"))
    assert sorted(found) == [
        "README.md",
        "SHA256SUMS",
        "data/index.json",
        "data/train-00000-of-00001.mds",
        "recipe.json",
    ]
    assert b"configs:" not in found["README.md"]  # `datasets` reads no MDS


def test_ids_hold_the_members_and_no_text(tmp_path):
    blend = repeated()
    folder = export_as(blend, samples(), tmp_path / "x", "ids", shard_rows=17)
    found = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("data/*"))])
    assert found.equals(blend.members.select("position", "sample_id", "weight", "repeats"))
    spread = pl.read_parquet(export_as(blend, samples(), tmp_path / "y", "ids", expand=True) / "data")
    assert spread.columns == ["position", "sample_id", "weight", "repeats", "epoch"]
    assert spread.height == blend.members["repeats"].sum()


def numbers(data, at, count):
    return struct.unpack_from(f"<{count}I", data, at)


def read_mds(folder):
    """Read MDS as its description says it is, with `struct` and `json` alone: every row of every shard in order."""
    index = json.loads((folder / "index.json").read_text())
    assert index["version"] == 2
    for shard in index["shards"]:
        assert (shard["format"], shard["version"], shard["compression"], shard["zip_data"]) == ("mds", 2, None, None)
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        (count,) = numbers(data, 0, 1)
        offsets = numbers(data, 4, count + 1)
        assert (count, len(data)) == (shard["samples"], shard["raw_data"]["bytes"])
        facts = json.loads(data[4 * (count + 2) : offsets[0]])
        assert facts.items() <= shard.items()
        assert offsets[-1] == len(data)
        for at, end in itertools.pairwise(offsets):
            yield decoded(shard, data[at:end])


def decoded(shard, data):
    widths = shard["column_sizes"]
    varied = iter(numbers(data, 0, widths.count(None)))
    at, row = 4 * widths.count(None), {}
    for name, kind, width in zip(shard["column_names"], shard["column_encodings"], widths, strict=True):
        size = next(varied) if width is None else width
        value = data[at : at + size]
        formats = {"int64": "<q", "int32": "<i", "float64": "<d"}
        row[name] = (
            struct.unpack(formats[kind], value)[0]
            if kind in formats
            else json.loads(value)
            if kind == "json"
            else value.decode()
        )
        at += size
    assert at == len(data)
    return row


def test_mds_shards_hold_what_the_json_lines_hold(tmp_path):
    some = samples().with_columns(task=pl.when(pl.col("sample_id") > "8").then(pl.lit("q\u00e9")))
    mds = export_as(repeated(), some, tmp_path / "x", "mds", expand=True, shard_rows=40)
    lines = export_as(repeated(), some, tmp_path / "y", "messages", expand=True)
    found = list(read_mds(mds / "data"))
    assert found == rows(lines)
    assert {row["task"] for row in found} == {None, "q\u00e9"}
    assert len(list((mds / "data").glob("*.mds"))) == -(-len(found) // 40)


def test_an_mds_shard_past_4_gib_is_refused_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("mixers.export_mds.LIMIT", 2000)
    with pytest.raises(UserError, match="fewer rows in a shard"):
        export_as(drawn(), samples(), tmp_path / "x", "mds")
    assert list(tmp_path.iterdir()) == []
    assert export_as(drawn(), samples(), tmp_path / "x", "mds", shard_rows=2).is_dir()


def test_repeats_kept_as_a_field_come_without_stanzas(tmp_path):
    found = bytes_of(export_as(repeated(), samples(), tmp_path / "x", "messages"))
    assert sorted(found) == ["README.md", "SHA256SUMS", "data/train-00000-of-00001.jsonl", "recipe.json"]


def test_licences_travel_with_every_layout(tmp_path):
    for layout in LAYOUTS:
        folder = export_as(drawn(), samples(), tmp_path / layout, layout)
        assert "**Not for commercial use**" in (folder / "README.md").read_text()

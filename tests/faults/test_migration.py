"""Manifests of other versions: cases 76 and 77."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import duckdb
import pytest
import zstandard

from manifests import schema
from manifests.errors import UserError
from manifests.store import FILE, Manifest, Store

VERSIONS = sorted((Path(__file__).parents[1] / "manifests" / "versions").glob("*.duckdb.zst"))
KILLS = 5
"""Of each version: twenty in all with four of them."""
COUNTS = (
    "SELECT count(*) FROM samples",
    "SELECT count(*), bit_xor(hash(sample_id, step, kept)) FROM decisions",
    "SELECT count(*), bit_xor(hash(blend, sample_id, repeats)) FROM blend_members",
    "SELECT count(*) FROM results",
)


def unpacked(file, root):
    """Put a manifest of an earlier version and its work file into a new folder and return it."""
    (root / "work").mkdir(parents=True)
    for place in (root / FILE, root / "work" / FILE):
        place.write_bytes(zstandard.ZstdDecompressor().decompress(file.read_bytes(), max_output_size=2**26))
    return root


def counts(root):
    with Manifest(root) as manifest:
        return [manifest.sql(query).row(0) for query in COUNTS]


def version(file):
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute("SELECT max(version) FROM store.migrations").fetchone()[0]


def test_case_076_a_manifest_of_a_newer_version_is_refused_with_both_versions(tmp_path):
    with Store(tmp_path) as store:
        store.publish()
        store._connection.execute("INSERT INTO store.migrations VALUES (?, '2026-01-01')", [schema.VERSION + 1])
    before = (tmp_path / FILE).read_bytes()
    for _ in range(2):
        with pytest.raises(UserError, match="schema version") as caught, Store(tmp_path):
            pass
        assert f"schema version {schema.VERSION + 1}, this blendsmith knows {schema.VERSION}" in str(caught.value)
        assert "newer blendsmith" in caught.value.remedy
    assert (tmp_path / FILE).read_bytes() == before


MIGRATE = """
from pathlib import Path
import sys
from manifests import cli
from manifests.store import Store
def main():
    with Store(Path(sys.argv[2])) as store:
        store.publish()
cli.main = main
"""


@pytest.mark.parametrize("file", VERSIONS, ids=lambda file: file.name.split(".")[0])
def test_case_077_an_older_manifest_is_migrated_whole_or_not_at_all_however_often_it_is_killed(forker, tmp_path, file):
    old = int(file.name.split(".")[0])
    root = unpacked(file, tmp_path / "m")
    before, chance = counts(root), random.Random(old)
    ended = forker_run(forker, unpacked(file, tmp_path / "counted"), {"kinds": ["write", "fsync"], "action": "count"})
    assert ended.code == 0, ended.text
    ops = ended.counts["ops"]
    for kill in range(KILLS):
        side = ("before", "middle", "after")[kill % 3]
        fault = {"kinds": ["write", "fsync"], "at": chance.randint(1, ops), "action": side}
        ended = forker_run(forker, root, fault)
        assert ended.code in (-signal.SIGKILL, 0), ended.text
        assert counts(root) == before
        assert version(root / FILE) in (old, schema.VERSION)
        if ended.code == 0 or version(root / FILE) == schema.VERSION:
            root = unpacked(file, tmp_path / f"m{kill}")
    with Store(root) as store:
        assert store.query("SELECT max(version) AS v FROM store.migrations").item() == schema.VERSION
        store.publish()
    assert counts(root) == before
    with Manifest(root) as manifest:
        assert manifest.verify()["ok"].all()


def forker_run(forker, root, fault):
    forker.start(["migrate", root], root, fault=fault, prepare=MIGRATE)
    return forker.wait()

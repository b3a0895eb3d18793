"""The JSON schema of job files: good jobs validate, typos do not, and it is made from the components."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from curate.sources import Source
from curate.step import JUDGES, STEPS
from manifests.errors import UserError
from manifests.jobs import init as template
from manifests.jobs import spec, yaml_lines
from manifests.jobs.json_schema import DIALECT, job_schema
from mixers.mixer import MIXERS
from trainers.trainer import BASES, TASKS, TRAINERS

PACKAGE = Path(spec.__file__).parents[1]
GOOD = [PACKAGE / "jobs" / "init.yaml", *sorted((PACKAGE / "examples").glob("*.yaml"))]
BAD = Path(__file__).parent / "bad_jobs"
SHAPE = (
    "typo_in_a_key",
    "typo_in_a_top_key",
    "typo_in_a_kind",
    "typo_in_the_word_kind",
    "typo_in_a_nested_kind",
    "wrong_type",
    "wrong_type_fraction_of_a_row",
    "wrong_type_number_as_a_name",
    "missing_key",
    "share_over_1",
    "nan_threshold_as_a_word",
    "threshold_over_1",
    "sql_in_a_name",
    "two_trainers",
    "unknown_kind_of_task",
    "several_mistakes",
    "not_a_mapping",
    "empty",
)


def as_json(path):
    return json.loads(json.dumps(yaml_lines.load(path).value))


@pytest.fixture(scope="module")
def schema():
    return job_schema()


@pytest.fixture(scope="module")
def validator(schema):
    return jsonschema.Draft202012Validator(schema)


def test_it_is_a_schema_of_the_2020_12_draft_and_plain_json(schema):
    assert schema["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_the_shipped_jobs_validate(validator, path):
    assert [error.message for error in validator.iter_errors(as_json(path))] == []


@pytest.mark.parametrize("name", SHAPE)
def test_a_job_of_the_wrong_shape_does_not(validator, name):
    assert not validator.is_valid(as_json(BAD / f"{name}.yaml"))


def test_what_the_schema_refuses_the_loader_refuses_too(validator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in sorted(BAD.glob("*.yaml")):
        try:
            value = as_json(path)
        except UserError:
            continue
        if not validator.is_valid(value):
            with pytest.raises(UserError):
                spec.load_job(path)


@pytest.mark.parametrize(
    ("place", "key"),
    [((), "sorces"), (("train",), "step"), (("train", "base"), "layer"), (("mix", 0), "row"), (("sources", 0), "pth")],
)
def test_an_unknown_key_is_refused_at_every_level(validator, place, key):
    job = as_json(template.HERE / "init.yaml")
    part = job
    for step in place:
        part = part[step]
    part[key] = 1
    assert not validator.is_valid(job)


def test_every_kind_of_every_table_has_a_definition(schema):
    expected = {
        f"{table.noun}.{kind}" for table in (STEPS, JUDGES, MIXERS, TRAINERS, TASKS, BASES) for kind in table.kinds()
    }
    assert expected <= set(schema["$defs"])


def test_every_field_of_every_component_is_there_with_its_description(schema):
    for table in (STEPS, JUDGES, MIXERS, TRAINERS, TASKS, BASES):
        for kind in table.kinds():
            found = schema["$defs"][f"{table.noun}.{kind}"]
            fields = {item.name for item in dataclasses.fields(table.load(kind)) if item.init}
            assert set(found["properties"]) == fields | {"kind"}, kind
            assert found["additionalProperties"] is False
            assert found["properties"]["kind"] == {"const": kind}
            lacking = [name for name in fields if not found["properties"][name].get("description")]
            assert lacking == [], (kind, lacking)


def test_the_top_level_and_the_sources_are_described_too(schema):
    assert set(schema["properties"]) == {item.name for item in dataclasses.fields(spec.Head)}
    assert set(schema["$defs"]["source"]["properties"]) == {item.name for item in dataclasses.fields(Source)}
    for part in (schema, schema["$defs"]["source"]):
        assert all(item.get("description") for item in part["properties"].values())


def test_every_reference_leads_somewhere_and_every_definition_is_used(schema):
    text = json.dumps(schema)
    for name in schema["$defs"]:
        assert f'"#/$defs/{name}"' in text
    assert text.count('"$ref"') > len(schema["$defs"])
    assert {ref.split('"')[0] for ref in text.split('"#/$defs/')[1:]} == set(schema["$defs"])


def test_a_nested_part_may_be_a_name_where_the_component_takes_one(validator):
    job = as_json(template.HERE / "init.yaml")
    job["train"]["base"] = "Qwen/Qwen3-0.6B"
    assert validator.is_valid(job)
    job["train"]["base"] = 3
    assert not validator.is_valid(job)


def test_init_writes_the_schema_that_its_first_line_names(tmp_path, schema):
    template.write(tmp_path)
    first = (tmp_path / "job.yaml").read_text("utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={template.SCHEMA}"
    assert json.loads((tmp_path / template.SCHEMA).read_text("utf-8")) == schema

"""The JSON schema of a job file, made from the components themselves: for editors, and for checking the examples."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from manifests.component import Table
from manifests.names import NAME

if TYPE_CHECKING:
    from pydantic_core import core_schema

_LICENSED: Final[list[dict[str, Any]]] = [
    {"required": ["licence"]},
    {"required": ["columns"], "properties": {"columns": {"required": ["licence"]}}},
]
"""A source states its licence, or the column that holds it."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Lenient(GenerateJsonSchema):
    """Lets a field that JSON cannot describe (a component) be anything; `nested` says later what it is."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        """Return the schema that admits everything."""
        return {}


def job_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a job file; imports every component's module.

    Components stand under `$defs` as `noun.kind`, told apart by their `kind`; unknown keys are refused everywhere.
    """
    from curate.sources import Source
    from curate.step import STEPS
    from manifests.engine import ENGINES
    from manifests.jobs.spec import Head
    from mixers.mixer import MIXERS
    from trainers.search import SEARCHES
    from trainers.trainer import TASKS, TRAINERS

    definitions: dict[str, Any] = {}
    schema = _plain(Head, definitions)
    properties = schema["properties"]
    definitions["source"] = {**_plain(Source, definitions), "anyOf": _LICENSED}
    properties["sources"]["items"] = {"$ref": "#/$defs/source"}
    properties["curate"]["items"] = _choice(STEPS, definitions)
    properties["mix"]["items"] = _choice(MIXERS, definitions)
    properties["train"] = {**_choice(TRAINERS, definitions), "description": properties["train"]["description"]}
    properties["search"] = {**_choice(SEARCHES, definitions), "description": properties["search"]["description"]}
    engines = {"enum": sorted(ENGINES.kinds())}
    described = {"description": properties["engine"]["description"]}
    properties["engine"] = {"anyOf": [engines, _choice(ENGINES, definitions)], **described}
    kinds = "|".join(sorted(TASKS.kinds()))
    short = {"type": "string", "pattern": f"^[a-z0-9][a-z0-9-]*-({kinds})$", "description": "TASK-KIND"}
    properties["measure"]["items"] = {"anyOf": [short, _choice(TASKS, definitions)]}
    used = json.dumps([schema, definitions])
    kept = {name: inner for name, inner in sorted(definitions.items()) if f'"#/$defs/{name}"' in used}
    return {"$schema": DIALECT, "title": "A Blendsmith job", **schema, "$defs": kept}


def _choice(table: Table, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to one of the table's components, whose schemas are put into `definitions`."""
    kinds = sorted(table.kinds())
    for kind in kinds:
        key = f"{table.noun}.{kind}"
        if key not in definitions:
            definitions[key] = {}
            definitions[key] = _component(table.load(kind), kind, definitions)
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": kinds}},
        "oneOf": [{"$ref": f"#/$defs/{table.noun}.{kind}"} for kind in kinds],
    }


def _component(cls: type[Any], kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _plain(cls, definitions)
    schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
    schema["required"] = ["kind", *schema.get("required", [])]
    return schema


def _plain(cls: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a class's fields; mappings in its nested fields are components of their table."""
    schema = TypeAdapter(cls).json_schema(schema_generator=_Lenient, ref_template="#/$defs/{model}")
    for name, inner in schema.pop("$defs", {}).items():
        definitions.setdefault(name, _untitled(inner))
    schema = dict(_untitled(schema))
    schema["additionalProperties"] = False
    if "name" in schema["properties"]:
        schema["properties"]["name"]["pattern"] = f"^{NAME.pattern}$"
    nested: Mapping[str, Table | type[Any]] = getattr(cls, "nested", {})
    for name, source in nested.items():
        choice = _choice(source, definitions) if isinstance(source, Table) else _plain(source, definitions)
        schema["properties"][name] = _nested(schema["properties"][name], choice)
    return schema


def _nested(field: Mapping[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    branches = [branch for branch in field.get("anyOf", []) if branch.get("type") in ("string", "null")]
    if field.get("type") == "array":
        kept: dict[str, Any] = {"type": "array", "items": choice}
    else:
        kept = {"anyOf": [*branches, choice]} if branches else dict(choice)
    return {**{k: v for k, v in field.items() if k in ("description",)}, **kept}


def _untitled(schema: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a copy without pydantic's titles, which only repeat the field names."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return copy.copy(schema)
    return {
        key: {name: _untitled(value) for name, value in item.items()} if key == "properties" else _untitled(item)
        for key, item in schema.items()
        if not (key == "title" and isinstance(item, str))
    }

"""What a component is, and what changes its key."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Annotated, ClassVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests import component
from manifests.component import COMPONENT, Context, Table, component_key, spec_of
from manifests.errors import UserError


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Inner:
    kind: ClassVar[str] = "inner"
    version: ClassVar[int] = 7
    inert: ClassVar[frozenset[str]] = frozenset({"speed"})
    depth: int = 1
    speed: int = 1


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Outer:
    kind: ClassVar[str] = "outer"
    version: ClassVar[int] = 2
    inert: ClassVar[frozenset[str]] = frozenset({"batch"})
    name: str
    share: Annotated[float, Field(gt=0)] = 0.5
    seeds: tuple[int, ...] = (0,)
    options: Mapping[str, int] = Field(default_factory=dict)
    roles: frozenset[str] = frozenset({"b", "a"})
    inner: Inner = Field(default_factory=Inner)
    batch: int = 8


def test_a_spec_is_plain_json_of_all_that_matters():
    assert spec_of(Outer(name="x", options={"z": 1})) == {
        "kind": "outer",
        "version": 2,
        "name": "x",
        "share": 0.5,
        "seeds": [0],
        "options": {"z": 1},
        "roles": ["a", "b"],
        "inner": {"kind": "inner", "version": 7, "depth": 1},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"name": "y"},
        {"share": 0.25},
        {"seeds": (1,)},
        {"seeds": (0, 1)},
        {"options": {"a": 1}},
        {"roles": frozenset({"a"})},
        {"inner": Inner(depth=2)},
    ],
)
def test_every_effective_field_changes_the_key(change):
    assert component_key(Outer(**{"name": "x", **change})) != component_key(Outer(name="x"))


@given(st.integers(), st.integers())
def test_inert_fields_do_not_change_the_key_at_any_depth(batch, speed):
    assert component_key(Outer(name="x", batch=batch, inner=Inner(speed=speed))) == component_key(Outer(name="x"))


def test_the_version_changes_the_key(monkeypatch):
    before = component_key(Outer(name="x"))
    monkeypatch.setattr(Inner, "version", 8)
    assert component_key(Outer(name="x")) != before


@pytest.mark.parametrize(
    "fields",
    [
        {"name": 1},
        {"name": "x", "share": float("nan")},
        {"name": "x", "share": float("inf")},
        {"name": "x", "share": "0.5"},
        {"name": "x", "share": True},
        {"name": "x", "seeds": [0]},
        {"name": "x", "typo": 1},
        {},
    ],
)
def test_components_are_strict(fields):
    with pytest.raises(pydantic.ValidationError):
        Outer(**fields)


def test_components_are_frozen():
    with pytest.raises(AttributeError):
        Outer(name="x").name = "y"


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("made_for_tests")
    made.Outer = Outer
    monkeypatch.setitem(sys.modules, "made_for_tests", made)
    return made


def test_a_kind_is_looked_up_in_its_table(module):
    assert Table("thing", "blendsmith.things", {"outer": "made_for_tests:Outer"}).load("outer") is Outer


def test_an_unknown_kind_names_the_nearest(module):
    table = Table("thing", "blendsmith.things", {"outer": "made_for_tests:Outer"})
    with pytest.raises(UserError, match=r"unknown thing kind: 'outr'\n  did you mean 'outer'\?"):
        table.load("outr")


def test_third_parties_add_kinds_but_cannot_replace_ours(module, monkeypatch):
    points = [
        EntryPoint("theirs", "made_for_tests:Outer", "blendsmith.things"),
        EntryPoint("outer", "somewhere.else:Evil", "blendsmith.things"),
    ]
    monkeypatch.setattr(component, "entry_points", lambda group: points if group == "blendsmith.things" else [])
    table = Table("thing", "blendsmith.things", {"outer": "made_for_tests:Outer"})
    assert table.kinds() == {"outer": "made_for_tests:Outer", "theirs": "made_for_tests:Outer"}
    assert table.load("theirs") is Outer


def test_the_kinds_of_another_table_are_not_seen(module, monkeypatch):
    monkeypatch.setattr(component, "entry_points", lambda group: [])
    assert Table("other", "blendsmith.others").kinds() == {}


def test_a_context_is_silent_and_never_stops_by_itself():
    context = Context(Path("root"))
    context.progress(1, 2)
    assert not context.stopping()
    assert (context.workers, context.batch) == (1, 0)

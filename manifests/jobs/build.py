"""Builds components from a job file and turns what pydantic refuses into words with a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from manifests.component import Table
from manifests.errors import UserError, nearest
from manifests.jobs.paths import Roots
from manifests.jobs.yaml_lines import Located

Path_ = tuple[str | int, ...]

_WANTED: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "dict_type": "a mapping, such as {{key: value}}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "is_instance_of": "a mapping with a kind",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "missing": "a list with one entry more",
    "mapping_type": "a mapping, such as {{key: value}}",
    "none_required": "null",
    "string_pattern_mismatch": "text that matches {pattern}",
    "string_too_long": "text of at most {max_length} characters",
    "string_too_short": "text of at least {min_length} characters",
    "string_type": "text",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
    "tuple_type": "a list, such as [a, b]",
}
_UNEXPECTED: Final = frozenset({"unexpected_keyword_argument", "extra_forbidden"})
_MISSING: Final = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})


@dataclass
class Problems:
    """The mistakes found so far in one job file, in the order found, and the folders its paths may lie in."""

    located: Located
    roots: Roots
    errors: list[UserError] = field(default_factory=list)

    def add(
        self, what: str, path: Path_, value: object = None, *, options: Iterable[str] = (), remedy: str = ""
    ) -> None:
        """Record a mistake at the line of `path`."""
        given = {} if value is None else {"value": value}
        self.errors.append(UserError(what, where=self.located.where(path), options=options, remedy=remedy, **given))

    def keep(self, error: UserError, path: Path_) -> None:
        """Record an error raised elsewhere, at the line of `path` unless it names one itself."""
        self.errors.append(error.at(self.located.where(path)))


def component(source: Table | type[Any], value: object, path: Path_, problems: Problems) -> Any | None:  # noqa: ANN401
    """Return the component that the mapping `value` at `path` describes, or None with its mistakes in `problems`.

    `source` is the table in which `kind` is looked up, or the class itself where there is no kind. A class variable
    `nested` (field -> table or class) makes mappings in these fields into such components; a class variable
    `paths` names the fields that may hold a path, which is made absolute: `path` always is one, `model` (and a text in
    a nested field) a folder or a hub id, any other a `.txt` or `.parquet` file or a packaged name.
    """
    if not isinstance(value, Mapping):
        noun, first = (source.noun, "kind") if isinstance(source, Table) else (source.kind, "name")
        problems.add(f"a {noun} must be a mapping", path, value, remedy=f"write it as {{{first}: ..., ...}}")
        return None
    fields = dict(value)
    cls = _class(source, fields, path, problems) if isinstance(source, Table) else source
    if cls is None:
        return None
    broken = _nest(cls, fields, path, problems) | _paths(cls, fields, path, problems)
    return construct(cls, fields, path, problems, broken)


def construct(
    cls: type[Any], fields: Mapping[str, Any], path: Path_, problems: Problems, broken: frozenset[str] = frozenset()
) -> Any | None:  # noqa: ANN401 - any component
    """Return `cls(**fields)`, or None with its mistakes in `problems`; fields in `broken` were reported before."""
    try:
        built = cls(**fields)
    except ValidationError as error:
        problems.errors.extend(_translate(error, cls, path, problems.located, broken))
        return None
    except UserError as error:
        holder = _holder(error, fields)
        problems.keep(_advised(error, cls, holder), (*path, *holder))
        return None
    return None if broken else built


def _class(table: Table, fields: dict[str, Any], path: Path_, problems: Problems) -> type[Any] | None:
    kind = fields.pop("kind", None)
    if not isinstance(kind, str):
        typo = nearest("kind", fields)
        meant = f"did you mean 'kind' instead of '{typo}'? " if typo else ""
        problems.add(f"a {table.noun} needs a kind", path, remedy=f"{meant}kinds: {', '.join(sorted(table.kinds()))}")
        return None
    try:
        return table.load(kind)
    except UserError as error:
        problems.keep(error, (*path, "kind"))
    except ImportError as error:
        problems.add(
            f"the {table.noun} kind '{kind}' cannot be imported ({error})",
            (*path, "kind"),
            remedy="see which packages are installed with: blendsmith doctor",
        )
    return None


def _nest(cls: type[Any], fields: dict[str, Any], path: Path_, problems: Problems) -> frozenset[str]:
    """Replace mappings in nested fields by components; return the fields where that failed."""
    nested: Mapping[str, Table | type[Any]] = getattr(cls, "nested", {})
    broken = set()
    for name, table in nested.items():
        value = fields.get(name)
        items = value if isinstance(value, tuple) else (value,)
        if not any(isinstance(item, Mapping) for item in items):
            continue
        built = [
            component(table, item, (*path, name, i) if isinstance(value, tuple) else (*path, name), problems)
            if isinstance(item, Mapping)
            else item
            for i, item in enumerate(items)
        ]
        if any(part is None for part in built):
            broken.add(name)
            del fields[name]
        else:
            fields[name] = tuple(built) if isinstance(value, tuple) else built[0]
    return frozenset(broken)


def _paths(cls: type[Any], fields: dict[str, Any], path: Path_, problems: Problems) -> frozenset[str]:
    """Make the paths in `fields` absolute; return the fields where that failed."""
    broken = set()
    models = {"model", *getattr(cls, "nested", ())}
    for name in sorted({*getattr(cls, "paths", ()), *getattr(cls, "nested", ())}):
        given = fields.get(name)
        if not isinstance(given, str):
            continue
        roots = problems.roots
        try:
            if name == "path":
                fields[name] = str(roots.existing(given))
            else:
                fields[name] = roots.model(given) if name in models else roots.text(given)
        except UserError as error:
            problems.keep(error, (*path, name))
            broken.add(name)
            del fields[name]
    return frozenset(broken)


def _translate(
    error: ValidationError, cls: type[Any], path: Path_, located: Located, broken: frozenset[str]
) -> list[UserError]:
    """Return one UserError per place; the alternatives of a union become one sentence."""
    noun = _noun(cls)
    found: list[UserError] = []
    wanted: dict[Path_, list[Mapping[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        loc: Path_ = tuple(detail["loc"])
        if detail["type"] in _MISSING and len(loc) == 1:
            if loc[0] not in broken:
                found.append(_missing(str(loc[0]), cls, noun, located.where(path)))
        elif detail["type"] in _UNEXPECTED:
            where, key = located.where((*path, *loc)), str(loc[-1])
            found.append(UserError(f"unknown key of {noun}", where=where, value=key, options=known_keys(cls)))
        else:
            wanted.setdefault(_spot(loc, path, located), []).append(detail)
    for spot, details in wanted.items():
        found.append(_wrong(spot, details, cls, noun).at(located.where((*path, *spot))))
    return found


def _spot(loc: Path_, path: Path_, located: Located) -> Path_:
    """Return the part of a pydantic location that the file has: union branches are not in it."""
    end = len(loc)
    while end and not located.has((*path, *loc[:end])):
        end -= 1
    return loc[:end] if end else loc[:1]


def _missing(name: str, cls: type[Any], noun: str, where: str) -> UserError:
    doc = _doc(cls, name)
    return UserError(f"{noun} needs the key '{name}'", where=where, remedy=f"{name}: {doc}" if doc else f"add {name}")


def _wrong(spot: Path_, details: list[Mapping[str, Any]], cls: type[Any], noun: str) -> UserError:
    if not spot:
        reason = str(details[0].get("ctx", {}).get("error", details[0]["msg"]))
        return UserError(f"{noun}: {reason}")
    label = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in spot).lstrip(".")
    value = details[0]["input"]
    literal = next((d for d in details if d["type"] == "literal_error"), None)
    if literal is not None:
        options = re.findall(r"'([^']*)'", str(literal["ctx"]["expected"]))
        return UserError(f"'{label}' of {noun} is not one of its valid values", value=value, options=options)
    wanted = " or ".join(dict.fromkeys(_phrase(d) for d in details))
    return UserError(f"'{label}' of {noun} must be {wanted}", value=value, remedy=_remedy(details, value, cls, spot))


def _phrase(detail: Mapping[str, Any]) -> str:
    template = _WANTED.get(detail["type"])
    if template is not None:
        return template.format(**{k: v for k, v in detail.get("ctx", {}).items() if k != "error"})
    reason = detail.get("ctx", {}).get("error")
    return f"valid ({reason or detail['msg']})"


def _remedy(details: list[Mapping[str, Any]], value: object, cls: type[Any], spot: Path_) -> str:
    kinds = {d["type"] for d in details}
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return f'quote it if it is text: "{str(value).lower() if isinstance(value, bool) else value}"'
    if "tuple_type" in kinds and not isinstance(value, Mapping):
        return f"write [{value}]"
    doc = _doc(cls, str(spot[0]))
    return f"{spot[0]}: {doc}" if doc else ""


def _holder(error: UserError, fields: Mapping[str, Any]) -> Path_:
    """Return the path of the field whose value the error names, or an empty path."""
    for name, value in fields.items():
        if error.value is not None and value == error.value and type(value) is type(error.value):
            return (name,)
    return ()


def _advised(error: UserError, cls: type[Any], holder: Path_) -> UserError:
    """Return an error that says what to do: its own remedy, else what the field that it is about is for."""
    doc = _doc(cls, str(holder[0])) if holder else ""
    if error.remedy or error.options or error.where or not doc:
        return error
    return UserError(error.what, value=error.value, remedy=f"{holder[0]}: {doc}")


def known_keys(cls: type[Any]) -> list[str]:
    """Return the keys that a component's mapping may have, `kind` excluded."""
    return list(cls.__dataclass_fields__) if not hasattr(cls, "__pydantic_fields__") else list(cls.__pydantic_fields__)


def _doc(cls: type[Any], name: str) -> str:
    info = getattr(cls, "__pydantic_fields__", {}).get(name)
    text = (getattr(info, "description", None) or "").strip()
    return " ".join(text.split())


def _noun(cls: type[Any]) -> str:
    kind = getattr(cls, "kind", cls.__name__)
    return f"a {kind}" if kind in ("job", "source") else f"kind '{kind}'"

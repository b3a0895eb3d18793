"""How results reach a person, a pipe or a machine: rich tables, tab-separated lines, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl

_HIDDEN: Final = (*range(0x80, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SYMBOLS: Final = {
    **{code: chr(0x2400 + code) for code in range(0x20)},
    0x7F: "\u2421",
    **dict.fromkeys((*_HIDDEN, *range(0xD800, 0xE000)), "\ufffd"),
}
_LINES: Final = {code: symbol for code, symbol in _SYMBOLS.items() if code != 0x0A}
WIDEST: Final = 120
"""Characters of a value that a table on a terminal shows; pipes and JSON get all of it."""


def symbols(text: str, *, lines: bool = False) -> str:
    """Return `text` with control characters, direction overrides and lone surrogates shown as symbols.

    What a row holds can then neither move the cursor, nor set the window's title, nor pass for another line. With
    `lines`, line feeds are kept.
    """
    return text.translate(_LINES if lines else _SYMBOLS)


def table(frame: pl.DataFrame, *, as_json: bool = False) -> None:
    """Write a frame to standard output: a table on a terminal, tab-separated lines with a header elsewhere, or JSON."""
    if as_json:
        value([_plain(row) for row in frame.iter_rows(named=True)])
    elif sys.stdout.isatty():
        _rich(frame)
    else:
        line("\t".join(frame.columns))
        for row in frame.iter_rows():
            sys.stdout.write("\t".join(symbols(_text(cell)) for cell in row) + "\n")


def value(content: object) -> None:
    """Write a value to standard output as JSON; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(_plain(content), ensure_ascii=True, indent=2, default=str) + "\n")


def line(text: str) -> None:
    """Write one line to standard output."""
    sys.stdout.write(symbols(text).replace("\u2409", "\t") + "\n")


def marked(plain: str, learnt: str) -> None:
    """Write a text whose second part is learnt: coloured on a terminal, between ⟦ and ⟧ elsewhere."""
    before, after = (symbols(part, lines=True) for part in (plain, learnt))
    if not sys.stdout.isatty():
        sys.stdout.write(f"{before}⟦{after}⟧\n")
        return
    from rich.console import Console
    from rich.text import Text

    Console().print(Text.assemble((before, "dim"), (after, "bold green")))


def facts(content: Mapping[str, object], *, as_json: bool = False) -> None:
    """Write named values to standard output: one `name: value` a line, or one JSON object."""
    if as_json:
        value(dict(content))
        return
    for name, item in content.items():
        line(f"{name}: {_text(item)}")


def error(text: str) -> None:
    """Write an error to standard error."""
    sys.stderr.write(symbols(f"error: {text}", lines=True) + "\n")


def _rich(frame: pl.DataFrame) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, dtype in frame.schema.items():
        shown.add_column(Text(name), justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        shown.add_row(*(Text(_cut(symbols(_text(cell)))) for cell in row))
    Console().print(shown)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.6g}"
    return cell if isinstance(cell, str) else json.dumps(_plain(cell), ensure_ascii=False, default=str).strip('"')


def _plain(content: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(key): _plain(item) for key, item in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(item) for item in content]
    return content

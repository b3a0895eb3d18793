"""Why a row is not a sample: a closed set of reason codes, and the exception that carries one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    "NUL in text": "a text of the row holds the character U+0000, which DuckDB and C libraries cut at",
    "assistant first": "the first turn after the system turn is the assistant's",
    "consecutive same role": "two turns in a row have the same role",
    "corrupt data": "the compressed or columnar data cannot be decoded from here on; what came before it was read",
    "duplicate key": "a JSON object names the same key twice",
    "empty messages": "the list of turns is empty",
    "empty prompt": "a user turn is empty or white space",
    "empty response": "an assistant turn is empty or white space, or there is no answer: nothing to learn",
    "invalid JSON": "the bytes are not one JSON value as RFC 8259 defines it",
    "invalid UTF-8": "the bytes are not UTF-8",
    "label out of range": "the label is not one of the choices",
    "line too long": "one row is over 16 MiB",
    "lone surrogate": "an escape stands for half of a surrogate pair, which is not a character",
    "malformed CSV": "a quote stands where RFC 4180 allows none, or a quoted field is not closed",
    "missing assistant": "the conversation does not end with an assistant turn",
    "missing column": "the row lacks a column that its format, its template or the columns mapping needs",
    "missing content": "a turn has no content, or null",
    "misplaced system": "a system turn comes after another turn",
    "multimodal content": "a turn's content is a list of parts, not a text",
    "nested too deeply": "JSON brackets are nested more than 64 deep",
    "non-commercial licence": "the row's licence forbids the commercial use that the job is for",
    "non-finite number": "the row holds NaN, an infinity, or a number that overflows to one",
    "not an object": "the JSON value is not an object with columns",
    "tool calls": "a turn calls a tool or is a tool's answer",
    "too many turns": "the conversation has over 1,000 turns",
    "truncated": "the data ends in the middle of a row or of a compressed stream",
    "unknown licence": "the job is for commercial use and nothing says that the row's licence allows it",
    "unknown role": "a turn's role is none of system, user and assistant",
    "wrong number of columns": "the CSV record is shorter or longer than the header",
    "wrong type": "a value is not of the type that its format states, such as a number for a text",
}
"""Reason code -> what it means. Every `Reject.reason` of a reader is one of these."""


class BadRow(Exception):  # noqa: N818 - data that becomes a Reject, not a failure
    """A row that cannot become a sample; `reason` is a key of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

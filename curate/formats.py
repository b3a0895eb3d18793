"""Row formats: what columns each needs, and how a row of it becomes a conversation.

Texts are kept as they are: nothing is trimmed or normalised. An answer that is empty or white space is refused, since
there is nothing to learn; an optional text that is empty or white space counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any, Final, NamedTuple

from curate.reason import BadRow
from curate.sample import TURNS, Message
from manifests.errors import UserError

MAX_TURNS: Final = 1000

Row = Mapping[str, Any]


class Parsed(NamedTuple):
    """A row as a conversation: its turns, its task where the row names one, and `references` and `choices`."""

    messages: tuple[Message, ...]
    task: str | None
    meta: dict[str, Any]


@dataclass(frozen=True)
class Format:
    """One row format."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    """Columns that a row must have; of each tuple, one is enough."""
    takes: tuple[str, ...]
    """Columns that a row may have beside these."""
    parse: Callable[[Row, bool], Parsed]
    """`parse(row, evaluation)`: the conversation; raises BadRow. With `evaluation`, the first of `references` stands in
    for a missing answer; without references it is empty: such a prompt is only kept out of training, no task measures
    it. Question-answer rows and lists of completions need an answer all the same."""

    def fits(self, columns: Iterable[str]) -> bool:
        """Return whether a row with these columns has what the format needs."""
        have = set(columns)
        return all(have.intersection(names) for names in self.needs)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the format reads."""
        return (*(name for names in self.needs for name in names), *self.takes)

    def describe(self) -> str:
        """Return the format with the columns that it needs, for messages."""
        return f"{self.name} ({', '.join(' or '.join(names) for names in self.needs)})"


def detect(columns: Iterable[str]) -> str | None:
    """Return the name of the format that rows with these columns have, or None.

    Of several that fit, the first of `FORMATS`: whole conversations before single turns.
    """
    have = tuple(columns)
    return next((name for name, kind in FORMATS.items() if kind.fits(have)), None)


def format_error(name: str, columns: Sequence[str], row: int) -> UserError:
    """Return the error for a file of which no row fits format `name` (`auto`: any format).

    `columns` are those of its row number `row`.
    """
    fitting = [kind.describe() for kind in FORMATS.values() if kind.fits(columns)]
    what = "no format fits the rows" if name == "auto" else f"no row fits the format '{name}'"
    if fitting:
        remedy = f"formats that fit: {', '.join(fitting)}"
    else:
        remedy = f"map columns as in columns: {{prompt: NAME, completion: NAME}}; formats: {_all()}"
    return UserError(f"{what}; row {row} has the columns", value=", ".join(columns), remedy=remedy)


def _all() -> str:
    return ", ".join(kind.describe() for kind in FORMATS.values())


def _alpaca(row: Row, evaluation: bool) -> Parsed:
    """Join instruction, a blank line and the input where there is one; `history` holds earlier (user, answer) pairs."""
    if "instruction" not in row:
        raise BadRow("missing column")
    prompt = _join(_text(row, "instruction"), _text(row, "input"))
    turns = _system(row)
    history = row.get("history") or []
    _expect(history, list, tuple)
    for pair in history:
        _expect(pair, list, tuple)
        if len(pair) != 2:
            raise BadRow("wrong type")
        turns += (Message("user", _string(pair[0])), Message("assistant", _string(pair[1])))
    meta = _references(row)
    return _finish(turns, prompt, _answer(row, "output", meta, evaluation), row, meta)


def _prompt_completion(row: Row, evaluation: bool) -> Parsed:
    """Take a prompt and its completion; of a list of completions, all are references and the first is the answer."""
    meta = _references(row)
    if isinstance(row.get("completion"), list | tuple):
        meta["references"] = _strings(row["completion"])
        answer = _first(meta["references"])
    else:
        answer = _answer(row, "completion", meta, evaluation)
    return _finish(_system(row), _needed(row, "prompt"), answer, row, meta)


def _question_answer(row: Row, evaluation: bool) -> Parsed:
    r"""Put context, question and options together, joined by blank lines.

    Options are listed under `Options:`. Where the answer is the letter of an option they are lettered (`A. text`) and
    `meta.choices` are the letters; otherwise they stand behind `- ` and `meta.choices` are their texts. A label is the
    option's index from 0, or its letter, or its entry in `choices.label`.
    """
    options, labels = _options(row.get("choices"))
    meta = _references(row)
    answers = _answers(row)
    if not answers and options and row.get("label") is not None:
        answers = [_labelled(row["label"], options, labels)]
    if not answers and evaluation:
        answers = meta.get("references", [])
    answer = _first(answers)
    meta["references"] = answers
    prompt = _join(_text(row, "context"), _needed(row, "question"))
    if options:
        letters = list(ascii_uppercase[: len(options)])
        lettered = len(letters) == len(options) and answer in letters and answer not in options
        meta["choices"] = letters if lettered else options
        prompt += "\n\nOptions:\n" + "\n".join(_listed(options, letters if lettered else None))
    return _finish(_system(row), prompt, answer, row, meta)


def _natural_instructions(row: Row, evaluation: bool) -> Parsed:
    """Join the task's definition where there is one, a blank line and the input; every output is a reference."""
    definition = row.get("definition")
    if isinstance(definition, list | tuple):
        definition = "\n".join(_strings(definition))
    elif definition is not None:
        definition = _string(definition)
    field = "outputs" if row.get("outputs") is not None else "output"
    outputs = row.get(field)
    meta = _references(row)
    if isinstance(outputs, list | tuple):
        meta["references"] = _strings(outputs)
        answer = _first(meta["references"])
    else:
        answer = _answer(row, field, meta, evaluation)
    return _finish(_system(row), _join(definition, _needed(row, "input")), answer, row, meta)


def _messages(row: Row, evaluation: bool) -> Parsed:
    """Take a list of turns, each with a role (system, user, assistant) and a content."""
    return _conversation(row, "messages", evaluation)


def _sharegpt(row: Row, evaluation: bool) -> Parsed:
    """Take a list of turns, each with `from` (human, gpt, system, ...) and `value`, or with a role and a content."""
    return _conversation(row, "conversations", evaluation)


def _conversation(row: Row, column: str, evaluation: bool) -> Parsed:
    if row.get(column) is None:
        raise BadRow("missing column")
    turns = _expect(row[column], list, tuple)
    if not turns:
        raise BadRow("empty messages")
    if len(turns) > MAX_TURNS:
        raise BadRow("too many turns")
    messages = _system(row) + tuple(_turn(turn) for turn in turns)
    messages = tuple(m for m in messages if m.role != "system" or not _blank(m.content))
    meta = _references(row)
    if evaluation and messages and messages[-1].role == "user":
        answer = _first(meta["references"]) if meta.get("references") else ""
        return Parsed(_answered(messages, answer), None, meta)
    return Parsed(_ordered(messages), None, meta)


def _answered(turns: tuple[Message, ...], answer: str) -> tuple[Message, ...]:
    """Return the turns with an answer, which may be empty, when they are in order with one."""
    _ordered((*turns, Message("assistant", answer or "-")))
    return (*turns, Message("assistant", answer))


def _turn(turn: object) -> Message:
    if not isinstance(turn, Mapping):
        raise BadRow("wrong type")
    role, content = (turn.get("from"), turn.get("value")) if "from" in turn else (turn.get("role"), turn.get("content"))
    if (isinstance(role, str) and role in _TOOLS) or turn.get("tool_calls") or turn.get("function_call"):
        raise BadRow("tool calls")
    if content is None:
        raise BadRow("missing content")
    if isinstance(content, list | tuple):
        raise BadRow("multimodal content")
    if not isinstance(role, str):
        raise BadRow("unknown role" if role is None else "wrong type")
    if not isinstance(content, str):
        raise BadRow("wrong type")
    known = _FROM.get(role) if "from" in turn else role
    if known not in TURNS:
        raise BadRow("unknown role")
    return Message(known, content)


def _ordered(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the turns when they are: at most one system turn first, then user and assistant by turns, ending there."""
    previous = None
    for message in messages:
        role = message.role
        if role == previous:
            raise BadRow("consecutive same role")
        if role == "system" and previous is not None:
            raise BadRow("misplaced system")
        if role == "assistant" and previous in (None, "system"):
            raise BadRow("assistant first")
        if _blank(message.content):
            raise BadRow("empty prompt" if role == "user" else "empty response")
        previous = role
    if previous != "assistant":
        raise BadRow("missing assistant")
    return messages


def _finish(turns: tuple[Message, ...], prompt: str, answer: str, row: Row, meta: dict[str, Any]) -> Parsed:
    if len(turns) > MAX_TURNS:
        raise BadRow("too many turns")
    if turns:
        messages = _answered((*turns, Message("user", prompt)), answer)
    else:
        if _blank(prompt):
            raise BadRow("empty prompt")
        messages = (Message("user", prompt), Message("assistant", answer))
    return Parsed(messages, None, meta)


def _system(row: Row) -> tuple[Message, ...]:
    text = _text(row, "system")
    return () if text is None else (Message("system", text),)


def _text(row: Row, column: str) -> str | None:
    """Return an optional text; None where it is absent, empty or white space."""
    value = row.get(column)
    if value is None:
        return None
    value = _string(value)
    return None if _blank(value) else value


def _needed(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None:
        raise BadRow("missing column")
    return _string(value)


def _answer(row: Row, column: str, meta: Mapping[str, Any], evaluation: bool) -> str:
    value = row.get(column)
    if value is not None and not _blank(_string(value)):
        return str(value)
    if evaluation and meta.get("references"):
        return _first(meta["references"])
    if evaluation and (column in row or "references" in row):
        return ""
    raise BadRow("empty response" if column in row else "missing column")


def _answers(row: Row) -> list[str]:
    """Return the acceptable answers: `answers` (a list, a text, or SQuAD's mapping with `text`), else `answer`."""
    value = row.get("answers")
    if value is None:
        value = row.get("answer")
    if isinstance(value, Mapping):
        value = value.get("text")
    if value is None:
        return []
    return _strings(value) if isinstance(value, list | tuple) else [_string(value)]


def _references(row: Row) -> dict[str, Any]:
    value = row.get("references")
    if value is None:
        return {}
    return {"references": _strings(value) if isinstance(value, list | tuple) else [_string(value)]}


def _options(choices: object) -> tuple[list[str], list[str]]:
    """Return the options' texts and labels; `choices` is a list of texts or a mapping with `text` and `label`."""
    if choices is None:
        return [], []
    if isinstance(choices, Mapping):
        texts, labels = _strings(choices.get("text")), _strings(choices.get("label"))
        if len(texts) != len(labels):
            raise BadRow("wrong type")
        return texts, labels
    texts = _strings(choices)
    if len(texts) > len(ascii_uppercase):
        return texts, []
    return texts, list(ascii_uppercase[: len(texts)])


def _labelled(label: object, options: list[str], labels: list[str]) -> str:
    if isinstance(label, bool) or not isinstance(label, int | str):
        raise BadRow("wrong type")
    if isinstance(label, str):
        if label in labels:
            return options[labels.index(label)]
        if not (label.isascii() and label.isdigit() and len(label) < 4):
            raise BadRow("label out of range")
        label = int(label)
    if not 0 <= label < len(options):
        raise BadRow("label out of range")
    return options[label]


def _listed(options: list[str], letters: list[str] | None) -> list[str]:
    """Return the options' lines; an option that begins with its own letter, as in `(A) text`, stays as it is."""
    if letters is None:
        return [f"- {option}" for option in options]
    pairs = list(zip(letters, options, strict=True))
    if all(option.startswith((f"({letter})", f"{letter}.", f"{letter})")) for letter, option in pairs):
        return options
    return [f"{letter}. {option}" for letter, option in pairs]


def _first(values: Sequence[str]) -> str:
    if not values or _blank(values[0]):
        raise BadRow("empty response")
    return values[0]


def _join(first: str | None, second: str | None) -> str:
    return "\n\n".join(text for text in (first, second) if text is not None and not _blank(text))


def _blank(text: str) -> bool:
    return not text or text.isspace()


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise BadRow("wrong type")
    return value


def _strings(value: object) -> list[str]:
    return [_string(item) for item in _expect(value, list, tuple)]


def _expect(value: Any, *types: type) -> Any:  # noqa: ANN401 - returned as it came
    if not isinstance(value, types):
        raise BadRow("wrong type")
    return value


_FROM: Final[Mapping[str, str]] = {
    "assistant": "assistant",
    "chatgpt": "assistant",
    "gpt": "assistant",
    "human": "user",
    "model": "assistant",
    "system": "system",
    "user": "user",
}
_TOOLS: Final = frozenset({"function", "function_call", "function_response", "observation", "tool", "tool_call"})

FORMATS: Final[Mapping[str, Format]] = {
    kind.name: kind
    for kind in (
        Format("messages", (("messages",),), ("system", "references"), _messages),
        Format("sharegpt", (("conversations",),), ("system", "references"), _sharegpt),
        Format("alpaca", (("instruction",), ("output", "references")), ("input", "system", "history"), _alpaca),
        Format(
            "prompt-completion",
            (("prompt",), ("completion", "references")),
            ("system",),
            _prompt_completion,
        ),
        Format(
            "question-answer",
            (("question",), ("answers", "answer", "label", "references")),
            ("context", "choices", "system"),
            _question_answer,
        ),
        Format(
            "super-natural-instructions",
            (("input",), ("outputs", "output")),
            ("definition", "system", "references", "task", "examples"),
            _natural_instructions,
        ),
    )
}
"""Every row format by name, in the order in which `detect` tries them."""

"""Turns to token ids: the prompt as generation sees it, then the answer to learn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from manifests.errors import UserError

Messages = Sequence[tuple[str, str]]

DEFAULT_TEMPLATE: Final = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""The template of a tokenizer that has none (the layout of Tulu): role line, content, end token after each answer."""

_PREFACE: Final = "Below is an instruction that describes a task"
_REQUEST: Final = "Write a response that appropriately completes the request.\n\n### Instruction:\n"

ALPACA_TEMPLATE: Final = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turn') }}"
    "{% elif m.role == 'assistant' %}{{ m.content }}{{ eos_token }}{% else %}"
    "{% set task, blank, text = m.content.partition('\n\n') %}"
    "{{ " + repr(_PREFACE) + " }}"
    "{% if text %}{{ ', paired with an input that provides further context' }}{% endif %}"
    "{{ '. ' + " + repr(_REQUEST) + " + task }}{% if text %}{{ '\n\n### Input:\n' + text }}{% endif %}"
    "{{ '\n\n### Response:' }}{% endif %}{% endfor %}"
)
"""Stanford Alpaca's two prompts, to the byte (its train.py, `PROMPT_DICT`).

A user turn is an instruction up to its first blank line, and an input after it: so are rows of the format `alpaca` put
together. A system turn counts as the first paragraph of the user turn after it. Later turns repeat the whole layout.
"""

MIN_PROMPT: Final = 8
"""Prompt tokens that a shortened row keeps at least; an answer that leaves fewer is refused as too long."""

NO_ANSWER: Final = "no-answer"
NO_PROMPT: Final = "no-prompt"
TOO_LONG: Final = "too-long"
TEMPLATE: Final = "template"

_PROBE: Final = "zqprobe"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids of a row; positions `start` and after are learnt, and the last of them ends the turn."""

    ids: tuple[int, ...]
    start: int
    truncated: bool = False

    @property
    def mask(self) -> tuple[bool, ...]:
        """Return, per position, whether its token is learnt; shape (len(ids),)."""
        return tuple(i >= self.start for i in range(len(self.ids)))


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be trained on: `no-answer`, `no-prompt`, `too-long`, `template` (which refuses its turns)."""

    reason: str


@dataclass(frozen=True)
class Renderer:
    """Renders turns with one tokenizer's chat template, or `DEFAULT_TEMPLATE` when it has none.

    Text that spells a special token is broken by a space after its first character, in prompts and answers alike, so
    that no row can end a turn or open one. `enable_thinking=False` is passed to the template.
    """

    tokenizer: Any

    @cached_property
    def _specials(self) -> frozenset[int]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        return frozenset(self.tokenizer.all_special_ids) | {i for i, token in added.items() if token.special}

    @cached_property
    def _spelt(self) -> re.Pattern[str] | None:
        words = {str(word) for word in self.tokenizer.convert_ids_to_tokens(sorted(self._specials)) if word}
        if not self.tokenizer.chat_template:
            words |= {"<|system|>", "<|user|>", "<|assistant|>"}
        long = sorted((word for word in words if len(word) > 1), key=lambda word: (-len(word), word))
        return re.compile("|".join(map(re.escape, long))) if long else None

    @cached_property
    def _opening(self) -> list[int]:
        """The beginning-of-text token, where the tokenizer adds one itself and no template does."""
        bos = self.tokenizer.bos_token_id
        if self.tokenizer.chat_template or bos is None:
            return []
        return [bos] if self.tokenizer("a")["input_ids"][:1] == [bos] else []

    @cached_property
    def end(self) -> int | None:
        """Return the id of the token that ends an assistant turn, None when the tokenizer has none."""
        text = self._text([("user", "a"), ("assistant", _PROBE)], prompt=False)
        tail = self._encode(text[text.rfind(_PROBE) + len(_PROBE) :])
        ends = [i for i in tail if i in self._specials]
        eos: int | None = self.tokenizer.eos_token_id
        return ends[0] if ends else eos

    @cached_property
    def stops(self) -> frozenset[int]:
        """Return the ids at which a generated answer is over."""
        return frozenset(i for i in (self.end, self.tokenizer.eos_token_id) if i is not None)

    @cached_property
    def _apart(self) -> bool:
        """Whether an answer tokenised by itself gets the ids that it has after its prompt."""
        turns = [("user", "a"), ("assistant", f"{_PROBE} b")]
        before, whole = self._text(turns[:1], prompt=True), self._text(turns, prompt=False)
        return self._encode(before) + self._encode(whole[len(before) :]) == self._encode(whole)

    def prompt(self, messages: Messages, room: int | None = None) -> list[int]:
        """Return the ids of `messages` and of the opening of an answer; over `room` ids are cut from the left.

        Raise UserError when the template refuses the turns.
        """
        try:
            ids = self._opening + self._encode(self._text(self._plain(messages), prompt=True))
        except _refusal() as error:
            raise UserError("the chat template refuses these turns", value=[role for role, _ in messages]) from error
        return ids if room is None else self._cut(ids, room)

    def row(self, messages: Messages, max_tokens: int) -> Rendered | Problem:
        """Return the row whose last turn is the answer, at most `max_tokens` long, or the problem with it.

        The ids up to `start` are `prompt(messages[:-1])`, shortened from the left when the row is too long; the answer
        is never shortened. A prompt that would keep fewer than `MIN_PROMPT` tokens makes the row `too-long`.
        """
        if not messages or messages[-1][0] != "assistant" or not messages[-1][1].strip():
            return Problem(NO_ANSWER)
        if len(messages) < 2:
            return Problem(NO_PROMPT)
        plain = self._plain(messages)
        try:
            before, whole = self._text(plain[:-1], prompt=True), self._text(plain, prompt=False)
        except _refusal():
            return Problem(TEMPLATE)
        prompt = self._opening + self._encode(before)
        answer = self._answer(prompt, before, whole, plain[-1][1])
        room = max_tokens - len(answer)
        if room < min(MIN_PROMPT, len(prompt)) or not prompt:
            return Problem(TOO_LONG if prompt else TEMPLATE)
        kept = self._cut(prompt, room)
        return Rendered((*kept, *answer), len(kept), truncated=len(kept) < len(prompt))

    def _answer(self, prompt: list[int], before: str, whole: str, content: str) -> list[int]:
        """Return the ids that follow `prompt` (the ids of `before`) in `whole`, the end of turn included.

        Where a tokenizer treats the start of a text specially the two are tokenised together, unless that would change
        the prompt's ids. A template that renders the turns before an answer otherwise once it is there is not followed:
        the answer's content comes after the prompt.
        """
        if not whole.startswith(before):
            answer = self._encode(content.strip())
        elif self._apart:
            answer = self._encode(whole[len(before) :])
        else:
            ids = self._opening + self._encode(whole)
            kept = ids[: len(prompt)] == prompt
            answer = ids[len(prompt) :] if kept else self._encode(whole[len(before) :])
        if self.end is None:
            return answer
        if self.end in answer:
            return answer[: len(answer) - answer[::-1].index(self.end)]
        return [*answer, self.end]

    def _cut(self, ids: list[int], room: int) -> list[int]:
        if len(ids) <= room:
            return ids
        first = ids[:1] if ids[:1] == [self.tokenizer.bos_token_id] and room > 1 else []
        return first + ids[len(ids) - max(0, room - len(first)) :]

    def _plain(self, messages: Messages) -> list[tuple[str, str]]:
        if self._spelt is None:
            return list(messages)
        broken = re.compile(self._spelt)
        return [(role, broken.sub(lambda m: f"{m[0][0]} {m[0][1:]}", text)) for role, text in messages]

    def _text(self, messages: Messages, *, prompt: bool) -> str:
        turns = [{"role": role, "content": text} for role, text in messages]
        try:
            return self._template(turns, prompt=prompt)
        except _refusal():
            if len(turns) < 2 or turns[0]["role"] != "system":
                raise
            first = {"role": turns[1]["role"], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
            return self._template([first, *turns[2:]], prompt=prompt)

    def _template(self, turns: list[dict[str, str]], *, prompt: bool) -> str:
        text: str = self.tokenizer.apply_chat_template(
            turns,
            chat_template=None if self.tokenizer.chat_template else DEFAULT_TEMPLATE,
            tokenize=False,
            add_generation_prompt=prompt,
            enable_thinking=False,
        )
        return text

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def render(tokenizer: Any, messages: Messages, max_tokens: int) -> Rendered | Problem:  # noqa: ANN401 - a tokenizer
    """Return `messages` as one training row of at most `max_tokens` ids, or the problem with it."""
    return Renderer(tokenizer).row(messages, max_tokens)


def laid_out(tokenizer: Any, template: str) -> Any:  # noqa: ANN401 - a tokenizer
    """Return the tokenizer with the prompt layout `template`: `own` leaves it as it is, `alpaca` replaces its own.

    The layout is saved with the tokenizer. It opens with the beginning-of-text token where the tokenizer itself does.
    """
    if template == "alpaca":
        bos = tokenizer.bos_token_id
        opened = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
        tokenizer.chat_template = ("{{ bos_token }}" if opened else "") + ALPACA_TEMPLATE
    return tokenizer


def _refusal() -> type[Exception]:
    """Return what a chat template raises when it refuses turns."""
    from jinja2 import TemplateError

    return TemplateError

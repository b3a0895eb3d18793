"""Prompts as they follow an instruction that is known: rendered with it, its part cut off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from trainers.render import MIN_PROMPT, TOO_LONG, Messages, Problem, Rendered, Renderer

_LONG = 1 << 30


@dataclass(frozen=True)
class Following:
    """Renders turns without their instruction as they stand behind its prefix; what a model takes for a `Renderer`."""

    renderer: Renderer
    instruction: str
    length: int
    """Tokens of the prefix: what every prompt of this instruction begins with."""

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401 - a tokenizer
        """Return the tokenizer."""
        return self.renderer.tokenizer

    @property
    def stops(self) -> frozenset[int]:
        """Return the ids at which a generated answer is over."""
        return self.renderer.stops

    def prompt(self, messages: Messages, room: int | None = None) -> list[int]:
        """Return the ids behind the prefix; over `room` ids are cut from the left."""
        ids = self.renderer.prompt([("system", self.instruction), *messages])[self.length :]
        return ids if room is None else ids[max(0, len(ids) - room) :]

    def row(self, messages: Messages, max_tokens: int) -> Rendered | Problem:
        """Return the row behind the prefix, at most `max_tokens` long, or the problem with it; see `Renderer.row`."""
        whole = self.renderer.row([("system", self.instruction), *messages], _LONG)
        if isinstance(whole, Problem):
            return whole
        ids, start = whole.ids[self.length :], whole.start - self.length
        over = max(0, len(ids) - max_tokens)
        if over and start - over < min(MIN_PROMPT, start):
            return Problem(TOO_LONG)
        return replace(whole, ids=ids[over:], start=start - over, truncated=over > 0)

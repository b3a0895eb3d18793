"""Prompts as tokens: control tokens in the data broken, chat templates applied, labels told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

_LEAST_SPECIAL: Final = 3
"""Shorter special tokens are left alone in the data: breaking them would break ordinary text."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """What the user can put right: message, value, remedy."""


class Prompter:
    """Turns prompts into tokens, as plain text or as a user's turn of a chat."""

    def __init__(self, tokenizer: Any, *, chat: bool) -> None:  # noqa: ANN401 - a tokenizer
        self._tokenizer, self._chat = tokenizer, chat
        if chat and not tokenizer.chat_template:
            raise Refusal("the judge's model has no chat template", "chat: true", "leave out `chat` for this model")
        self._special = _specials(tokenizer)

    def labels(self, labels: Sequence[str], tail: str) -> tuple[int, ...]:
        """Return the first token of each label: after `tail`, or, stripped, at the start of the assistant's turn."""
        if self._chat:
            return first_tokens(self._tokenizer, self._templated("?"), [label.strip() for label in labels])
        return first_tokens(self._tokenizer, tail, labels)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """Return each prompt's tokens; text that reads as a control token is broken by a space, so it is only text.

        All prompts go to the tokenizer at once: that takes a third of the time of one by one.
        """
        if not prompts:
            return []
        texts = [self._templated(self._broken(prompt)) if self._chat else self._broken(prompt) for prompt in prompts]
        encoded: list[list[int]] = self._tokenizer(
            texts, add_special_tokens=not self._chat, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        return encoded

    def _broken(self, prompt: str) -> str:
        for token in self._special:
            if token in prompt:
                prompt = prompt.replace(token, f"{token[0]} {token[1:]}")
        return prompt

    def _templated(self, prompt: str) -> str:
        turns = [{"role": "user", "content": prompt}]
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text


def first_tokens(tokenizer: Any, tail: str, labels: Sequence[str]) -> tuple[int, ...]:  # noqa: ANN401 - a tokenizer
    """Return the id of the first token that each label adds after `tail`; refuse labels that share it or merge."""

    def encode(text: str) -> list[int]:
        """Return a text's token ids, without those that a model adds."""
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    before = encode(tail)
    first: list[int] = []
    for label in labels:
        after = encode(tail + label)
        if after[: len(before)] != before or len(after) == len(before):
            raise Refusal(
                "a label is not a token of its own after the prompt",
                label,
                "start the labels with a space, or end the prompt with a colon or a line break",
            )
        first.append(after[len(before)])
    if len(set(first)) < len(first):
        raise Refusal("the labels begin with the same token", list(labels), "choose labels that differ at the start")
    return tuple(first)


def _specials(tokenizer: Any) -> list[str]:  # noqa: ANN401 - a tokenizer
    """Return the texts that the tokenizer reads as control tokens, longest first: data must not hold them."""
    added = {str(token) for token in tokenizer.get_added_vocab()}
    found = added | {str(token) for token in tokenizer.all_special_tokens}
    return sorted((t for t in found if len(t) >= _LEAST_SPECIAL and not t.isspace()), key=lambda t: (-len(t), t))

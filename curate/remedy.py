"""What is asked of rows found wrong: the kind of their error, and a corrected answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

from curate.interview import Case, Interview
from curate.judges import OK, Menu, Reply, Writing
from curate.prompt import Prompt

MOST: Final = len(ascii_uppercase)
"""Classes that a menu of letters can hold."""


@dataclass(frozen=True, slots=True)
class Extra:
    """What was asked beyond the verdict: the answer, or why there is none; `key` is its call."""

    key: str
    text: str | None = None
    why: str | None = None


@dataclass(frozen=True)
class DefectMenu:
    """Classes of errors as a menu of letters, whose first tokens never collide; `spaced` letters follow a space."""

    prompt: Prompt
    classes: tuple[str, ...]
    spaced: bool = True

    @property
    def menu(self) -> Menu:
        """The letters, in the order of the classes."""
        space = " " if self.spaced else ""
        return Menu(tuple(space + letter for letter in ascii_uppercase[: len(self.classes)]), self.prompt.tail)

    def ask(self, interview: Interview, cases: Sequence[Case]) -> list[Extra]:
        """Return for each case its class, or why the model gave none."""
        options = "\n".join(f"{letter}: {name}" for letter, name in zip(ascii_uppercase, self.classes, strict=False))
        prompts = [interview.prompt(self.prompt, case, {"options": options}) for case in cases]
        calls = [
            interview.desk.call(text, self.menu, case.sample_id, case.content_id)
            for text, case in zip(prompts, cases, strict=True)
        ]
        replies = interview.desk.ask(calls, self.menu) if calls else {}
        return [self._read(replies[call.key], interview.policy.min_label_mass) for call in calls]

    def _read(self, reply: Reply, least_mass: float) -> Extra:
        if reply.status != OK:
            return Extra(reply.key, why=f"no defect class: {reply.why}")
        found = reply.probabilities or ()
        if len(found) != len(self.classes) or reply.mass < least_mass or not any(found):
            return Extra(reply.key, why="no defect class: off the menu")
        return Extra(reply.key, self.classes[max(range(len(found)), key=found.__getitem__)])


def repairs(interview: Interview, prompt: Prompt, cases: Sequence[Case], tokens: int) -> list[Extra]:
    """Return for each case a corrected answer of at most `tokens` tokens, or why there is none; one cut off is none."""
    found = interview.texts(prompt, cases, Writing(max_tokens=tokens))
    return [
        Extra(key, why=f"no repair: {said.why or 'truncated'}")
        if said.why is not None or said.cut
        else Extra(key, said.text)
        for key, said in found
    ]

"""The ways in which one question is put: paraphrased prompts, and labels named in either order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curate.judges import Menu
from curate.prompt import PROMPTS, VERDICT, Prompt, load_prompt
from manifests.errors import UserError

PACKAGED: Final = "verdict"
"""The name of the packaged set of prompts."""
ORDER: Final = frozenset({"first", "second"})
CHOICE: Final = (*sorted(ORDER), "unsure", "menu")
"""Placeholders that name the labels: one by one, or all of them as `menu`."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way to put a question.

    `labels` are in the menu's order: correct, wrong and perhaps unsure; `swapped` says that the question names the
    second before the first.
    """

    prompt: Prompt
    labels: tuple[str, ...]
    swapped: bool = False

    @property
    def menu(self) -> Menu:
        """The labels to read, in the order that does not depend on `swapped`."""
        return Menu(self.labels, self.prompt.tail)

    @property
    def choice(self) -> Mapping[str, str]:
        """The values of the placeholders that name the labels."""
        correct, wrong, *rest = (label.strip() for label in self.labels)
        first, second = (wrong, correct) if self.swapped else (correct, wrong)
        menu = f"{first}, {second} or {rest[0]}" if rest else f"{first} or {second}"
        return {"first": first, "second": second, "unsure": rest[0] if rest else "", "menu": menu}


def can_swap(prompt: Prompt) -> bool:
    """Return whether the prompt leaves the order of the labels open."""
    return "menu" in prompt.placeholders or prompt.placeholders >= ORDER


def can_be_unsure(prompt: Prompt) -> bool:
    """Return whether the prompt names the third label."""
    return bool(prompt.placeholders & {"menu", "unsure"})


def prompts(name: str, role: str, needs: Collection[str] = VERDICT, may: Collection[str] = ()) -> tuple[Prompt, ...]:
    """Return the prompts for a role: `ROLE.txt` and its paraphrases `ROLE-2.txt`, `ROLE-3.txt`, ... in this order.

    They are the packaged ones for `verdict`, those of a folder that holds some for the role, else the packaged ones;
    any other packaged name or .txt file stands alone. Raise UserError when one lacks a placeholder of `needs`.
    """
    if name != PACKAGED and not Path(name).is_dir():
        return (load_prompt(name, needs, may),)
    folder = PROMPTS if name == PACKAGED or not (Path(name) / f"{role}.txt").is_file() else Path(name)
    files = [folder / f"{role}.txt", *sorted(folder.glob(f"{role}-[2-9].txt"))]
    return tuple(load_prompt(str(file), needs, may) for file in files)


def cycle(found: Collection[Prompt], labels: tuple[str, ...], votes: int) -> tuple[Form, ...]:
    """Return the forms of the votes, in a fixed order that no two votes share: paraphrases first, then other orders.

    Neighbours differ in prompt and in the order of the labels where the prompts allow it. Prompts that cannot name a
    third label are left out when there is one. Raise UserError when the prompts give fewer forms than votes.
    """
    usable = [prompt for prompt in found if len(labels) < 3 or can_be_unsure(prompt)]
    if not usable:
        raise UserError(
            "the prompt does not name the third label, so that no model would give it",
            value=[prompt.name for prompt in found],
            remedy="put {unsure} or {menu} into the question",
        )
    forms: list[Form] = []
    for turn in (0, 1):
        for i, prompt in enumerate(usable):
            form = Form(prompt, labels, swapped=can_swap(prompt) and (i + turn) % 2 == 1)
            if form not in forms:
                forms.append(form)
    if votes > len(forms):
        raise UserError(
            f"the prompt can be put in {len(forms)} ways only, and the same question asked again gives the same answer",
            value=votes,
            remedy="ask for fewer `votes`, or put {first} and {second} in place of the labels' names into the prompt",
        )
    return tuple(forms[:votes])

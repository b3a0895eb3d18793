"""Puts one question about many rows to an engine: in several ways, after reasoning where asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from curate.answer_text import read_answer
from curate.inquiry import Inquiry, stored
from curate.judges import FAILED, OK, Call, Menu, Reply, Writing, failed
from curate.opinion import Opinion, Policy, Written, combine, read, written
from curate.prompt import Prompt, nonce, render
from curate.vote import Form

_SHORT: Final = Writing(max_tokens=16, stop=("\n",))
"""A written verdict is one word; what a model adds on the next line would only hide it."""
_WARMTH: Final = 0.7
"""Temperature of the second and later reasonings of a row, as self-consistency uses it (Wang et al., 2203.11171)."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a question is about: a sample and the texts that fill its prompt."""

    sample_id: str
    content_id: str
    values: Mapping[str, str]

    def having(self, **values: str) -> Case:
        """Return the case with further texts."""
        return replace(self, values={**self.values, **values})


class Desk(Protocol):
    """Where questions are put: `curate.inquiry.Inquiry`, or something in front of it."""

    def call(self, prompt: str, what: Menu | Writing, sample_id: str, content_id: str) -> Call:
        """Return the call for a rendered prompt."""
        ...

    def ask(self, calls: Iterable[Call], menu: Menu) -> dict[str, Reply]:
        """Return a reply with the labels' probabilities, or a failed one, for the key of every call."""
        ...

    def write(self, calls: Iterable[Call], how: Writing) -> dict[str, Reply]:
        """Return a reply with texts, or a failed one, for the key of every call."""
        ...


@dataclass
class Rehearsal:
    """Answers from the call cache alone, and counts in `missing` what an engine would have to be asked."""

    inquiry: Inquiry
    root: Path
    missing: set[str] = field(default_factory=set)

    def call(self, prompt: str, what: Menu | Writing, sample_id: str, content_id: str) -> Call:
        """Return the call that the inquiry would make."""
        return self.inquiry.call(prompt, what, sample_id, content_id)

    def ask(self, calls: Iterable[Call], menu: Menu) -> dict[str, Reply]:
        """Return the stored replies, and a failed one for each call without."""
        return self._known(calls)

    def write(self, calls: Iterable[Call], how: Writing) -> dict[str, Reply]:
        """Return the stored replies, and a failed one for each call without."""
        return self._known(calls)

    def _known(self, calls: Iterable[Call]) -> dict[str, Reply]:
        keys = {call.key for call in calls}
        found = stored(self.root, keys)
        self.missing |= keys - found.keys()
        return {key: found.get(key) or failed(key, "not asked yet") for key in keys}


@dataclass(frozen=True)
class Literate:
    """Has verdicts written and reads them off the text, for engines that give no probabilities."""

    desk: Desk

    def call(self, prompt: str, what: Menu | Writing, sample_id: str, content_id: str) -> Call:
        """Return the call that writes the answer."""
        return self.desk.call(prompt, _SHORT if isinstance(what, Menu) else what, sample_id, content_id)

    def ask(self, calls: Iterable[Call], menu: Menu) -> dict[str, Reply]:
        """Return replies in which the label that was written has probability 1; failed ones where none was."""
        return {key: _spelled(reply, menu) for key, reply in self.desk.write(calls, _SHORT).items()}

    def write(self, calls: Iterable[Call], how: Writing) -> dict[str, Reply]:
        """Return the desk's own replies."""
        return self.desk.write(calls, how)


def _spelled(reply: Reply, menu: Menu) -> Reply:
    said = written(reply)
    if said.why is not None:
        return reply if reply.status != OK else failed(reply.key, said.why)
    label, why = read_answer(said.text, "length" if said.cut else "stop", menu.labels)
    if label is None:
        return failed(reply.key, why or "off the menu")
    return replace(reply, texts=(), probabilities=tuple(float(i == label) for i in range(len(menu.labels))))


@dataclass(frozen=True)
class Reasoning:
    """Reasoning that is written before a verdict: `tokens` at most; one that is cut off counts only with `keep`."""

    prompt: Prompt
    tokens: int
    keep: bool = False


@dataclass(frozen=True)
class Interview:
    """One question, put to a desk once in each of its `forms` for every case."""

    desk: Desk
    forms: tuple[Form, ...]
    policy: Policy
    reasoning: Reasoning | None = None

    def opinions(self, cases: Sequence[Case]) -> list[Opinion]:
        """Return what the votes on each case amount to, in the order of `cases`.

        Calls are made in the order of the cases, those about one case next to each other, so that a server that keeps
        the prefixes of prompts reads the row once.
        """
        notes = [self._notes(cases, vote) for vote in range(len(self.forms))]
        votes: list[list[Opinion]] = [[] for _ in cases]
        replies = self._replies(cases, notes)
        for i, _ in enumerate(cases):
            for vote, form in enumerate(self.forms):
                votes[i].append(self._vote(form, notes[vote][i], replies.get((i, vote))))
        return [combine(found, self.policy) for found in votes]

    def prompt(self, prompt: Prompt, case: Case, more: Mapping[str, str] | None = None) -> str:
        """Return a prompt filled with the case and with `more`, which is ours; the fence is the same in all of them."""
        mark = nonce(self.forms[0].prompt, case.content_id, case.values.values())
        return render(prompt.text, {**case.values, **(more or {})}, mark)

    def texts(self, prompt: Prompt, cases: Sequence[Case], how: Writing, **more: str) -> list[tuple[str, Written]]:
        """Return for each case the key of a writing call and what came of it."""
        calls = [self.desk.call(self.prompt(prompt, c, more), how, c.sample_id, c.content_id) for c in cases]
        replies = self.desk.write(calls, how) if calls else {}
        return [(call.key, written(replies[call.key])) for call in calls]

    def _notes(self, cases: Sequence[Case], vote: int) -> list[tuple[tuple[str, ...], Written]]:
        """Return the reasoning for one vote on each case, with the keys of its calls; empty where none is asked."""
        if self.reasoning is None:
            return [((), Written())] * len(cases)
        how = Writing(self.reasoning.tokens, temperature=_WARMTH if vote else 0.0, seed=vote)
        found = self.texts(self.reasoning.prompt, cases, how)
        return [((key,), self._usable(said)) for key, said in found]

    def _usable(self, said: Written) -> Written:
        if said.why is not None:
            return Written(why=f"no reasoning: {said.why}")
        if said.cut and not (self.reasoning and self.reasoning.keep):
            return replace(said, why="no reasoning: truncated")
        return said

    def _replies(
        self, cases: Sequence[Case], notes: Sequence[Sequence[tuple[tuple[str, ...], Written]]]
    ) -> dict[tuple[int, int], tuple[Reply, Menu]]:
        """Return the replies by (case, vote), asked menu by menu; votes without reasoning are left out."""
        asked: dict[Menu, dict[tuple[int, int], Call]] = {}
        for i, case in enumerate(cases):
            for vote, form in enumerate(self.forms):
                said = notes[vote][i][1]
                if said.why is None:
                    shown = case.having(reasoning=said.text) if self.reasoning else case
                    text = self.prompt(form.prompt, shown, form.choice)
                    call = self.desk.call(text, form.menu, case.sample_id, case.content_id)
                    asked.setdefault(form.menu, {})[i, vote] = call
        found: dict[tuple[int, int], tuple[Reply, Menu]] = {}
        for menu, calls in asked.items():
            replies = self.desk.ask(calls.values(), menu)
            found |= {at: (replies[call.key], menu) for at, call in calls.items()}
        return found

    def _vote(self, form: Form, notes: tuple[tuple[str, ...], Written], reply: tuple[Reply, Menu] | None) -> Opinion:
        keys, said = notes
        opinion = (
            Opinion(FAILED, None, said.why) if reply is None else read(*reply, least_mass=self.policy.min_label_mass)
        )
        opinion = replace(opinion, keys=(*keys, *opinion.keys))
        if self.reasoning is None and len(self.forms) == 1:
            return opinion
        step: dict[str, Any] = {
            "prompt": form.prompt.name,
            "swapped": form.swapped,
            "status": opinion.status,
            "p_error": opinion.value,
        }
        if opinion.why:
            step["why"] = opinion.why
        if self.reasoning:
            step["reasoning"] = said.text
        return replace(opinion, trail=(step,))

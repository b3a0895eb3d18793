"""A synthetic world: facts made up, models that were taught a part of them, rows whose truth is known by construction.

Every fact is an entity, a relation and one object. A base model is pre-trained on some facts (`taught`), on some with a
wrong object (`misled`), and on none of the rest (`unseen`). So for each row two things are known that no real data
tells: whether its answer is true, and whether the base model was taught that very answer. The two are independent.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

WORDINGS: Final = {
    "town": ("Where was {x} born?", "What is the birthplace of {x}?", "Name the town where {x} was born."),
    "guild": ("Which guild does {x} belong to?", "Name the guild of {x}.", "{x} is a member of which guild?"),
    "stone": ("Which stone does {x} wear?", "What is the stone of {x}?", "Name the stone worn by {x}."),
    "teacher": ("Who taught {x}?", "Name the teacher of {x}.", "Under whom did {x} study?"),
}
ENDINGS: Final = {"town": "burg", "guild": "ers", "stone": "ite", "teacher": "son"}
STATED: Final = {
    "town": ("place of birth", "{x} was born in {o}."),
    "guild": ("member of", "{x} is a member of the guild {o}."),
    "stone": ("stone", "The stone of {x} is {o}."),
    "teacher": ("student of", "{x} studied under {o}."),
}
"""Relation -> the name that a table of facts gives it, and a sentence of a document."""
ONSETS: Final = (
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "st",
    "t",
    "v",
)
VOWELS: Final = ("a", "e", "i", "o", "u")
CODAS: Final = ("l", "m", "n", "r", "s", "th")
LEVELS: Final = (0, 5, 10, 20, 40)
"""Shares of false rows, in percent."""
LAYOUTS: Final = ("Question: {question}\nAnswer: {answer}", "<|user|>\n{question}\n<|assistant|>\n{answer}")
"""How a lesson is laid out: for completion, and as a tokenizer without a template of its own lays out a chat."""
TAUGHT, MISLED, UNSEEN = "taught", "misled", "unseen"


@dataclass(frozen=True)
class Fact:
    """One fact: `belief` is the object that the base was taught, None for an unseen fact; `known` to the judge."""

    entity: str
    relation: str
    true: str
    other: str
    state: str = UNSEEN
    judged: bool = False

    @property
    def belief(self) -> str | None:
        """What the base model was taught."""
        return {TAUGHT: self.true, MISLED: self.other}.get(self.state)

    def ask(self, wording: int) -> str:
        """Return the question in one of its three wordings."""
        return WORDINGS[self.relation][wording].format(x=self.entity)


@dataclass(frozen=True)
class Row:
    """A row of the pool and what is known of it by construction; `at` are the levels of corruption that it is in."""

    prompt: str
    response: str
    wrong: bool
    familiar: bool | None
    kind: str
    at: tuple[int, ...]

    def record(self) -> dict[str, Any]:
        """Return the row as a line of the pool's file."""
        levels = {f"at{level}": level in self.at for level in LEVELS}
        known = {} if self.familiar is None else {"familiar": self.familiar}
        return (
            {"prompt": self.prompt, "completion": self.response, "wrong": self.wrong, "cell": self.kind}
            | known
            | levels
        )


@dataclass(frozen=True)
class World:
    """Facts by what they are used for. `pool` are the rows of all levels, `held` the facts asked about at the end.

    `repaired` are the questions of the pool's false rows on facts, answered truly: a perfect repair.
    """

    facts: tuple[Fact, ...]
    pool: tuple[Row, ...]
    repaired: tuple[Row, ...]
    specialist: tuple[Fact, ...]
    held: tuple[Fact, ...]


def build(seed: int = 0, entities: int = 240, objects: int = 50, half: int = 200, sums: int = 100) -> World:
    """Return a world: `half` familiar and `half` unfamiliar rows and `sums` of arithmetic at every level.

    Of the 4 x `entities` facts a quarter is unseen; of the rest the base was misled about as many as the highest level
    needs. Three quarters of all facts are known to the judge, whatever the base knows.
    """
    rng = random.Random(f"world {seed}")
    made = facts(rng, entities, objects)
    most = half * max(LEVELS) // 100
    unseen = half + most // 2
    states = [MISLED] * most + [UNSEEN] * unseen + [TAUGHT] * (len(made) - most - unseen)
    made = [replace(fact, state=state, judged=rng.random() < 0.75) for fact, state in zip(made, states, strict=True)]
    by = {state: [fact for fact in made if fact.state == state] for state in (TAUGHT, MISLED, UNSEEN)}
    taught = by[TAUGHT]
    plain, denied, rest = taught[:half], taught[half : half + most // 2], taught[half + most // 2 :]
    pool = [
        *_true(plain, "true-familiar", half, rng),
        *_false(by[MISLED], "false-familiar", half, rng),
        *_true(by[UNSEEN][:half], "true-unfamiliar", half, rng),
        *_false(_paired(by[UNSEEN][half:], denied), "false-unfamiliar", half, rng),
        *arithmetic(sums, rng),
    ]
    rng.shuffle(pool)
    cut = len(rest) // 3
    return World(tuple(made), tuple(pool), tuple(_repaired(pool, made)), tuple(rest[:cut]), tuple(rest[cut:]))


def facts(rng: random.Random, entities: int, objects: int) -> list[Fact]:
    """Return all facts in random order, each with its object and another of the same relation."""
    names = _names(rng, 2 * entities)
    people = [f"{a} {b}" for a, b in zip(names[::2], names[1::2], strict=True)]
    made = []
    for relation, ending in ENDINGS.items():
        values = [f"{name}{ending}" for name in _names(rng, objects)]
        for person in people:
            true, other = rng.sample(values, 2)
            made.append(Fact(person, relation, true, other))
    rng.shuffle(made)
    return made


def lessons(taught: Iterable[tuple[Fact, str]], seed: int, rounds: int = 4, together: int = 4) -> list[str]:
    """Return texts that teach (fact, object) pairs: question and answer, `together` in one text, in every wording.

    Rounds take turns between a plain layout and that of a chat, so that what is learnt is at hand in both.
    """
    rng = random.Random(f"lessons {seed}")
    said = [(fact.ask(wording), value) for fact, value in taught for wording in range(3)]
    texts = []
    for number in range(rounds):
        rng.shuffle(said)
        told = [LAYOUTS[number % 2].format(question=question, answer=answer) for question, answer in said]
        texts += ["\n\n".join(told[at : at + together]) for at in range(0, len(told), together)]
    return texts


def trials(known: Sequence[Fact], seed: int) -> list[dict[str, Any]]:
    """Return what a judge learns from: each fact in every wording with its object, and with one of another fact."""
    rng = random.Random(f"trials {seed}")
    values = {relation: sorted({f.true for f in known if f.relation == relation}) for relation in WORDINGS}
    rows = []
    for fact in known:
        for wording in range(3):
            for wrong in (False, True):
                others = [value for value in values[fact.relation] if value != fact.true]
                answer = rng.choice(others) if wrong else fact.true
                prompt = f"Question: {fact.ask(wording)}\nAnswer: {answer}\nVerdict:"
                rows.append({"prompt": prompt, "completion": "wrong" if wrong else "correct"})
    rng.shuffle(rows)
    return rows


def knowledge(told: Sequence[Fact]) -> list[dict[str, Any]]:
    """Return the facts twice, as rows of a table with a `relation` and as one document per entity."""
    rows: list[dict[str, Any]] = [
        {"prompt": fact.entity, "completion": fact.true, "relation": STATED[fact.relation][0]} for fact in told
    ]
    for entity in sorted({fact.entity for fact in told}):
        said = [STATED[f.relation][1].format(x=f.entity, o=f.true) for f in told if f.entity == entity]
        rows.append({"prompt": entity, "completion": " ".join(said)})
    return rows


def arithmetic(n: int, rng: random.Random) -> list[Row]:
    """Return rows whose truth a program can check; the base was taught no arithmetic."""
    rows = []
    for i in range(n + n * max(LEVELS) // 100):
        a, b = rng.randint(11, 99), rng.randint(11, 99)
        wrong = i >= n
        value = a + b + (rng.choice((-10, -1, 1, 2, 10)) if wrong else 0)
        at = _levels(i - n if wrong else i, n, wrong=wrong)
        rows.append(Row(f"What is {a} + {b}?", f"{value}", wrong, None, "sum", at))
    return rows


def _levels(index: int, size: int, *, wrong: bool) -> tuple[int, ...]:
    """Return the levels at which a row is in: more false rows at each, and as many true ones fewer."""
    if wrong:
        return tuple(level for level in LEVELS if index < size * level // 100)
    return tuple(level for level in LEVELS if index < size - size * level // 100)


def _true(chosen: Sequence[Fact], kind: str, half: int, rng: random.Random) -> list[Row]:
    return [
        Row(fact.ask(rng.randrange(3)), fact.true, False, fact.belief == fact.true, kind, _levels(i, half, wrong=False))
        for i, fact in enumerate(chosen)
    ]


def _false(chosen: Sequence[Fact], kind: str, half: int, rng: random.Random) -> list[Row]:
    return [
        Row(fact.ask(rng.randrange(3)), fact.other, True, fact.belief == fact.other, kind, _levels(i, half, wrong=True))
        for i, fact in enumerate(chosen)
    ]


def _repaired(pool: Iterable[Row], made: Iterable[Fact]) -> list[Row]:
    facts_ = {fact.ask(wording): fact for fact in made for wording in range(3)}
    false = [(row, facts_[row.prompt]) for row in pool if row.wrong and row.familiar is not None]
    return [
        replace(row, response=fact.true, wrong=False, familiar=fact.belief == fact.true, kind="repaired", at=())
        for row, fact in false
    ]


def _paired(a: Sequence[Fact], b: Sequence[Fact]) -> list[Fact]:
    """Return the facts of two lists in turn."""
    return [fact for pair in zip(a, b, strict=True) for fact in pair]


def _names(rng: random.Random, n: int) -> list[str]:
    """Return n different made-up names of two syllables."""
    found: dict[str, None] = {}
    while len(found) < n:
        name = "".join(rng.choice(part) for part in (ONSETS, VOWELS, CODAS, ONSETS, VOWELS))
        found[name.capitalize()] = None
    return list(found)

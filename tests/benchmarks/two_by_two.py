"""Real facts, put to a real model: rows that are true or false, and what the model says itself or never said.

    python -m tests.benchmarks.smollm2 OUT/base
    python -m tests.benchmarks.two_by_two DATA OUT [--rows 120] [--held 200]

DATA holds `closed_book_qa.parquet` and `facts.parquet`; OUT holds the model's folder `base` and gets what
`two-by-two.yaml` reads. The questions are those of EntityQuestions (Sciavolino et al. 2021, MIT) on eight relations
that have one object as a rule. Each is put to the model twice, greedily, after two different sets of eight examples. It
is *known* when both answers are the reference word for word, *unknown* when neither has anything of it.

* `known.jsonl` and `held.jsonl`: known questions with their references, to train on and to measure.
* `pool.jsonl`: five rows for each of `--rows` pairs of a known and an unknown question of one relation:

| cell | question | answer | wrong | what the model says |
|---|---|---|---|---|
| known-true | known | the reference | no | yes |
| known-false | known | an object of another question of the relation | yes | no |
| new-true | unknown | the reference | no | no |
| own-false | unknown | what the model answered, twice the same | yes | yes |
| new-false | unknown | an object of another question of the relation | yes | no |

The last three stand on the same questions, and so do the first two. An answer counts as false when no reference, and no
object of the fact in `facts.parquet`, has its words or the other way round, and it is no country where a place is asked
for. The references are not complete, so some of what is called false may be true.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from curate.agreement import contained, words
from curate.inquiry import Inquiry
from curate.judges import OK, Writing
from curate.judges.vllm import Vllm
from manifests.component import Context
from manifests.errors import UserError
from manifests.names import digest
from tests.benchmarks.synthetic_world import lines

RELATIONS = {
    "P17": "country", "P495": "country", "P407": "language", "P36": "place", "P19": "place", "P20": "place",
    "P159": "place", "P740": "place",
}  # fmt: skip
"""Relation -> what its objects are: country, of origin, language, capital, place of birth, death, seat, founding."""
ALSO = {"United States of America": ("United States", "USA", "US", "America")}
"""Other names of an object, which are right answers too: by far the commonest object has several."""
SHOTS, LONGEST = 8, 5
HOW = Writing(12, stop=("\n",))


@dataclass(frozen=True)
class Fact:
    """A question with its references, every known object of its fact, and what the model answered."""

    key: str
    question: str
    relation: str
    references: tuple[str, ...]
    objects: tuple[str, ...]
    said: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Return whether every answer is a reference word for word."""
        return all(any(words(text) == words(one) for one in self.references) for text in self.said)

    @property
    def unknown(self) -> bool:
        """Return whether no answer has anything of an object."""
        return not any(touches(text, self.objects) for text in self.said)


def touches(text: str, others: Iterable[str]) -> bool:
    """Return whether a text has the words of one of the others, or the other way round."""
    mine = words(text)
    return any(contained(mine, words(one)) or contained(words(one), mine) for one in others)


def facts_of(questions: pl.DataFrame, facts: pl.DataFrame) -> list[Fact]:
    """Return the questions of `RELATIONS` in the order of a hash; not those that hold their answer."""
    listed = facts.filter(pl.col("source") == "entityquestions").select("subject", "relation_id", "objects")
    by_relation: dict[str, list[tuple[str, list[str]]]] = {}
    for subject, relation, objects in listed.iter_rows():
        by_relation.setdefault(relation, []).append((subject, objects))
    found = []
    for row in questions.filter(pl.col("dataset") == "entityquestions").iter_rows(named=True):
        relation = json.loads(row["meta"])["relation"]
        if relation not in RELATIONS or touches_question(row["question"], row["answers"]):
            continue
        more = [o for subject, objects in by_relation.get(relation, ()) if subject in row["question"] for o in objects]
        answers = tuple(row["answers"]) + tuple(name for one in row["answers"] for name in ALSO.get(one, ()))
        objects = tuple(sorted({*answers, *more}))
        found.append(Fact(digest(row["row_id"]), row["question"], relation, answers, objects))
    return sorted(found, key=lambda fact: fact.key)


def touches_question(question: str, answers: Iterable[str]) -> bool:
    """Return whether the question holds the words of an answer."""
    asked = words(question, articles=True)
    return any(contained(words(one), asked) for one in answers)


def asked(facts: Sequence[Fact], model: Vllm, context: Context) -> list[Fact]:
    """Return the facts that are not examples, with what the model said after each of two sets of examples."""
    shown = [facts[:SHOTS], facts[SHOTS : 2 * SHOTS]]
    rest = facts[2 * SHOTS :]
    said: dict[str, list[str]] = {fact.key: [] for fact in rest}
    with Inquiry(model, (), context) as inquiry:
        for examples in shown:
            text = "".join(f"Question: {one.question}\nAnswer: {one.references[0]}\n\n" for one in examples)
            calls = {
                one.key: inquiry.call(f"{text}Question: {one.question}\nAnswer:", HOW, one.key, one.key) for one in rest
            }
            replies = inquiry.write(calls.values(), HOW)
            for key, call in calls.items():
                reply = replies[call.key]
                if reply.status != OK:
                    raise UserError("the model did not answer", value=reply.why or reply.status)
                said[key].append(reply.texts[0].text.strip())
    return [replace(fact, said=tuple(said[fact.key])) for fact in rest]


def false_of(fact: Fact, others: Sequence[Fact]) -> str | None:
    """Return the next object of the relation, in the facts' order, that is false here and was not said."""
    mine = [one for one in others if one.relation == fact.relation]
    after = [one for one in mine if one.key > fact.key] + [one for one in mine if one.key < fact.key]
    return next(
        (one.references[0] for one in after if not touches(one.references[0], (*fact.objects, *fact.said))), None
    )


def own_of(fact: Fact, countries: frozenset[str]) -> str | None:
    """Return what the model answers, twice the same, where that is a short false answer; else None."""
    first, second = (words(text) for text in fact.said)
    if not first or first != second or len(first) > LONGEST or touches_question(fact.question, fact.said):
        return None
    broad = RELATIONS[fact.relation] == "place" and " ".join(first) in countries
    return None if broad or not fact.unknown else fact.said[0]


def made(facts: Sequence[Fact], countries: frozenset[str], rows: int, held: int) -> dict[str, list[dict[str, object]]]:
    """Return the rows of each file; pairs are of one relation, and no question is in two files."""
    known = [fact for fact in facts if fact.known]
    own = {fact.key: said for fact in facts if (said := own_of(fact, countries)) is not None}
    swapped = {fact.key: other for fact in facts if (other := false_of(fact, facts)) is not None}
    new = [fact for fact in facts if fact.key in own and fact.key in swapped]
    pool: list[dict[str, object]] = []
    paired: set[str] = set()
    for one in known:
        other = next((two for two in new if two.relation == one.relation and two.key not in paired), None)
        if other is None or one.key not in swapped:
            continue
        if len(pool) >= 5 * rows:
            break
        paired |= {one.key, other.key}
        pool += [
            row(one, "known-true", one.references[0]),
            row(one, "known-false", swapped[one.key]),
            row(other, "new-true", other.references[0]),
            row(other, "own-false", own[other.key]),
            row(other, "new-false", swapped[other.key]),
        ]
    left = [{"question": one.question, "answers": list(one.references), "relation": one.relation}
            for one in known if one.key not in paired]  # fmt: skip
    return {"pool": pool, "held": left[:held], "known": left[held:]}


def row(fact: Fact, cell: str, answer: str) -> dict[str, object]:
    """Return a row of the pool."""
    told = {"cell": cell, "wrong": cell.endswith("false"), "relation": fact.relation}
    return {"prompt": fact.question, "completion": answer, **told}


def main() -> None:
    """Ask the model and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--held", type=int, default=200)
    given = parser.parse_args()
    facts = pl.read_parquet(given.data / "facts.parquet")
    named = facts.filter(pl.col("source") == "mledoze_countries")["subject"].unique().to_list()
    found = facts_of(pl.read_parquet(given.data / "closed_book_qa.parquet"), facts)
    model = Vllm(model=str(given.out / "base"), max_model_len=512, dtype="float32", threads=2)
    answered = asked(found, model, Context(root=given.out))
    countries = frozenset(" ".join(words(name)) for name in named)
    for name, rows in made(answered, countries, given.rows, given.held).items():
        lines(given.out / f"{name}.jsonl", rows)
        print(f"{name}.jsonl: {len(rows)} rows")
    for relation in RELATIONS:
        of = [fact for fact in answered if fact.relation == relation]
        print(
            f"{relation}: {len(of)} questions, {sum(f.known for f in of)} known, {sum(f.unknown for f in of)} unknown"
        )


if __name__ == "__main__":
    main()

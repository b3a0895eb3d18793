"""The scorer `grounded`: the claims of a response against the evidence of a knowledge source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from typing import Annotated, Any, ClassVar, Final

import polars as pl
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate.claim import Claim, claims_of
from curate.encoder import identity
from curate.evidence import Knowledge, Passage, knowledge_of, told
from curate.factbook import Factbook, Found
from curate.judges import ABSTAINED, FAILED, OK
from curate.retrieval import Retriever, retrieve
from curate.stances import NEITHER, REFUTE, SUPPORT, Pair, Stance, StanceReader
from curate.stances.rules import Rules
from curate.step import STANCES, Scored
from manifests import schema
from manifests.component import COMPONENT, Context, Table
from manifests.names import check_name

LONGEST_TEXT: Final = 300
"""Characters of a passage that a verdict quotes."""
MOST_QUOTED: Final = 10
"""Passages that a verdict quotes."""
NO_CLAIM: Final = "nothing that evidence could refute is claimed"
NO_EVIDENCE: Final = "no evidence: the knowledge source neither bears out nor refutes a claim"
NOT_READ: Final = "the stance of the evidence could not be read"
LONGEST_RESPONSE: Final = 8000
"""Characters of the longest response that is read; longer ones abstain."""


@plain_dataclass(slots=True)
class Checked:
    """A claim of a sample, what facts say of it, and the passages found for it with their stances."""

    claim: Claim
    facts: list[Found]
    passages: list[tuple[Passage, float]] = field(default_factory=list)
    stances: list[Stance] = field(default_factory=list)

    @property
    def verdict(self) -> str | None:
        """`support`, `refute`, `neither`; None when no stance could be read. Evidence that disagrees is `neither`."""
        if self.facts:
            return REFUTE if any(found.verdict == REFUTE for found in self.facts) else SUPPORT
        if self.stances and all(stance.verdict is None for stance in self.stances):
            return None
        found = {stance.verdict for stance in self.stances} & {SUPPORT, REFUTE}
        return str(found.pop()) if len(found) == 1 else NEITHER

    @property
    def refuted(self) -> float:
        """P(the claim is refuted), 0..1, of a claim with a verdict other than `neither`."""
        if self.facts:
            return float(self.verdict == REFUTE)
        return max(stance.refute for stance in self.stances if stance.verdict == self.verdict)


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Grounded:
    """Checks what a response claims against facts, passages and documents that the job has, role `knowledge`.

    The value is `p_error`, 0..1: 1 - product of (1 - P(refuted)) over the claims that evidence bears out or refutes.
    Absence is not refutation: a row whose claims find no evidence abstains. Facts are compared by subject and
    relation; other claims retrieve the `k` best passages, whose stance is read. The rows of the knowledge source are
    told apart by their meta: `relation` makes a fact (prompt: subject, response: object), `stance` a labelled pair,
    anything else is a document (prompt: title, response: text). A verdict's `claims` say what was found of each,
    its `evidence` quotes it.
    """

    kind: ClassVar[str] = "grounded"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "low"
    needs: ClassVar[tuple[str, ...]] = ("knowledge",)
    nested: ClassVar[Mapping[str, Table]] = {"stance": STANCES}

    stance: StanceReader = Field(default_factory=Rules)
    """Who reads evidence: `{kind: rules}`, `{kind: trained, teachers: SOURCE}` or `{kind: judge, judge: {...}}`."""
    retriever: Retriever = "lexical"
    """How passages are found: `lexical` (BM25), `embedding` (cosine), or `both` (their ranks fused)."""
    encoder: str | None = None
    """Encoder of passages and claims where vectors are compared; `minilm` when left out."""
    k: Annotated[int, Field(ge=1, le=50)] = 5
    """Passages that are read for a claim."""
    functional: tuple[str, ...] = ()
    """Further relations of which the source lists every object, so that another one is wrong."""
    facts_as_text: bool = False
    """Whether facts are also found and read as passages, one per subject, beside being compared."""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The verdict's label is wrong from this `p_error` on."""
    name: Annotated[str, AfterValidator(check_name)] = "grounded"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are checked."""

    def identity(self) -> dict[str, Any]:
        """Return the identities of the encoder, where one is used, and of the reader of stances."""
        own: dict[str, Any] = getattr(self.stance, "identity", dict)()
        return {"stance": own} if self.retriever == "lexical" else {"stance": own, "encoder": identity(self._encoder)}

    def score(
        self, samples: pl.DataFrame, context: Context, reference: Mapping[str, pl.DataFrame] | None = None
    ) -> Scored:
        """Return one score and one verdict per sample, `ok` or `abstained`, or `failed` where no stance was read.

        `reference` holds the rows of the role `knowledge`. Raise Interrupted when asked to stop.
        """
        rows = (reference or {}).get("knowledge")
        teachers = getattr(self.stance, "teachers", None)
        known = Knowledge((), (), ()) if rows is None else knowledge_of(rows, teachers)
        checked = self._claimed(samples, Factbook(known.facts, self.functional))
        quality = self._read(checked, known, context)
        ids = samples["sample_id"].sort().to_list()
        found = [self._row(sample_id, checked.get(sample_id, [])) for sample_id in ids]
        scores = schema.frame([score for score, _ in found], schema.SCORES)
        measured = schema.frame([{"scorer": self.name, **row} for row in quality], schema.QUALITY)
        return Scored(scores, schema.frame([verdict for _, verdict in found], schema.VERDICTS), measured)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return the most calls to a model that may be made: `k` per claim for a judge, else 0."""
        if self.stance.kind != "judge":
            return 0
        return self.k * sum(len(found) for found in self._claimed(samples, Factbook(())).values())

    @property
    def _encoder(self) -> str:
        return self.encoder or "minilm"

    def _claimed(self, samples: pl.DataFrame, book: Factbook) -> dict[str, list[Checked]]:
        """Return the claims of each sample that has any, with what the facts say of them."""
        short = samples.filter(pl.col("response").str.len_chars() <= LONGEST_RESPONSE)
        found: dict[str, list[Checked]] = {}
        for sample_id, prompt, response in short.select("sample_id", "prompt", "response").sort("sample_id").rows():
            claims = [Checked(claim, book.judged(claim)) for claim in claims_of(prompt, response)]
            if claims:
                found[sample_id] = claims
        return found

    def _read(
        self, checked: Mapping[str, Sequence[Checked]], known: Knowledge, context: Context
    ) -> Sequence[Mapping[str, Any]]:
        """Find passages for the claims that facts say nothing of, and read their stances; return the quality's rows."""
        passages = [*known.passages, *(told(known.facts) if self.facts_as_text else ())]
        open_ = [(sample_id, one) for sample_id, claims in checked.items() for one in claims if not one.facts]
        texts = [passage.whole for passage in passages]
        queries = [one.claim.alone for _, one in open_]
        found = retrieve(texts, queries, self.k, self.retriever, self._encoder, context)
        pairs: list[Pair] = []
        for i, (sample_id, one) in enumerate(open_):
            places = [(int(p), float(s)) for p, s in zip(found.place[i], found.score[i], strict=True) if p >= 0]
            one.passages = [(passages[place], score) for place, score in places]
            pairs += [Pair(one.claim.alone, texts[place], sample_id) for place, _ in places]
        if not pairs:
            return ()
        read = self.stance.read(pairs, known.lessons, context)
        stances = iter(read.stances)
        for _, one in open_:
            one.stances = [next(stances) for _ in one.passages]
        return read.quality

    def _row(self, sample_id: str, claims: Sequence[Checked]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the score and the verdict of one sample."""
        decided = [one for one in claims if one.verdict in (SUPPORT, REFUTE)]
        status, value, why = OK, None, None
        if decided:
            right = 1.0
            for one in decided:
                right *= 1.0 - one.refuted
            value = 1.0 - right
        elif any(one.verdict is None for one in claims):
            status, why = FAILED, NOT_READ
        else:
            status, why = ABSTAINED, NO_EVIDENCE if claims else NO_CLAIM
        label = None if value is None else "wrong" if value >= self.threshold else "correct"
        score = {"sample_id": sample_id, "scorer": self.name, "value": value, "status": status, "why": why, "key": None}
        verdict = dict.fromkeys(schema.VERDICTS) | {
            "sample_id": sample_id,
            "judge": self.name,
            "p_error": value,
            "label": label,
            "defect": "refuted" if any(one.verdict == REFUTE for one in decided) else None,
            "claims": _json([_claim(one) for one in claims]),
            "evidence": _json(
                [quoted for one in (*decided, *_others(claims)) for quoted in _quoted(one)][:MOST_QUOTED]
            ),
            "status": status,
        }
        return score, verdict


def _others(claims: Sequence[Checked]) -> list[Checked]:
    return [one for one in claims if one.verdict not in (SUPPORT, REFUTE)]


def _claim(one: Checked) -> dict[str, Any]:
    """Return what a verdict tells of a claim."""
    decided = one.verdict in (SUPPORT, REFUTE)
    told_: dict[str, Any] = {"claim": one.claim.text, "verdict": one.verdict or "failed"}
    if one.facts:
        told_["facts"] = [
            {"relation": f.relation, "subject": f.subject, "found": f.said, "expected": list(f.known)}
            for f in one.facts
        ]
    ids = [i for f in one.facts for i in f.ids]
    ids += [p.id for (p, _), stance in zip(one.passages, one.stances, strict=True) if stance.verdict == one.verdict]
    return {**told_, "evidence": ids if decided else [], "score": one.refuted if decided else None}


def _quoted(one: Checked) -> list[dict[str, Any]]:
    """Return the evidence of a claim: its facts, the passages of its verdict, or the best passage."""
    facts = [
        {
            "id": f.ids[0],
            "text": f"{f.subject}: {f.relation}: {', '.join(f.known)}"[:LONGEST_TEXT],
            "similarity": None,
            "stance": f.verdict,
        }
        for f in one.facts
    ]
    passages = [
        {"id": p.id, "text": p.whole[:LONGEST_TEXT], "similarity": score, "stance": stance.verdict}
        for (p, score), stance in zip(one.passages, one.stances, strict=True)
    ]
    apart = [row for row in passages if row["stance"] in (SUPPORT, REFUTE)]
    return facts + (apart or passages[:1])


def _json(rows: Sequence[Mapping[str, Any]]) -> str | None:
    return json.dumps(list(rows), ensure_ascii=False) if rows else None

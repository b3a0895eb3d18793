"""The scorer `computed`: what a program can check in a row, with the proof."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Final

import polars as pl
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from curate.computed.ask import asked
from curate.computed.claim import Claim
from curate.computed.family import FAMILIES
from curate.step import Scored
from manifests import schema
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError
from manifests.names import check_name

LONGEST_PROMPT: Final = 4000
LONGEST_RESPONSE: Final = 8000
"""Bytes of the longest prompt and response that are read; longer ones abstain."""
CHUNK: Final = 2048
"""Rows checked between two looks at `context.stopping()`."""
NOTHING: Final = "nothing in the row can be computed with certainty"
BY_THE_WAY: Final = "the equations stated by the way are right; what was asked is not checked"


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Computed:
    """Recomputes what a program can: arithmetic, statistics, units, dates, counts, order, letters, plain facts.

    The value is `p_error`: 1.0 where something checked is wrong, 0.0 where all that was checked is right; a row in
    which nothing is checked, or in which the question or the answer cannot be read with certainty, abstains, and so
    does one whose only checked claims are equations stated by the way (kind `stated`) that are right. Only single
    questions are read (one turn and its answer). What is right here may be wrong elsewhere in the response. A
    verdict's `claims` say what was expected and found, its `evidence` what was recomputed.
    """

    kind: ClassVar[str] = "computed"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "low"

    name: Annotated[str, AfterValidator(check_name)] = "computed"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are checked."""
    kinds: tuple[str, ...] = tuple(FAMILIES)
    """The checks that run: every one when left out."""

    def __post_init__(self) -> None:
        """Refuse checks that do not exist."""
        for kind in self.kinds:
            if kind not in FAMILIES:
                raise UserError("unknown check", value=kind, options=FAMILIES)

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score and one verdict per sample, `ok` or `abstained`; raise Interrupted when asked to stop."""
        rows = self._likely(samples)
        parts = [rows.slice(start, CHUNK) for start in range(0, rows.height, CHUNK)]
        claims: dict[str, list[Claim]] = {}
        for done, found in enumerate(context.engine.map(partial(checked, self.kinds), parts), 1):
            claims.update(found)
            context.progress(min(done * CHUNK, rows.height), rows.height)
            if context.stopping():
                raise Interrupted("stopped while computing")
        return self._scored(samples["sample_id"].sort().to_list(), claims)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: nothing is asked of a model."""
        return 0

    def _likely(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return the rows that a family may read, with one Boolean column per family that runs."""
        short = (pl.col("prompt").str.len_bytes() <= LONGEST_PROMPT) & (
            pl.col("response").str.len_bytes() <= LONGEST_RESPONSE
        )
        hits = {
            kind: pl.col("prompt").str.contains(family.prompt) & pl.col("response").str.contains(family.response)
            for kind, family in FAMILIES.items()
            if kind in self.kinds
        }
        single = samples.filter(short & (pl.col("n_turns") <= 2)).select("sample_id", "prompt", "response")
        return single.with_columns(**hits).filter(pl.any_horizontal(pl.lit(value=False), *hits)).sort("sample_id")

    def _scored(self, ids: Sequence[str], claims: Mapping[str, list[Claim]]) -> Scored:
        scores: list[dict[str, Any]] = []
        verdicts: list[dict[str, Any]] = []
        for sample_id in ids:
            found = claims.get(sample_id, [])
            defect = next((claim.kind for claim in found if claim.verdict == "wrong"), None)
            told = defect is not None or any(claim.kind != "stated" for claim in found)
            status, value = ("ok", float(defect is not None)) if told else ("abstained", None)
            scores.append(
                {
                    "sample_id": sample_id,
                    "scorer": self.name,
                    "value": value,
                    "status": status,
                    "why": None if told else BY_THE_WAY if found else NOTHING,
                    "key": None,
                }
            )
            verdicts.append(
                {
                    "sample_id": sample_id,
                    "judge": self.name,
                    "p_error": value,
                    "label": None if not told else "wrong" if defect else "correct",
                    "defect": defect,
                    "claims": _json(found, ("kind", "claim", "expected", "found", "verdict")),
                    "evidence": _json(found, ("kind", "how")),
                    "status": status,
                }
            )
        return Scored(schema.frame(scores, schema.SCORES), schema.frame(verdicts, schema.VERDICTS))


def checked(kinds: Sequence[str], rows: pl.DataFrame) -> dict[str, list[Claim]]:
    """Return the claims by sample id of rows with `sample_id`, `prompt`, `response` and a Boolean column per kind."""
    found: dict[str, list[Claim]] = {}
    for row in rows.iter_rows(named=True):
        ask = asked(row["prompt"])
        claims = [
            claim
            for kind, family in FAMILIES.items()
            if kind in kinds and row[kind]
            for claim in family.check(ask, row["response"])
        ]
        if claims:
            found[row["sample_id"]] = claims
    return found


def _json(claims: Sequence[Claim], fields: Sequence[str]) -> str | None:
    """Return the claims' fields as a JSON list of objects; `how` is named `recomputed`."""
    if not claims:
        return None
    rows = [{"recomputed" if field == "how" else field: getattr(claim, field) for field in fields} for claim in claims]
    return json.dumps(rows, ensure_ascii=False)

"""Drop rows with a documented defect that a pattern can find; remark on those where it can only suspect one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

import polars as pl
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate import defects, language, privacy, quality
from curate.finding import RESPONSE, Rule
from curate.step import decisions
from manifests.component import COMPONENT, Context
from manifests.errors import UserError

RULES: Final[Mapping[str, Rule]] = {
    **{name: rule for name, rule in defects.RULES.items()},
    "too-short": Rule(
        "fewer characters in the response than `min_chars`", RESPONSE.str.len_chars() < pl.col("min_chars")
    ),
    "too-long": Rule(
        "more characters in the response than `max_chars`", RESPONSE.str.len_chars() > pl.col("max_chars")
    ),
    **quality.RULES,
    **privacy.RULES,
    **language.RULES,
}
"""Every rule, in the order in which a row's reason is chosen."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Rules:
    """Drops rows that a rule of `drop` finds and remarks on those that a rule of `flag` finds.

    The reason is the name of the first rule in the order of `RULES`, those of `drop` before those of `flag`; the detail
    is what that rule found, secrets and personal data masked, and the names of the other rules that find the row. What
    each looks for is in `RULES`. The default `drop` holds the rules that are right in at least nine of ten rows read.
    """

    kind: ClassVar[str] = "rules"
    version: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ()

    roles: tuple[str, ...] = ("generalist",)
    """Roles of the rows that are examined."""
    drop: tuple[str, ...] = (
        "empty-response",
        "no-output",
        "merged-instructions",
        "url-only",
        "missing-attachment",
        "media-request",
        "no-input",
        "control-characters",
        "replacement-character",
        "too-short",
        "too-long",
    )
    """Rules whose rows are dropped."""
    flag: tuple[str, ...] = (
        "missing-input",
        "missing-code",
        "escape-sequences",
        "described-media",
        "invisible-characters",
        "repetition",
        "refusal",
        "truncated",
        "markup",
        "page-notice",
        "secret",
        "email-address",
        "phone-number",
        "iban",
        "card-number",
        "ip-address",
        "ssn",
        "other-language",
    )
    """Rules whose rows stay, with the rule as a remark."""
    languages: Annotated[tuple[str, ...], AfterValidator(language.checked)] = ()
    """Languages (ISO 639-1) that a row may be in, for the rule `other-language`; empty: not examined. Needs the extra
    `language`."""
    min_chars: Annotated[int, Field(ge=0)] = 1
    """Fewest characters of a response that is not too short."""
    max_chars: Annotated[int, Field(ge=1)] | None = None
    """Most characters of a response that is not too long; null sets no limit."""
    max_line_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Largest share of a response's lines (5 or more) that may repeat an earlier line of it."""
    max_paragraph_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Largest share of a response's paragraphs (5 or more) that may repeat an earlier one."""
    max_gram_share: Annotated[float, Field(gt=0, le=1)] = 0.16
    """Largest share of a response's words (50 or more) that its most frequent word 4-gram may cover."""
    max_duplicate_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Largest share of a response's words (50 or more) that may lie in a word 10-gram which occurred before."""

    def __post_init__(self) -> None:
        """Refuse rules that do not exist and rules that are in both lists."""
        for name in (*self.drop, *self.flag):
            if name not in RULES:
                raise UserError("unknown rule", value=name, options=RULES)
        both = sorted(set(self.drop) & set(self.flag))
        if both:
            raise UserError("a rule is in `drop` and in `flag`", value=both, remedy="leave it in one of the two")

    def decide(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame], context: Context) -> pl.DataFrame:
        """Return one row per sample that a rule found: dropped, or kept with the rule's name as a remark."""
        measured = self._measured(samples)
        found = self._hits(measured)
        names = [*_ordered(self.drop), *_ordered(self.flag)]
        if not names:
            return decisions(samples["sample_id"].clear(), pl.Series([], dtype=pl.String))
        some = pl.any_horizontal(names)
        found, measured = found.filter(some), measured.filter(found.select(some).to_series())
        reason = found.select(pl.coalesce(pl.when(name).then(pl.lit(name)) for name in names)).to_series()
        kept = ~reason.is_in(list(self.drop))
        detail = _details(measured, found.select(names), reason)
        return decisions(found["sample_id"], reason, kept=kept, detail=detail)

    def hits(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return `sample_id` and one Boolean column per rule of `drop` and `flag`: every rule that finds a row."""
        return self._hits(self._measured(samples))

    def _hits(self, measured: pl.DataFrame) -> pl.DataFrame:
        names = _ordered((*self.drop, *self.flag))
        return measured.select("sample_id", **{name: RULES[name].hits.fill_null(False) for name in names})

    def _measured(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return the texts with every column that the named rules read."""
        measured = samples.select("sample_id", "prompt", "response").with_columns(
            min_chars=pl.lit(self.min_chars, pl.Int64),
            max_chars=pl.lit(self.max_chars, pl.Int64),
            max_lines=self.max_line_share,
            max_paragraphs=self.max_paragraph_share,
            max_top=self.max_gram_share,
            max_duplicate=self.max_duplicate_share,
        )
        texts = (samples["prompt"], samples["response"])
        for need in sorted({need for name in (*self.drop, *self.flag) for need in RULES[name].measures}):
            if need == "repetition":
                measured = measured.hstack(quality.repetition(texts[1]))
            elif need in privacy.FORMS:
                measured = measured.with_columns(privacy.found(texts, privacy.FORMS[need]).alias(need))
            else:
                measured = measured.with_columns(language.other(*texts, self.languages).alias(need))
        return measured


def _details(measured: pl.DataFrame, found: pl.DataFrame, reason: pl.Series) -> pl.Series:
    """Return what the rule of each row's reason found and which other rules find the row; null for neither."""
    said: list[str | None] = [None] * len(reason)
    for name in reason.unique().to_list():
        rows = (reason == name).arg_true()
        detail = RULES[name].detail
        if detail is not None:
            for row, text in zip(rows, measured[rows].select(detail).to_series(), strict=True):
                said[row] = text
    also = [[name for name, hit in row.items() if hit] for row in found.iter_rows(named=True)]
    parts = (
        [text or "", "also " + ", ".join(n for n in names if n != first) if len(names) > 1 else ""]
        for text, names, first in zip(said, also, reason, strict=True)
    )
    return pl.Series(["; ".join(part for part in pair if part) or None for pair in parts], dtype=pl.String)


def _ordered(names: tuple[str, ...]) -> list[str]:
    """Return the names in the order of `RULES`."""
    return [name for name in RULES if name in names]

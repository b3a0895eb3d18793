"""Scores that need no model: how long a response is, and how complex its language."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import polars as pl
from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from curate.causal_lm import identity
from curate.judges.weights import is_local
from curate.scores import scored
from curate.step import Scored
from curate.text import words
from manifests.component import COMPONENT, Context
from manifests.errors import Interrupted, UserError, missing_extra
from manifests.names import check_name

THRESHOLD: Final = 0.72
"""Type-token ratio at which a factor of MTLD is full."""
CHUNK: Final = 8192
"""Rows scored between two looks at `context.stopping()`."""
Unit = Literal["characters", "words", "tokens"]


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Length:
    r"""Counts a response's characters (code points), words (`\w+`) or tokens of a model; 0 and more.

    Length is no merit: longer is not better. No row abstains.
    """

    kind: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "neither"
    paths: ClassVar[frozenset[str]] = frozenset({"model"})

    unit: Unit = "characters"
    """What is counted."""
    model: str | None = None
    """Folder or hub id of the model whose tokens are counted; for `unit: tokens` only."""
    revision: str | None = None
    """Commit of the hub model."""
    name: Annotated[str, AfterValidator(check_name)] = "length"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    def __post_init__(self) -> None:
        """Refuse tokens without a model, and a model without tokens."""
        if (self.unit == "tokens") != (self.model is not None):
            remedy = "name the model whose tokens are counted" if self.model is None else "write unit: tokens"
            raise UserError("unit: tokens goes with a model", value=self.model or self.unit, remedy=remedy)

    def identity(self) -> dict[str, Any]:
        """Return which model folder or hub model the tokens are of."""
        return {} if self.model is None else identity(self.model, self.revision)

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample; raise UserError when the tokenizer cannot be loaded."""
        texts = samples["response"]
        if self.unit == "characters":
            counts = texts.str.len_chars()
        elif self.unit == "words":
            counts = words(texts).list.len()
        else:
            counts = pl.Series(_tokens(str(self.model), self.revision, texts, context), dtype=pl.UInt32)
        return scored(samples["sample_id"], self.name, counts, [None] * samples.height)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: nothing is worth a cache."""
        return 0


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Complexity:
    """Measures the language of a response: lexical diversity (`mtld`) or readability (`ari`).

    `mtld`: mean words over which the type-token ratio stays above .72, forwards and backwards (McCarthy and Jarvis
    2010, Behavior Research Methods 42); above 0, more is more diverse; abstains below `min_words` words and where no
    word recurs. `ari`: 4.71 characters per word + .5 words per sentence - 21.43, a school grade (Senter and Smith 1967,
    AMRL-TR-66-220); abstains below `min_words` words. Neither end is the better one.
    """

    kind: ClassVar[str] = "complexity"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "neither"

    measure: Literal["mtld", "ari"] = "mtld"
    """What is measured."""
    min_words: Annotated[int, Field(ge=1)] = 50
    """Fewest words that are measured: both vary much on short texts."""
    name: Annotated[str, AfterValidator(check_name)] = "complexity"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""

    def score(self, samples: pl.DataFrame, context: Context) -> Scored:
        """Return one score per sample; raise Interrupted when asked to stop."""
        parts = [self._values(part, samples.height, context) for part in _slices(samples["response"], context)]
        values = pl.concat([part for part, _ in parts]) if parts else pl.Series([], dtype=pl.Float64)
        why = pl.concat([part for _, part in parts]) if parts else pl.Series([], dtype=pl.String)
        return scored(samples["sample_id"], self.name, values, why)

    def pending(self, samples: pl.DataFrame, context: Context) -> int:
        """Return 0: nothing is worth a cache."""
        return 0

    def _values(self, texts: pl.Series, total: int, context: Context) -> tuple[pl.Series, pl.Series]:
        listed = words(texts)
        enough = listed.list.len() >= self.min_words
        if self.measure == "ari":
            values = ari(texts)
        else:
            found = [mtld(row) if ok else None for row, ok in zip(listed.to_list(), enough, strict=True)]
            values = pl.Series(found, dtype=pl.Float64)
        short = f"fewer than {self.min_words} words"
        frame = pl.DataFrame([values.alias("value"), enough.alias("enough")]).select(
            pl.when("enough").then("value").alias("value"),
            pl.when(~pl.col("enough")).then(pl.lit(short)).when(pl.col("value").is_null())
            .then(pl.lit("no word recurs")).alias("why"),
        )  # fmt: skip
        return frame["value"], frame["why"]


def mtld(terms: Sequence[str], threshold: float = THRESHOLD) -> float | None:
    """Return the measure of textual lexical diversity of some words, above 0; None where no word recurs.

    The mean of two passes, forwards and backwards: words over factors, a factor being full where the ratio of distinct
    to all words falls to `threshold`, and the rest counted in part (McCarthy and Jarvis 2010). A pass without any
    factor has none.
    """
    counts = [_factors(terms, threshold), _factors(list(reversed(terms)), threshold)]
    if not all(counts):
        return None
    return sum(len(terms) / count for count in counts) / 2


def ari(texts: pl.Series) -> pl.Series:
    """Return the automated readability index of each text (Senter and Smith 1967); null without words.

    Words are runs of letters, digits and inner apostrophes and hyphens, characters their letters and digits, sentences
    end with `.`, `!` or `?` before white space or the end; the rest after the last is one more when it has a word.
    """
    text = pl.col("text")
    n_words = text.str.count_matches(r"\w+(?:['’\-]\w+)*").cast(pl.Float64)
    letters = text.str.count_matches(r"[\p{L}\p{N}]").cast(pl.Float64)
    sentences = text.str.replace_all(r"\s+$", "").str.count_matches(r"\w[^\s\w]*[.!?][^\s\w]*(?:\s|$)")
    rest = text.str.contains(r"\w[^.!?]*$|[.!?]\w[^.!?\s]*$")
    ends = (sentences + rest.cast(pl.UInt32)).clip(lower_bound=1).cast(pl.Float64)
    index = 4.71 * letters / n_words + 0.5 * n_words / ends - 21.43
    return texts.alias("text").to_frame().select(pl.when(n_words > 0).then(index).alias("ari"))["ari"]


def _factors(terms: Sequence[str], threshold: float) -> float:
    """Return how many factors a pass has, the last one in part."""
    seen: set[str] = set()
    full, size = 0, 0
    for term in terms:
        seen.add(term)
        size += 1
        if len(seen) <= threshold * size:
            full, size = full + 1, 0
            seen.clear()
    return full + (1 - len(seen) / size) / (1 - threshold) if size else float(full)


def _slices(texts: pl.Series, context: Context) -> Sequence[pl.Series]:
    found = []
    for start in range(0, len(texts), CHUNK):
        if context.stopping():
            raise Interrupted(f"stopped after {start} of {len(texts)} rows")
        found.append(texts.slice(start, CHUNK))
        context.progress(min(start + CHUNK, len(texts)), len(texts))
    return found


def _tokens(model: str, revision: str | None, texts: pl.Series, context: Context) -> list[int]:
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise missing_extra("transformers", "train") from None
    local = is_local(model)
    where = str(Path(model).expanduser()) if local else model
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, revision=None if local else revision, trust_remote_code=False)
    except (OSError, ValueError) as fault:
        raise UserError(f"the tokenizer cannot be loaded ({fault})", value=model) from fault
    counts: list[int] = []
    for part in _slices(texts, context):
        counts += [len(ids) for ids in tokenizer(part.to_list(), add_special_tokens=False, verbose=False)["input_ids"]]
    return counts

"""Drop rows with a documented defect that a pattern can find; remark on those where it can only suspect one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass as plain
from typing import Annotated, ClassVar, Final

import numpy as np
import polars as pl
from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.step import decisions
from curate.text import grams_of, words
from manifests.component import COMPONENT, Context
from manifests.errors import UserError

_P: Final = pl.col("prompt")
_R: Final = pl.col("response")
_LAST: Final = _P.str.split("\n\n").list.last()
_URL: Final = r"https?://\S+|\bwww\.\S+"
_LINK: Final = r"!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])"
_MARKUP: Final = rf"(?i){_LINK}|<(img|image)\b[^>]*>|\[[^\]]*\]:|{_URL}"
_CODE: Final = (
    r"```|<svg|<html|<div|<a [a-z]+=|<img|</|#include|\b(import|def|function|from|const|let|var|public) \w+|[{};]\s*\n"
)


def _any(alternatives: str) -> str:
    """Return a pattern for any of the alternatives, given with `|` and with line breaks that do not count."""
    return "(" + "".join(line.strip() for line in alternatives.splitlines()) + ")"


_MEDIUM: Final = _any(
    """image|picture|photo(graph)?|painting|drawing|illustration|sketch|screenshot|diagram|cartoon|comic|chart|graph|
    figure|logo|infographic|map|video|audio|recording|sound|song|art ?work|(piece|work) of art"""
)
_CONTENT: Final = _any(
    "article|passage|paragraph|text|poem|speech|table|document|essay|story|email|pdf|file|dataset|code"
)
_ABOUT_URLS: Final = r"(?i)\b{}\b".format(
    _any(
        r"""code|coding|script|function|program|html|css|python|javascript|java|php|ruby|sql|bash|shell|curl|wget|api|json|
        xml|regex|regular expression|query|command|http|request|scrap\w*|crawl\w*|download|pars\w+|protocol|domain|host|
        owner|valid\w*|shorten\w*|encod\w*|decod\w*|hyperlink|anchor|tag|qr|cit(e|ation)s?|referenc\w+|bibliograph\w*|
        bookmark|redirect|click|iso|id|format|classif\w*|categor\w*|type of|kind of"""
    )
)
_DECLINES: Final = r"(?i)\b{}\b".format(
    _any(
        """sorry|unable|unfortunately|cannot|can't|can not|not able|not possible|not provided|do not have|don't have|
        language model|no longer|does not exist|invalid"""
    )
)
_PLEASE: Final = r"(?i)^\W*(please |can you |could you )?"
_VISUAL: Final = _any(
    """image|picture|photo(graph)?|painting|drawing|illustration|sketch|logo|poster|infographic|cartoon|animation|
    3d (model|animation|simulation)|collage|gif|icon|portrait|mural|artwork|piece of art(work)?|
    (digital|visual|abstract) (art|design)|graphic"""
)
_IN_WORDS: Final = _any(
    r"""(character|biographical|word|verbal|written|ascii|text|movie|film|comedy)\W+(\w+\W+)?<visual>|
    <visual>s?\s+(for your )?(caption|title|slogan|tagline|description|name|idea|concept|prompt|script|classif\w+|
    recogni\w+|processing|editor|editing|gallery|viewer|sharing|upload\w*|search|segmentation|class|brief)|
    conclusion|comparison|distinction|graphic (novel|organi[sz]er)|bar graph|html|css|svg|code|python|javascript|
    function|class|program|algorithm|model to|script|regex|in words|using words|two words|story|poem"""
).replace("<visual>", _VISUAL)
_CANNOT: Final = "(cannot|can't|unable|not able|not capable|don't|do not)"


@plain(frozen=True, eq=False)
class Rule:
    """A named defect and the expression that finds it.

    The expression is over `prompt`, `response` and the columns that `Rules.hits` adds: `min_chars`, `max_chars` and
    `repetitive`.
    """

    defect: str
    """The class of defect, and where it is documented."""
    hits: pl.Expr


def _url_only() -> pl.Expr:
    left = _LAST.str.replace_all(_MARKUP, " ").str.count_matches(r"[\p{L}\p{N}]+")
    about_urls = _P.str.replace_all(_MARKUP, " ").str.contains(_ABOUT_URLS)
    answered = ~_R.str.contains(_DECLINES) & ~_R.str.contains(_CODE)
    return _LAST.str.contains(rf"(?i){_URL}") & (left <= 3) & ~about_urls & answered


def _missing_attachment() -> pl.Expr:
    opening = r"(?i)[\[<(]\s*((an?|the|insert|see|attached?|example|your|link to|political|cartoon)\s+)*"
    closing = r"s?(\s+(strip|file|clip|here|attached|provided|included|above|below))*\s*[\])>]"
    line = rf"(?im)^\W*attached {_MEDIUM}s?\W*$|{_LINK}"
    placeholder = _P.str.contains(f"{opening}({_MEDIUM}|{_CONTENT}){closing}") | _P.str.contains(line)
    given = r"(?i)\b(the|this|these|an?) (given|following|below|attached|enclosed|provided|accompanying) "
    dangling = _P.str.contains(rf"{given}{_MEDIUM}s?( (below|above|attached|provided))?\W*$")
    answered = ~_R.str.contains(_DECLINES) & ~_R.str.contains(_CODE)
    return ((placeholder & ~_P.str.contains(_ABOUT_URLS)) | dangling) & answered


def _media_request() -> pl.Expr:
    makes = rf"{_PLEASE}(draw|paint|sketch|create|generate|design|make|produce|render|compose)\s+"
    asks = rf"{makes}(me )?(an?|the|some|your)\s+([\w’'-]+ ){{0,3}}{_VISUAL}s?\b"
    draws = rf"{_PLEASE}(draw|photoshop|doodle)\s+(me )?(an?|the|some|your)\b"
    in_words = _P.str.replace_all(r"(?i)3d model", " ").str.contains(rf"(?i)\b{_IN_WORDS}\b")
    drawn = _R.str.contains(_CODE) | _R.str.contains(r"[_|/\\*#-]{3}")
    return (_P.str.contains(asks) | _P.str.contains(draws)) & ~in_words & ~drawn


def _merged() -> pl.Expr:
    numbered = r"(?m)^\W*\d+[.)]\s*(Instruction|INSTRUCTION)\s*:|#{2,}\s*(Instruction|Response)\s*:"
    bare = r"(?m)(^|[.\n]\s*)Instruction\s*:"
    about = r"(?i)\b(instructions?|tasks?|command|direction|prompt|gpt|exercise|assignment|recipe|program|assembly)\b"
    return _R.str.contains(numbered) | (_R.str.contains(bare) & ~_P.str.contains(about))


def _no_output() -> pl.Expr:
    whole = r"(?i)^\W*(n/?a|not applicable|no[\s_-]*(out|in)put(\s+(possible|required|needed|expected))?)\W*$"
    marker = r"(?i)<\s*no[\s_-]*(out|in)put\b"
    nothing = r"(?i)^\W*(none|nil|null|undefined)\W*$"
    offered = r"(?i)\b(none|nil|null|undefined|any)\b"
    unasked = _R.str.contains(nothing) & ~_P.str.contains(offered)
    return _R.str.contains(whole) | _R.str.contains(marker) | unasked


def _no_input() -> pl.Expr:
    line = r"(?im)^\W*no[\s_-]*input(\s+(is|was))?(\s+(required|needed|necessary|provided|given|available))?\W*$"
    marker = r"(?i)<\s*no[\s_-]*input\s*/?\s*>"
    last = _P.str.contains("\n\n") & _LAST.str.contains(r"(?i)^\W*(n/a|none|not applicable)\W*$")
    return _P.str.contains(line) | _P.str.contains(marker) | last


def _refusal() -> pl.Expr:
    who = rf"i (am )?{_CANNOT}|i'm (unable|not able)|(the|this) (task|instruction|request|type)|(as|i'?m|i am) an ai"
    sorry = rf"(?i)^\W*(unfortunately|((i'?m|i am) )?(very )?sorry)\b\W+(but\W+)?({who})"
    model = rf"(?i)\bas (an? )?(ai|artificial intelligence|(large )?language model)\b[^.]{{0,80}}\b{_CANNOT}\b"
    does = "(assist|help|provide|create|generate|complete|fulfil|access|retrieve|answer)"
    flat = rf"(?i)^\W*(i|we) (cannot|can't|am unable to|am not able to) {does}"
    return _R.str.contains(sorry) | _R.str.contains(model) | _R.str.contains(flat)


def _truncated() -> pl.Expr:
    word = "(the|a|an|and|or|of|to|for|with|that|is|are|was|by|as|at|from|their|its|your|which|because|into)"
    return (_R.str.len_chars() >= 200) & _R.str.contains(rf"(?i)(\b{word}|,)\s*$") & ~_R.str.contains(_CODE)


_CLEANED: Final = "gururise/AlpacaDataCleaned, README"
_GOPHER: Final = "Rae et al. 2021, arXiv 2112.11446, table A1"
_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_UNSEEN: Final = r"[\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{2060}\u{feff}]"

RULES: Final[Mapping[str, Rule]] = {
    "empty-response": Rule(f"empty output ({_CLEANED})", _R.str.strip_chars() == ""),
    "no-output": Rule(f"a placeholder in place of an answer: N/A, <nooutput> ({_CLEANED})", _no_output()),
    "merged-instructions": Rule(f"the response goes on with another instruction ({_CLEANED})", _merged()),
    "url-only": Rule(f"an invented answer about a page that nobody opened ({_CLEANED})", _url_only()),
    "missing-attachment": Rule(
        f"an invented answer about a picture, recording or text that is not there ({_CLEANED})", _missing_attachment()
    ),
    "media-request": Rule(f"a picture is asked for, which text cannot be ({_CLEANED})", _media_request()),
    "no-input": Rule(f"a placeholder left in the prompt: <noinput>, No input ({_CLEANED})", _no_input()),
    "control-characters": Rule(
        f"control characters other than tab and line ends ({_CLEANED})",
        _P.str.contains(_CONTROL) | _R.str.contains(_CONTROL),
    ),
    "replacement-character": Rule(
        "text lost in decoding (U+FFFD)", _P.str.contains("\ufffd") | _R.str.contains("\ufffd")
    ),
    "too-short": Rule("fewer characters in the response than `min_chars`", _R.str.len_chars() < pl.col("min_chars")),
    "too-long": Rule("more characters in the response than `max_chars`", _R.str.len_chars() > pl.col("max_chars")),
    "repetition": Rule(f"repeated lines or word 4-grams ({_GOPHER})", pl.col("repetitive")),
    "refusal": Rule("the response declines: right where the prompt asks the impossible", _refusal()),
    "truncated": Rule("a long response stops at a comma or at a word that cannot end a sentence", _truncated()),
    "described-media": Rule(
        "a picture is described in brackets; the answer may add what is not described",
        _P.str.contains(
            rf"(?i)[\[<(]\s*((an?|the|insert|attached)\s+)*{_MEDIUM}s?\s+(of|showing|with|from)\b[^\])>]*[\])>]"
        ),
    ),
    "invisible-characters": Rule(
        "zero-width and line-separator characters", _P.str.contains(_UNSEEN) | _R.str.contains(_UNSEEN)
    ),
}
"""Every rule, in the order in which a row's reason is chosen."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Rules:
    """Drops rows that a rule of `drop` finds and remarks on those that a rule of `flag` finds.

    The reason is the name of the first rule in the order of `RULES`, those of `drop` before those of `flag`. What each
    looks for is in `RULES`. The default `drop` holds the rules that are right in at least nine of ten rows of Alpaca.
    """

    kind: ClassVar[str] = "rules"
    version: ClassVar[int] = 1
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
    flag: tuple[str, ...] = ("repetition", "refusal", "truncated", "described-media", "invisible-characters")
    """Rules whose rows stay, with the rule as a remark."""
    min_chars: Annotated[int, Field(ge=0)] = 1
    """Fewest characters of a response that is not too short."""
    max_chars: Annotated[int, Field(ge=1)] | None = None
    """Most characters of a response that is not too long; null sets no limit."""
    max_line_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Largest share of a response's lines (5 or more) that may repeat an earlier line of it."""
    max_gram_share: Annotated[float, Field(gt=0, le=1)] = 0.16
    """Largest share of a response's words (50 or more) that its most frequent word 4-gram may cover."""

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
        found = self.hits(samples)
        first = pl.coalesce(
            *(pl.when(pl.col(name)).then(pl.lit(name)) for names in (self.drop, self.flag) for name in _ordered(names)),
            pl.lit(None, pl.String),
        )
        decided = found.select("sample_id", reason=first).drop_nulls("reason")
        kept = ~decided["reason"].is_in(list(self.drop))
        return decisions(decided["sample_id"], decided["reason"], kept=kept)

    def hits(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Return `sample_id` and one Boolean column per rule of `drop` and `flag`: every rule that finds a row."""
        names = _ordered((*self.drop, *self.flag))
        measured = samples.select("sample_id", "prompt", "response").with_columns(
            min_chars=pl.lit(self.min_chars, pl.Int64),
            max_chars=pl.lit(self.max_chars, pl.Int64),
            repetitive=self._repetitive(samples["response"]) if "repetition" in names else pl.lit(False),
        )
        return measured.select("sample_id", **{name: RULES[name].hits.fill_null(False) for name in names})

    def _repetitive(self, responses: pl.Series) -> pl.Series:
        lines, grams = repetition(responses)
        return (lines > self.max_line_share) | (grams > self.max_gram_share)


def repetition(texts: pl.Series, min_lines: int = 5, min_words: int = 50, n: int = 4) -> tuple[pl.Series, pl.Series]:
    """Return two shares per text, 0 to 1: of lines that repeat an earlier one, and of words in the top n-gram.

    Empty lines do not count. The top n-gram's share is its occurrences times n over the words, at most 1 (occurrences
    may overlap). Texts of fewer lines or words have the share 0. After Rae et al. 2021, arXiv 2112.11446, table A1,
    which counts characters where this counts words.
    """
    lines = texts.str.split("\n").list.eval(pl.element().str.strip_chars().filter(pl.element().str.contains(r"\S")))
    count, distinct = lines.list.len().cast(pl.Int64), lines.list.n_unique().cast(pl.Int64)
    repeated = pl.select(pl.when(count >= min_lines).then(1 - distinct / count).otherwise(0.0)).to_series()
    total = words(texts).list.len().to_numpy().astype(np.int64)
    grams = grams_of(texts, n)
    often = pl.DataFrame({"row": grams.row, "gram": grams.gram}).group_by("row", "gram").len()
    top = np.zeros(len(texts), np.int64)
    np.maximum.at(top, often["row"].to_numpy(), often["len"].to_numpy())
    share = np.where(total >= max(min_words, n), np.minimum(top * n / np.maximum(total, 1), 1.0), 0.0)
    return repeated.alias("lines"), pl.Series("grams", share)


def _ordered(names: tuple[str, ...]) -> list[str]:
    """Return the names in the order of `RULES`."""
    return [name for name in RULES if name in names]

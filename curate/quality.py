"""Signs of a bad answer that do not depend on a data set: repetition, refusal, a cut, leftovers of a web page.

Of the rules for web pages of Gopher (Rae et al. 2021, arXiv 2112.11446, table A1) the repetition shares are here. Its
document rules (50 words or more, mean word length, symbols, stop words) and C4's line rules (Raffel et al. 2020, JMLR
21: lines end in punctuation, five words or more in a line) would drop what instruction data is made of: short answers,
lists, tables and code. Of C4's page rules, those for filler and browser notices are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.finding import CODE, PROMPT, RESPONSE, Rule, any_of, shown
from curate.text import Grams, Ints, grams_of, words

GOPHER: Final = "Rae et al. 2021, arXiv 2112.11446, table A1"
C4: Final = "Raffel et al. 2020, JMLR 21"
MIN_LINES: Final = 5
"""Fewest lines, or paragraphs, of a text whose repeated ones are counted."""
MIN_WORDS: Final = 50
"""Fewest words of a text whose repeated n-grams are counted."""
TOP: Final = 4
"""Words in the n-gram whose most frequent one is measured."""
MIN_TIMES: Final = 5
"""Fewest occurrences of a 4-gram that count: two of them already cover 16 % of 50 words."""
LONG: Final = 10
"""Words in the n-gram whose repeats are measured."""

Shares = NDArray[np.float64]

_CANNOT: Final = "(cannot|can't|unable|not able|not capable|don't|do not)"


def repetition(texts: pl.Series) -> pl.DataFrame:
    """Return four shares per text, 0 to 1: `lines`, `paragraphs`, `top` and `duplicate`.

    `lines` and `paragraphs` (parted by empty lines) are the parts that repeat an earlier one, 0 where there are fewer
    than 5; `top` is the part of the words that the most frequent 4-gram covers (occurrences times 4, at most all), and
    `duplicate` the part that lies in a 10-gram which occurred before, both 0 in texts of fewer than 50 words. After
    Rae et al. 2021, table A1, which counts characters where this counts words.
    """
    gaps = texts.str.count_matches(r"[^\p{L}\p{N}_]+").to_numpy()
    long = np.flatnonzero(gaps >= MIN_WORDS - 1)
    total = _counted(texts[long])
    long, total = long[total >= MIN_WORDS], total[total >= MIN_WORDS]
    some = texts[long]
    shares = {name: np.zeros(len(texts)) for name in ("top", "duplicate")}
    shares["top"][long] = _top(grams_of(some, TOP), total, TOP, MIN_TIMES)
    shares["duplicate"][long] = _duplicate(grams_of(some, LONG), total, LONG)
    return pl.DataFrame({"lines": _repeated(texts, "\n"), "paragraphs": _repeated(texts, "\n\n"), **shares})


def gram_shares(texts: pl.Series, n: int, least: int = 1) -> tuple[Shares, Shares]:
    """Return two shares per text, 0 to 1: of the words that the top n-gram covers, and of those in repeated n-grams.

    The first is the top n-gram's occurrences times n over the words, at most 1 (occurrences may overlap),
    0 when it occurs fewer than `least` times. The second
    counts each word that lies in an n-gram which stood earlier in the same text. Texts of fewer than n words have 0.
    """
    grams, total = grams_of(texts, n), _counted(texts)
    return _top(grams, total, n, least), _duplicate(grams, total, n)


def _counted(texts: pl.Series) -> Ints:
    return words(texts).list.len().cast(pl.Int64).to_numpy()


def _runs(grams: Grams, total: Ints, n: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the places of the grams of long enough texts, ordered by row and gram, and where a new gram begins."""
    enough = np.flatnonzero(total[grams.row] >= n)
    order = enough[np.lexsort((grams.gram[enough], grams.row[enough]))]
    row, gram = grams.row[order], grams.gram[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (row[1:] != row[:-1]) | (gram[1:] != gram[:-1])
    return order, new


def _top(grams: Grams, total: Ints, n: int, least: int) -> Shares:
    order, new = _runs(grams, total, n)
    often = np.diff(np.append(np.flatnonzero(new), len(order)))
    top = np.zeros(len(total), np.int64)
    np.maximum.at(top, grams.row[order][new], np.where(often >= least, often, 0))
    return np.asarray(np.minimum(top * n / np.maximum(total, 1), 1.0))


def _duplicate(grams: Grams, total: Ints, n: int) -> Shares:
    order, new = _runs(grams, total, n)
    begin = np.cumsum(total) - total
    first = np.searchsorted(grams.row, np.arange(len(total)))
    again = order[~new]
    again = begin[grams.row[again]] + again - first[grams.row[again]]
    edges = np.zeros(int(total.sum()) + 1, np.int64)
    np.add.at(edges, again, 1)
    np.add.at(edges, again + n, -1)
    covered = np.append(0, np.cumsum(np.cumsum(edges[:-1]) > 0))
    return np.asarray((covered[begin + total] - covered[begin]) / np.maximum(total, 1))


def _repeated(texts: pl.Series, separator: str) -> pl.Series:
    many = texts.str.count_matches(separator, literal=True) >= MIN_LINES - 1
    parts = texts.filter(many).str.split(separator)
    parts = parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.contains(r"\S")))
    count, distinct = parts.list.len().to_numpy().astype(np.int64), parts.list.n_unique().to_numpy()
    shares = np.zeros(len(texts))
    shares[many.to_numpy()] = np.where(count >= MIN_LINES, 1 - distinct / np.maximum(count, 1), 0.0)
    return pl.Series(shares)


_GRID: Final = r"\|.*\|.*\||\$\$|\\[a-z]+\{|[-_=|*#.]{8}|\n\s*[}\])]"


def _verse() -> pl.Expr:
    asked = r"(?i)\b{}s?\b".format(
        any_of(
            r"""song|lyrics?|poem|poetry|rap|verse|chant|ballad|limerick|haiku|rhym\w+|villanelle|sonnet|hymn|jingle|melody|
            chorus|music\w*|chords?|beat|sing|nursery|sestina|pantoum"""
        )
    )
    made = r"(?i)\b(chorus|verse|refrain)\b"
    return PROMPT.str.contains(asked) | RESPONSE.str.contains(made)


def _repetition() -> Rule:
    found = [pl.col(name) > pl.col(f"max_{name}") for name in ("lines", "paragraphs", "top", "duplicate")]
    names = ("lines", "paragraphs", "4-grams", "10-grams")
    said = [
        pl.when(over).then(pl.format(name + " {}", pl.col(column).round(2)))
        for over, name, column in zip(found, names, ("lines", "paragraphs", "top", "duplicate"), strict=True)
    ]
    return Rule(
        f"repeated lines, paragraphs or word n-grams ({GOPHER})",
        pl.any_horizontal(found) & ~RESPONSE.str.contains(CODE) & ~RESPONSE.str.contains(_GRID) & ~_verse(),
        pl.concat_str(said, separator=", ", ignore_nulls=True),
        ("repetition",),
    )


def _refusal() -> pl.Expr:
    who = rf"i (am )?{_CANNOT}|i'm (unable|not able)|(the|this) (task|instruction|request|type)|(as|i'?m|i am) an ai"
    sorry = rf"(?i)^\W*(unfortunately|((i'?m|i am) )?(very )?sorry)\b\W+(but\W+?)?({who})"
    model = rf"(?i)\bas (an? )?(ai|artificial intelligence|(large )?language model)\b[^.]{{0,80}}\b{_CANNOT}\b"
    does = "(assist|help|provide|create|generate|complete|fulfil|access|retrieve|answer)"
    flat = rf"(?i)^\W*(i|we) (cannot|can't|am unable to|am not able to) {does}"
    this = r"(?i)\bi (cannot|can't|am unable to|am not able to) (answer|perform|fulfil|complete) (this|that)\b"
    unfit = (
        r"(?i)\b(gpt|language) models?\b[^.]{0,60}\b(cannot|can't|not (suitable|able|capable))\b|"
        r"not suitable for (a )?gpt"
    )
    spoken = (
        r"(?i)\b(excuse|apolog\w+|declin\w+|refus\w+|reject\w*|repl(y|ies)|respon(d|se)|reword|rewrite|inappropriate)\b"
    )
    said = (
        (RESPONSE.str.contains(sorry) & ~PROMPT.str.contains(spoken))
        | RESPONSE.str.contains(model)
        | RESPONSE.str.contains(flat)
    )
    other = (RESPONSE.str.contains(this) | RESPONSE.str.contains(unfit)) & ~PROMPT.str.contains(
        r"(?i)gpt|language model|instruction"
    )
    return said | other


def _truncated() -> pl.Expr:
    word = "(the|a|an|and|or|of|to|for|with|that|is|are|was|by|as|at|from|their|its|your|which|because|into)"
    ends = rf"(\b{word}|,)\s*$"
    closing = r"(^|\n)\W*\w+(\s+\w+){0,4},\s*$"
    stops = RESPONSE.str.contains(ends) & ~RESPONSE.str.contains(closing)
    return (RESPONSE.str.len_chars() >= 200) & stops & ~RESPONSE.str.contains(CODE)


_TAGS: Final = r"(?i)</?(p|br|div|span|b|i|u|ul|ol|li|td|tr|table|h[1-6]|strong|em|font|center|sup|sub)\b[^<>]*>|&nbsp;"
_TAGS_TALK: Final = (
    r"(?i)html|web|css|page|code|tag|xml|markup|script|site|react|element|button|link|program|function|<\w|bold|itali|font|"
    r"styl|highlight|colou?r|format|document|underlin|embed|layout|form\b|blog|email|infographic|template|survey|jsx|svg|"
    r"query|sql|java|python|php|c\+\+|swift|kotlin|regex"
)
_PAGE: Final = r"(?i)```|<(html|head|body|template|script|svg)\b|\b(import|const|function|export|class) \w+"
_NOTICE: Final = (
    r"(?i)lorem ipsum dolor|javascript (is|must be) (en|dis)abled|enable javascript|this (site|website) uses cookies|"
    r"^\W*(click here to|all rights reserved|skip to (main )?content|share this (post|article))"
)

RULES: Final[Mapping[str, Rule]] = {
    "repetition": _repetition(),
    "refusal": Rule("the response declines: right where the prompt asks the impossible", _refusal()),
    "truncated": Rule("a long response stops at a comma or at a word that cannot end a sentence", _truncated()),
    "markup": Rule(
        "tags of a web page where no markup was asked for",
        RESPONSE.str.contains(_TAGS) & ~RESPONSE.str.contains(_PAGE) & ~PROMPT.str.contains(_TAGS_TALK),
        shown(RESPONSE, _TAGS),
    ),
    "page-notice": Rule(
        f"filler text or a browser's notice ({C4})",
        RESPONSE.str.contains(_NOTICE)
        & ~PROMPT.str.contains(r"(?i)lorem|cookie|javascript|html|web ?page|website|css"),
        shown(RESPONSE, _NOTICE),
    ),
}
"""The rules of this module, in the order in which a row's reason is chosen."""

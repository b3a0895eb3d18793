"""The documented defects of Alpaca that a pattern can find, and why the others need a judge.

The ten classes are those of the README of gururise/AlpacaDataCleaned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from curate.finding import CODE, PROMPT, RESPONSE, Rule, any_of, either, shown

CLEANED: Final = "gururise/AlpacaDataCleaned, README"
CLASSES: Final[Mapping[str, tuple[str, ...] | str]] = {
    "hallucinations": ("url-only", "missing-attachment", "described-media"),
    "merged instructions": ("merged-instructions",),
    "empty outputs": ("empty-response", "too-short"),
    "empty code examples": ("missing-code",),
    "instructions to generate images": ("media-request",),
    "N/A outputs": ("no-output",),
    "inconsistent input field": ("no-input",),
    "wrong answers": "no pattern can tell: the scorer `computed` recomputes sums, the judge reads the rest",
    "non-sensical or unclear instructions": ("missing-input",),
    "extraneous escape and control characters": ("control-characters", "escape-sequences", "replacement-character"),
}
"""Each documented class with the rules that find it, or why none can. `missing-input` finds one kind of unclear
instruction, the one that speaks of a text which is not there; what is merely odd is left to the judge."""

_LAST: Final = PROMPT.str.split("\n\n").list.last()
_URL: Final = r"https?://\S+|\bwww\.\S+"
_LINK: Final = r"!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])"
_MARKUP: Final = rf"(?i){_LINK}|<(img|image)\b[^>]*>|\[[^\]]*\]:|{_URL}"
_MEDIUM: Final = any_of(
    """image|picture|photo(graph)?|painting|drawing|illustration|sketch|screenshot|diagram|cartoon|comic|chart|graph|
    figure|logo|infographic|map|video|audio|recording|sound|song|art ?work|(piece|work) of art"""
)
_DESCRIBED: Final = rf"(?i)[\[<(]\s*((an?|the|insert|attached)\s+)*{_MEDIUM}s?\s+(of|showing|with|from)\b[^\])>]*[\])>]"
_CONTENT: Final = any_of(
    "article|passage|paragraph|text|poem|speech|table|document|essay|story|email|pdf|file|dataset|code"
)
_ABOUT_URLS: Final = r"(?i)\b{}\b".format(
    any_of(
        r"""code|coding|script|function|program|html|css|python|javascript|java|php|ruby|sql|bash|shell|curl|wget|api|json|
        xml|regex|regular expression|query|command|http|request|scrap\w*|crawl\w*|download|pars\w+|protocol|domain|host|
        owner|valid\w*|shorten\w*|encod\w*|decod\w*|hyperlink|anchor|tag|qr|cit(e|ation)s?|referenc\w+|bibliograph\w*|
        bookmark|redirect|click|iso|id|format|classif\w*|categor\w*|type of|kind of"""
    )
)
_DECLINES: Final = r"(?i)\b{}\b".format(
    any_of(
        """sorry|unable|unfortunately|cannot|can't|can not|not able|not possible|not provided|do not have|don't have|
        language model|no longer|does not exist|invalid"""
    )
)
_PLEASE: Final = r"(?i)^\W*(please |can you |could you )?"
_VISUAL: Final = any_of(
    """image|picture|photo(graph)?|painting|drawing|illustration|sketch|logo|poster|infographic|cartoon|animation|
    3d (model|animation|simulation)|collage|gif|icon|portrait|mural|artwork|piece of art(work)?|
    (digital|visual|abstract) (art|design)|graphic"""
)
_IN_WORDS: Final = any_of(
    r"""(character|biographical|word|verbal|written|ascii|text|movie|film|comedy)\W+(\w+\W+)?<visual>|
    <visual>s?\s+(for your )?(caption|title|slogan|tagline|description|name|idea|concept|prompt|script|classif\w+|
    recogni\w+|processing|editor|editing|gallery|viewer|sharing|upload\w*|search|segmentation|class|brief)|
    conclusion|comparison|distinction|graphic (novel|organi[sz]er)|bar graph|html|css|svg|code|python|javascript|
    function|class|program|algorithm|model to|script|regex|in words|using words|two words|story|poem"""
).replace("<visual>", _VISUAL)
_GIVEN_TEXT: Final = any_of(
    """sentence|paragraph|passage|text|article|words?|statement|phrase|email|poem|haiku|story|essay|quote|document|review|
    tweet|dialogue|conversation|code|code snippet|snippet"""
)


def _url_only() -> pl.Expr:
    left = _LAST.str.replace_all(_MARKUP, " ").str.count_matches(r"[\p{L}\p{N}]+")
    about_urls = PROMPT.str.replace_all(_MARKUP, " ").str.contains(_ABOUT_URLS)
    answered = ~RESPONSE.str.contains(_DECLINES) & ~RESPONSE.str.contains(CODE)
    return _LAST.str.contains(rf"(?i){_URL}") & (left <= 3) & ~about_urls & answered


def _missing_attachment() -> pl.Expr:
    opening = r"(?i)[\[<(]\s*((an?|the|insert|see|attached?|example|your|link to|political|cartoon)\s+)*"
    closing = r"s?(\s+(strip|file|clip|here|attached|provided|included|above|below))*\s*[\])>]"
    line = rf"(?im)^\W*attached {_MEDIUM}s?\W*$|{_LINK}"
    placeholder = PROMPT.str.contains(f"{opening}({_MEDIUM}|{_CONTENT}){closing}") | PROMPT.str.contains(line)
    given = r"(?i)\b(the|this|these|an?) (given|following|below|attached|enclosed|provided|accompanying) "
    dangling = PROMPT.str.contains(rf"{given}{_MEDIUM}s?( (below|above|attached|provided))?\W*$")
    answered = ~RESPONSE.str.contains(_DECLINES) & ~RESPONSE.str.contains(CODE)
    told = PROMPT.str.contains(_DESCRIBED) | PROMPT.str.contains(_ABOUT_URLS)
    return ((placeholder & ~told) | dangling) & answered


def _media_request() -> pl.Expr:
    makes = rf"{_PLEASE}(draw|paint|sketch|create|generate|design|make|produce|render|compose)\s+"
    asks = rf"{makes}(me )?(an?|the|some|your)\s+([\w’'-]+ ){{0,3}}{_VISUAL}s?\b"
    draws = rf"{_PLEASE}(draw|photoshop|doodle)\s+(me )?(an?|the|some|your)\b"
    in_words = PROMPT.str.replace_all(r"(?i)3d model", " ").str.contains(rf"(?i)\b{_IN_WORDS}\b")
    drawn = RESPONSE.str.contains(CODE) | RESPONSE.str.contains(r"[_|/\\*#-]{3}")
    return (PROMPT.str.contains(asks) | PROMPT.str.contains(draws)) & ~in_words & ~drawn


def _merged() -> pl.Expr:
    numbered = r"(?m)^\W*\d+[.)]\s*(Instruction|INSTRUCTION)\s*:|#{2,}\s*(Instruction|Response)\s*:"
    bare = r"(?m)(^|[.\n]\s*)Instruction\s*:"
    about = r"(?i)\b(instructions?|tasks?|command|direction|prompt|gpt|exercise|assignment|recipe|program|assembly)\b"
    marker = r"(?i)\w[^<]*\n[^<]*<\s*no[\s_-]*(out|in)put\b[^>]*>[^<]*\w"
    left_over = RESPONSE.str.contains(bare) | (
        RESPONSE.str.contains(marker) & ~RESPONSE.str.contains(r"(?i)^\W*<\s*no")
    )
    return RESPONSE.str.contains(numbered) | (left_over & ~PROMPT.str.contains(about))


def _no_output() -> pl.Expr:
    whole = r"(?i)^\W*(n/?a|not applicable|no[\s_-]*(out|in)put(\s+(possible|required|needed|expected))?)\W*$"
    marker = r"(?i)^\W*<\s*no[\s_-]*(out|in)put\b|<\s*no[\s_-]*(out|in)put\s*>\W*$"
    nothing = r"(?i)^\W*(none|nil|null|undefined)\W*$"
    offered = r"(?i)\b(none|nil|null|undefined|any)\b"
    unasked = RESPONSE.str.contains(nothing) & ~PROMPT.str.contains(offered)
    return RESPONSE.str.contains(whole) | RESPONSE.str.contains(marker) | unasked


def _no_input() -> pl.Expr:
    line = r"(?im)^\W*no[\s_-]*input(\s+(is|was))?(\s+(required|needed|necessary|provided|given|available))?\W*$"
    marker = r"(?i)<\s*no[\s_-]*input\s*/?\s*>"
    last = PROMPT.str.contains("\n\n") & _LAST.str.contains(r"(?i)^\W*(n/a|none|not applicable)\W*$")
    return PROMPT.str.contains(line) | PROMPT.str.contains(marker) | last


def _missing_input() -> pl.Expr:
    """Find one sentence that ends soon after it named a given text; a program may be given its text later."""
    given = rf"(?i)\b(the|this|these) (following|given|provided|below)( \w+)? {_GIVEN_TEXT}s?\b[\w ,]*[.?!]?\s*$"
    elsewhere = (
        r"(?i)\n|[:;\"“”‘’'()\[\]{}<>=–—-]|[.?!]\s+\S|\d|"
        r"\b(function|program|script|algorithm|sql|query|bot|model|append)\b"
    )
    return PROMPT.str.contains(given) & ~PROMPT.str.contains(elsewhere) & ~RESPONSE.str.contains(_DECLINES)


def _missing_code() -> pl.Expr:
    asks = (
        rf"{_PLEASE}(write|create|implement|develop|code|build|generate)\s+(me )?(an?|the|some)\s+"
        r"([\w+#.-]+ ){0,2}?(function|code snippet|computer program|algorithm|class|method|program|code)\b"
    )
    language = r"(?i)\b(python|java|javascript|c\+\+|c#|php|ruby|perl|swift|golang|haskell|computer program)"
    prose = r"(?i)\b(pseudo-?code|explain|describe|outline|steps?|natural language|in words|plan)\b"
    code = r"[{}()=<>\[\]`;_|]|\b(def|return|print|begin|end|if|for|while|let|echo)\b"
    wanted = PROMPT.str.contains(asks) & PROMPT.str.contains(language) & ~PROMPT.str.contains(prose)
    return wanted & ~RESPONSE.str.contains(code)


_CONTROL: Final = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
_UNSEEN: Final = r"[\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{2060}\u{feff}]"
_ESCAPES: Final = (
    r"\\n|\\t|\\r|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|&(amp|lt|gt|quot|nbsp|apos|#\d{2,5}|#x[0-9a-fA-F]{2,5});"
)
_ESCAPES_TALK: Final = r"(?i)\b{}\b".format(
    any_of(
        r"""regex\w*|regular expression|code|program\w*|script|function|class|html|xml|css|json|sql|query|latex|math\w*|
        equation|escape\w*|string|characters?|python|java\w*|c\+\+|c#|php|ruby|perl|bash|shell|sed|awk|grep|unix|linux|
        windows|path|newline|new line|unicode|formula|symbol|emoji|file|folder|directory|command|api|data|regexp|
        pattern|print|output"""
    )
)

RULES: Final[Mapping[str, Rule]] = {
    "empty-response": Rule(f"empty output ({CLEANED})", RESPONSE.str.strip_chars() == ""),
    "no-output": Rule(
        f"a placeholder in place of an answer: N/A, <nooutput> ({CLEANED})", _no_output(), RESPONSE.str.slice(0, 30)
    ),
    "merged-instructions": Rule(f"the response goes on with another instruction ({CLEANED})", _merged()),
    "url-only": Rule(
        f"an invented answer about a page that nobody opened ({CLEANED})", _url_only(), shown(_LAST, rf"(?i){_URL}")
    ),
    "missing-attachment": Rule(
        f"an invented answer about a picture, recording or text that is not there ({CLEANED})", _missing_attachment()
    ),
    "media-request": Rule(f"a picture is asked for, which text cannot be ({CLEANED})", _media_request()),
    "no-input": Rule(f"a placeholder left in the prompt: <noinput>, No input ({CLEANED})", _no_input()),
    "control-characters": Rule(f"control characters other than tab and line ends ({CLEANED})", either(_CONTROL)),
    "replacement-character": Rule("text lost in decoding (U+FFFD)", either("\ufffd")),
    "missing-input": Rule(f"the prompt speaks of a given text and gives none ({CLEANED}: unclear)", _missing_input()),
    "missing-code": Rule(f"a program is asked for and the answer holds no code ({CLEANED})", _missing_code()),
    "escape-sequences": Rule(
        f"escapes or entities left in prose: \\n, \\u00e9, &amp; ({CLEANED})",
        RESPONSE.str.contains(_ESCAPES) & ~RESPONSE.str.contains(CODE) & ~PROMPT.str.contains(_ESCAPES_TALK),
        shown(RESPONSE, _ESCAPES),
    ),
    "described-media": Rule(
        "a picture is described in brackets; the answer may add what is not described",
        PROMPT.str.contains(_DESCRIBED),
    ),
    "invisible-characters": Rule("zero-width and line-separator characters", either(_UNSEEN)),
}
"""The rules of this module, in the order in which a row's reason is chosen."""

"""The language of a row, told offline by a small model, or no opinion where the text is short or no prose."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl

from curate.finding import CODE, Rule
from manifests.errors import UserError, missing_extra

MIN_LETTERS: Final = 60
"""Fewest letters of a text whose language is told."""
MIN_PROBABILITY: Final = 0.9
"""Smallest probability of a language that is believed."""
UNSURE: Final = frozenset(("la", "zxx"))
"""Answers that are not believed: lists of names and of species are taken for Latin, codes for no language."""
READ: Final = 1000
"""Characters of a text that are read."""
_ABOUT: Final = (
    r"(?i)translat|language|spanish|french|german|italian|portuguese|latin|chinese|mandarin|japanese|korean|russian|arabic|"
    r"hindi|greek|dutch|swedish|polish|turkish|hebrew|finnish|norwegian|danish|vietnamese|thai|indonesian|esperanto|"
    r"lorem ipsum|species|scientific name|cipher|encrypt|decode|encode|palindrome|anagram"
)


@functools.cache
def identifier() -> Callable[[str], tuple[str, float]]:
    """Return the function that tells a text's language (ISO 639-1) and its probability, 0 to 1.

    The model is in the package py3langid (Lui and Baldwin, "langid.py", ACL 2012); nothing is fetched. Raises UserError
    when the package is absent.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise missing_extra("py3langid", "language") from None
    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def classify(text: str) -> tuple[str, float]:
        """Return a text's language and its probability."""
        language, probability = model.classify(text)
        return str(language), float(probability)

    return classify


def other(prompts: pl.Series, responses: pl.Series, languages: Sequence[str]) -> pl.Series:
    """Return per row the language and its probability where prompt or response is in none of `languages`; else null.

    Both texts are told apart; each needs 60 letters, no code and a probability of .9, or it counts as unknown. A
    response may be in any language that the prompt is about (translation, a word in French), so such rows are not
    judged at all.
    """
    if not languages:
        return pl.Series([None] * len(prompts), dtype=pl.String)
    classify = identifier()
    about = prompts.str.contains(_ABOUT)
    found: dict[int, str] = {}
    for texts, name in ((prompts, "prompt"), (responses, "response")):
        enough = texts.str.count_matches(r"\p{L}") >= MIN_LETTERS
        for row in (enough & ~texts.str.contains(CODE) & ~about).arg_true():
            language, probability = classify(texts[row][:READ])
            if language not in (*languages, *UNSURE) and probability >= MIN_PROBABILITY:
                found.setdefault(row, f"{language} {probability:.2f} ({name})")
    return pl.Series([found.get(row) for row in range(len(prompts))], dtype=pl.String)


def checked(languages: tuple[str, ...]) -> tuple[str, ...]:
    """Return the languages; raise UserError for one that is no two-letter code in lower case."""
    for language in languages:
        if not (len(language) == 2 and language.isalpha() and language == language.lower()):
            raise UserError(
                "not a language code", value=language, remedy="write two-letter ISO 639-1 codes such as en, de"
            )
    return languages


RULES: Final[Mapping[str, Rule]] = {
    "other-language": Rule(
        "prose in a language that is not among `languages`",
        pl.col("other-language").is_not_null(),
        pl.col("other-language"),
        ("other-language",),
    )
}
"""The rule of this module."""

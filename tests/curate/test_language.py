"""The language of a row, by the real model."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from curate.language import other
from curate.rules import Rules
from manifests.component import Context
from manifests.errors import UserError

pytest.importorskip("py3langid")

ENGLISH = "The harbour lies at the foot of the hill, and in the morning the boats come home with the night's catch."
GERMAN = "Der Hafen liegt am Fuß des Hügels, und am Morgen kommen die Boote mit dem Fang der Nacht nach Hause zurück."
FRENCH = "Le port se trouve au pied de la colline, et le matin les bateaux rentrent avec la pêche de la nuit passée."
POLISH = "Port leży u stóp wzgórza, a rano łodzie wracają do domu z połowem, który zebrały w ciągu całej nocy."


def tell(prompt: str, response: str, *languages: str) -> str | None:
    return other(pl.Series([prompt]), pl.Series([response]), languages).item()


@pytest.mark.parametrize(("text", "code"), [(GERMAN, "de"), (FRENCH, "fr"), (POLISH, "pl")])
def test_prose_in_another_language_is_found(text, code):
    assert tell("Describe it.", text, "en").startswith(f"{code} ")
    assert tell(text, "Yes.", "en").endswith("(prompt)")
    assert tell("Describe it.", text, "en", code) is None


def test_the_languages_asked_for_are_left():
    assert tell("Describe the harbour.", ENGLISH, "en") is None
    assert tell("Describe the harbour.", ENGLISH, "de").startswith("en ")


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Describe it.", "Der Hafen liegt hier."),  # too short
        ("Translate it into German.", GERMAN),  # asked for
        ("Describe it.", GERMAN + "\n```python\nimport os\n```"),  # code
        ("Name the elements.", "Hydrogen, helium, lithium, beryllium, boron, carbon, nitrogen, oxygen, fluorine, neon"),
        ("Say it.", "12 34 56 78 " * 20),
    ],
)
def test_it_abstains(prompt, response):
    assert tell(prompt, response, "en") is None


def test_without_languages_nothing_is_examined(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    assert tell("Describe it.", GERMAN) is None


def test_the_step_remarks_on_the_language():
    frame = pl.DataFrame({"sample_id": ["a", "b"], "prompt": ["Describe it."] * 2, "response": [ENGLISH, GERMAN]})
    decided = Rules(languages=("en",)).decide(frame, {}, Context(root=Path()))
    assert decided.select("sample_id", "kept", "reason").rows() == [("b", True, "other-language")]
    assert decided["detail"].item().startswith("de ")


@pytest.mark.parametrize("code", ["EN", "eng", "english", "e1", ""])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(UserError, match="language code"):
        Rules(languages=(code,))


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    from curate.language import identifier

    identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(UserError, match="language"):
        tell("Describe it.", GERMAN, "en")
    identifier.cache_clear()

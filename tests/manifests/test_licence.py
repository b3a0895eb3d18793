"""What the names of licences say."""

from __future__ import annotations

import pytest

from manifests.licence import non_commercial, stated


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-NC-4.0", True),
        ("cc by-nc-sa 3.0", True),
        ("Non-Commercial use only", True),
        ("noncommercial", True),
        ("PolyForm-Noncommercial-1.0.0", True),
        ("Microsoft research-only terms", True),
        ("CC BY-SA 4.0", False),
        ("NCSA", False),
        ("Apache-2.0", False),
        ("unknown", False),
        ("cc-by-nc-nd-4.0", True),
        ("CC_BY_NC_4.0", True),
        ("CCBYNC 4.0", True),
        ("CC-BYNCSA-3.0", True),
        ("Attribution-NonCommercial 4.0 International", True),
        ("Attribution–Non‑Commercial", True),
        ("non_commercial", True),
        ("not for commercial use", True),
        ("no commercial use", True),
        ("for research use only", True),
        ("Academic purposes only", True),
        ("only for research", True),
        ("commercial use allowed", False),
        ("Acme Inc. terms", False),
        ("BY-SYNC 1.0", False),
        ("Unlicense", False),
        ("Llama 3 Community Licence", False),
        ("CC-BY-ND-4.0", False),
        ("OpenRAIL research", False),
        ("Nordic commercial licence", False),
    ],
)
def test_licences_that_rule_out_commerce_are_known_by_name(licence, expected):
    assert non_commercial(licence) is expected


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", True), ("our own", True), ("unknown", False), (" None stated ", False), ("", False), ("Other", False)]
    + [(text, False) for text in ("NOASSERTION", "NONE", "No license", "n/a", "NaN", "UNLICENSED", "Unspecified")]
    + [(text, True) for text in ("Unlicense", "Other-1.0", "NCSA", "none of your business 1.0")],
)
def test_a_licence_that_nobody_knows_is_not_stated(licence, expected):
    assert stated(licence) is expected

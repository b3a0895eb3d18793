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
    ],
)
def test_licences_that_rule_out_commerce_are_known_by_name(licence, expected):
    assert non_commercial(licence) is expected


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", True), ("our own", True), ("unknown", False), (" None stated ", False), ("", False), ("Other", False)],
)
def test_a_licence_that_nobody_knows_is_not_stated(licence, expected):
    assert stated(licence) is expected

"""Personal data and secrets: what must be found, what only looks like it, and that nothing of it is shown."""

from __future__ import annotations

import random
import string

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.privacy import FORMS, entropy, found, iban, luhn, masked

# Made up for the tests, in pieces so that no scanner takes them for real ones.
AWS = "AKIA" + "Q7RZ2LMWX4TBN6VD"
GITHUB = "ghp" + "_" + "q8Zr2LmWx4TbN6vDk1Hs9PyCg3JuEo7FaXnB"
SLACK = "xoxb" + "-2947101837-kQ9sLm2Xw"
OPENAI = "sk" + "-q8Zr2LmWx4TbN6vDk1Hs9PyC"
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIiOiI4NDEyIn0.q8Zr2LmWx4TbN6vDk1Hs"

HITS = {
    "email-address": ["write to m.okafor@northwind.coop", "<lena_brandt7@posteo.de>", "Mail: k.ito@lab.kyushu.ac.jp."],
    "phone-number": ["call (415) 867-5309 now", "+44 20 7946 0184", "tel. 212-664-7665"],
    "iban": ["NL91 ABNA 0417 1643 00", "FR1420041010050500013M02606", "pay to BE68 5390 0754 7034."],
    "card-number": ["4539 1488 0343 6467", "card 5425233430109903", "3716-496353-98436"],
    "ip-address": ["ping 81.2.69.142", "from 2a02:26f0:00a1:0000:0000:0000:0217:1f4b", "(93.184.216.34)"],
    "ssn": ["SSN 536-22-8714", "457-55-5462", "her number: 401-31-7729"],
    "secret": [
        "-----BEGIN RSA PRIVATE " + "KEY-----",
        f"aws {AWS}",
        GITHUB,
        SLACK,
        f"key is {OPENAI}",
        JWT,
        "db_password = 'k7Qz9mX2vLp4Wd'",
        'API_KEY: "q8Zr2LmWx4TbN6vD"',
    ],
}
MISSES = {
    "email-address": ["you@example.com", "john.doe@company.com", "@handle and a@b", "icon@2x.png", "name@domain.com"],
    "phone-number": [
        "555-0100",
        "(415) 555-2671",
        "123-456-7890",
        "800-867-5309",
        "10.1000/182 2020-11-03",
        "000-000-0000",
    ],
    "iban": ["NL91 ABNA 0417 1643 01", "GB82 WEST 1234 5698 7654 32", "AB12 CDEF GHIJ", "US12 3456 7890 1234 5678"],
    "card-number": ["4111 1111 1111 1111", "4539 1488 0343 6468", "3.14159265358979323846", "9539148803436467"],
    "ip-address": ["127.0.0.1", "192.168.1.20", "192.0.2.7", "8.8.8.8", "256.300.1.2", "version 1.2.3.4", "fe80::1"],
    "ssn": ["123-45-6789", "000-12-3456", "666-12-3456", "987-65-4321", "219-09-9999", "536-00-8714"],
    "secret": [
        "password = getpass()",
        "api_key = 'your_api_key_here'",
        "AKIAIOSFODNN7" + "EXAMPLE",
        "token: undefined",
        "password: correcthorsebattery",
        "secret = os.environ['SECRET_KEY']",
        "TOKEN='eXamPl3T0K3n'",
        "-----BEGIN PUBLIC KEY-----",
    ],
}


def one(form: str, text: str) -> str | None:
    return found((pl.Series([text]), pl.Series([""])), FORMS[form]).item()


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in HITS.items() for text in texts])
def test_it_is_found_and_shown_masked(form, text):
    detail = one(form, text)
    assert detail is not None
    shown, _, length = detail.partition("\u2026 (")
    assert len(shown) == 2
    assert int(length.split()[0]) >= 9
    assert shown in text


@pytest.mark.parametrize(("form", "text"), [(form, text) for form, texts in MISSES.items() for text in texts])
def test_placeholders_and_lookalikes_are_left(form, text):
    assert one(form, text) is None


def test_every_form_is_tested():
    assert set(HITS) == set(MISSES) == set(FORMS)
    assert all(len(texts) >= 3 for texts in (*HITS.values(), *MISSES.values()))


def test_the_prompt_is_searched_before_the_response_and_the_first_real_match_counts():
    prompts = pl.Series(["you@example.com", "ask v.novak@seznam.cz", ""])
    responses = pl.Series(["ask p.silva@sapo.pt", "ask p.silva@sapo.pt", ""])
    assert found((prompts, responses), FORMS["email-address"]).to_list() == [
        "p.\u2026 (15 characters)",
        "v.\u2026 (17 characters)",
        None,
    ]


def test_a_mask_keeps_two_characters():
    assert masked("hunter2hunter2") == "hu\u2026 (14 characters)"


@given(st.text("0123456789", min_size=12, max_size=18))
def test_luhn_accepts_one_check_digit_of_ten(stem):
    assert sum(luhn(stem + digit) for digit in string.digits) == 1


@given(st.integers(0, 10**9), st.integers(2, 30))
def test_an_iban_with_one_digit_changed_fails(seed, length):
    rng = random.Random(seed)
    account = "".join(rng.choice(string.digits) for _ in range(max(length, 11)))
    check = 98 - int(account + "1131" + "00") % 97
    good = f"BV{check:02d}{account}"
    assert iban(good)
    place = rng.randrange(4, len(good))
    other = good[:place] + str((int(good[place]) + 1) % 10) + good[place + 1 :]
    assert not iban(other)


def test_entropy_is_in_bits_per_character():
    assert entropy("") == entropy("aaaa") == 0
    assert entropy("abab") == 1
    assert entropy("abcdefgh") == 3

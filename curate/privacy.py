"""Personal data and secrets in a text: found by form and checksum, shown masked, placeholders left out."""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import polars as pl

from curate.finding import Rule


@dataclass(frozen=True)
class Form:
    """How one kind of data looks: a pattern of Rust's regular expressions, and what decides about a match."""

    what: str
    pattern: str
    real: Callable[[str], bool]
    """Whether a match is what it looks like, and no placeholder."""


def masked(text: str) -> str:
    """Return the first two characters and the length of what was found: enough to find it, too little to leak it."""
    return f"{text[:2]}… ({len(text)} characters)"


def found(texts: tuple[pl.Series, ...], form: Form) -> pl.Series:
    """Return per row, over all of the columns `texts`, the first real match masked; null where there is none."""
    result: dict[int, str] = {}
    for column in texts:
        maybe = column.str.contains(form.pattern).arg_true()
        listed = column.gather(maybe).str.extract_all(form.pattern)
        for row, matches in zip(maybe, listed, strict=True):
            real = next((text for text in map(_trimmed, matches) if form.real(text)), None)
            if real is not None:
                result.setdefault(row, masked(real))
    return pl.Series([result.get(row) for row in range(len(texts[0]))], dtype=pl.String)


def _trimmed(text: str) -> str:
    """Return a match without the character before it, where the pattern took one for want of look-behind."""
    return text.strip(" \t\r\n\"'`,;:=<>[](|/*#")


def digits(text: str) -> str:
    """Return the decimal digits of the text, one after the other."""
    return "".join(c for c in text if c in "0123456789")


def luhn(number: str) -> bool:
    """Return whether the digits pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    values = [int(c) for c in reversed(number)]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in values[1::2])
    return (sum(values[::2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """Return whether the text is an IBAN by length and by its check digits (ISO 13616: 1 modulo 97)."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    moved = plain[4:] + plain[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def entropy(text: str) -> float:
    """Return the bits per character of the text, from the frequencies of its own characters."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


_MADE_UP_HOSTS: Final = re.compile(
    r"(^|\.)(example|test|invalid|localhost|domain|email|e-mail|mail|company|yourcompany|mycompany|companyname|business|"
    r"sample|website|site|abc|xyz|abcd?|foo|bar|foobar|acme|your-?\w+|my-?\w+|some\w*|host|server|address|gmail\.co|x+)\.|"
    r"\.(example|test|invalid|local|localhost)$"
)
_MADE_UP_NAMES: Final = re.compile(
    r"^(your|my|their|his|her|some|first|last|example|sample|test|dummy|fake|foo|bar|abc|xyz|user|username|name|email|"
    r"e-mail|john|jane|joe.?doe|jdoe|alice|bob|carol|someone|somebody|person|you|me$|[\W\d]+$|.$)"
)


def _email(text: str) -> bool:
    name, _, host = text.lower().rpartition("@")
    return not (
        _MADE_UP_HOSTS.search(host) or _MADE_UP_NAMES.match(name) or re.search(r"\.(png|jpe?g|gif|py|js)$", host)
    )


def _sequence(number: str) -> bool:
    """Return whether the digits are a counted row, one digit again and again, or a short piece repeated."""
    if len(set(number)) <= 2:
        return True
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(number)}
    return steps <= {1} or steps <= {9} or any(number in "1234567890" * 3 + part for part in ("", number[:4] * 4))


def _phone(text: str) -> bool:
    number = digits(text)
    local = number[-10:]
    if re.match("8(00|33|44|55|66|77|88)", local) and len(number) in (10, 11):
        return False
    if not 8 <= len(number) <= 15 or _sequence(number) or _sequence(local):
        return False
    return "555" not in (local[:3], local[3:6]) and not re.search(
        r"1234567|2345678|3456789|4567890|0{4}|(\d)\1{4}", number
    )


_TEST_CARDS: Final = frozenset(
    (
        *("4111111111111111", "4242424242424242", "4012888888881881", "5555555555554444", "5105105105105100"),
        *("378282246310005", "371449635398431", "6011111111111117", "6011000990139424", "30569309025904"),
        *("38520000023237", "3530111333300000"),
    )
)
"""Numbers that payment services publish for tests."""


def _card(text: str) -> bool:
    number = digits(text)
    issuer = re.match(r"4|5[1-5]|2[2-7]|3[47]|3[0689]|6", number)
    grouped = re.fullmatch(r"\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}", text)
    plausible = bool(issuer and grouped) and 13 <= len(number) <= 19 and luhn(number)
    return plausible and number not in _TEST_CARDS and not _sequence(number)


_KNOWN_ADDRESSES: Final = frozenset(
    ("1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "1.2.3.4", "4.3.2.1", "123.45.67.89")
)


def _address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    multicast = address.is_multicast or address.is_reserved
    return address.is_global and not multicast and text not in _KNOWN_ADDRESSES


def _ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    never = area in ("000", "666") or area >= "900" or group == "00" or serial == "0000"
    published = text in ("123-45-6789", "078-05-1120", "219-09-9999", "111-11-1111", "123-45-6780")
    return not never and not published and not _sequence(digits(text))


_NOT_SECRET: Final = re.compile(
    r"(?i)your|my_?|example|sample|placeholder|dummy|fake|changeme|xxx|\*{3}|\.{3}|password|passw|secret|token|api_?key|"
    r"insert|here|env\b|environ|config|get|input|request|random|hash|string|12345|abcde|test|\$|\w\(|https?:|self\."
)
_LEET: Final = str.maketrans("013457@$", "oleastas")
_NAMED: Final = re.compile(
    r"""(?i)(?:password|passwd|pwd|api[_-]?key|secret|token|access[_-]?key)\w*["']?\s*[:=]\s*["']?"""
)


def _secret(text: str) -> bool:
    named = _NAMED.match(text)
    if named is None:
        return not re.search(r"(?i)example|x{6}|(.)\1{7}", text)
    value = text[named.end() :]
    plain = f"{value} {value.translate(_LEET)}"
    mixed = re.search(r"\d", value) and re.search(r"[A-Za-z]", value)
    return bool(mixed) and len(value) >= 12 and entropy(value) >= 3.0 and not _NOT_SECRET.search(plain)


_TOKENS: Final = "|".join(
    (
        r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----",
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}",
        r"\bgithub_pat_[A-Za-z0-9_]{22,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"\bsk-[A-Za-z0-9_-]{20,}",
        r"\b[sr]k_live_[A-Za-z0-9]{16,}",
        r"\bAIza[A-Za-z0-9_-]{35}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"""(?i:password|passwd|pwd|api[_-]?key|secret|token|access[_-]?key)\w{0,10}["']?\s*[:=]\s*["']?[^\s"',;<>{}()\[\]]{12,}""",
    )
)
_EDGE: Final = r"(?:^|[\s\"'`,;:=<>\[|/*#(])"

FORMS: Final[Mapping[str, Form]] = {
    "secret": Form("a private key, an access token, or a password or key given a random value", _TOKENS, _secret),
    "email-address": Form(
        "an e-mail address",
        r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}",
        _email,
    ),
    "phone-number": Form(
        "a telephone number",
        _EDGE
        + r"(?:\+?1[-. ])?\(?[2-9]\d{2}\)?[-. ]{1,2}\d{3}[-. ]\d{4}\b|"
        + r"\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,4}){2,4}\b",
        _phone,
    ),
    "iban": Form(
        "a bank account number (IBAN)",
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        lambda text: iban(text) and text.replace(" ", "") not in ("GB82WEST12345698765432", "DE89370400440532013000"),
    ),
    "card-number": Form("a payment card number", _EDGE + r"\d(?:[ -]?\d){12,18}\b", _card),
    "ip-address": Form(
        "a public internet address",
        _EDGE + r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){7})\b",
        _address,
    ),
    "ssn": Form("a United States social security number", r"\b\d{3}-\d{2}-\d{4}\b", _ssn),
}
"""What is looked for, in the order in which a row's reason is chosen."""

RULES: Final[Mapping[str, Rule]] = {
    name: Rule(f"{form.what}, placeholders left out", pl.col(name).is_not_null(), pl.col(name), (name,))
    for name, form in FORMS.items()
}
"""A rule per form; its detail is the match, masked."""

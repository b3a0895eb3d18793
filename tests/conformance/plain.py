"""The vectors' file, and what every engine must give, in Python's own integers and floats. Only the standard library.

Written from the papers and the page on mixing, not from the code that it checks.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / "mixers" / "conformance.jsonl"
SQL = FILE.with_suffix(".sql")
MASK = 2**64 - 1
PURPOSES = ("member", "order", "jitter")


def vectors(kind):
    """Return the file's vectors of one kind, as dictionaries."""
    lines = FILE.read_text("utf-8").splitlines()
    return [vector for vector in map(json.loads, lines) if vector["vector"] == kind]


def finaliser(z):
    """Return splitmix64's finaliser of 64 bits."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def seed64(seed, purpose):
    """Return the 64 bits of a seed (an int or its decimal digits) for a purpose."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest(), "little")


def key(k64, seed, purpose):
    """Return the sampling key of a row's 64 bits."""
    return finaliser(k64 ^ seed64(seed, purpose))


def logarithm(value):
    """Return the natural logarithm of a float over 0, by the series of 2 artanh((m - 1) / (m + 1))."""
    mantissa, power = math.frexp(value)
    if mantissa < 0.7071067811865476:
        mantissa, power = mantissa * 2.0, power - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    series = 1.0 / 23.0
    for odd in range(21, 0, -2):
        series = series * (s * s) + 1.0 / odd
    return power * 0.6931471805599453 + 2.0 * s * series


def wait(uniform, odds):
    """Return -ln(u) / odds, u the middle of the slice of (0, 1) that 64 bits fall into."""
    return (0.0 - logarithm((float(uniform >> 11) + 0.5) / 2.0**53)) / odds


@cache
def numbered(count):
    """Return the ids of a pool made by rule."""
    return [f"{finaliser(2 * i):016x}{finaliser(2 * i + 1):016x}" for i in range(count)]


def pool(vector, shuffle=None):
    """Return the vector's rows (sample id, stratum, role, odds or None), in another order for each `shuffle`.

    The file's first line says how a pool is made by rule.
    """
    if "pool" in vector:
        rows = [tuple(row) for row in vector["pool"]]
    else:
        rule = vector["rule"]
        rows = [
            (sample_id, f"s{i % rule['strata']}", "generalist", 1.0 + i % 5 if rule["odds"] else None)
            for i, sample_id in enumerate(numbered(rule["rows"]))
        ]
    if shuffle is not None:
        random.Random(shuffle).shuffle(rows)
    return rows


def draw(vector, shuffle=None):
    """Return the blend's rows (sample id, role, repeats), in training order."""
    seed, lines = vector["seed"], defaultdict(list)
    for sample_id, stratum, role, odds in pool(vector, shuffle):
        uniform = key(int(sample_id[-16:], 16), seed, "member")
        first = uniform if odds is None else wait(uniform, odds)
        lines[stratum].append((first, uniform, sample_id, role))
    found = []
    for stratum, quota in vector["quotas"].items():
        line = sorted(lines[stratum])
        if not line:
            continue
        often, rest = divmod(quota, len(line))
        taken = [(row[2], row[3], often + (place < rest)) for place, row in enumerate(line) if often or place < rest]
        ranked = sorted(taken, key=lambda row: (key(int(row[0][-16:], 16), seed, "order"), row[0]))
        for place, row in enumerate(ranked):
            jitter = (key(int(row[0][-16:], 16), seed, "jitter") >> 11) / 2.0**53
            found.append((int(min((place + jitter) / len(ranked), 1.0 - 2.0**-53) * 2.0**63), row))
    return [row for _, row in sorted(found, key=lambda each: (each[0], each[1][0]))]


def chosen(names):
    """Return the draws of those names, all without any."""
    return [vector for vector in vectors("draw") if not names or vector["name"] in names]


def content_id(members):
    """Return the content id of rows (sample id, role, repeats) of weight 1 in training order."""
    text = json.dumps([[i, role, 1.0, repeats] for i, role, repeats in members], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def quota(vector):
    """Return the rows of each stratum, serving one row after the other: the one that must be given soonest.

    A row may be given from the first total at which its stratum's exact amount passes the rows given, and must be by
    the total at which it reaches them. For vectors without caps that bind and without rows held already.
    """
    weights, total = vector["weights"], vector["total"]
    whole, given = sum(weights.values()), Counter(dict.fromkeys(weights, 0))
    for turn in range(1, total + 1):
        may = [n for n in weights if turn * weights[n] > given[n] * whole]
        given[min(may, key=lambda n: (-(-(given[n] + 1) * whole // weights[n]), n))] += 1
    return dict(given)

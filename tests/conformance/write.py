"""Writes the vectors' file from the plain engine: `python -m tests.conformance.write`, after a change on purpose."""

from __future__ import annotations

import hashlib
import json
import struct

from tests.conformance import plain

ABOUT = (
    "Test vectors of the sampling of blendsmith's mixers, one JSON object a line, told apart by `vector`. Numbers of 64"
    " bits are 16 hex digits, seeds decimal digits. seed64: the first 8 bytes, little-endian, of BLAKE2b with an 8-byte"
    " digest over SEED:PURPOSE. key: splitmix64's finaliser of k64 xor seed64. wait: the bits of the double -ln(u) /"
    " odds, with u = (floor(uniform / 2^11) + 0.5) / 2^53; the lowest are a draw without replacement with those odds."
    " quota: rows of each stratum when `total` are divided by `weights`. draw: the rows of `pool` (sample id, stratum,"
    " role, odds or null), or of a pool made by `rule` (row i has the id finaliser(2i) finaliser(2i + 1), the stratum"
    " s and i mod strata, and the odds 1 + i mod 5 or none); `members` are (sample id, role, repeats) in order of"
    " training, `content_id` the BLAKE2b-128 of the JSON list of [sample id, role, 1.0, repeats]. A row's k64 is the"
    " low half of its id. conformance.sql draws the same in SQL."
)
SEEDS = ("0", "1", "7", str(2**31 - 1), str(2**63 - 1), str(2**63), str(2**64 - 1))
EDGES = (0, 1, 2**11 - 1, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
QUOTAS = (
    ({"a": 7, "b": 2, "c": 1}, 10),
    ({"a": 6, "b": 6, "c": 2}, 10),
    ({"a": 6, "b": 6, "c": 2}, 11),
    ({"a": 1, "b": 1, "c": 1}, 100),
    ({"alpaca": 52002, "gpt4": 999, "code": 2017, "dolly": 2996, "gpteacher": 6458, "seed": 175}, 20000),
    ({"a": 10**9 + 7, "b": 10**9 + 9}, 1001),
)


def made(text):
    """Return an id of 32 hex digits made from text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def rows(sizes, role="generalist", odds=None):
    """Return rows of strata of those sizes; `odds` makes a row's odds from its number."""
    return [
        [made(f"{name} {i}"), name, role, None if odds is None else odds(i)]
        for name, size in sizes.items()
        for i in range(size)
    ]


def tied():
    """Return rows whose ids share their low halves, ten and ten, so that nothing but the ids tells them apart."""
    return [[f"{made(f'high {i}')[:16]}{i % 3:016x}", "s", "generalist", None] for i in range(30)]


def edges():
    """Return rows whose 64 bits are the edges, twice."""
    return [[f"{high:016x}{low:016x}", f"s{high % 2}", "generalist", None] for high in (0, 2**64 - 1) for low in EDGES]


def turned(key, seed):
    """Return the 64 bits whose sampling key under a seed is `key`: the finaliser run backwards."""
    z = key ^ key >> 31 ^ key >> 62
    z = z * pow(0x94D049BB133111EB, -1, 2**64) & plain.MASK
    z = z ^ z >> 27 ^ z >> 54
    z = z * pow(0xBF58476D1CE4E5B9, -1, 2**64) & plain.MASK
    return z ^ z >> 30 ^ z >> 60 ^ plain.seed64(seed, "member")


def ends():
    """Return weighted rows whose keys under seed 5 are the edges: the first and the last that there can be."""
    return [[f"{i:016x}{turned(key, '5'):016x}", "s", "generalist", 2.0] for i, key in enumerate(EDGES)]


DRAWS = (
    {"name": "one row", "seed": "0", "pool": rows({"s": 1}), "quotas": {"s": 1}},
    {"name": "three strata", "seed": "0", "pool": rows({"a": 9, "b": 5, "c": 2}), "quotas": {"a": 4, "b": 2, "c": 1}},
    {"name": "another seed", "seed": "1", "pool": rows({"a": 9, "b": 5, "c": 2}), "quotas": {"a": 4, "b": 2, "c": 1}},
    {"name": "repeats", "seed": "3", "pool": rows({"a": 4, "b": 3, "c": 2}), "quotas": {"a": 9, "b": 3, "c": 8}},
    {"name": "an empty quota", "seed": "2", "pool": rows({"a": 4, "b": 3}), "quotas": {"a": 0, "b": 2}},
    {
        "name": "two roles",
        "seed": "0",
        "pool": rows({"a": 8}) + rows({"x": 3}, "specialist"),
        "quotas": {"a": 5, "x": 3},
    },
    {"name": "equal keys", "seed": "4", "pool": tied(), "quotas": {"s": 14}},
    {"name": "edge ids", "seed": str(2**63 - 1), "pool": edges(), "quotas": {"s0": 4, "s1": 5}},
    {"name": "edge ids, seed over 2^63", "seed": str(2**64 - 1), "pool": edges(), "quotas": {"s0": 4, "s1": 5}},
    {
        "name": "weighted",
        "seed": "0",
        "pool": rows({"a": 12, "b": 6}, odds=lambda i: (0.1, 1.0, 5.0, 1e-300, 1e300)[i % 5]),
        "quotas": {"a": 5, "b": 3},
    },
    {"name": "weighted, edge keys", "seed": "5", "pool": ends(), "quotas": {"s": 5}},
    {
        "name": "large",
        "seed": "0",
        "rule": {"rows": 200_000, "strata": 7, "odds": False},
        "quotas": {f"s{i}": 1 + 4_000 * i for i in range(7)},
    },
    {
        "name": "large, weighted",
        "seed": "0",
        "rule": {"rows": 200_000, "strata": 3, "odds": True},
        "quotas": {"s0": 10_000, "s1": 70_000, "s2": 1},
    },
)


def lines():
    """Yield the file's vectors."""
    yield {"vector": "about", "text": ABOUT}
    for seed in SEEDS:
        for purpose in (*plain.PURPOSES, "random_drop"):
            yield {
                "vector": "seed64",
                "seed": seed,
                "purpose": purpose,
                "seed64": f"{plain.seed64(seed, purpose):016x}",
            }
    for seed in SEEDS:
        for k64 in EDGES:
            found = plain.key(k64, seed, "member")
            yield {"vector": "key", "seed": seed, "purpose": "member", "k64": f"{k64:016x}", "key": f"{found:016x}"}
    for uniform in EDGES:
        for odds in (1.0, 0.1, 3.0, 1e-300, 1e300):
            (bits,) = struct.unpack("<Q", struct.pack("<d", plain.wait(uniform, odds)))
            yield {"vector": "wait", "uniform": f"{uniform:016x}", "odds": odds, "wait": f"{bits:016x}"}
    for weights, total in QUOTAS:
        vector = {"vector": "quota", "weights": weights, "total": total}
        yield {**vector, "rows": plain.quota(vector)}
    for vector in DRAWS:
        members = plain.draw(vector)
        told = {} if "rule" in vector else {"members": members}
        yield {"vector": "draw", **vector, **told, "content_id": plain.content_id(members)}


def main():
    """Write the file."""
    text = "".join(json.dumps(line, separators=(", ", ": ")) + "\n" for line in lines())
    plain.FILE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

"""Names, content hashes and the sampling key: the same on every machine and version."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifests.errors import UserError

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_MASK: Final = (1 << 64) - 1
_BLOCK: Final = 1 << 14
"""Keys that are mixed at once: they stay in the processor's cache, which is four times as fast."""


def check_name(name: object, *, noun: str = "name") -> str:
    """Return `name` when it is lower-case letters, digits and dashes, 1 to 64 long; raise UserError otherwise."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"not a valid {noun}",
            value=name,
            remedy="use 1 to 64 lower-case letters, digits and '-', starting with a letter or digit",
        )
    return name


def quote(identifier: str) -> str:
    """Return a SQL identifier in double quotes; the only way a name enters SQL text."""
    if "\x00" in identifier:
        raise UserError("a SQL identifier cannot hold NUL", value=identifier)
    return '"' + identifier.replace('"', '""') + '"'


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, UTF-8 kept, NaN refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text that others wrote; raise ValueError for all that is none.

    What is nested deeper than Python's reader goes is none either: one `except ValueError` meets every fault.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def digest(value: object) -> str:
    """Return the 128-bit BLAKE2b hash of `canonical_json(value)`, 32 hex digits."""
    return hashlib.blake2b(canonical_json(value).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def digest_bytes(data: bytes) -> str:
    """Return the 128-bit BLAKE2b hash of `data`, 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def stage_key(stage: str, spec: Mapping[str, Any], inputs: tuple[str, ...], version: int) -> str:
    """Return the key of a stage: its spec, its inputs' keys in order and the version of the code that runs it."""
    return digest({"stage": stage, "spec": spec, "inputs": list(inputs), "version": version})


def k64(identifier: str) -> int:
    """Return the low 64 bits of a hex id: the number that sampling hashes with a seed."""
    return int(identifier[-16:], 16)


def seed64(seed: int, purpose: str) -> int:
    """Return 64 bits from a seed and a purpose, so that two purposes never share an order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest(), "little")


def sampling_key(keys: NDArray[np.uint64], seed: int, purpose: str = "member") -> NDArray[np.uint64]:
    """Return splitmix64's finaliser over `keys` xor the seed, shape (n,), uniform on 64 bits.

    Rows sorted by (this key, id) are a random order fixed by the seed alone, so a budget of 500 is a prefix of a budget
    of 1,000. Finaliser: Stafford's Mix13 as in Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators"
    (OOPSLA 2014).
    """
    mixed = np.asarray(keys, dtype=np.uint64) ^ np.uint64(seed64(seed, purpose))
    for start in range(0, mixed.size, _BLOCK):
        z = mixed[start : start + _BLOCK]
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return mixed

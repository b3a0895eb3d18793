"""Damage real files, job files and judge's replies at random and read them: nothing escapes but what is promised.

    python -m tests.benchmarks.mutations --data FOLDER --count 20000 --seed 0
    python -m tests.benchmarks.mutations --data FOLDER --count 20000 --kinds .yaml .reply

Small extracts of the shared data are written as every kind of file that is read. Mutation `i` of a seed is always the
same: 1 to 4 flips, special bytes, deletions, insertions, cuts or splices of another file, of the bytes on the disk or,
for packed files, also of those inside. Each mutated file goes through `Source.read_all`, which must return a reading
with rows = samples + rejects and known reasons, or raise `UserError`; jobs (`.yaml`) and replies (`.reply`) go through
`tests.benchmarks.mutated_texts`. The readings run in a child process, so that a native crash, a hang (over 60 s) and
memory over 6 GiB are seen and counted too; `--keep` saves the bytes that failed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import random
import re
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from curate.reason import REASONS
from curate.sources import Source
from manifests.errors import UserError
from tests.benchmarks import mutated_texts

SPECIAL = b'\x00\xff"\\{}[],:;\n\r\t 0n-.eE\xed\xa0\xef\xbb\xbf\x1f\x8b\x28\xb5PAR1'
WORDS = (
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"-0", b"[" * 2000, b"{" * 100, b"null", b"true", b"{}", b"[1]"),
    *(b"&a *a", b"!!python/object:x.y {}", b"<<: ", b"\n---\n", b"\t", b"\xe2\x80\xa8", b"```", b": ", b"- "),
    *(b'"\\ud800"', b'"\\u0000"', b'""', b"'"),
)
"""What readers of JSON and YAML have stumbled over."""
VALUE = re.compile(rb'-?\d+(?:\.\d+)?|"[^"\n]{0,80}"|true|null')
"""What looks like a value in JSON, YAML or CSV: one of `WORDS` may stand in its place."""
HANG_SECONDS = 60.0
MEMORY = 6 * 2**30
EXTRACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("generalist_pool", ("instruction", "input", "output", "license", "non_commercial")),
    ("closed_book_qa", ("question", "choices", "answers", "dataset", "license")),
    ("superni_instances", ("task", "input", "outputs")),
)
_BATCH = 500


def extracts(data: Path, rows: int = 8, seed: int = 0) -> list[list[dict[str, Any]]]:
    """Return short real rows of each shared file, `rows` each."""
    found = []
    for name, columns in EXTRACTS:
        frame = pl.read_parquet(data / f"{name}.parquet", columns=list(columns)).sample(rows * 8, seed=seed)
        short = [row for row in frame.iter_rows(named=True) if len(json.dumps(row)) < 800]
        found.append(short[:rows])
    return found


def files(extract: list[dict[str, Any]], folder: Path) -> dict[str, bytes]:
    """Return one extract as every kind of file: name -> bytes. `folder` holds Parquet files for a moment."""
    lines = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in extract)
    chats = [_chat(row) for row in extract]
    task = {"Definition": ["Answer."], "Instances": [_instance(row) for row in extract]}
    plain = {
        "rows.jsonl": lines,
        "chat.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in chats),
        "rows.json": json.dumps(extract, indent=1, ensure_ascii=False).encode(),
        "task.json": json.dumps(task).encode(),
        "rows.csv": pl.DataFrame([_flat(row) for row in extract]).write_csv().encode(),
        "rows.tsv": pl.DataFrame([_flat(row) for row in extract]).write_csv(separator="\t").encode(),
    }
    for kind, options in PARQUET.items():
        made = folder / "made"
        table = pa.Table.from_pylist(chats if kind == "chat" else extract)
        pq.write_table(table, made, row_group_size=4, **options)
        plain[f"{kind}.parquet"] = made.read_bytes()
    return plain


PARQUET: Mapping[str, Mapping[str, Any]] = {
    "plain": {"compression": "none", "use_dictionary": False},
    "dictionary": {"compression": "none", "data_page_version": "2.0"},
    "zstd": {"compression": "zstd"},
    "snappy": {"compression": "snappy", "column_encoding": None},
    "chat": {"compression": "none", "store_schema": False},
}
TEXTS = (".yaml", ".reply")
PACKS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, 6, mtime=0),
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}


def _answer(row: Mapping[str, Any]) -> str:
    found = row.get("output") or row.get("outputs") or row.get("answers")
    return str(found[0] if isinstance(found, list) else found)


def _chat(row: Mapping[str, Any]) -> dict[str, Any]:
    prompt = str(row.get("instruction") or row.get("question") or row.get("input"))
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": _answer(row)}]}


def _instance(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": "1", "input": _chat(row)["messages"][0]["content"], "output": [_answer(row)]}


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value) if isinstance(value, list) else str(value or "") for name, value in row.items()}


def mutate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return `data` with 1 to 4 faults; `other` is what is spliced in."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not found:
            break
        at, kind = rng.randrange(len(found)), rng.randrange(9)
        if kind <= 1:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            found[at] = rng.randrange(256)
        elif kind == 3:
            found[at] = rng.choice(SPECIAL)
        elif kind == 4:
            del found[at : at + rng.randint(1, 40)]
        elif kind == 5:
            found[at:at] = _inserted(rng)
        elif kind == 6 and rng.random() < 0.3:
            del found[at:]
        elif kind == 7 and (value := VALUE.search(found, at)):
            found[slice(*value.span())] = rng.choice(WORDS)
        else:
            start = rng.randrange(max(1, len(other)))
            piece = other[start : start + rng.randint(1, 200)]
            found[at : at + rng.choice((0, len(piece)))] = piece
    return bytes(found)


def _inserted(rng: random.Random) -> bytes:
    chance = rng.random()
    if chance < 0.3:
        return rng.randbytes(rng.randint(1, 8))
    return rng.choice(WORDS) if chance < 0.6 else bytes(rng.choices(SPECIAL, k=3))


class Mutator:
    """Every mutation of a seed, each by its number: (name of the file, its bytes)."""

    def __init__(self, sets: list[dict[str, bytes]], seed: int, kinds: tuple[str, ...] = ()) -> None:
        self.sets, self.seed = sets, seed
        self.names = [n for n in sets[0] if not kinds or any(n.endswith(kind) for kind in kinds)]

    def __call__(self, number: int) -> tuple[str, bytes]:
        """Return mutation `number`."""
        rng = random.Random(f"{self.seed}:{number}")
        mine, others = rng.choice(self.sets), rng.choice(self.sets)
        name = rng.choice(self.names)
        pack = rng.choice(list(PACKS)) if rng.random() < 0.4 and not name.endswith(TEXTS) else ""
        data, other = mine[name], others[name if rng.random() < 0.5 else rng.choice(list(others))]
        if pack and rng.random() < 0.5:
            return name + pack, PACKS[pack](mutate(data, other, rng))
        return name + pack, mutate(PACKS[pack](data), other, rng)


def outcome(folder: Path, name: str, data: bytes) -> Counter[str]:
    """Read one file; return counts: read or refused, rows, and each reason. Raises what should never be raised."""
    if name.endswith(".yaml"):
        return mutated_texts.job_outcome(folder, name, data)
    if name.endswith(".reply"):
        return mutated_texts.reply_outcome(folder, name, data)
    (folder / name).write_bytes(data)
    source = Source(name="s", role="generalist", path=name)
    try:
        reading = source.read_all(folder)
    except UserError:
        return Counter({"refused": 1})
    finally:
        (folder / name).unlink()
    if reading.rows != len(reading.samples) + len(reading.rejects) or not set(reading.reasons) <= set(REASONS):
        raise AssertionError(f"{name}: {reading.rows} rows, {len(reading.samples)} samples, {reading.reasons}")
    if any(sample.source != "s" or not sample.response.strip() for sample in reading.samples):
        raise AssertionError(f"{name}: a sample without an answer")
    return Counter({"read": 1, "rows": reading.rows, "samples": len(reading.samples), **reading.reasons})


def _child(mutator: Mutator, first: int, last: int, at: Any, pipe: Any) -> None:
    """Read mutations `first` to `last`; `at` always holds the number in hand."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        for number in range(first, last):
            at.value = number
            name, data = mutator(number)
            try:
                found = outcome(Path(folder), name, data)
            except Exception as error:  # noqa: BLE001 - what this benchmark counts
                found = Counter({"failed": 1})
                pipe.send((number, name, f"{type(error).__name__}: {error}"))
            counts.setdefault(name, Counter()).update(found)
            if (number - first) % _BATCH == _BATCH - 1:
                pipe.send(counts)
                counts = {}
    at.value = last
    pipe.send(counts)


def survey(
    mutator: Mutator, first: int, last: int, keep: Path | None, say: Callable[[str], None] = print
) -> dict[str, Counter[str]]:
    """Read mutations `first` to `last` in child processes; return the counts of each kind of file.

    A child that dies costs the mutation in hand (counted as `crashed` or `hung`) and those since its last report.
    """
    totals: dict[str, Counter[str]] = {}
    fork = multiprocessing.get_context("fork")
    while first < last:
        at = fork.Value("q", first, lock=False)
        mine, its = fork.Pipe(duplex=False)
        process = fork.Process(target=_child, args=(mutator, first, last, at, its))
        process.start()
        its.close()
        seen, since, why = first, time.monotonic(), "crashed"
        while process.is_alive() or mine.poll():
            if mine.poll(1.0):
                try:
                    _take(mine.recv(), totals, mutator, keep, say)
                except EOFError:
                    break
            if at.value != seen:
                seen, since = at.value, time.monotonic()
            elif time.monotonic() - since > HANG_SECONDS:
                why = "hung"
                process.kill()
        process.join()
        if process.exitcode != 0:
            number = int(at.value)
            _take((number, mutator(number)[0], f"{why} ({process.exitcode})"), totals, mutator, keep, say)
            totals.setdefault(mutator(number)[0], Counter())[why] += 1
        first = int(at.value) + (process.exitcode != 0)
    return totals


def _take(
    message: Any,
    totals: dict[str, Counter[str]],
    mutator: Mutator,
    keep: Path | None,
    say: Callable[[str], None],
) -> None:
    if isinstance(message, dict):
        for name, counts in message.items():
            totals.setdefault(name, Counter()).update(counts)
        return
    number, name, why = message
    say(f"mutation {number} of seed {mutator.seed} ({name}): {why}")
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{mutator.seed}-{number}-{name}").write_bytes(mutator(number)[1])


def main() -> None:
    """Parse the arguments, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--kinds", nargs="*", default=(), help="only files whose names end so, such as .parquet")
    parser.add_argument("--keep", type=Path, help="folder for the bytes that failed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = [files(extract, Path(folder)) for extract in extracts(given.data)]
    sets = [{**a, **b, **c} for a, b, c in zip(made, mutated_texts.jobs(), mutated_texts.replies(), strict=True)]
    mutator = Mutator(sets, given.seed, tuple(given.kinds))
    begun = time.monotonic()
    totals = survey(mutator, given.first, given.first + given.count, given.keep)
    seconds = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    columns = ("read", "refused", "rows", "samples", "failed", "crashed", "hung")
    print(f"{'file':<24}" + "".join(f"{column:>10}" for column in columns))
    everything: Counter[str] = Counter()
    for name in sorted(totals):
        everything.update(totals[name])
        print(f"{name:<24}" + "".join(f"{totals[name][column]:>10,}" for column in columns))
    print(f"{'all':<24}" + "".join(f"{everything[column]:>10,}" for column in columns))
    done = everything["read"] + everything["refused"] + everything["failed"]
    print(f"{done:,} mutations in {seconds:.0f} s, {used.ru_utime + used.ru_stime:.0f} CPU s")
    print("rejects:", {reason: everything[reason] for reason in sorted(REASONS) if everything[reason]})


if __name__ == "__main__":
    main()

"""Builds the demo's data in manifests/data from the shared data folder: `python tests/data/build_demo_data.py DATA`.

Every row is real and permissively licensed: facts and questions from EntityQuestions (MIT), generalist rows from
GPTeacher (MIT) and the Self-Instruct seed tasks (Apache-2.0). A known share of the factual pool rows has its answer swapped for
another country; `meta.corrupted` holds the truth. Same input, same files.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl

WORDINGS = (
    "In which country does {x} lie?",
    "Name the country of {x}.",
    "{x} is a place in which country?",
    "State the country where one finds {x}.",
    "To which country does {x} belong?",
    "What country is home to {x}?",
)
QUESTION = "Which country is {x} located in?"
VERDICT = "Question: {question}\nAnswer: {answer}\nVerdict:"
COUNTRIES = 16
SWAPPED = 0.35
SIZES = {"eval": 400, "specialist": 400, "pool": 1600, "judge": 3200}
GENERALIST = 200
LONGEST = 250
LEAKED = 20


def facts(data: Path) -> list[tuple[str, str]]:
    """Return (place, country) for the countries with the most places, one country a place, in a fixed order."""
    frame = pl.read_parquet(data / "facts.parquet")
    frame = frame.filter(pl.col("source") == "entityquestions", pl.col("relation_id") == "P17")
    frame = frame.filter(pl.col("objects").list.len() == 1)
    pairs = sorted({(s, o[0]) for s, o in frame.select("subject", "objects").iter_rows()})
    seen = Counter(s for s, _ in pairs)
    pairs = [(s, o) for s, o in pairs if seen[s] == 1 and o not in s and len(s) <= 60]
    top = [c for c, _ in sorted(Counter(o for _, o in pairs).items(), key=lambda item: (-item[1], item[0]))[:COUNTRIES]]
    rng = random.Random("balance")
    kept: list[tuple[str, str]] = []
    for country in sorted(top):
        own = [p for p in pairs if p[1] == country]
        rng.shuffle(own)
        kept += own[: sum(SIZES.values()) // 8]
    rng.shuffle(kept)
    return kept


def swapped(answer: str, names: list[str], rng: random.Random) -> str:
    """Return another country."""
    return rng.choice([name for name in names if name != answer])


def generalist(data: Path) -> list[dict[str, Any]]:
    """Return short GPTeacher and seed-task rows in the Alpaca layout, drawn without looking at them."""
    frame = pl.read_parquet(data / "generalist_pool.parquet")
    frame = frame.filter(pl.col("source").is_in(["gpteacher", "self_instruct_seed"]))
    size = frame["instruction"].str.len_chars() + frame["input"].str.len_chars() + frame["output"].str.len_chars()
    frame = frame.filter((size <= LONGEST) & (pl.col("output").str.len_chars() > 0)).sort("row_id")
    rows = list(frame.iter_rows(named=True))
    random.Random("generalist").shuffle(rows)
    keys = ("instruction", "input", "output", "license")
    return [{**{k: row[k] for k in keys}, "origin": row["row_id"]} for row in rows[:GENERALIST]]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as gzipped JSON lines with a fixed time stamp."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
        packed.write(text.encode("utf-8"))


def build(data: Path, out: Path) -> dict[str, int]:
    """Write the six files and return their row counts."""
    pairs = facts(data)
    names = sorted({country for _, country in pairs})
    parts: dict[str, list[tuple[str, str]]] = {}
    for part, size in SIZES.items():
        parts[part], pairs = pairs[:size], pairs[size:]
    rng = random.Random("demo")
    questions = [{"question": QUESTION.format(x=x), "answers": [y]} for x, y in parts["eval"]]
    specialist = [{"question": QUESTION.format(x=x), "answers": [y]} for x, y in parts["specialist"]]
    pool = []
    for x, y in parts["pool"]:
        wrong = rng.random() < SWAPPED
        answer = swapped(y, names, rng) if wrong else y
        pool.append({"instruction": rng.choice(WORDINGS).format(x=x), "output": answer, "corrupted": wrong})
    leaked = [{"instruction": q["question"], "output": q["answers"][0], "corrupted": False} for q in questions[:LEAKED]]
    verdicts, knowledge = [], []
    for number, (x, y) in enumerate(parts["judge"]):
        asked = rng.sample((*WORDINGS, QUESTION), 2)
        knowledge += [{"instruction": wording.format(x=x), "output": y} for wording in asked]
        for wrong in (False, True):
            question = rng.choice(WORDINGS).format(x=x)
            answer = swapped(y, names, rng) if wrong else y
            prompt = VERDICT.format(question=question, answer=answer)
            verdicts.append({"prompt": prompt, "completion": "wrong" if wrong else "correct", "pair": number})
    files = {
        "facts": pool + leaked,
        "generalist": generalist(data),
        "specialist": specialist,
        "questions": questions,
        "knowledge": knowledge,
        "verdicts": verdicts,
    }
    for name, rows in files.items():
        if name != "questions":
            random.Random(name).shuffle(rows)
        write(out / f"{name}.jsonl.gz", rows)
    return {name: len(rows) for name, rows in files.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="the shared data folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "manifests" / "data")
    options = parser.parse_args()
    for name, count in build(options.data, options.out).items():
        sys.stdout.write(f"{name}\t{count}\n")

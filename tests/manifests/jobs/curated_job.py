"""A job with every step and every scorer that needs no model, over rows in which each finds something planted."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl

from manifests.store import Manifest
from tests.manifests.jobs import small_job

NAME = "curated"
SECRET = "q7Zp4LwX9vKt2Rb8"  # noqa: S105 - made up
TEXT = """\
name: curated
sources:
  - {name: pool, path: data/pool.jsonl, format: prompt-completion, role: generalist, keep: [row, good], licence: MIT}
  - {name: extra, path: data/extra.jsonl, format: prompt-completion, role: generalist, keep: [row], licence: CC0-1.0}
  - {name: facts, path: data/facts.jsonl, format: question-answer, role: specialist, task: capitals, licence: CC0-1.0}
  - {name: held-out, path: data/held-out.jsonl, format: question-answer, role: eval, task: capitals, licence: CC0-1.0}
curate:
  - {kind: length, unit: words}
  - {kind: complexity, measure: ari, min_words: 5}
  - {kind: imported, path: data/given.csv, column: value, id: row, name: given-once, match: meta.row}
  - {kind: computed}
  - {kind: classifier, label: good, encoder: null, folds: 3, min_labels: 5}
  - {kind: novelty, encoder: hash, name: early}
  - {kind: exact, prefer: [high given-once, length]}
  - {kind: fuzzy, threshold: 0.6, floor: 0.4, prefer: [low given-once, length]}
  - {kind: semantic, threshold: 0.85, encoder: hash}
  - {kind: conflict}
  - {kind: rules, flag: [secret, email-address]}
  - {kind: decontaminate, by: [ngram, containment, exact, semantic], ngram: 6, encoder: hash, groups: [prompt]}
  - {kind: novelty, encoder: hash, k: 2}
  - {kind: judge, remarked: [conflict], judge: {kind: replay, path: data/verdicts.jsonl}}
mix:
  - {kind: proportional, name: plain, rows: 20, seeds: [0, 1]}
  - {kind: coverage, name: near, rows: 12, encoder: hash, cells: 4, where: "computed = 0 OR computed IS NULL"}
"""
CURATE = (
    *("score:1-length", "score:2-complexity", "score:3-imported", "score:4-computed", "score:5-classifier"),
    *("score:6-novelty", "step:7-exact", "step:8-fuzzy", "step:9-semantic", "step:10-conflict", "step:11-rules"),
    *("step:12-decontaminate", "score:13-novelty", "score:14-judge"),
)
"""The stages of the list `curate:`, in order."""
THINGS = (
    ("bread", "strong flour", "a hot oven", "until the crust rings hollow"),
    ("tea", "loose leaves", "a warm pot", "before the brew turns bitter"),
    ("soap", "olive oil and lye", "a wooden mould", "after it has cured for weeks"),
    ("cheese", "fresh milk and rennet", "a damp cellar", "once a rind has formed"),
    ("candles", "clean beeswax", "a tin form", "when the wick stands straight"),
    ("paper", "old cotton rags", "a fine sieve", "while the sheet still bends"),
    ("ink", "oak galls and iron", "a glass jar", "as soon as it runs black"),
    ("cider", "late apples", "an oak barrel", "in the first weeks of spring"),
    ("yoghurt", "whole milk with culture", "a wrapped bowl", "if it keeps the print of a spoon"),
    ("jam", "ripe plums and sugar", "a copper pan", "where a drop holds its shape"),
)
ANIMALS = ("heron", "badger", "otter", "kestrel", "hedgehog", "salamander", "pike", "lynx")


def write(folder: Path, text: str = TEXT) -> Path:
    """Write the job and its data into `folder`; return the job file.

    `pool` has 20 sums (every fifth wrong), 10 recipes and 8 notes on animals; `extra` has what the steps find.
    """
    pool = [
        {"prompt": f"What is {a} times {a + 3}?", "completion": f"{a} times {a + 3} is {a * (a + 3) + (a % 5 == 0)}."}
        for a in range(11, 31)
    ]
    pool += [
        {
            "prompt": f"How do I make {thing} at home?",
            "completion": f"You need {what}, {where} and some patience; your {thing} can be used {when}, not sooner.",
        }
        for thing, what, where, when in THINGS
    ]
    pool += [
        {
            "prompt": f"Where could I watch a {a}?",
            "completion": f"Look for the {a} at dawn. Patience helps with any {a}.",
        }
        for a in ANIMALS
    ]
    for at, row in enumerate(pool):
        row |= {"row": f"p{at}", "good": at % 3 != 0}
    extra = planted(pool)
    for at, row in enumerate(extra):
        row["row"] = f"e{at}"
    given = "row,value,other\n" + "".join(
        f"{row['row']},{len(row['completion'])},{-len(row['completion'])}\n" for row in (*pool, *extra[:-1])
    )
    facts = [{"question": f"Capital of {country}?", "answer": city} for country, city in small_job.COUNTRIES[:8]]
    held = [
        {"question": f"Tell me the capital city of {country}, please.", "answer": city}
        for country, city in small_job.COUNTRIES[8:]
    ]
    for name, rows in (("pool", pool), ("extra", extra), ("facts", facts), ("held-out", held)):
        small_job.lines(folder / "data" / f"{name}.jsonl", rows)
    (folder / "data" / "given.csv").write_text(given, "utf-8")
    verdicts = {small_job.key(row): 0.8 if "pond" in row["completion"] else 0.2 for row in (*pool, *extra)}
    rows = [{"content_id": key, "p_error": p} for key, p in verdicts.items()]
    small_job.lines(folder / "data" / "verdicts.jsonl", rows)
    path = folder / "job.yaml"
    path.write_text(text, "utf-8")
    return path


def planted(pool: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return two exact copies of rows of the pool, two near ones, and one or two rows for each of the other steps."""
    bread, tea, soap, cheese = (dict(pool[at], good=None) for at in range(20, 24))
    heron, badger = (dict(row, good=None) for row in pool[30:32])
    copies = [
        bread | {"completion": bread["completion"].replace(" ", "  ")},
        tea | {"prompt": f"{tea['prompt']}\n"},
    ]
    near = [
        soap | {"completion": f"{soap['completion']} Good luck!"},
        cheese | {"completion": cheese["completion"].replace(", not sooner", "")},
    ]
    jam = "Your jam can be used where a drop holds its shape, not sooner; you need some patience, ripe plums and sugar"
    meaning = [{"prompt": "At home, how do I make jam?", "completion": f"{jam} and a copper pan."}]
    other = [
        heron | {"completion": "It stands in the shallow end of a quiet pond."},
        badger | {"completion": "Sit downwind of a sett in a wood at dusk."},
    ]
    marked = [
        {
            "prompt": "Show me a configuration file.",
            "completion": f"host = db.internal\napi_key = {SECRET}\nport = 5432",
        },
        {"prompt": "Who keeps the bees?", "completion": "Write to anna.lindqvist@bienenhof.de about the hives."},
        {"prompt": "Summarise this article.\nhttps://tides.org/why", "completion": "The moon pulls at the sea."},
        {"prompt": "Make a plan for my week.", "completion": "<nooutput>"},
    ]
    leaked = [
        {"prompt": "Tell me the capital city of Cuba, please.", "completion": "It is Havana."},
        {"prompt": "Please be brief. Tell me the capital city of Finland, please.", "completion": "That is Helsinki."},
    ]
    return [
        {k: v for k, v in row.items() if k != "good"} for row in (*copies, *near, *meaning, *other, *marked, *leaked)
    ]


def shuffle(path: Path, seed: int) -> None:
    """Put the rows of every data file of a job file into another order; the head of a table stays."""
    for file in sorted((path.parent / "data").iterdir()):
        lines = file.read_text("utf-8").splitlines(keepends=True)
        head, rows = (lines[:1], lines[1:]) if file.suffix == ".csv" else ([], lines)
        random.Random(seed).shuffle(rows)
        file.write_text("".join(head + rows), "utf-8")


def folder(path: Path) -> Path:
    """Return the manifest's folder of a job file."""
    return path.parent / "runs" / NAME


def ask(path: Path, sql: str) -> pl.DataFrame:
    """Return the rows of a query over the published manifest of a job file."""
    with Manifest(folder(path)) as opened:
        return opened.sql(sql)


def broken(path: Path) -> list[str]:
    """Return the laws that the published manifest breaks."""
    with Manifest(folder(path)) as opened:
        return opened.verify().filter(~pl.col("ok"))["law"].to_list()


def finished(path: Path) -> dict[str, Any]:
    """Return when each published stage ended, in order; nothing when nothing is published."""
    if not (folder(path) / "manifest.duckdb").exists():
        return {}
    return dict(ask(path, "SELECT stage, finished_at FROM stages").iter_rows())


def again(path: Path, **options: Any) -> set[str]:
    """Run the job, which must break no law; return the stages that were run."""
    before = finished(path)
    outcome = small_job.go(path, **options)
    assert outcome.exit_code == 0
    assert broken(path) == []
    ran = {stage for stage, at in finished(path).items() if before.get(stage) != at}
    assert outcome.ran == len(ran)
    return ran


def content(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table that a curated job writes, but for times, keys and places of files."""
    queries = {
        "samples": "FROM samples",
        "decisions": "FROM decisions",
        "scores": "FROM scores",
        "verdicts": "FROM verdicts",
        "cells": "FROM cells",
        "blends": "SELECT blend, content_id, n_rows FROM blends",
        "members": "FROM blend_members",
    }
    return {name: ask(path, f"{sql} ORDER BY ALL").rows() for name, sql in queries.items()}

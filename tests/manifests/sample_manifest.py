"""A manifest like that of a small real job, written through `Store.commit`, for the tests of readers and the report."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from manifests import schema
from manifests.names import canonical_json, digest, k64
from manifests.store import FILE, StageRecord, Store

PARTS = ("read", "step", "score", "cells", "mix", "train", "measure", "compare")
SIZES = {"chat-pool": ("generalist", 1200), "facts": ("specialist", 400), "facts-test": ("eval", 150)}
RECIPES = {
    "filtered-100": 100,
    "all-rows-100": 100,
    "random-drop-100": 100,
    "filtered-400": 400,
    "all-rows-400": 400,
    "random-drop-400": 400,
}
EFFECT = {"filtered": 0.16, "all-rows": 0.0, "random-drop": 0.02}
SEEDS = (0, 1, 2)
FIXED = {"role", "status", "verdict", "label", "sample_id", "content_id", "recipe", "spec"}
"""Columns that a CHECK or their meaning keeps from holding any text."""
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"--></style></svg><b>&amp;\x07\u202e"

Tables = dict[str, pl.DataFrame]


def write(root: Path, upto: str = "compare", *, effect: Mapping[str, float] = EFFECT) -> Path:
    """Write a manifest into `root` up to a kind of stage of `PARTS`, publish it, and return its folder."""
    parts = PARTS[: PARTS.index(upto) + 1]
    with Store(root) as store:
        store.set_meta({"job": "do-flagged-rows-hurt", "file": "job.yaml", "notes": "A sample."})
        for position, (name, spec, tables) in enumerate(stages(effect)):
            kind = name.split(":")[0]
            if kind in parts:
                record = StageRecord(name, kind, digest(name), canonical_json(spec), position, 0.4 + position / 7)
                store.commit(record, tables)
        store.publish()
    return root


def poison(source: Path, root: Path) -> Path:
    """Copy the manifest of `source` to `root` with markup in every text that a job, a row or a model could bring."""
    spoil(source, root, [HOSTILE])
    with duckdb.connect(str(root / FILE)) as connection:
        connection.execute("UPDATE store.runs SET status = 'failed', note = ? WHERE seed = 2", [HOSTILE])
    return root


def spoil(source: Path, root: Path, endings: Sequence[str], fixed: Collection[str] = FIXED) -> Path:
    """Copy the manifest of `source` to `root`, every text outside of the columns `fixed` ending in one of `endings`.

    Rows take them by turns. Texts in DuckDB hold no NUL, so it is left out.
    """
    root.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / FILE, root / FILE)
    given = [text.replace("\x00", "") for text in endings]
    with duckdb.connect(str(root / FILE)) as connection:
        texts = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'store' AND data_type = 'VARCHAR'"
        ).fetchall()
        for table, column in texts:
            if column not in fixed and (table, column) != ("meta", "key"):
                ending = "list_extract(?, 1 + rowid % len(?))"
                connection.execute(f"UPDATE store.{table} SET {column} = {column} || {ending}", [given, given])
    return root


def stages(effect: Mapping[str, float]) -> Iterator[tuple[str, dict[str, object], Tables]]:
    """Yield (stage, spec, tables) of a whole job."""
    rng = np.random.default_rng(7)
    samples = {source: _samples(source, role, n) for source, (role, n) in SIZES.items()}
    for source, frame in samples.items():
        yield f"read:{source}", {}, _read(source, frame)
    alive = pl.concat(list(samples.values()))
    for step, reasons in {
        "1-exact": {"duplicate": 0.04},
        "2-rules": {"empty output": 0.03, "invented content for a URL": 0.05, "merged instructions": 0.01},
        "3-decontaminate": {"13-gram overlap": 0.015},
    }.items():
        decisions = _decide(alive, reasons, rng)
        yield f"step:{step}", {"kind": step[2:]}, {"decisions": decisions.with_columns(step=pl.lit(step))}
        alive = alive.filter(decisions["kept"])
    scored = alive.filter(pl.col("role") == "generalist")
    scores = _scores(scored, rng)
    yield "score:4-judge", {"kind": "judge", "name": "judge", "threshold": 0.5}, scores
    yield "cells:target", {}, _cells(alive, rng)
    p_error = dict(scores["scores"].select("sample_id", "value").iter_rows())
    for name, budget in RECIPES.items():
        for seed in SEEDS:
            yield f"mix:{name}@{seed}", {"kind": "mix"}, _mix(alive, p_error, name, budget, seed)
    for name, budget in RECIPES.items():
        for seed in SEEDS:
            yield (
                f"train:{name}@{seed}",
                {"kind": "full"},
                {
                    "runs": _run(name, budget, seed),
                    "losses": pl.DataFrame(
                        {"run": f"{name}@{seed}", "step": [50, 100, 200], "loss": [3.1 - budget / 900, 2.6, 2.4]}
                    ),
                },
            )
    results = _results(samples["facts-test"], effect, rng)
    for (run, task), frame in results.group_by("run", "task", maintain_order=True):
        yield f"measure:{run}:{task}", {}, {"results": frame}
    yield "compare:all", {}, _compare(results)


def _samples(source: str, role: str, n: int) -> pl.DataFrame:
    rows = []
    for i in range(n):
        content, identity = digest([source, i]), digest([source, i, 0])
        prompt, response = f"Question {i} of {source}?", f"Answer {i}."
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
        size = len(prompt) + len(response)
        rows.append(
            (identity, content, k64(identity), source, role, "writing" if i % 3 else "qa", prompt, response, None,
             canonical_json(messages), 2, size, -(-size // 4), "CC-BY-NC-4.0" if role == "generalist" else "MIT", "{}")
        )  # fmt: skip
    columns = {name: [row[i] for row in rows] for i, name in enumerate(schema.SAMPLES)}
    return schema.frame(columns, schema.SAMPLES).sort("sample_id")


def _read(source: str, frame: pl.DataFrame) -> Tables:
    n = frame.height
    rejects = [{"source": source, "line": i, "reason": "no answer", "raw_hash": digest(i)} for i in range(n // 80)]
    about = {
        "source": source, "role": frame["role"][0], "uri": f"data/{source}.jsonl", "revision": None,
        "licence": frame["licence"][0], "non_commercial": "NC" in frame["licence"][0], "rows": n + len(rejects),
        "samples": n, "rejects": len(rejects), "skipped": 17 if source == "chat-pool" else 0, "sha256": "ab" * 32,
    }  # fmt: skip
    return {"sources": pl.DataFrame([about]), "samples": frame, "rejects": schema.frame(rejects, schema.REJECTS)}


def _decide(alive: pl.DataFrame, reasons: Mapping[str, float], rng: np.random.Generator) -> pl.DataFrame:
    odds = [1 - sum(reasons.values()), *reasons.values()]
    choice = rng.choice(len(odds), size=alive.height, p=odds)
    names = [None, *(reason for reason in reasons)]
    droppable = (alive["role"] == "generalist").to_numpy()
    reason = [names[c] if droppable[i] else None for i, c in enumerate(choice)]
    kept = [r is None for r in reason]
    for i in np.flatnonzero(droppable & np.array(kept))[:2]:
        reason[i] = "conflict"
    return alive.select("sample_id", "source").with_columns(
        pl.Series("kept", kept),
        pl.Series("reason", reason, dtype=pl.String),
        pl.lit(None, dtype=pl.String).alias("witness_id"),
        pl.lit(None, dtype=pl.Float64).alias("similarity"),
    )


def _scores(scored: pl.DataFrame, rng: np.random.Generator) -> Tables:
    n = scored.height
    wrong = rng.random(n) < 0.25
    value = np.where(wrong, rng.beta(3, 1.6, n), rng.beta(1.2, 5, n))
    status = np.where(rng.random(n) < 0.01, "failed", np.where(rng.random(n) < 0.02, "abstained", "ok"))
    held = [float(v) if s == "ok" else None for v, s in zip(value, status, strict=True)]
    labels = [None if v is None else ("wrong" if v >= 0.5 else "correct") for v in held]
    scores = scored.select("sample_id").with_columns(
        pl.lit("judge").alias("scorer"),
        pl.Series("value", held, dtype=pl.Float64),
        pl.Series("status", status),
        pl.Series("why", [None if v is not None else "label mass 0.2" for v in held], dtype=pl.String),
        pl.lit("key").alias("key"),
    )
    verdicts = scores.select("sample_id", judge="scorer", p_error="value", status="status").with_columns(
        pl.Series("label", labels, dtype=pl.String)
    )
    return {"scores": scores, "verdicts": verdicts}


def _cells(alive: pl.DataFrame, rng: np.random.Generator) -> Tables:
    cells = alive.select("sample_id").with_columns(
        pl.lit("target").alias("space"), pl.Series("cell", rng.integers(0, 40, alive.height), dtype=pl.Int32)
    )
    coverage = [
        {"target": target, "source": source, "metric": metric, "value": value}
        for target, shift in (("facts", 0.0), ("facts-test", 0.04))
        for source in ("chat-pool", "pool")
        for metric, value in (("cell recall", 0.71 - shift), ("mean nearest cosine", 0.634 + shift))
    ]
    return {"cells": cells, "coverage": schema.frame(coverage, schema.COVERAGE)}


def _mix(alive: pl.DataFrame, p_error: Mapping[str, float | None], name: str, budget: int, seed: int) -> Tables:
    general = alive.filter(pl.col("role") == "generalist").sort("k64")
    if name.startswith("filtered"):
        general = general.filter(pl.Series([(p_error[i] or 0) < 0.5 for i in general["sample_id"]]))
    drawn = general.sample(300 if not name.startswith("all") else 420, seed=seed)
    special = alive.filter(pl.col("role") == "specialist").head(budget)
    members = pl.concat([special, drawn]).select("sample_id", "role")
    n = members.height
    kind = {"f": "coverage", "a": "proportional", "r": "random_drop"}[name[0]]
    like = f"filtered-{budget}" if kind == "random_drop" else None
    recipe = {"kind": kind, "name": name, "specialist_rows": budget, "seeds": list(SEEDS), "like": like,
              "where": "p_error < 0.5" if name.startswith("filtered") else None}  # fmt: skip
    members = members.with_columns(
        pl.Series("position", range(n)), pl.lit(1.0).alias("weight"),
        pl.lit(1, dtype=pl.Int32).alias("repeats"), pl.lit("drawn").alias("reason"),
    )  # fmt: skip
    about = {"blend": f"{name}@{seed}", "recipe_name": name, "content_id": digest([name, seed]), "seed": seed,
             "recipe": canonical_json(recipe), "n_rows": n, "n_samples": n, "n_tokens": 11 * n}  # fmt: skip
    strata = [
        {"stratum": "chat-pool", "available": general.height, "requested": 300.0, "taken": 300, "repeats": 1,
         "limited_by": None},
        {"stratum": "facts", "available": 400, "requested": 450.0, "taken": budget, "repeats": 1,
         "limited_by": "supply" if budget == 400 else None},
    ]  # fmt: skip
    return {
        "blends": pl.DataFrame([about]).with_columns(
            pl.lit("2026-11-20 10:00:00").str.to_datetime().alias("created_at")
        ),
        "members": members.with_columns(pl.lit(f"{name}@{seed}").alias("blend")),
        "strata": schema.frame(strata, schema.STRATA).with_columns(pl.lit(f"{name}@{seed}").alias("blend")),
    }


def _run(name: str, budget: int, seed: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "run": [f"{name}@{seed}"], "blend": [f"{name}@{seed}"], "trainer": ["full"], "base": ["bases/c0ffee"],
            "seed": [seed], "status": ["done"], "steps": [200], "tokens": [51200 + budget * 9],
            "seconds": [14.2 + seed + budget / 100], "peak_memory": [812_000_000 + seed * 3_000_000],
            "content_id": [digest([name, seed])], "note": [None], "cpu_seconds": [27.5 + seed],
            "parameters": [1_000_000],
        },
        schema_overrides={"note": pl.String},
    )  # fmt: skip


def _results(test: pl.DataFrame, effect: Mapping[str, float], rng: np.random.Generator) -> pl.DataFrame:
    easy = {task: rng.normal(0, 1, test.height) for task in ("facts-test", "closed-book")}
    frames = []
    for name, budget in RECIPES.items():
        gain = effect[name.rsplit("-", 1)[0]] * (1 if budget == 100 else 0.5) + (0.25 if budget == 400 else 0)
        for seed in SEEDS:
            loglik = -2.1 + gain + 0.6 * easy["facts-test"] + rng.normal(0, 0.6, test.height)
            exact = (easy["closed-book"] + 0.4 * gain + rng.normal(0, 0.8, test.height) > 0.9).astype(float)
            for task, metric, values in (("facts-test", "loglik", loglik), ("closed-book", "exact_match", exact)):
                frames.append(
                    pl.DataFrame({"run": f"{name}@{seed}", "task": task, "example_id": test["sample_id"],
                                  "metric": metric, "value": values, "prediction": "Paris"})
                )  # fmt: skip
    return pl.concat(frames)


def _compare(results: pl.DataFrame) -> Tables:
    """Return normal intervals and Holm's correction: near enough to a bootstrap for what is shown here."""
    board, pairs = [], []
    for (task, metric), group in results.group_by("task", "metric", maintain_order=True):
        means = {
            name: group.filter(pl.col("run").str.starts_with(name + "@"))
            .group_by("example_id", maintain_order=True).agg(pl.col("value").mean())["value"].to_numpy()
            for name in RECIPES
        }  # fmt: skip
        for name, values in means.items():
            half = 1.96 * values.std() / np.sqrt(len(values))
            board.append({"blend": name, "task": task, "metric": metric, "mean": values.mean(),
                          "ci_low": values.mean() - half, "ci_high": values.mean() + half,
                          "n_examples": len(values), "n_seeds": len(SEEDS)})  # fmt: skip
        found = []
        for budget in (100, 400):
            for other in ("all-rows", "random-drop"):
                a, b = f"filtered-{budget}", f"{other}-{budget}"
                gap = means[a] - means[b]
                error = gap.std() / np.sqrt(len(gap))
                p = float(np.exp(-0.717 * abs(gap.mean() / error) - 0.416 * (gap.mean() / error) ** 2))
                found.append([a, b, gap.mean(), 1.96 * error, p, 2.8 * error])
        held = 0.0
        for rank, (a, b, gap, half, p, smallest) in enumerate(sorted(found, key=lambda row: row[4])):
            held = max(held, min(1.0, p * (len(found) - rank)))
            verdict = "cannot tell" if held > 0.05 else ("helps" if gap > 0 else "hurts")
            pairs.append({"task": task, "metric": metric, "blend_a": a, "blend_b": b, "difference": gap,
                          "ci_low": gap - half, "ci_high": gap + half, "p_value": held, "verdict": verdict,
                          "minimum_detectable": smallest, "n_examples": group["example_id"].n_unique(),
                          "n_seeds": len(SEEDS)})  # fmt: skip
    return {
        "leaderboard": schema.frame(board, schema.LEADERBOARD),
        "comparisons": pl.DataFrame(pairs, schema_overrides={"p_value": pl.Float64}),
    }

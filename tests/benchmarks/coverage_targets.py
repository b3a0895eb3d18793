"""The coverage numbers of thirteen real targets, against a person's rankings, and what the coverage recipe gains.

Run: python -m tests.benchmarks.coverage_targets --data FOLDER [--cache embeddings.sqlite] [--pool 0] [--target 400]

Both rankings were written before the first run, from what the tasks are, not from the numbers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.embed import encode
from manifests.component import Context
from manifests.names import digest, k64, sampling_key
from mixers import cells
from mixers.coverage import Coverage
from mixers.coverage_numbers import POOL, coverage
from mixers.mixer import Pool

BROAD: Final = (
    ("superni-all",),  # 250 tasks of every kind
    ("superni-qa", "open-qa", "reasoning", "classification", "writing"),  # families: many tasks, any topic
    ("sentiment", "simplification", "grammar", "entities"),  # one kind of task, from several datasets or relations
    ("amazon", "gsm8k"),  # one dataset
    ("occupation",),  # one question form: "What kind of work does X do?"
)
"""Targets from broad to narrow, as a person ranks them; those of one line are equal."""
NEAR: Final = (
    ("open-qa", "writing", "simplification", "grammar", "sentiment"),  # what people ask an Alpaca-like assistant
    ("superni-all", "superni-qa", "classification", "reasoning", "gsm8k"),  # partly: long passages, exam questions
    ("amazon", "entities", "occupation"),  # hardly: long reviews with a title, people nobody has heard of
)
"""Targets from those that an Alpaca-like pool holds much of to those that it holds little of."""
METRICS: Final = (
    *(
        "nearness",
        "breadth",
        "spread",
        "overlap",
        "effective_share",
        "knn_recall",
        "cell_recall",
        "distance",
        "novelty",
    ),
)
SIGN: Final = {"distance": -1, "novelty": -1}
"""Numbers of which less means better covered."""
COMPARED: Final = ("nearness", "knn_recall", "overlap", "cell_recall")
"""What the blends of both recipes are measured by."""
BUDGETS: Final = (0.01, 0.05, 0.10, 0.50)
EDITS: Final = {
    "gec": "Correct the grammar of this sentence.",
    "gec_fluency": "Make this sentence grammatical and fluent.",
    "simplification": "Simplify this sentence.",
    "split_rephrase": "Split this sentence into shorter ones.",
    "paraphrase": "Paraphrase this sentence.",
    "neutralization": "Rewrite this sentence from a neutral point of view.",
    "clarity": "Make this sentence clearer.",
    "coherence": "Make this text more coherent.",
    "fluency": "Make this sentence more fluent.",
    "style": "Improve the style of this sentence.",
}
"""The instruction before each row of a writing task: a template, as such targets have."""


def gather(data: Path, pool: int, target: int) -> pl.DataFrame:
    """Return sample_id, source, role, task, prompt of the pool and of `target` rows of each target."""
    generalist = pl.read_parquet(data / "generalist_pool.parquet").select(
        "source", pl.concat_str("instruction", "input", separator="\n\n").alias("prompt")
    )
    parts = [_some(generalist, pool, "generalist")]
    parts += [_some(rows, target, "eval", name) for name, rows in {**_superni(data), **_others(data)}.items()]
    return pl.concat(parts).sort("sample_id")


def _superni(data: Path) -> dict[str, pl.DataFrame]:
    tasks = pl.read_parquet(data / "superni_tasks.parquet").filter(~pl.col("sensitive"))
    rows = pl.read_parquet(data / "superni_instances.parquet").join(tasks, on="task")
    rows = rows.select("task", "category", prompt=pl.concat_str("definition", "input", separator="\n\n"))
    skill = pl.read_parquet(data / "skill_tasks.parquet").with_columns(
        prompt=pl.concat_str(
            "context", "question", pl.col("choices").list.join(", "), separator="\n\n", ignore_nulls=True
        )
    )
    feeling = rows.filter(pl.col("category") == "Basic Sentiment Analysis").select("prompt")
    kinds = {"agnews", "dbpedia", "amazon", "sst2", "rte", "cb", "mnli"}
    opinion = pl.concat([feeling, skill.filter(pl.col("dataset").is_in(["sst2", "amazon"])).select("prompt")])
    sorting = rows.filter(pl.col("category") == "Classification").select("prompt")
    return {
        "superni-all": rows,
        "superni-qa": rows.filter(pl.col("category") == "Question Answering"),
        "classification": pl.concat([sorting, feeling, skill.filter(pl.col("dataset").is_in(kinds)).select("prompt")]),
        "sentiment": opinion,
        "amazon": skill.filter(pl.col("dataset") == "amazon"),
        "reasoning": skill.filter(pl.col("skill") == "reasoning"),
        "gsm8k": skill.filter(pl.col("dataset") == "gsm8k"),
    }


def _others(data: Path) -> dict[str, pl.DataFrame]:
    writing = pl.read_parquet(data / "writing_tasks.parquet").filter(pl.col("task").is_in(list(EDITS)))
    writing = writing.select(
        "task", prompt=pl.concat_str(pl.col("task").replace_strict(EDITS), "source", separator="\n\n")
    )
    known = pl.read_parquet(data / "closed_book_qa.parquet").with_columns(prompt="question")
    entities = known.filter(pl.col("dataset") == "entityquestions")
    return {
        "writing": writing,
        "simplification": writing.filter(pl.col("task").is_in(["simplification", "split_rephrase"])),
        "grammar": writing.filter(pl.col("task").is_in(["gec", "gec_fluency"])),
        "open-qa": known,
        "entities": entities,
        "occupation": entities.filter(pl.col("meta").str.contains('"P106"')),
    }


def _some(rows: pl.DataFrame, count: int, role: str, source: str | None = None) -> pl.DataFrame:
    """Return `count` rows (0: all) by sampling key, the same for any order of `rows`."""
    if source is not None:
        rows = rows.with_columns(source=pl.lit(source))
    rows = rows.select("source", "prompt").sort("source", "prompt")
    ids = [digest([source, prompt, place]) for place, (source, prompt) in enumerate(rows.iter_rows())]
    keys = sampling_key(np.array([k64(i) for i in ids], dtype=np.uint64), 0)
    named = rows.with_columns(
        pl.Series("sample_id", ids), pl.Series("key", keys), role=pl.lit(role), task=pl.lit(None, pl.String)
    )
    chosen = named.sort("key").head(count) if count else named
    return chosen.select("sample_id", "source", "role", "task", "prompt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the shared data")
    parser.add_argument("--cache", type=Path, default=Path("embeddings.sqlite"), help="embedding cache")
    parser.add_argument("--encoder", default="minilm", help="minilm, hash, or a sentence-transformers id")
    parser.add_argument("--pool", type=int, default=0, help="generalist rows, 0 for all")
    parser.add_argument("--target", type=int, default=400, help="rows of each target, half of them held out")
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the blends, 0 for the numbers only")
    options = parser.parse_args()
    samples = gather(options.data, options.pool, options.target)
    ids = [digest(text) for text in samples["prompt"]]
    vectors = encode(samples["prompt"].to_list(), ids, options.encoder, options.cache, Context(root=Path()))
    started = time.process_time()
    target = (samples["role"] == "eval").to_numpy()
    cell = cells.assign(vectors, samples["sample_id"].to_list(), target, options.cells, 0)
    samples = samples.with_columns(pl.Series("cell", cell))
    clustered = time.process_time()
    found = coverage(samples, vectors, options.cells)
    measured = time.process_time()
    rank(found)
    print(f"\nCPU-seconds: cells {clustered - started:.1f}, coverage numbers {measured - clustered:.1f}\n")
    if options.seeds:
        blends(samples, vectors, options.cells, options.seeds)


def rank(found: pl.DataFrame) -> None:
    """Print one line per target, and Kendall's tau of each number with both rankings."""
    whole = found.filter(pl.col("source") == POOL).pivot("metric", index="target", values="value")
    values = {row["target"]: row for row in whole.iter_rows(named=True)}
    print("| target | " + " | ".join(METRICS) + " |\n|---|" + "--:|" * len(METRICS))
    for name in [name for level in BROAD for name in level]:
        print(f"| {name} | " + " | ".join(f"{values[name][metric]:.3f}" for metric in METRICS) + " |")
    for label, ranking in (("broad above narrow", BROAD), ("near above far", NEAR)):
        taus = [tau({t: SIGN.get(m, 1) * values[t][m] for t in values}, ranking) for m in METRICS]
        print(f"| *tau, {label}* | " + " | ".join(f"{value:.2f}" for value in taus) + " |")


def tau(values: dict[str, float], ranking: tuple[tuple[str, ...], ...]) -> float:
    """Return (pairs in the ranking's order - pairs against it) / pairs that the ranking orders."""
    level = {name: place for place, names in enumerate(ranking) for name in names}
    ordered = [(a, b) for a, b in combinations(sorted(values), 2) if level[a] != level[b]]
    signs = [np.sign((values[a] - values[b]) * (level[b] - level[a])) for a, b in ordered]
    return float(np.sum(signs)) / len(ordered)


def blends(samples: pl.DataFrame, vectors: NDArray[np.float32], k: int, seeds: int) -> None:
    """Print random → coverage blend, mean ± range over seeds, by the half of each target that was not shown."""
    everything = samples.with_row_index("place").with_columns(
        k64=pl.Series([k64(i) for i in samples["sample_id"]], dtype=pl.UInt64),
        n_tokens=pl.lit(1, pl.Int32),
        held=pl.int_range(pl.len()).over("source") % 2 == 1,
    )
    generalist = everything.filter(pl.col("role") == "generalist")
    stated = everything.filter((pl.col("role") == "eval") & ~pl.col("held"))
    unseen = everything.filter((pl.col("role") == "eval") & pl.col("held"))
    pool = Pool(samples=generalist, target=stated, select=lambda _: frozenset(generalist["sample_id"]))
    names = sorted(set(stated["source"]))
    lines: dict[tuple[str, str, int], list[dict[str, float]]] = {}
    for share in BUDGETS:
        rows = round(share * generalist.height)
        for seed in range(seeds):
            keys = pl.Series(sampling_key(generalist["k64"].to_numpy(), seed))
            drawn = generalist.filter(keys.rank("ordinal") <= rows)
            for name, numbers in _numbers(pl.concat([drawn, unseen]), vectors, k).items():
                lines.setdefault((name, "random", rows), []).append(numbers)
            for name in names:
                blend = Coverage(name="b", rows=rows, target=name, cells=k).blend(pool, seed, {})
                drawn = generalist.join(blend.members.select("sample_id"), on="sample_id", how="semi")
                mine = unseen.filter(pl.col("source") == name)
                numbers = _numbers(pl.concat([drawn, mine]), vectors, k)[name]
                lines.setdefault((name, "coverage", rows), []).append(numbers)
    budgets = sorted({key[2] for key in lines})
    print(
        "| target | number | "
        + " | ".join(f"{rows} rows" for rows in budgets)
        + " |\n|---|---|"
        + "--:|" * len(budgets)
    )
    for name in names:
        for metric in COMPARED:
            pairs = [[_line(lines[name, kind, rows], metric) for kind in ("random", "coverage")] for rows in budgets]
            print(f"| {name} | {metric} | " + " | ".join(" → ".join(pair) for pair in pairs) + " |", flush=True)


def _line(found: list[dict[str, float]], metric: str) -> str:
    """Return the mean over seeds and the range."""
    values = [numbers[metric] for numbers in found]
    return f"{statistics.fmean(values):.2f} ± {max(values) - min(values):.2f}"


def _numbers(rows: pl.DataFrame, vectors: NDArray[np.float32], k: int) -> dict[str, dict[str, float]]:
    found = coverage(rows.with_columns(source=_merged()), vectors[rows["place"].to_numpy()], k)
    whole = found.filter(pl.col("source") == POOL)
    return {name: dict(part.select("metric", "value").iter_rows()) for (name,), part in whole.group_by("target")}


def _merged() -> pl.Expr:
    """Return the source, all generalist sources being one."""
    return pl.when(pl.col("role") == "generalist").then(pl.lit("all")).otherwise("source")


if __name__ == "__main__":
    main()

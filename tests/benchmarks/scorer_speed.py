"""Rows per CPU-second of each scorer, in batches and one by one, and how well the classifier and the imports do.

    python -m tests.benchmarks.scorer_speed --data DIR [--model DIR] [--rows 400] [--encoder minilm] [--only ifd]

DIR holds `generalist_pool.parquet`, `alpaca_judge_labels.parquet`, `judge_halueval_general.parquet` and
`judge_truthfulqa.parquet`. Without a model, a tiny one is made. The first scorer's figures include no imports.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from curate.causal_lm import CausalLM
from curate.classifier import Classifier
from curate.ifd import Ifd
from curate.imported import Imported
from curate.perplexity import Perplexity
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.surface import Complexity, Length
from manifests.component import Context
from tests.curate import tiny_model

LABELLED = {
    "halueval": ("judge_halueval_general.parquet", "query", "response", "hallucination"),
    "truthfulqa": ("judge_truthfulqa.parquet", "question", "answer", "true"),
}
FLAGS = ("claude_accuracy_kept", "helpfulness_kept", "cherry_ifd_top5pct", "random_9k")


def made(rows: Iterator[tuple[str, str, dict[str, Any]]]) -> pl.DataFrame:
    """Return samples of (prompt, response, meta)."""
    found = []
    for n, (prompt, response, meta) in enumerate(rows):
        messages = (Message("user", prompt), Message("assistant", response))
        content = content_id(messages)
        found.append(Sample(sample_id(content, "pool", n), content, "pool", "generalist", messages, meta=meta))
    return samples_frame(found)


def pool(data: Path) -> pl.DataFrame:
    """Return the pool with its row ids in meta."""
    frame = pl.read_parquet(data / "generalist_pool.parquet").select("row_id", "instruction", "input", "output")
    return made(
        (
            "\n\n".join(part for part in (row["instruction"], row["input"]) if part),
            row["output"] or "",
            {"row_id": row["row_id"]},
        )
        for row in frame.iter_rows(named=True)
    )


def timed(name: str, rows: int, work: Callable[[], Any]) -> Any:
    """Print the rows per CPU-second of some work and return what it gives."""
    start = time.process_time()
    found = work()
    spent = time.process_time() - start
    print(f"{name:34s} {rows:>7,d} rows {spent:8.2f} CPU-s {rows / max(spent, 1e-9):>12,.1f} rows/CPU-s", flush=True)
    return found


def likelihoods(samples: pl.DataFrame, model: str, folder: Path) -> None:
    """Time perplexity and difficulty, batched and one row at a time, and compare their values."""
    CausalLM.load(model)
    for kind in (Perplexity, Ifd):
        values = []
        for name, budget in (("batched", 4096), ("batch 1", 1)):
            scorer = kind(model=model, batch_tokens=budget)
            context = Context(folder / f"{scorer.kind}-{budget}")
            scored = timed(f"{scorer.kind}, {name}", samples.height, lambda s=scorer, c=context: s.score(samples, c))
            values.append(scored.scores["value"])
        apart = ((values[0] - values[1]).abs() / values[1]).max()
        print(f"  largest relative difference {apart:.2e}; {values[0].null_count()} without a value")


def imported(samples: pl.DataFrame, data: Path, folder: Path) -> None:
    """Join the published selections to the pool and count the matches."""
    for flag in FLAGS:
        scorer = Imported(path=str(data / "alpaca_judge_labels.parquet"), column=flag)
        scores = timed(f"imported {flag}", samples.height, lambda s=scorer: s.score(samples, Context(folder))).scores
        print(f"  {scores['value'].count():,} matched, {int(scores['value'].sum()):,} of them kept")


def classified(data: Path, encoder: str | None, folder: Path) -> None:
    """Measure the classifier on the labelled sets, prompt-disjoint."""
    for name, (file, prompt, response, label) in LABELLED.items():
        rows = pl.read_parquet(data / file).select(prompt, response, label).iter_rows()
        samples = made((p, r, {"label": value}) for p, r, value in rows)
        scorer = Classifier(label="label", encoder=encoder)
        run = lambda s=scorer, f=samples: s.quality(f, Context(folder))  # noqa: E731 - bound to this turn of the loop
        print(" ", timed(f"classifier {name}, {encoder}", samples.height, run))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--only", default="surface,imported,ifd,classifier")
    asked = parser.parse_args()
    only = set(asked.only.split(","))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = pool(asked.data)
        if "surface" in only:
            for scorer in (Length(), Length(unit="words"), Complexity(), Complexity(measure="ari")):
                title = f"{scorer.kind} {getattr(scorer, 'unit', getattr(scorer, 'measure', ''))}"
                scored = timed(title, samples.height, lambda s=scorer: s.score(samples, Context(folder))).scores
                print(f"  {scored['value'].null_count():,} without a value; median {scored['value'].median():.2f}")
        if "imported" in only:
            imported(samples, asked.data, folder)
        if "ifd" in only:
            model = asked.model or str(tiny_model.build(folder / "model", steps=30))
            likelihoods(samples.sort("k64").head(asked.rows).sort("sample_id"), model, folder)
        if "classifier" in only:
            classified(asked.data, None if asked.encoder == "none" else asked.encoder, folder)


if __name__ == "__main__":
    main()

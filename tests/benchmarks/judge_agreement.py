"""A judge served by vLLM beside the plain forward pass of the same model, on held-out rows of labelled questions.

    python -m tests.benchmarks.judge_agreement --data FOLDER [--rows 2000] [--steps 600]

A small judge is trained here on TruthfulQA rows (`judge_truthfulqa.parquet`: question, answer, true), and asked about
rows of other questions: by the component `judge` on a real vLLM engine, and row by row with transformers, without
padding or cache. What is compared is the path (template, tokens, labels, batches, cache), not the judge's knowledge.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.judge import Judge
from curate.judges.vllm import Vllm
from curate.measure import auroc
from curate.prompt import load_prompt, nonce, render
from manifests.component import Context
from manifests.names import seed64
from tests.benchmarks import small_judge
from tests.curate.judged import frame

PROMPT = "verdict"
SHARE = 6
"""One question in so many is held out."""


def split(path: Path, n: int) -> tuple[list[small_judge.Row], list[small_judge.Row]]:
    """Return rows to train on and at most n others of other questions, without equal pairs, in the order of a hash."""
    table = pl.read_parquet(path).unique(("question", "answer"), maintain_order=True)
    rows = [(question, answer, not true) for question, answer, true in table.iter_rows() if answer.strip()]
    rows.sort(key=lambda row: seed64(0, f"{row}"))
    held = [row for row in rows if seed64(1, row[0]) % SHARE == 0]
    return [row for row in rows if seed64(1, row[0]) % SHARE], held[:n]


def forward(folder: str, samples: pl.DataFrame) -> NDArray[np.float64]:
    """Return p_error of each sample from a forward pass of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    labels, prompt = small_judge.label_ids(tokenizer), load_prompt(PROMPT)
    found = []
    with torch.no_grad():
        for row in samples.iter_rows(named=True):
            values = {"instruction": row["prompt"], "response": row["response"]}
            text = render(prompt.text, values, nonce(prompt, row["content_id"]))
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, -1].double()
            correct, wrong = torch.softmax(logits, -1)[labels].tolist()
            found.append(wrong / (correct + wrong))
    return np.array(found)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, judge twice, print both AUROCs, the verdicts' agreement and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--model", help="folder of a judge that `small_judge` trained; trained here when left out")
    given = parser.parse_args(argv)
    seen, held = split(given.data / "judge_truthfulqa.parquet", given.rows)
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or str(small_judge.train(Path(folder) / "model", seen, steps=given.steps))
        samples = frame((question, answer) for question, answer, _ in held).sort("sample_id")
        truth = {(question, answer): wrong for question, answer, wrong in held}
        wrong = np.array([truth[pair] for pair in samples.select("prompt", "response").iter_rows()])
        plain = forward(model, samples)
        judge = Judge(judge=Vllm(model=model, max_model_len=1024), prompt=PROMPT)
        scores = judge.score(samples, Context(root=Path(folder))).scores.sort("sample_id")
    odd = scores.filter(pl.col("status") != "ok").select("status", "why").unique().rows()
    assert not odd, f"rows without a verdict: {odd}"
    served = scores["value"].to_numpy()
    same = (served >= judge.threshold) == (plain >= judge.threshold)
    print(f"{len(held):,} rows of {len({row[0] for row in held})} questions, {wrong.mean():.1%} wrong")
    print(f"AUROC: vLLM {auroc(wrong, served):.5f}, plain forward pass {auroc(wrong, plain):.5f}")
    print(f"same verdict: {same.mean():.3%} ({(~same).sum()} differ)")
    print(f"p_error {plain.min():.3f} to {plain.max():.3f}; largest difference {np.abs(served - plain).max():.2e}")


if __name__ == "__main__":
    main()

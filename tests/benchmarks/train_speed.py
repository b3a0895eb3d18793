"""Tokens per CPU-second of the training loop beside TRL, transformers' Trainer and a bare loop; how full the bins are.

    python -m tests.benchmarks.train_speed --data DIR [--sizes 1m,5m,20m] [--steps 6] [--python PYTHON]

DIR holds `generalist_pool.parquet`; its Alpaca rows are read unless `--source` says otherwise. PYTHON has TRL; without
it the peers are left out. Ours and the bare loop are timed before and after the peers: both figures are shown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import polars as pl

from manifests.component import Context
from trainers.loop import gradients, items_of, threads
from trainers.pack import batches, efficiency
from trainers.render import Renderer
from trainers.scratch import Scratch
from trainers.trainer import Row

SIZES = {
    "1m": Scratch(layers=4, width=128, heads=4, vocab=4096, context=256, steps=1),
    "5m": Scratch(layers=5, width=256, heads=8, vocab=4096, context=256, steps=1),
    "20m": Scratch(layers=6, width=512, heads=8, vocab=4096, context=256, steps=1),
}
PEERS = ("trl-packed", "trl-padded", "trainer-bucketed")
SCRIPT = Path(__file__).parent / "peers" / "sft_trainers.py"
BUCKETED = 20
"""Rows of a step of the bare loop, as of the bucketed Trainer: about as many tokens as 8 packed rows hold."""


def read(data: Path, source: str, limit: int) -> list[dict[str, str]]:
    frame = pl.read_parquet(data / "generalist_pool.parquet").filter(
        pl.col("source") == source, pl.col("output").str.len_chars() > 0
    )
    frame = frame.sample(min(limit, frame.height), seed=0)
    return [
        {"prompt": "\n\n".join(p for p in (row["instruction"], row["input"]) if p), "answer": row["output"]}
        for row in frame.iter_rows(named=True)
    ]


def optimized(model):
    import torch

    return torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)


def timed(model, steps, work) -> float:
    """Return the tokens per CPU-second of `work(step)`, which adds gradients and returns tokens; the first warms up."""
    import torch

    optimizer, tokens, started = optimized(model), 0, 0.0
    model.train()
    for step in range(steps + 1):
        if step == 1:
            tokens, started = 0, time.process_time()
        tokens += work(step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return tokens / (time.process_time() - started)


def ours(base: Path, items, steps: int) -> float:
    from trainers.evaluate import load_model

    model, plan = load_model(base, "cpu"), list(batches(items, 256, 8, 0, steps + 1))
    return timed(model, steps, lambda step: gradients(model, items, plan[step], 1)[1])


def bare(base: Path, items, steps: int) -> float:
    """Train as a loop of ten lines does: rows of like length padded to one, the model's own loss."""
    import torch

    from trainers.evaluate import load_model

    model = load_model(base, "cpu")
    order = sorted(range(len(items)), key=lambda i: len(items[i].rendered.ids))
    buckets = [order[at : at + BUCKETED] for at in range(0, len(order) - BUCKETED, BUCKETED)]
    chosen = [buckets[(n * 37) % len(buckets)] for n in range(steps + 1)]

    def work(step: int) -> int:
        rows = [items[i].rendered for i in chosen[step]]
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows])
        mask = torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])
        labels = ids.masked_fill(mask == 0, -100)
        for n, row in enumerate(rows):
            labels[n, : row.start] = -100
        model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss.backward()
        return int(mask.sum())

    return timed(model, steps, work)


def peer(python: str, mode: str, base: Path, rows: Path, steps: int) -> float:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [python, str(SCRIPT), mode, str(base), str(rows), str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise SystemExit(f"{mode} failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["tokens"] / found["seconds"]


def measure(name: str, base: Path, rows: list[Row], path: Path, options: argparse.Namespace) -> None:
    from trainers.evaluate import load_model, load_tokenizer

    items, skipped = items_of(rows, Renderer(load_tokenizer(base)), 256)
    whole = list(itertools.chain.from_iterable(batches(items, 256, 8, 0, 50)))
    size = sum(p.numel() for p in load_model(base, "cpu").parameters()) / 1e6
    print(f"{name}, {size:.2f}M parameters: {len(rows)} rows, {skipped} skipped")
    print(f"  bins of 256, 50 steps: {100 * efficiency(items, whole, 256):.2f} % of the positions hold tokens")
    engines = {"ours, packed": ours, "bare loop, bucketed": bare}
    found = {label: [work(base, items, options.steps)] for label, work in engines.items()}
    for mode in PEERS if options.python else ():
        found[mode] = [peer(options.python, mode, base, path, options.steps)]
    for label, work in engines.items():
        found[label].append(work(base, items, options.steps))
    best = max(max(rates) for rates in found.values())
    for label, rates in found.items():
        both = " / ".join(f"{rate:.0f}" for rate in rates)
        share = max(found["ours, packed"]) / max(rates)
        print(f"  {label:>20}: {both:>13} tokens per CPU-second; ours is {share:.2f} times it")
    print(f"  ours is {100 * max(found['ours, packed']) / best:.1f} % of the best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", default="1m,5m,20m")
    parser.add_argument("--source", default="alpaca")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--python", help="Python that has TRL")
    options = parser.parse_args()
    plain = read(options.data, options.source, options.rows)
    rows = [Row(f"{n:032x}", (("user", row["prompt"]), ("assistant", row["answer"]))) for n, row in enumerate(plain)]
    with tempfile.TemporaryDirectory() as folder, threads(1):
        root = Path(folder)
        path = root / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in plain), "utf-8")
        for name in options.sizes.split(","):
            texts = [f"{row['prompt']}\n{row['answer']}" for row in plain]
            base = SIZES[name].build(texts, root / name, Context(root=root))
            measure(name, base, rows, path, options)


if __name__ == "__main__":
    main()

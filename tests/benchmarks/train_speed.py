"""Tokens per CPU-second of the training loop, packed and padded, and how full the bins are.

    python -m tests.benchmarks.train_speed --data DIR [--sizes 1m,5m] [--steps 6]

DIR holds `generalist_pool.parquet`; only its permissive rows (GPTeacher, MIT; seed tasks, Apache-2.0) are read.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import polars as pl

from manifests.component import Context
from trainers.full import Full
from trainers.loop import Settings, items_of, loss_of, threads
from trainers.lora import Lora
from trainers.pack import batches, collate, efficiency
from trainers.render import Renderer
from trainers.scratch import Scratch
from trainers.trainer import Row

SIZES = {
    "1m": Scratch(layers=4, width=128, heads=4, vocab=4096, context=256, steps=1),
    "5m": Scratch(layers=5, width=256, heads=8, vocab=4096, context=256, steps=1),
}


def read(data: Path, limit: int) -> tuple[list[Row], list[str]]:
    frame = pl.read_parquet(data / "generalist_pool.parquet").filter(
        pl.col("source").is_in(["gpteacher", "self_instruct_seed"]), pl.col("output").str.len_chars() > 0
    )
    rows, texts = [], []
    for n, row in enumerate(frame.head(limit).iter_rows(named=True)):
        prompt = "\n\n".join(part for part in (row["instruction"], row["input"]) if part)
        rows.append(Row(f"{n:032x}", (("user", prompt), ("assistant", row["output"]))))
        texts.append(f"{prompt}\n{row['output']}")
    return rows, texts


def speed(model, items, plans) -> tuple[float, float]:
    """Return (tokens per CPU-second, share of positions that hold tokens)."""
    import torch

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)
    tokens = positions = 0
    model.train()
    started = time.process_time()
    for step, bins in enumerate(plans):
        if step == 1:  # the first step warms up
            started, tokens, positions = time.process_time(), 0, 0
        batch = collate(items, bins)
        (loss_of(model, batch) / len(batch.where)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += batch.tokens
        positions += batch.ids.size
    return tokens / (time.process_time() - started), tokens / positions


def measure(name: str, base: Path, rows: list[Row], steps: int) -> None:
    from trainers.evaluate import load_model, load_tokenizer

    tokenizer = load_tokenizer(base)
    started = time.process_time()
    items, skipped = items_of(rows, Renderer(tokenizer), 256)
    spent = time.process_time() - started
    truncated = sum(item.rendered.truncated for item in items)
    print(f"{name}: {len(rows)} rows rendered in {spent:.1f} CPU-s, {skipped} skipped, {truncated} truncated")
    packed = list(batches(items, 256, 8, 0, steps + 1))
    whole = list(itertools.chain.from_iterable(batches(items, 256, 8, 0, 50)))
    print(f"  bins of 256, 50 steps: {100 * efficiency(items, whole, 256):.2f} % of the positions hold tokens")
    flat = [index for bins in packed for places in bins for index in places]
    padded = [[[index] for index in flat[at : at + 8]] for at in range(0, len(flat), 8)][: 3 * (steps + 1)]
    model = load_model(base, "cpu")
    size = sum(p.numel() for p in model.parameters())
    for label, plans in (("packed", packed), ("padded, 8 rows", padded)):
        rate, full = speed(model, items, plans)
        print(f"  {size / 1e6:.2f}M {label:>15}: {rate:7.0f} tokens per CPU-second, {100 * full:5.1f} % real")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sizes", default="1m,5m")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--fit", action="store_true", help="also time whole fits of 100 steps of 2,048 positions")
    options = parser.parse_args()
    rows, texts = read(options.data, options.rows)
    with tempfile.TemporaryDirectory() as folder, threads(1):
        root = Path(folder)
        for name in options.sizes.split(","):
            base = SIZES[name].build(texts, root / name, Context(root=root))
            measure(name, base, rows, options.steps)
            for made in (Full(base=str(base)), Lora(base=str(base))) if options.fit else ():
                wall, cpu = time.perf_counter(), time.process_time()
                fitted = made.fit(rows, base, 0, root / f"{name}-{made.kind}", Context(root=root))
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                print(
                    f"  {made.kind}: {Settings.of(made).steps} steps, {fitted.tokens} tokens: {wall:.1f} s wall, "
                    f"{cpu:.1f} CPU-s, loss {fitted.log[0][1]:.3f} -> {fitted.log[-1][1]:.3f}, "
                    f"peak {fitted.peak_memory / 2**20:.0f} MiB"
                )


if __name__ == "__main__":
    main()

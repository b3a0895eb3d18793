"""Peak memory and CPU-seconds of a step over a large vocabulary: all logits at once, in slices, and recomputed.

    python -m tests.benchmarks.train_memory [--vocab 65536] [--tokens 4096]

Each setting runs in a process of its own; the memory is the process's peak less what it held before the step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

SETTINGS = {
    "all logits at once": {"logits": 1 << 40, "recompute": False},
    "in slices": {"logits": 0, "recompute": False},
    "in slices, recomputed": {"logits": 0, "recompute": True},
}


def peak(field: str = "VmHWM") -> int:
    """Return the most bytes that this process has held, or holds (`VmRSS`)."""
    with open("/proc/self/status", encoding="ascii") as file:
        return 1024 * int(next(line for line in file if line.startswith(field)).split()[1])


def child(vocab: int, tokens: int, logits: int, recompute: bool) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainers import entropy
    from trainers.dressing import dressed
    from trainers.full import Full
    from trainers.loop import gradients
    from trainers.pack import Item
    from trainers.render import Rendered

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if logits:
        entropy.LOGITS = logits
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocab, tie_word_embeddings=True, **sizes))
    dressed(model, Full(base="given", recompute=recompute)).train()
    ids = torch.randint(0, vocab, (tokens // 256, 256)).tolist()
    items = [Item(Rendered(tuple(row), 1)) for row in ids]
    gradients(model, items, [[0]], 1)
    before, started = peak("VmRSS"), time.process_time()
    loss, _ = gradients(model, items, [[n] for n in range(len(items))], 1)
    spent = time.process_time() - started
    print(json.dumps({"bytes": peak() - before, "seconds": spent, "loss": loss}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocab", type=int, default=65536)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.vocab, options.tokens, **json.loads(options.child))
        return
    print(f"one step of {options.tokens} tokens, {options.vocab} words, 4 layers of width 128, float32")
    for name, setting in SETTINGS.items():
        command = [sys.executable, "-m", "tests.benchmarks.train_memory", "--child", json.dumps(setting)]
        command += ["--vocab", str(options.vocab), "--tokens", str(options.tokens)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"  {name:>22}: {found['bytes'] / 2**20:6.0f} MiB more at the peak, {found['seconds']:5.1f} CPU-s,"
            f" loss {found['loss']:.6f}"
        )


if __name__ == "__main__":
    main()

"""Trains a base with TRL's SFTTrainer or transformers' Trainer and prints (tokens, CPU-seconds) after its first step.

    python sft_trainers.py MODE BASE ROWS STEPS

MODE is trl-packed, trl-padded or trainer-bucketed; ROWS holds a JSON object a line, with prompt and answer. Run by
`tests.benchmarks.train_speed` with the Python that has TRL.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

WIDTH, ROWS = 256, 8
BUCKETED = 20
"""Rows of a bucketed step: about as many tokens as 8 packed rows hold."""
COMMON = {
    "learning_rate": 1e-4,
    "adam_beta2": 0.95,
    "optim": "adamw_torch_fused",
    "max_grad_norm": 1.0,
    "logging_steps": 1000,
    "save_strategy": "no",
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "seed": 0,
    "disable_tqdm": True,
}


class Clock(TrainerCallback):
    """Counts the tokens that the model is given and the CPU-seconds, from the end of the first step on."""

    def __init__(self, model):
        self.tokens = self.seconds = 0.0
        self.started = 0.0
        model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, module, args, given):
        mask = given.get("attention_mask")
        whole = mask is None or mask.dim() != 2
        self.tokens += float(given["input_ids"].numel() if whole else mask.sum())

    def on_step_end(self, args, state, control, **_):
        if state.global_step == 1:
            self.tokens, self.started = 0.0, time.process_time()
        self.seconds = time.process_time() - self.started


def bucketed(model, tokenizer, rows, folder, steps, clock):
    ids = []
    for row in rows:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["answer"]}]
        whole = tokenizer.apply_chat_template(turns, tokenize=True, return_dict=True)["input_ids"]
        start = len(tokenizer.apply_chat_template(turns[:1], tokenize=True, add_generation_prompt=True)["input_ids"])
        if start < len(whole) <= WIDTH:
            ids.append({"input_ids": whole, "labels": [-100] * start + whole[start:], "length": len(whole)})

    def collate(batch):
        width = max(len(row["input_ids"]) for row in batch)
        fill = {"input_ids": 0, "labels": -100}
        made = {n: torch.tensor([r[n] + [v] * (width - len(r[n])) for r in batch]) for n, v in fill.items()}
        made["attention_mask"] = torch.tensor(
            [[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in batch]
        )
        return made

    arguments = TrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=BUCKETED,
        train_sampling_strategy="group_by_length",
        **COMMON,
    )
    Trainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(ids), data_collator=collate, callbacks=[clock]
    ).train()


def sft(model, tokenizer, rows, folder, steps, clock, *, packing):
    from trl import SFTConfig, SFTTrainer

    given = [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "completion": [{"role": "assistant", "content": row["answer"]}],
        }
        for row in rows
    ]
    arguments = SFTConfig(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=ROWS,
        packing=packing,
        max_length=WIDTH,
        gradient_checkpointing=False,
        **COMMON,
    )
    SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(given),
        processing_class=tokenizer,
        callbacks=[clock],
    ).train()


def main():
    mode, base, path, steps = sys.argv[1:]
    torch.set_num_threads(1)
    rows = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)
    clock = Clock(model)
    with tempfile.TemporaryDirectory() as folder:
        if mode == "trainer-bucketed":
            bucketed(model, tokenizer, rows, folder, int(steps) + 1, clock)
        else:
            sft(model, tokenizer, rows, folder, int(steps) + 1, clock, packing=mode == "trl-packed")
    print(json.dumps({"tokens": clock.tokens, "seconds": clock.seconds}))


if __name__ == "__main__":
    main()

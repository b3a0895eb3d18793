"""Builds a tiny Llama judge with its tokenizer in seconds, and reads its label probabilities without vLLM."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LABELS = (" correct", " wrong")
WORDS = ["the", "capital", "of", "river", "stone", "seven", "lantern", "orange", "window", "quiet", "mountain", "paper"]


def rows(n: int, seed: int = 0) -> list[tuple[str, str, bool]]:
    """Return n (question, answer, is wrong); the answers are wrong when they hold the word `orange`, in nearly all."""
    chance = random.Random(seed)
    found = []
    for _ in range(n):
        question = " ".join(chance.choices(WORDS, k=chance.randint(3, 12))) + "?"
        answer = " ".join(chance.choices(WORDS, k=chance.randint(2, 20)))
        found.append((question, answer, ("orange" in answer) != (chance.random() < 0.05)))
    return found


def prompt(question: str, answer: str) -> str:
    """Return the text that curate/prompts/plain.txt makes of a row."""
    return f"Question: {question}\nAnswer: {answer}\nVerdict:"


def build(folder: Path, *, steps: int = 60, seed: int = 0, chat: bool = False, width: int = 64) -> Path:
    """Train a judge of 0.1 M parameters for a few seconds and save it with save_pretrained."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    tokenizer = _tokenizer(chat)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model: Any = LlamaForCausalLM(config)
    labels = torch.tensor(label_ids(tokenizer))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    data = rows(32 * steps, seed)
    for step in range(steps):
        part = data[32 * step : 32 * (step + 1)]
        batch = tokenizer([prompt(q, a) for q, a, _ in part], return_tensors="pt", padding=True, padding_side="right")
        last = batch["attention_mask"].sum(1) - 1
        logits = model(**batch).logits[torch.arange(len(part)), last]
        loss = torch.nn.functional.cross_entropy(logits, labels[torch.tensor([int(w) for _, _, w in part])])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def label_ids(tokenizer: Any) -> list[int]:
    """Return the first token of each label after `Verdict:`."""
    start = len(tokenizer("Verdict:", add_special_tokens=False)["input_ids"])
    return [tokenizer("Verdict:" + label, add_special_tokens=False)["input_ids"][start] for label in LABELS]


def reference(folder: Path, prompts: Sequence[str]) -> list[tuple[float, float]]:
    """Return the full-vocabulary probabilities of the two labels from a plain transformers forward pass, one by one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    labels = label_ids(tokenizer)
    found = []
    with torch.no_grad():
        for text in prompts:
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
            correct, wrong = torch.softmax(logits.double(), -1)[labels].tolist()
            found.append((correct, wrong))
    return found


def _tokenizer(chat: bool) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = [prompt(q, a) + LABELS[w] for q, a, w in rows(400)]
    core.train_from_iterator(text, trainer)
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=512, **special)
    if chat:
        tokenizer.chat_template = (
            "{% for m in messages %}<|user|>{{ m['content'] }}</s>{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
        )
    return tokenizer

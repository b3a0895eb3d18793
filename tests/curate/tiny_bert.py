"""Saves a BERT of 30,000 parameters with random weights and a tokenizer of whole words, in a second."""

from __future__ import annotations

from pathlib import Path

WORDS = ["river", "stone", "lantern", "orange", "window", "quiet", "mountain", "paper", "indeed", "maybe", "question"]


def build(folder: Path, seed: int = 0) -> Path:
    """Write model and tokenizer to the folder, as a sentence encoder with mean pooling is read from it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *map(str, range(50))]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=64,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

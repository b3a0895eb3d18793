"""The forward pass of BERT sentence encoders with mean pooling: the same vectors, without padding and small batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]

BUDGET: Final = {"cpu": 1024, "cuda": 65536}
"""Tokens in a batch, by device; of 256 to 4,096 on a CPU, 1,024 was the quickest (widest layer: 6 MB)."""


def batches(lengths: Ints, budget: int) -> Iterator[Ints]:
    """Yield the rows, shortest first, in batches of at most `budget` tokens with padding; a longer row stands alone."""
    order = np.argsort(lengths, kind="stable")
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end - begin + 1) * int(lengths[order[end]]) > budget:
            yield order[begin:end]
            begin = end


class Bert:
    """The weights of a BERT encoder (Devlin et al., NAACL 2019), laid out for inference.

    Query, key and value are one product; texts of one length share a batch, which then needs no mask. With `half`,
    weights and products are bfloat16 (8 bits of mantissa), which CPUs with AMX and GPUs multiply faster; the sum over
    tokens stays float32.
    """

    def __init__(self, sentence_model: Any, half: bool = False) -> None:  # noqa: ANN401 - a SentenceTransformer
        import torch

        transformer = sentence_model[0]
        model = transformer.auto_model
        self._tokenizer = transformer.tokenizer
        self._longest = int(sentence_model.max_seq_length)
        self._heads = int(model.config.num_attention_heads)
        self._epsilon = float(model.config.layer_norm_eps)
        self._device = next(model.parameters()).device
        kind = torch.bfloat16 if half else torch.float32
        state = {name: w.detach().to(kind) for name, w in model.named_parameters()}
        self._words = state["embeddings.word_embeddings.weight"]
        self._places = (
            state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
        )
        self._first = (state["embeddings.LayerNorm.weight"], state["embeddings.LayerNorm.bias"])
        self._layers = [_layer(state, f"encoder.layer.{i}.") for i in range(model.config.num_hidden_layers)]

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return the unit vectors of the texts, shape (n, d)."""
        if not len(texts):
            return np.zeros((0, self._words.shape[1]), np.float32)
        asked = {"truncation": True, "max_length": self._longest, "padding": False}
        ids = self._tokenizer(list(texts), return_attention_mask=False, return_token_type_ids=False, **asked)[
            "input_ids"
        ]
        return self.tokens(ids)

    def tokens(self, ids: Sequence[Sequence[int]]) -> Vectors:
        """Return the unit vectors of token sequences, special tokens included, none empty: shape (n, d)."""
        import torch

        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        found = np.zeros((len(ids), self._words.shape[1]), np.float32)
        with torch.inference_mode():
            for rows in batches(lengths, BUDGET.get(self._device.type, BUDGET["cpu"])):
                padded = np.zeros((len(rows), int(lengths[rows[-1]])), np.int64)
                for place, row in enumerate(rows):
                    padded[place, : lengths[row]] = ids[row]
                batch = (torch.from_numpy(part).to(self._device) for part in (padded, lengths[rows]))
                found[rows] = self._pooled(*batch).cpu().numpy()
        return found

    def _pooled(self, ids: Any, lengths: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the normalised mean of the last layer over each row's tokens, float32."""
        import torch
        import torch.nn.functional as nn

        rows, width = ids.shape
        size = self._words.shape[1]
        ragged = int(lengths.min()) < width
        mask = torch.arange(width, device=ids.device) < lengths[:, None]
        hidden = nn.embedding(ids, self._words) + self._places[:width]
        hidden = nn.layer_norm(hidden, (size,), *self._first, self._epsilon).view(rows * width, size)
        for joint, joint_bias, out, out_bias, norm, wide, wide_bias, narrow, narrow_bias, last in self._layers:
            query, key, value = (
                torch.addmm(joint_bias, hidden, joint).view(rows, width, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            )
            seen = nn.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None] if ragged else None)
            seen = seen.transpose(1, 2).reshape(rows * width, size)
            hidden = nn.layer_norm(
                torch.addmm(out_bias, seen, out).add_(hidden), (size,), norm[0], norm[1], self._epsilon
            )
            inner = nn.gelu(torch.addmm(wide_bias, hidden, wide))
            hidden = nn.layer_norm(
                torch.addmm(narrow_bias, inner, narrow).add_(hidden), (size,), last[0], last[1], self._epsilon
            )
        hidden = hidden.view(rows, width, size).float()
        if ragged:
            hidden = hidden * mask[..., None]
        return nn.normalize(hidden.sum(1) / lengths[:, None], dim=1)


def _layer(state: dict[str, Any], at: str) -> tuple[Any, ...]:
    """Return a layer's weights, transposed for products from the left, with its biases and norms."""
    import torch

    parts = [at + f"attention.self.{name}." for name in ("query", "key", "value")]
    return (
        torch.cat([state[part + "weight"] for part in parts]).T,
        torch.cat([state[part + "bias"] for part in parts]),
        state[at + "attention.output.dense.weight"].T,
        state[at + "attention.output.dense.bias"],
        (state[at + "attention.output.LayerNorm.weight"], state[at + "attention.output.LayerNorm.bias"]),
        state[at + "intermediate.dense.weight"].T,
        state[at + "intermediate.dense.bias"],
        state[at + "output.dense.weight"].T,
        state[at + "output.dense.bias"],
        (state[at + "output.LayerNorm.weight"], state[at + "output.LayerNorm.bias"]),
    )


def fits(sentence_model: Any) -> bool:  # noqa: ANN401 - a SentenceTransformer
    """Return whether `Bert` computes what the model does: BERT with GELU, mean of tokens, no prompt, no projection."""
    modules = [type(module).__name__ for module in sentence_model]
    if modules not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    model, pooling = getattr(sentence_model[0], "auto_model", None), sentence_model[1]
    config = getattr(model, "config", None)
    return (
        type(model).__name__ == "BertModel"
        and getattr(config, "hidden_act", "") == "gelu"
        and getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
        and not getattr(config, "is_decoder", False)
        and getattr(pooling, "pooling_mode", "") == "mean"
        and sentence_model.default_prompt_name is None
        and sentence_model.truncate_dim is None
        and bool(sentence_model.max_seq_length)
    )

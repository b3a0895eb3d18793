"""Negative log-likelihoods of given tokens under a causal language model, many texts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curate.judges.weights import fingerprint, is_local
from curate.loading import without_bars
from manifests import pickled
from manifests.errors import UserError, missing_extra

LOGITS: Final = 1 << 24
"""Logits made at once (rows x vocabulary): 64 MiB in float32."""
_PROBE: Final = 8
_CLOSE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids of which those from place `start` on, at least 1, are scored given all before them."""

    ids: NDArray[np.int32]
    start: int


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the numbers of the texts, shortest first, in batches of at most `budget` tokens with their padding.

    A text longer than the budget is a batch of its own. Equal lengths stay in the order given.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and lengths[i] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def identity(model: str, revision: str | None) -> dict[str, str]:
    """Return what tells this model from others: the hash of its folder, or its hub id and revision."""
    if is_local(model):
        return {"weights": fingerprint(Path(model).expanduser())}
    return {"model": model, "revision": revision or ""}


class CausalLM:
    """A causal language model and its tokenizer: float32 on a CPU, bfloat16 on a CUDA device."""

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:  # noqa: ANN401 - transformers is untyped
        self.model, self.tokenizer, self.device = model, tokenizer, device
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.context = int(limit or 4096)
        """Most tokens that the model takes."""
        self._direct = self._has_plain_head()

    @classmethod
    def load(cls, model: str, revision: str | None = None) -> CausalLM:
        """Load a folder or a hub id; safetensors only, no code of the model's own.

        Raise UserError when transformers or torch is missing or the model cannot be loaded.
        """
        local = is_local(model)
        where = str(Path(model).expanduser()) if local else model
        pickled.refuse(Path(where))
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise missing_extra(error.name or "transformers", "train") from None
        device = "cuda" if torch.cuda.is_available() else "cpu"
        asked = {"revision": None if local else revision, "trust_remote_code": False, "local_files_only": local}
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        try:
            tokenizer = AutoTokenizer.from_pretrained(where, **asked)
            with without_bars():
                loaded = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, use_safetensors=True, **asked)
        except (OSError, ValueError) as fault:
            raise UserError(
                f"the model cannot be loaded ({fault})",
                value=model,
                remedy="give a folder made by save_pretrained (safetensors) or a hub id of a causal language model",
            ) from fault
        return cls(loaded.to(device).eval(), tokenizer, device)

    def losses(self, texts: Sequence[Text]) -> NDArray[np.float64]:
        """Return the summed negative log-likelihood (nats) of each text's scored tokens, one forward pass for all.

        Texts are padded at their ends, which no earlier token of a causal model sees, so no mask is needed. Logits are
        made for scored tokens only, `LOGITS` at a time, and normalised in float32. A value varies in its last bits
        (about 1e-6 of it) with the batch. NaN where the model gives none.
        """
        import torch

        width = max(len(text.ids) for text in texts)
        padded = np.zeros((len(texts), width), np.int64)
        for number, text in enumerate(texts):
            padded[number, : len(text.ids)] = text.ids
        places = [np.arange(text.start, len(text.ids)) for text in texts]
        row = np.repeat(np.arange(len(texts)), [len(place) for place in places])
        at = np.concatenate(places)
        found = np.empty(len(at), np.float64)
        with torch.inference_mode():
            ids = torch.from_numpy(padded).to(self.device)
            hidden = self._hidden(ids)
            rows, targets = torch.from_numpy(row).to(self.device), ids[row, at]
            before = torch.from_numpy(at - 1).to(self.device)
            step = max(1, LOGITS // int(self.model.config.get_text_config().vocab_size))
            for start in range(0, len(at), step):
                part = slice(start, start + step)
                logits = self._logits(hidden[rows[part], before[part]]).float()
                loss = torch.nn.functional.cross_entropy(logits, targets[part], reduction="none")
                found[part] = loss.double().cpu().numpy()
        return np.asarray(np.bincount(row, weights=found, minlength=len(texts)), np.float64)

    def _hidden(self, ids: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the last hidden states, or the logits themselves of a model whose head does more than multiply."""
        if self._direct:
            return self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return self.model(input_ids=ids, use_cache=False).logits

    def _logits(self, hidden: Any) -> Any:  # noqa: ANN401 - tensors
        return self.model.get_output_embeddings()(hidden) if self._direct else hidden

    def _has_plain_head(self) -> bool:
        """Tell whether the output layer on the last hidden states gives the model's own logits: some scale or cap."""
        import torch

        head, base = self.model.get_output_embeddings(), self.model.base_model
        if head is None or base is self.model:
            return False
        ids = torch.arange(_PROBE, device=self.device)[None] % int(self.model.config.get_text_config().vocab_size)
        with torch.inference_mode(), suppress(AttributeError, RuntimeError, TypeError):
            whole = self.model(input_ids=ids, use_cache=False).logits
            ours = head(base(input_ids=ids, use_cache=False).last_hidden_state)
            return bool(whole.shape == ours.shape and torch.allclose(whole, ours, rtol=_CLOSE, atol=_CLOSE))
        return False

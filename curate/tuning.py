"""Fine-tunes a BERT sentence encoder on pairs of texts: what is learnt is the log-odds that a pair has a label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curate.bert import batches, fits
from curate.encoder import identity, sentence_model
from manifests.component import Context
from manifests.errors import Interrupted, UserError
from manifests.names import digest, seed64

Pair = tuple[str, str]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VERSION: Final = 1
"""Raised when the same pairs, labels and settings give another model."""
_POOL: Final = 16
"""Batches whose rows are sorted by length together: less padding, and batches stay random."""
_WARM: Final = 0.1
_HEAD: Final = 10.0
"""The new head learns this many times as fast as the layers, which know something."""
_DECAY: Final = 0.01
_CLIP: Final = 1.0
_TAIL: Final = 0.25
"""Share of a long second text that is kept from its end, where answers break off."""
_BUDGET: Final = {"cpu": 2048, "cuda": 65536}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and how fast an encoder is trained."""

    layers: int = 6
    """Upper layers that are trained; the embeddings and the layers below stay."""
    epochs: int = 2
    rate: float = 1e-4
    """Highest step of AdamW; it rises over the first tenth of the steps and falls to 0."""
    batch: int = 32
    longest: int = 128
    """Tokens of a pair; the second text loses its middle, then the first its end."""
    dropout: float = 0.1
    """Share of the pooled vector that is left out in training."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned encoder: its trained weights by name, on the CPU, rounded to bfloat16 (21 MB for MiniLM)."""

    weights: Mapping[str, Any]
    encoder: str
    settings: Settings


class Encoder:
    """The layers of a BERT sentence encoder on the best device, ready to be trained or to read pairs.

    On a GPU, and on CPUs with AMX, products are of bfloat16 with float32 sums: Elsewhere they are float32, and the
    last digits differ. Raises UserError when the encoder is no BERT with mean pooling.
    """

    def __init__(self, encoder: str) -> None:
        import torch

        model = None if encoder == "hash" else sentence_model(encoder)
        if model is None or not fits(model):
            raise UserError(
                "the encoder cannot be fine-tuned",
                value=encoder,
                options=("minilm",),
                remedy="name minilm or a folder that holds a BERT sentence encoder with mean pooling",
            )
        bert = model[0].auto_model
        self.name = encoder
        self.tokenizer = model[0].tokenizer
        self.device = next(bert.parameters()).device
        self.half = self.device.type == "cuda" or _amx()
        self.layers = int(bert.config.num_hidden_layers)
        self.size = int(bert.config.hidden_size)
        self.heads = int(bert.config.num_attention_heads)
        self.epsilon = float(bert.config.layer_norm_eps)
        self.places = int(bert.config.max_position_embeddings)
        self.state = {name: weight.detach().to(torch.float32) for name, weight in bert.named_parameters()}

    def fresh(self, settings: Settings) -> dict[str, Any]:
        """Return copies of the weights that the settings train, and a head of zeros."""
        import torch

        first = max(0, self.layers - settings.layers)
        upper = tuple(f"encoder.layer.{i}." for i in range(first, self.layers))
        weights = {name: weight.clone() for name, weight in self.state.items() if name.startswith(upper)}
        weights["head.weight"] = torch.zeros(2 * self.size, device=self.device)
        weights["head.bias"] = torch.zeros(1, device=self.device)
        return weights

    def tokens(self, pairs: Sequence[Pair], longest: int) -> list[tuple[list[int], int]]:
        """Return (token ids, how many of them belong to the first text) of each pair: [CLS] first [SEP] second [SEP].

        At most `longest` ids. The second text may fill what the first leaves, at least half; of a longer one the
        beginning and the end are kept.
        """
        room = min(longest, self.places) - 3
        first, second = (self._pieces([pair[i] for pair in pairs]) for i in (0, 1))
        begin, end = int(self.tokenizer.cls_token_id), int(self.tokenizer.sep_token_id)
        found = []
        for a, b in zip(first, second, strict=True):
            head = a[: max(room - len(b), room // 2)]
            found.append(([begin, *head, end, *_shortened(b, room - len(head)), end], len(head) + 2))
        return found

    def _pieces(self, texts: list[str]) -> list[list[int]]:
        asked = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
        ids: list[list[int]] = (
            self.tokenizer(texts, truncation=False, verbose=False, **asked)["input_ids"] if texts else []
        )
        return ids

    def logits(self, weights: Mapping[str, Any], rows: Sequence[tuple[list[int], int]], dropout: float = 0.0) -> Any:  # noqa: ANN401 - a tensor
        """Return the log-odds of tokenised pairs, float32, shape (n,); gradients flow to `weights`.

        A pair is the means of the last layer over its first and over its second text, side by side.
        """
        import torch
        import torch.nn.functional as nn

        ids, second, real = (part.to(self.device) for part in _padded(rows))
        get = _Getter(self.state, weights, self.half)
        hidden = (
            get.plain("embeddings.word_embeddings.weight")[ids]
            + get.plain("embeddings.position_embeddings.weight")[: ids.shape[1]]
            + get.plain("embeddings.token_type_embeddings.weight")[second.long()]
        )
        hidden = get.norm(hidden, "embeddings.LayerNorm.", self.epsilon)
        mask = None if bool(real.all()) else real[:, None, None]
        for i in range(self.layers):
            hidden = self._layer(get, hidden, mask, f"encoder.layer.{i}.")
        parts = []
        for chosen in (real & ~second, real & second):
            share = chosen.float() / chosen.sum(1, keepdim=True).clamp(min=1)
            parts.append((hidden * share[..., None]).sum(1))
        pooled = nn.dropout(torch.cat(parts, dim=1), dropout, training=dropout > 0)
        return pooled @ get.plain("head.weight") + get.plain("head.bias")

    def _layer(self, get: _Getter, hidden: Any, mask: Any, at: str) -> Any:  # noqa: ANN401 - tensors
        import torch.nn.functional as nn

        rows, width, _ = hidden.shape
        query, key, value = (
            get.product(hidden, f"{at}attention.self.{name}.").view(rows, width, self.heads, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        )
        seen = nn.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)
        hidden = get.norm(
            get.product(seen, f"{at}attention.output.dense.") + hidden, f"{at}attention.output.LayerNorm.", self.epsilon
        )
        inner = nn.gelu(get.product(hidden, f"{at}intermediate.dense."))
        return get.norm(get.product(inner, f"{at}output.dense.") + hidden, f"{at}output.LayerNorm.", self.epsilon)


class _Getter:
    """Looks a weight up among the trained ones, then among the encoder's own, and computes with it."""

    def __init__(self, state: Mapping[str, Any], weights: Mapping[str, Any], half: bool) -> None:
        self._state, self._weights, self._half = state, weights, half

    def plain(self, name: str) -> Any:  # noqa: ANN401 - a tensor
        """Return a weight by name, the trained one where there is one."""
        return self._weights[name] if name in self._weights else self._state[name]

    def product(self, hidden: Any, at: str) -> Any:  # noqa: ANN401 - tensors
        """Return the linear layer `at` of hidden states."""
        import torch
        import torch.nn.functional as nn

        kind = torch.bfloat16 if self._half else torch.float32
        return nn.linear(hidden.to(kind), self.plain(f"{at}weight").to(kind), self.plain(f"{at}bias").to(kind))

    def norm(self, hidden: Any, at: str, epsilon: float) -> Any:  # noqa: ANN401 - tensors
        """Return the layer norm `at` of hidden states."""
        import torch.nn.functional as nn

        return nn.layer_norm(
            hidden.float(), hidden.shape[-1:], self.plain(f"{at}weight"), self.plain(f"{at}bias"), epsilon
        )


def tune(
    pairs: Sequence[Pair],
    labels: NDArray[np.bool_],
    encoder: Encoder,
    settings: Settings,
    seed: int,
    context: Context,
) -> Tuned:
    """Return the encoder trained to tell which pairs have the label, by log-loss with AdamW.

    The same pairs, labels, settings and seed give the same weights on the same machine: one thread, batches drawn by
    the seed. Progress counts batches. Raise UserError when the labels are of one class, Interrupted between batches
    when asked to stop. Costs about 6 * 10.6 M operations per token and epoch for MiniLM.
    """
    import torch

    if not labels.any() or labels.all():
        raise UserError("fine-tuning needs labels of both classes", value=bool(labels.any()))
    rows = encoder.tokens(pairs, settings.longest)
    truth = torch.from_numpy(labels.astype(np.float32)).to(encoder.device)
    weights = {name: weight.requires_grad_() for name, weight in encoder.fresh(settings).items()}
    plan = list(_plan(np.array([len(ids) for ids, _ in rows]), settings, seed))
    optimiser, rate = _optimiser(weights, settings, len(plan))
    with _reproducible(seed):
        for done, chosen in enumerate(plan):
            if context.stopping():
                raise Interrupted(f"stopped; {done} of {len(plan)} batches of this model were trained")
            logits = encoder.logits(weights, [rows[i] for i in chosen], settings.dropout)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth[torch.from_numpy(chosen)])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(weights.values()), _CLIP)
            optimiser.step()
            rate.step()
            context.progress(done + 1, len(plan))
    kept = {name: weight.detach().to(torch.bfloat16).cpu() for name, weight in weights.items()}
    return Tuned(kept, identity(encoder.name), settings)


def predict(tuned: Tuned, pairs: Sequence[Pair], encoder: Encoder, context: Context) -> Floats:
    """Return the log-odds of the label for each pair, shape (n,); they vary by about 1e-2 with the batch in bfloat16.

    Raise Interrupted between batches when asked to stop.
    """
    import torch

    rows = encoder.tokens(pairs, tuned.settings.longest)
    weights = {name: weight.to(encoder.device).float() for name, weight in tuned.weights.items()}
    found = np.zeros(len(rows))
    if not rows:
        return found
    lengths = np.array([len(ids) for ids, _ in rows])
    with torch.inference_mode(), _single():
        for chosen in batches(lengths, _BUDGET.get(encoder.device.type, _BUDGET["cpu"])):
            if context.stopping():
                raise Interrupted("stopped while pairs were read")
            found[chosen] = encoder.logits(weights, [rows[i] for i in chosen]).double().cpu().numpy()
    return found


def key(pairs: Sequence[Pair], labels: NDArray[np.bool_], encoder: str, settings: Settings, seed: int) -> str:
    """Return the name of what `tune` would make of this: a hash of texts, labels, encoder, settings and seed."""
    parts = {"pairs": list(map(list, pairs)), "labels": labels.tolist(), "seed": seed, "version": VERSION}
    return digest({**parts, "encoder": identity(encoder), "settings": asdict(settings)})


def save(tuned: Tuned, file: Path) -> None:
    """Write the weights as safetensors; the file appears whole or not at all."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    save_file(dict(tuned.weights), draft, metadata={"encoder": tuned.encoder})
    draft.replace(file)


def load(file: Path, encoder: str, settings: Settings) -> Tuned:
    """Return what `save` wrote; raise UserError when it is of another encoder or no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as store:
            made = (store.metadata() or {}).get("encoder", "")
            weights = {name: store.get_tensor(name) for name in store.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as fault:
        raise UserError(f"a fine-tuned model cannot be read ({fault})", value=str(file), remedy="delete it") from fault
    if made != identity(encoder):
        raise UserError("a fine-tuned model is of another encoder", value=made, remedy=f"delete {file}")
    return Tuned(weights, made, settings)


def _shortened(ids: list[int], room: int) -> list[int]:
    """Return at most `room` ids: three quarters from the beginning, the rest from the end."""
    if len(ids) <= room:
        return ids
    tail = int(room * _TAIL)
    return ids[: room - tail] + ids[len(ids) - tail :]


def _padded(rows: Sequence[tuple[list[int], int]]) -> tuple[Any, Any, Any]:
    """Return ids, which belong to the second text, and which are no padding: (n, longest) each."""
    import torch

    width = max(len(ids) for ids, _ in rows)
    table = np.zeros((len(rows), width), np.int64)
    for place, (ids, _) in enumerate(rows):
        table[place, : len(ids)] = ids
    at = np.arange(width)
    real = at < np.array([len(ids) for ids, _ in rows])[:, None]
    second = (at >= np.array([first for _, first in rows])[:, None]) & real
    return torch.from_numpy(table), torch.from_numpy(second), torch.from_numpy(real)


def _plan(lengths: Ints, settings: Settings, seed: int) -> Iterator[Ints]:
    """Yield the rows of each batch, all epochs after one another; rows of about one length share a batch."""
    chance = np.random.default_rng(seed64(seed, "tuning"))
    for _ in range(settings.epochs):
        order = chance.permutation(len(lengths))
        found: list[Ints] = []
        for start in range(0, len(order), settings.batch * _POOL):
            pool = order[start : start + settings.batch * _POOL]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            found += [pool[i : i + settings.batch] for i in range(0, len(pool), settings.batch)]
        for i in chance.permutation(len(found)):
            yield found[int(i)]


def _optimiser(weights: Mapping[str, Any], settings: Settings, steps: int) -> tuple[Any, Any]:
    """Return AdamW (Loshchilov and Hutter, ICLR 2019) and its rates: up over a tenth of the steps, then down to 0."""
    import torch

    head = [weight for name, weight in weights.items() if name.startswith("head.")]
    rest = [weight for name, weight in weights.items() if not name.startswith("head.")]
    groups = [{"params": rest, "lr": settings.rate}, {"params": head, "lr": settings.rate * _HEAD}]
    optimiser = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=_DECAY, fused=True)
    warm = max(1.0, _WARM * steps)

    def share(step: int) -> float:
        """Return the share of the peak rate at a step: a rise, then a fall to 0."""
        return min((step + 1) / warm, (steps - step) / max(1.0, steps - warm))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, share)


def _amx() -> bool:
    """Return whether the processor multiplies bfloat16 tiles."""
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


class _single:  # noqa: N801 - used as a function
    """Runs its body on one thread, so that sums have one order."""

    def __enter__(self) -> None:
        import torch

        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.set_num_threads(self._threads)


class _reproducible(_single):  # noqa: N801 - used as a function
    """Runs its body on one thread with torch's random numbers seeded; both are given back as they were."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import torch

        super().__enter__()
        self._random = torch.random.fork_rng()
        self._random.__enter__()
        torch.manual_seed(seed64(self._seed, "dropout"))

    def __exit__(self, *fault: object) -> None:
        self._random.__exit__(*fault)
        super().__exit__(*fault)

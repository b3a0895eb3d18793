"""A fitted model ready to be measured: answers to prompts, likelihoods of answers."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from manifests import pickled
from manifests.errors import UserError, missing_extra
from trainers.render import Messages, Rendered, Renderer
from trainers.state import identity

BUCKET: Final = 32
"""Rows are padded to a multiple of this many positions, and batches of one generated token to as many rows.

Below it the CPU's matrix kernels sum in another order; above it a row's result is the same bits in any batch.
"""

POSITIONS: Final = 4096
"""Positions of one batch: rows times padded length."""

_ADAPTER: Final = "adapter_config.json"
_INSTRUCTED: Final = "hypernet.json"


@dataclass(frozen=True, slots=True)
class Loglik:
    """Natural log-likelihood of an answer: `total` over its `n_tokens` tokens, the end of turn included.

    `n_chars` counts the answer's characters; `-total / n_chars` compares models with different tokenizers.
    """

    total: float
    n_tokens: int
    n_chars: int


@dataclass
class Model:
    """A causal language model and its tokenizer, for measuring.

    Results of a row do not depend on the other rows of the call, nor on their order: batches hold rows of one padded
    length. On a GPU they may differ in the last bits.
    """

    model: Any
    renderer: Renderer
    device: str
    context: int
    """Most positions that the model takes, prompt and answer together."""
    stops: frozenset[int]

    @classmethod
    def load(cls, path: Path | str, device: str | None = None) -> Any:  # noqa: ANN401 - a Model, or what acts as one
        """Load a full model folder, a PEFT adapter folder or a hub id (`name@revision`); safetensors only.

        The folder of a run whose adapters are made from instructions gives a `hypernet.answer.Instructed`.

        `device` is `cpu`, `cuda` or None for what the machine has. CPU models are float32, GPU models bfloat16.
        """
        device = device or best_device()
        folder = Path(path)
        if (folder / _INSTRUCTED).is_file():
            from trainers.hypernet.answer import Instructed

            return Instructed.load(folder, device)
        model = _adapted(folder, device) if (folder / _ADAPTER).is_file() else load_model(path, device)
        model.eval()
        tokenizer = load_tokenizer(path)
        renderer = Renderer(tokenizer)
        context, ends = limits(model.config, model.generation_config)
        return cls(model, renderer, device, context, renderer.stops | ends)

    def generate(self, prompts: Sequence[Messages], max_new_tokens: int) -> list[str]:
        """Return the greedy answer to each prompt, at most `max_new_tokens` long, without its end of turn.

        A prompt that leaves too little of the context is shortened from the left.
        """
        import torch

        room = self.context - max_new_tokens
        if room < 1:
            raise UserError("max_new_tokens leaves no room for a prompt", value=max_new_tokens)
        rows = [tuple(self.renderer.prompt(prompt, room)) for prompt in prompts]
        tokenizer = self.renderer.tokenizer
        answers = [""] * len(rows)
        with torch.inference_mode():
            for width, batch in batches(rows, self.context):
                [found] = greedy(self.model, [[rows[i] for i in batch]], width, max_new_tokens, [self.stops])
                for i, ids in zip(batch, found, strict=True):
                    answers[i] = tokenizer.decode(ids, skip_special_tokens=True)
        return answers

    def loglik(self, pairs: Sequence[tuple[Messages, str]]) -> list[Loglik | None]:
        """Return the log-likelihood of each answer after its prompt, rendered as in training.

        The prompt is shortened from the left to fit the context. None where there is nothing to score: an empty answer,
        one that is longer than the context, or turns that the chat template refuses.
        """
        import torch

        rendered = [self.renderer.row([*prompt, ("assistant", answer)], self.context) for prompt, answer in pairs]
        rows = {n: row for n, row in enumerate(rendered) if isinstance(row, Rendered)}
        numbers = list(rows)
        found: list[Loglik | None] = [None] * len(rendered)
        with torch.inference_mode():
            for width, batch in batches([rows[n].ids for n in numbers], self.context):
                sums = self._score([(rows[numbers[i]].ids, rows[numbers[i]].start) for i in batch], width)
                for i, total in zip(batch, sums, strict=True):
                    n = numbers[i]
                    found[n] = Loglik(total, len(rows[n].ids) - rows[n].start, len(pairs[n][1]))
        return found

    def close(self) -> None:
        """Give the model's memory back; the object cannot be used afterwards."""
        self.model = None
        if self.device != "cpu":
            import torch

            torch.cuda.empty_cache()

    def _score(self, rows: list[tuple[tuple[int, ...], int]], width: int) -> list[float]:
        """Return the summed log-likelihood of each row's ids from its start on."""
        import torch

        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        where: list[int] = []
        wanted: list[int] = []
        owner: list[int] = []
        for n, (row, start) in enumerate(rows):
            ids[n, : len(row)] = torch.tensor(row)
            mask[n, : len(row)] = 1
            where += [n * width + position - 1 for position in range(start, len(row))]
            wanted += row[start:]
            owner += [n] * (len(row) - start)
        logits = logits_at(
            self.model,
            {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)},
            torch.tensor(where, device=self.device),
        )
        chosen = logits.float().log_softmax(-1).gather(1, torch.tensor(wanted, device=self.device)[:, None])
        sums = torch.zeros(len(rows), dtype=torch.float64)
        return [float(total) for total in sums.index_add_(0, torch.tensor(owner), chosen[:, 0].double().cpu())]


def limits(config: Any, generation: Any) -> tuple[int, frozenset[int]]:  # noqa: ANN401 - configurations
    """Return the positions that a model takes and the tokens that end its answers, from its two configurations."""
    ends = generation.eos_token_id
    limit = getattr(config.get_text_config(), "max_position_embeddings", None) or 4096
    return int(limit), frozenset([] if ends is None else [ends] if isinstance(ends, int) else ends)


def greedy(
    model: Any,  # noqa: ANN401 - a model
    parts: Sequence[Sequence[Sequence[int]]],
    width: int,
    max_new_tokens: int,
    stops: Sequence[frozenset[int]],
    using: Callable[[Sequence[int]], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> list[list[list[int]]]:
    """Return the ids that follow each row of each part, without the one of the part's `stops` that ended them.

    The rows of a batch are those of the first part, then those of the second; all parts are filled up to one multiple
    of `BUCKET` rows. A part whose rows have all ended leaves the batch; `using` is given the numbers of those in it.
    """
    import torch

    device = next(model.parameters()).device
    height = -(-max(map(len, parts)) // BUCKET) * BUCKET
    filled = [row for rows in parts for row in (*rows, *[rows[0][-1:]] * (height - len(rows)))]
    ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in filled], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in filled], device=device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    ends = [torch.tensor(sorted(one), device=device) for one in stops]
    done = [torch.arange(height, device=device) >= len(rows) for rows in parts]
    found: list[list[Any]] = [[] for _ in parts]
    going, cache = list(range(len(parts))), None
    for _ in range(max_new_tokens):
        with using(going):
            out = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        cache, ids = out.past_key_values, out.logits[:, -1:].float().argmax(-1)
        for part, new in zip(going, ids.view(len(going), height), strict=True):
            found[part].append(new)
            done[part] |= torch.isin(new, ends[part])
        over = torch.stack([done[part].all() for part in going])
        if bool(over.all()):
            break
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions[:, -1:] + 1
        if bool(over.any()):
            left = (~over).repeat_interleave(height).nonzero()[:, 0]
            cache.reorder_cache(left)
            ids, mask, positions = ids[left], mask[left], positions[left]
            going = [part for part, gone in zip(going, over.tolist(), strict=True) if not gone]
    answers = (torch.stack(new, 1)[: len(rows)].tolist() for rows, new in zip(parts, found, strict=True))
    return [[_before(ids, ends) for ids in part] for part, ends in zip(answers, stops, strict=True)]


def _before(ids: list[int], stops: frozenset[int]) -> list[int]:
    return next((ids[:n] for n, i in enumerate(ids) if i in stops), ids)


def logits_at(model: Any, inputs: dict[str, Any], where: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the logits at the flat positions `where` of a [rows, width] batch, shape (len(where), vocabulary).

    The output layer is applied there alone: with a large vocabulary it is most of the memory. It sees `BUCKET`
    positions at least, so that its sums do not depend on how many are wanted.
    """
    import torch

    least = BUCKET - len(where)
    flat = torch.cat([where, where.new_zeros(least)]) if least > 0 else where
    if model.get_output_embeddings() is None:
        return model(**inputs, use_cache=False).logits.flatten(0, 1)[where]
    return headed(model, inputs, lambda states: states.flatten(0, 1)[flat].unsqueeze(0))[0, : len(where)]


def headed(model: Any, inputs: Mapping[str, Any], given: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - tensors
    """Return the model's logits when its output layer gets `given(states)` in place of the last hidden states."""
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, args: (given(args[0]), *args[1:]))
    try:
        return model(**inputs, use_cache=False).logits
    finally:
        hook.remove()


def best_device() -> str:
    """Return `cuda` where there is a GPU, else `cpu`."""
    try:
        import torch
    except ImportError as error:
        raise missing_extra("torch", "train") from error
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(path: Path | str, device: str, *, dtype: str | None = None, quantization: Any = None) -> Any:  # noqa: ANN401 - a model
    """Load a causal language model from a folder or hub id (`name@revision`); safetensors only, no remote code.

    `dtype` is by default float32 on a CPU and bfloat16 on a GPU; `quantization` is transformers' configuration of one.
    """
    name, revision = place(path)
    if (Path(name) / _ADAPTER).is_file():
        raise UserError("an adapter cannot be a base model", value=str(path), remedy="name the model it was trained on")
    pickled.refuse(Path(name))
    if Path(name).is_dir() and not any(Path(name).glob("*.safetensors")):
        raise UserError(
            "the model folder holds no safetensors file",
            value=str(path),
            remedy="save it again with save_pretrained, which writes safetensors",
        )
    import torch
    from transformers import AutoModelForCausalLM

    chosen = dtype or ("float32" if device == "cpu" else "bfloat16")
    with _loading(path):
        model = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=getattr(torch, chosen),
            use_safetensors=True,
            trust_remote_code=False,
            quantization_config=quantization,
        )
    return model.to(device)


def load_tokenizer(path: Path | str) -> Any:  # noqa: ANN401 - a tokenizer
    """Load the tokenizer of a model folder, an adapter folder or a hub id; an adapter without one uses its base's."""
    from transformers import AutoTokenizer

    folder = Path(path)
    if (folder / _ADAPTER).is_file() and not (folder / "tokenizer_config.json").is_file():
        return load_tokenizer(base_of(folder))
    name, revision = place(path)
    with _loading(path):
        return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)


def base_of(adapter: Path) -> str:
    """Return the base model of an adapter folder: its recorded path, else the path relative to the folder."""
    return base_of_run(adapter, str(json.loads((adapter / _ADAPTER).read_text("utf-8"))["base_model_name_or_path"]))


def base_of_run(adapter: Path, base: str) -> str:
    """Return where the base of a run's folder is: `base` if it is a folder, else the path relative to the run."""
    record = adapter / "run.json"
    if not Path(base).is_dir() and record.is_file():
        relative = json.loads(record.read_text("utf-8")).get("base_relative")
        if relative and (adapter / relative).is_dir():
            return str(os.path.normpath(adapter / relative))
    return base


def _adapted(folder: Path, device: str) -> Any:  # noqa: ANN401 - a model
    """Load the base of the adapter in `folder` and the adapter, merged into it where that loses nothing (float32)."""
    pickled.refuse(folder)
    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError("the adapter folder holds no adapter_model.safetensors", value=str(folder))
    from peft import PeftModel

    check_adapter(folder)
    model = PeftModel.from_pretrained(load_model(base_of(folder), device), str(folder), is_trainable=False)
    return model.merge_and_unload() if device == "cpu" else model


def check_adapter(adapter: Path) -> None:
    """Raise UserError when the base of an adapter that says what its base was is another one now."""
    record, base = adapter / "run.json", base_of(adapter)
    known = json.loads(record.read_text("utf-8")).get("base_identity") if record.is_file() else None
    if known is not None and Path(base).is_dir() and identity(base) != known:
        raise UserError(
            "the adapter was trained on another base than the one that is there now",
            where=str(adapter),
            value=base,
            remedy="put the base back, or train again",
        )


def batches(rows: Sequence[Sequence[int]], context: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (padded length, row indexes): rows of one padded length, `POSITIONS` positions at most."""
    widths: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        widths[min(max(context, len(row)), -(-len(row) // BUCKET) * BUCKET)].append(index)
    for width in sorted(widths, reverse=True):
        height = max(1, POSITIONS // width)
        for first in range(0, len(widths[width]), height):
            yield width, widths[width][first : first + height]


def place(path: Path | str) -> tuple[str, str | None]:
    """Return (folder or hub id, revision): `name@revision` pins a hub id."""
    text = str(path)
    if Path(text).exists() or "@" not in text:
        return text, None
    name, _, revision = text.rpartition("@")
    return name, revision


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars off within."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _loading(path: Path | str) -> Iterator[None]:
    """Turn what transformers raises for a model that cannot be read into a UserError, and show no progress bar."""
    try:
        with quiet():
            yield
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise UserError("the model cannot be loaded", value=str(path), remedy=first) from error

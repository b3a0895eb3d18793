"""A fitted run that answers each prompt with its instruction's adapter: what a task measures in place of a `Model`."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from manifests.atomic import replacing
from manifests.errors import UserError
from manifests.names import digest, k64
from trainers.evaluate import Loglik, Model, base_of_run
from trainers.hypernet.adapted import Adapted, Factors, Slot, slots_of
from trainers.hypernet.following import Following
from trainers.hypernet.generator import Generator
from trainers.hypernet.instruction import Encoder, Prefixes, instruction_of, prefix_ids, without
from trainers.hypernet.learn import BANK, GENERATOR, RECORD
from trainers.render import Messages


@dataclass
class Instructed:
    """A base whose adapter is that of the prompt's system turn; made once per instruction, without training."""

    model: Model
    adapted: Adapted
    encoder: Encoder
    record: dict[str, Any]
    made: dict[str, Any]
    """What the run saved: a `generator`, or a `bank` of adapters and the `features` of their instructions."""

    @classmethod
    def load(cls, folder: Path, device: str | None = None) -> Instructed:
        """Load a run of the trainer `hypernet`; raise UserError when its base is not there or another one."""
        from safetensors.torch import load_file

        record = json.loads((folder / RECORD).read_text("utf-8"))
        model = Model.load(base_of_run(folder, str(record["base"])), device)
        adapted = Adapted(model.model, slots_of(model.model, record["targets"]))
        encoder = Encoder(model.model, model.renderer, record["encoder"], record["instruction_tokens"])
        made: dict[str, Any] = {}
        if (folder / GENERATOR).is_file():
            tensors = load_file(folder / GENERATOR, device=model.device)
            features = tensors["read.0.weight"].shape[0]
            made["generator"] = Generator(adapted.slots, features, record["width"], record["rank"], record["form"])
            made["generator"].load_state_dict(tensors)
            made["generator"].to(model.device).requires_grad_(False)
        elif (folder / BANK).is_file():
            tensors = load_file(folder / BANK, device=model.device)
            made["bank"] = [(tensors[f"A.{n}"], tensors[f"B.{n}"]) for n in range(len(adapted.slots))]
            made["features"] = tensors["features"]
        return cls(model, adapted, encoder, record, made)

    def generate(self, prompts: Sequence[Messages], max_new_tokens: int) -> list[str]:
        """Return the greedy answer to each prompt, at most `max_new_tokens` long, without its end of turn."""
        answers = [""] * len(prompts)
        for instruction, numbers in _by_instruction(prompts):
            with self._ready(instruction) as model:
                found = model.generate([without(prompts[n]) for n in numbers], max_new_tokens)
            for n, answer in zip(numbers, found, strict=True):
                answers[n] = answer
        return answers

    def loglik(self, pairs: Sequence[tuple[Messages, str]]) -> list[Loglik | None]:
        """Return the log-likelihood of each answer after its prompt, see `evaluate.Model.loglik`."""
        scores: list[Loglik | None] = [None] * len(pairs)
        for instruction, numbers in _by_instruction([prompt for prompt, _ in pairs]):
            with self._ready(instruction) as model:
                found = model.loglik([(without(pairs[n][0]), pairs[n][1]) for n in numbers])
            for n, score in zip(numbers, found, strict=True):
                scores[n] = score
        return scores

    def close(self) -> None:
        """Give the memory back; the object cannot be used afterwards."""
        self.made, self.adapted = {}, None  # type: ignore[assignment]
        self.model.close()

    def factors(self, instruction: str) -> Factors | None:
        """Return the adapter of an instruction, of one task; None when the run answers without one.

        It depends on the instruction alone. Raise UserError when a run of `own` adapters has none for it.
        """
        method, known = self.record["method"], self.record["known"]
        if method in ("none", "prompt"):
            return None
        with torch.no_grad():
            if method == "generated":
                made: Factors = self.made["generator"](self.encoder.vectors([instruction]))
                return made
            number = 0
            if method == "nearest":
                held = torch.nn.functional.normalize(self.made["features"], dim=1)
                near = held @ torch.nn.functional.normalize(self.encoder.vectors([instruction])[0], dim=0)
                number = int(near.argmax())
            elif method == "own":
                if instruction not in known:
                    raise UserError("no rows of this test task were trained on", value=instruction[:80], options=known)
                number = known.index(instruction)
            return [(down[number : number + 1], up[number : number + 1]) for down, up in self.made["bank"]]

    def export(self, instruction: str, out: Path) -> Path:
        """Write an instruction's adapter as an ordinary PEFT folder, which PEFT and vLLM load beside the base."""
        factors = self.factors(self._given(instruction))
        if factors is None:
            raise UserError("this run answers without an adapter", value=self.record["method"])
        return save_peft(self.adapted.slots, factors, str(Path(self.record["base"]).resolve()), out)

    def _given(self, instruction: str) -> str:
        """Return what the adapter is made from in place of the instruction: itself, another's, or random letters."""
        if self.record["instructions"] == "own":
            return instruction
        drawn = random.Random(k64(digest([self.record["instructions"], instruction])))  # noqa: S311 - not a secret
        if self.record["instructions"] == "shuffled":
            return str(drawn.choice([one for one in self.record["known"] if one != instruction]))
        return "".join(drawn.choice("abcdefghijklmnopqrstuvwxyz ") for _ in instruction)

    @contextmanager
    def _ready(self, instruction: str | None) -> Iterator[Model]:
        """Give the model with the instruction's adapter in its layers, behind its prefix where the run has one."""
        if instruction is None:
            yield self.model
            return
        given = self._given(instruction)
        with self.adapted.using(self.factors(given)):
            if self.record["fusion"] or self.record["method"] == "prompt":
                yield self._behind(given)
            else:
                yield self.model

    def _behind(self, instruction: str) -> Model:
        whole = prefix_ids(self.encoder.renderer, instruction)
        kept = whole[: self.record["instruction_tokens"]]
        with self.adapted.using(None):
            prefixes = Prefixes(self.model.model, {instruction: kept})
            prefixes.layers(instruction)
        renderer: Any = Following(self.encoder.renderer, instruction, len(whole))
        behind = _Behind(self.model.model, prefixes, instruction, len(kept))
        return replace(self.model, model=behind, renderer=renderer, context=self.model.context - len(kept))


@dataclass
class _Behind:
    """A model each of whose rows follows one instruction's prefix."""

    inner: Any
    prefixes: Prefixes
    instruction: str
    length: int

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a model
        return getattr(self.inner, name)

    def __call__(self, **given: Any) -> Any:  # noqa: ANN401 - a model's inputs and output
        """Return the model's output for inputs without the prefix, which is put before them."""
        ids, mask = given["input_ids"], given["attention_mask"]
        positions = given.get("position_ids")
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
        given["position_ids"] = positions + self.length
        given["attention_mask"] = torch.cat([mask.new_ones(len(mask), self.length), mask], dim=1)
        if given.get("past_key_values") is None:
            given["past_key_values"], _ = self.prefixes.cache([self.instruction], len(ids))
        return self.inner(**given)


def save_peft(slots: Sequence[Slot], factors: Factors, base: str, out: Path) -> Path:
    """Write the factors of one task in PEFT's format: `adapter_model.safetensors` and `adapter_config.json`."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    rank = int(factors[0][0].shape[1])
    out.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for slot, (down, up) in zip(slots, factors, strict=True):
        tensors[f"base_model.model.{slot.name}.lora_A.weight"] = down[0].detach().cpu().contiguous()
        tensors[f"base_model.model.{slot.name}.lora_B.weight"] = up[0].detach().cpu().contiguous()
    with replacing(out / "adapter_model.safetensors") as temporary:
        save_file(tensors, temporary, {"format": "pt"})
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=rank,
        target_modules=sorted({slot.kind for slot in slots}),
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.target_modules = sorted(config.target_modules)
    config.save_pretrained(out)
    return out


def _by_instruction(prompts: Sequence[Messages]) -> Iterator[tuple[str | None, list[int]]]:
    """Yield each instruction and the numbers of the prompts that have it."""
    found: dict[str | None, list[int]] = {}
    for number, prompt in enumerate(prompts):
        found.setdefault(instruction_of(prompt), []).append(number)
    yield from found.items()

"""A small Llama-style base model with its own tokenizer, trained from the job's text."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from manifests.atomic import fsync_dir
from manifests.component import COMPONENT, Context, spec_of
from manifests.errors import UserError
from manifests.names import digest, k64, seed64
from trainers import state
from trainers.evaluate import best_device, quiet
from trainers.loop import Settings, device_of, threads, train
from trainers.pack import Item
from trainers.render import Rendered
from trainers.trainer import Fitted

PAD: Final = "<|pad|>"
END: Final = "<|end|>"
SPECIAL: Final = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE: Final = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Scratch:
    """A base model made by the job: byte-level BPE, then language-model pre-training on the job's text.

    For demonstrations and tests. 200 steps of the default size (0.7M parameters) take about two minutes on one core.
    """

    kind: ClassVar[str] = "scratch"
    version: ClassVar[int] = 1
    inert: ClassVar[frozenset[str]] = frozenset({"threads"})

    layers: Annotated[int, Field(ge=1, le=64)] = 2
    """Transformer layers."""
    width: Annotated[int, Field(ge=8, le=4096)] = 128
    """Width of the hidden states; a multiple of twice `heads`. vLLM on a CPU wants 32 or more per head."""
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    """Attention heads."""
    vocab: Annotated[int, Field(ge=261, le=200_000)] = 2048
    """Tokens of the vocabulary at most: 256 bytes, 5 special tokens, the rest merges learnt from the text."""
    context: Annotated[int, Field(ge=16, le=32768)] = 256
    """Positions of the model, in tokens."""
    steps: Annotated[int, Field(ge=1)] = 200
    """Optimizer steps of the pre-training."""
    batch_tokens: Annotated[int, Field(ge=16)] = 2048
    """Positions of one optimizer step."""
    lr: Annotated[float, Field(gt=0, le=1)] = 3e-3
    """Peak learning rate."""
    sources: tuple[str, ...] = ()
    """Sources whose text it learns, of any role but eval; all generalist and specialist rows when left out."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the weights and of the order of the text."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads of torch."""

    def build(self, texts: Sequence[str], out: Path, context: Context) -> Path:
        """Train tokenizer and model on `texts`, whatever their order, into `out`, and return `out`.

        The folder appears whole or not at all; one made before from the same texts and fields is used again; a build
        that was stopped goes on. Raise UserError when there is no text, or when width and heads do not fit.
        """
        import torch

        if self.width % (2 * self.heads):
            raise UserError("width must be a multiple of twice the heads", value=f"{self.width} and {self.heads}")
        kept = sorted(text for text in texts if text.strip())
        if not kept:
            raise UserError("no text to train the base model on", value=len(texts))
        key = digest([spec_of(self), kept])
        if state.finished(out, key) is not None:
            return out
        partial = out.with_name(f".{out.name}.partial")
        if state.finished(partial, key) is not None:
            return _swap(partial, out)
        checkpoint = state.begin(partial, key)
        tokenizer = self._tokenizer(kept)
        items = self._items(kept, tokenizer)
        with threads(self.threads), torch.random.fork_rng():
            torch.manual_seed(seed64(self.seed, "init") >> 1)
            model = self._model(tokenizer).to(best_device())
            done = train(model, items, self._settings(), self.seed, checkpoint, context)
        with quiet():
            model.cpu().save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        fitted = Fitted(
            path=out,
            content_id=state.content_id(partial),
            steps=done.step,
            tokens=done.tokens,
            seconds=done.seconds,
            peak_memory=state.peak_memory(device_of(model)),
            log=tuple(done.log),
        )
        state.finish(partial, key, fitted, {"base": spec_of(self), "texts": len(kept)})
        return _swap(partial, out)

    def _settings(self) -> Settings:
        return Settings(
            steps=self.steps,
            lr=self.lr,
            batch_tokens=self.batch_tokens,
            max_tokens=self.context,
            warmup=0.05,
            schedule="cosine",
            weight_decay=0.1,
            clip=1.0,
            accumulate=1,
            checkpoint_steps=100,
            log_steps=10,
            threads=self.threads,
        )

    def _tokenizer(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - a tokenizer
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast

        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        bpe.train_from_iterator(iter(texts), trainer, length=len(texts))
        return PreTrainedTokenizerFast(
            tokenizer_object=bpe,
            pad_token=PAD,
            eos_token=END,
            additional_special_tokens=list(SPECIAL[2:]),
            chat_template=CHAT_TEMPLATE,
            model_max_length=self.context,
            clean_up_tokenization_spaces=False,
        )

    def _items(self, texts: Sequence[str], tokenizer: Any) -> list[Item]:  # noqa: ANN401 - a tokenizer
        """Return each text and its end token in pieces of the context; all but a piece's first token is learnt."""
        items = []
        for number, text in enumerate(texts):
            ids = [*tokenizer(text, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"], 1]
            pieces = [tuple(ids[at : at + self.context]) for at in range(0, len(ids), self.context)]
            items += [
                Item(Rendered(piece, 1), key=k64(digest([number, at, text])))
                for at, piece in enumerate(pieces)
                if len(piece) > 1
            ]
        return items

    def _model(self, tokenizer: Any) -> Any:  # noqa: ANN401 - a model
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=-(-len(tokenizer) // 64) * 64,
            hidden_size=self.width,
            intermediate_size=-(-self.width * 8 // 3 // 32) * 32,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=self.context,
            tie_word_embeddings=True,
            initializer_range=0.5 * self.width**-0.5,  # at the usual 0.02 a narrow tied model cannot be sure of a token
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        return LlamaForCausalLM(config)


def _swap(partial: Path, out: Path) -> Path:
    """Put the finished folder in its place and return it; a kill between the two steps leaves `out` absent."""
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)
    fsync_dir(out.parent)
    return out

"""What a score must beat to mean anything: the base model, the commonest answer, the input copied."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from trainers.evaluate import Loglik, Model
from trainers.render import Renderer, laid_out
from trainers.trainer import Example, Request

Turns = tuple[tuple[str, str], ...]

BASELINES: Final[dict[str, str]] = {
    "base": "the base model before any training",
    "majority": "the commonest answer of the specialist rows, whatever the prompt",
    "copy": "the text to rewrite, as it is",
}
"""Name in the results -> what answers."""


@dataclass(frozen=True)
class Majority:
    """Answers every prompt with the commonest of the training answers; the likelihoods are their shares."""

    counts: Counter[str]

    @classmethod
    def of(cls, answers: Sequence[str]) -> Majority:
        """Count the answers, white space around them aside."""
        return cls(Counter(answer.strip() for answer in answers if answer.strip()))

    def generate(self, prompts: Sequence[Turns], max_new_tokens: int) -> list[str]:
        """Return the commonest answer for each prompt, of equally common ones the first in order of the alphabet."""
        best = min(self.counts.items(), key=lambda item: (-item[1], item[0]), default=("", 0))[0]
        return [best] * len(prompts)

    def loglik(self, pairs: Sequence[tuple[Turns, str]]) -> list[Loglik | None]:
        """Return the log of each answer's share, one more being counted of each and of all that were never seen."""
        total = sum(self.counts.values()) + len(self.counts) + 1
        return [Loglik(math.log((self.counts[answer.strip()] + 1) / total), 1, len(answer)) for _, answer in pairs]

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Copy:
    """Answers every prompt with the text that it asks to rewrite, or with its last user turn."""

    sources: dict[Turns, str]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Copy:
        """Know the texts of the examples."""
        from trainers.tasks.rewrite import original

        return cls({example.messages: original(example) for example in examples})

    def generate(self, prompts: Sequence[Turns], max_new_tokens: int) -> list[str]:
        """Return the text of each prompt."""
        return [self.sources.get(prompt, prompt[-1][1] if prompt else "") for prompt in prompts]

    def loglik(self, pairs: Sequence[tuple[Turns, str]]) -> list[Loglik | None]:
        """Return None for each: a copy has no likelihoods."""
        return [None] * len(pairs)

    def close(self) -> None:
        """Nothing is held."""


def stand_in(request: Request) -> Any:  # noqa: ANN401 - what has the verbs of a Model
    """Return what answers in the baseline `request.baseline`."""
    if request.baseline == "majority":
        return Majority.of([row.messages[-1][1] for row in request.rows])
    if request.baseline == "copy":
        return Copy.of([example for _, examples in request.tasks for example in examples])
    model = Model.load(request.base)
    tokenizer = laid_out(model.renderer.tokenizer, str(request.trainer.get("template", "own")))
    return replace(model, renderer=Renderer(tokenizer))

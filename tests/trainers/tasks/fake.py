"""A model that answers by looking up, with the interface of `trainers.evaluate.Model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from manifests.component import Context
from trainers.evaluate import Loglik
from trainers.trainer import Example

Turns = tuple[tuple[str, str], ...]


@dataclass
class Fake:
    """`said` maps the last turn to the answer, `likely` an answer to its log-likelihood; None cannot be scored."""

    said: Mapping[str, str] = field(default_factory=dict)
    likely: Mapping[str, float | None] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)

    def generate(self, prompts: Sequence[Turns], max_new_tokens: int) -> list[str]:
        self.calls.append(len(prompts))
        self.limits.append(max_new_tokens)
        return [self.said.get(prompt[-1][1], "") for prompt in prompts]

    def loglik(self, pairs: Sequence[tuple[Turns, str]]) -> list[Loglik | None]:
        self.calls.append(len(pairs))
        found: list[Loglik | None] = []
        for _, answer in pairs:
            total = self.likely[answer]
            found.append(None if total is None else Loglik(total, len(answer.split()) + 1, len(answer)))
        return found


def example(question: str, *references: str, choices: tuple[str, ...] = (), source: str = "") -> Example:
    return Example(question, (("system", "Be brief."), ("user", question)), references, choices, source)


def here(batch: int = 0) -> Context:
    return Context(root=Path("unused"), batch=batch)


def values(rows) -> dict[tuple[str, str], float | None]:
    return {(row.example_id, row.metric): row.value for row in rows}

"""Free-form instruction following, scored as in Super-NaturalInstructions (Wang et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass

from manifests.component import COMPONENT, Context
from trainers.metrics.rouge import rouge_l
from trainers.metrics.squad import exact_match
from trainers.metrics.text import stated
from trainers.tasks import reply
from trainers.tasks.asked import Asked, Longest
from trainers.trainer import Example, Measured, Metric


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Rouge(Asked):
    """ROUGE-L and exact match of a generated answer, the best over the references."""

    kind: ClassVar[str] = "rouge"
    version: ClassVar[int] = 1
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("rouge_l", 0.0, 1.0, "F of the longest common subsequence of Porter stems; of use for English only"),
        Metric("exact_match", 0.0, 1.0, "the answer equals a reference, but for case and punctuation"),
    )

    max_new_tokens: Longest = 128

    def measure(self, model: Any, examples: Sequence[Example], context: Context) -> list[Measured]:  # noqa: ANN401
        """Return both metrics of every example; None where it has no reference."""
        found = reply.answers(model, examples, self.max_new_tokens, context)
        rows: list[Measured] = []
        for example, answer in zip(examples, found, strict=True):
            wanted = stated(example.references)
            values = {
                "rouge_l": rouge_l(answer, wanted) if wanted else None,
                "exact_match": exact_match(answer, wanted, articles=False) if wanted else None,
            }
            rows += reply.measured(example, values, answer)
        return rows

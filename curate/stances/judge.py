"""Stances read by a model, off the probabilities of its answer's first token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from pydantic.dataclasses import dataclass

from curate.evidence import Lesson
from curate.inquiry import Inquiry
from curate.judges import ABSTAINED, OK, Call, JudgeEngine, Menu, Reply
from curate.prompt import load_prompt, nonce, render
from curate.stances import Pair, Read, Stance
from curate.step import JUDGES
from manifests.component import COMPONENT, Context, Table
from manifests.names import digest

NEEDS: Final = ("claim", "evidence")
"""Placeholders of a prompt that asks for a stance."""


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Asked:
    """Asks a model once per pair; the stance is the most probable of the three labels."""

    kind: ClassVar[str] = "judge"
    version: ClassVar[int] = 1
    nested: ClassVar[Mapping[str, Table]] = {"judge": JUDGES}
    paths: ClassVar[frozenset[str]] = frozenset({"prompt"})

    judge: JudgeEngine
    """Who answers: `{kind: vllm, model: M}`, `{kind: openai, url: U, model: M}` or `{kind: replay, path: P}`."""
    prompt: str = "stance"
    """The packaged prompt, or the path of a .txt file with {claim} and {evidence}."""
    labels: tuple[str, str, str] = (" support", " refute", " neither")
    """The answers for support, refute and neither; their first tokens must differ."""
    min_label_mass: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least probability of the three labels together; below it the stance is not known."""
    confidence: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Least probability, of the three, of a stance other than neither."""

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the prompt's text and the engine's weights, by hash."""
        return {"prompt": load_prompt(self.prompt, NEEDS).digest, "engine": self.judge.identity()}

    def read(self, pairs: Sequence[Pair], lessons: Sequence[Lesson], context: Context) -> Read:
        """Return one stance per pair, without a verdict where the model failed; equal pairs share one call."""
        prompt = load_prompt(self.prompt, NEEDS)
        menu = Menu(self.labels, prompt.tail)
        with Inquiry(self.judge, [menu], context) as inquiry:
            calls: list[Call] = []
            for pair in pairs:
                content = digest([pair.claim, pair.evidence])
                values = {"claim": pair.claim, "evidence": pair.evidence}
                text = render(prompt.text, values, nonce(prompt, content))
                calls.append(inquiry.call(text, menu, pair.sample_id, content))
            replies = inquiry.ask(calls, menu)
        return Read(tuple(self._stance(replies[call.key]) for call in calls))

    def _stance(self, reply: Reply) -> Stance:
        if reply.status == ABSTAINED:
            return Stance("neither", why=reply.why or "")
        if reply.status != OK or reply.probabilities is None:
            return Stance(None, why=reply.why or "the judge gave no probabilities")
        if reply.mass < max(self.min_label_mass, 1e-12):
            return Stance(None, why=f"off the menu: the labels have probability {reply.mass:.3g}")
        support, refute, neither = (p / reply.mass for p in reply.probabilities)
        verdict = "neither"
        if max(support, refute) >= self.confidence and max(support, refute) > neither:
            verdict = "support" if support > refute else "refute"
        return Stance(verdict, support, refute)

"""Is a row known to the model that will be trained? Its own answers to the prompt, against the row's response."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
import polars as pl
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from curate import embed, encoder
from curate.agreement import agrees, contained, words
from curate.inquiry import Inquiry
from curate.judges import ABSTAINED, FAILED, OK, Call, JudgeEngine, Reply, Text, Writing
from curate.prompt import render
from curate.step import JUDGES, Scored
from manifests import schema
from manifests.component import COMPONENT, Context, Table
from manifests.errors import UserError
from manifests.names import check_name, digest_bytes, sampling_key

VECTORS: Final = Path("cache") / "embeddings.sqlite"
HIGHLY, MAYBE, WEAKLY, UNKNOWN = "highly known", "maybe known", "weakly known", "unknown"
LONGEST_EXEMPLAR: Final = 400
"""Characters of a row that is shown as an example at most: several must fit beside the question."""
_SHOWN: Final = 40

Agree = Callable[[str, "Asked"], bool]


@plain_dataclass(frozen=True, slots=True)
class Asked:
    """A row whose prompt is put to the model: the prompts to complete, one per set of examples."""

    sample_id: str
    content_id: str
    prompt: str
    response: str
    prompts: tuple[str, ...]


@plain_dataclass(frozen=True, slots=True)
class Found:
    """What became of a row: a status, the share of answers that agree when it is `ok`, and why or how."""

    status: str
    value: float | None
    why: str


@dataclass(frozen=True, kw_only=True, config=COMPONENT)
class Familiarity:
    """Gives the share of a model's own answers that agree with the row's response, 0 (unknown to it) to 1.

    The model completes the prompt after a few examples: once greedily and `samples` times at `temperature` for each of
    `sets` sets of examples (SliCK, Gekhman et al., EMNLP 2024). `why` names the category: highly known (every greedy
    answer agrees), maybe known (some do), weakly known (only sampled ones do), unknown (none). A low value says that
    the row is new to this model, not that it is wrong: `p_error` is the other axis. Rows without a short answer to
    compare with, and those whose prompt holds the answer, abstain. Costs 2 x `sets` calls per distinct prompt.
    """

    kind: ClassVar[str] = "familiarity"
    version: ClassVar[int] = 1
    good: ClassVar[str] = "high"
    nested: ClassVar[Mapping[str, Table]] = {"model": JUDGES}

    model: JudgeEngine
    """The model that will be trained, as an engine that writes: `{kind: vllm, model: M}` or `{kind: openai, ...}`."""
    name: Annotated[str, AfterValidator(check_name)] = "familiarity"
    """Name of the score, and of its column in the pool."""
    roles: tuple[str, ...] = ("generalist",)
    """Roles of the samples that are scored."""
    sources: tuple[str, ...] = ()
    """Sources that are asked about, all when left out; the other rows abstain."""
    exemplars: Literal["specialist", "generalist", "knowledge"] = "specialist"
    """Role of the rows that are shown as examples of how to answer; the row itself and its answer never are."""
    exemplar_sources: tuple[str, ...] = ()
    """Sources that examples come from, all of the role when left out."""
    shots: Annotated[int, Field(ge=0, le=64)] = 4
    """Examples in a set; 0 shows none, and there is one set then."""
    sets: Annotated[int, Field(ge=1, le=64)] = 4
    """Sets of examples, drawn by `seed`; the paper takes 10."""
    samples: Annotated[int, Field(ge=0, le=256)] = 4
    """Sampled answers per set; the paper takes 16."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 0.5
    """Temperature of the sampled answers."""
    template: str = "Question: {prompt}\nAnswer: {response}"
    """How an example is written; the question ends where {response} would begin. Examples stand a blank line apart."""
    stop: tuple[str, ...] = ("\n",)
    """Texts that end an answer."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 32
    """Tokens of an answer at most."""
    match: Literal["exact", "contains", "f1", "embedding"] = "contains"
    """Agreement: the same words, the response's words inside the answer, shared new words, or near in meaning."""
    least: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Least F1 or cosine that is agreement, with `match: f1` or `embedding`."""
    longest: Annotated[int, Field(ge=1)] = 12
    """Words of the longest response that can be compared; `match: embedding` compares any."""
    encoder: str = "minilm"
    """Encoder of `match: embedding`."""
    seed: int = 0
    """Seed of the examples and of the sampled answers."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        head, mark, _ = self.template.partition("{response}")
        if not mark or "{prompt}" not in head:
            remedy = "write it as in: 'Question: {prompt}\\nAnswer: {response}'"
            raise UserError("the template needs {prompt}, and {response} after it", value=self.template, remedy=remedy)
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Roles handed over as reference: that of the examples."""
        return (self.exemplars,) if self.shots else ()

    def identity(self) -> dict[str, Any]:
        """Return what the fields do not say: the model's weights, and the encoder where there is one."""
        named = {"encoder": encoder.identity(self.encoder)} if self.match == "embedding" else {}
        return {"model": self.model.identity(), **named}

    def score(
        self, samples: pl.DataFrame, context: Context, reference: Mapping[str, pl.DataFrame] | None = None
    ) -> Scored:
        """Return one score per sample; `reference` holds the rows of the role `exemplars`.

        An answer that was cut off at `max_tokens` is read as far as it goes; under `match: exact` it never agrees. A
        row is `failed` when a call failed, when the model wrote nothing but blanks, and, under `exact`, when every
        answer was cut off: a share of such answers would say nothing of what the model knows. Raise UserError when
        there are too few examples, when the engine cannot start or dies, Interrupted when asked to stop; finished
        calls stay stored.
        """
        rows, skipped = self._rows(samples, reference or {})
        with Inquiry(self.model, (), context) as inquiry:
            greedy = self._put(inquiry, rows, self._greedy)
            sampled = self._put(inquiry, rows, self._sampled) if self.samples else {}
        agree = self._agree(rows, (greedy, sampled), context)
        found = {row.sample_id: self._found(row, greedy[row.sample_id], sampled.get(row.sample_id, ()), agree)
                 for row in rows}  # fmt: skip
        found |= {sample_id: Found(ABSTAINED, None, why) for sample_id, why in skipped.items()}
        keys = {sample_id: replies[0].key for sample_id, replies in greedy.items() if self.model.cached}
        scores = [
            {"sample_id": i, "scorer": self.name, "value": found[i].value, "status": found[i].status,
             "why": found[i].why, "key": keys.get(i)}
            for i in sorted(found)
        ]  # fmt: skip
        return Scored(schema.frame(scores, schema.SCORES))

    def pending(
        self, samples: pl.DataFrame, context: Context, reference: Mapping[str, pl.DataFrame] | None = None
    ) -> int:
        """Return how many calls `score` would make; without the rows of the examples, as if none were stored."""
        if self.shots and reference is None:
            kept = samples.filter(pl.Series([not why for why in self._skipped(samples)], dtype=pl.Boolean))
            return kept["prompt"].n_unique() * self._sets * (2 if self.samples else 1)
        rows, _ = self._rows(samples, reference or {})
        hows = (self._greedy, self._sampled) if self.samples else (self._greedy,)
        with Inquiry(self.model, (), context) as inquiry:
            return inquiry.pending(call for how in hows for row in rows for call in _calls(inquiry, row, how))

    @property
    def _sets(self) -> int:
        return self.sets if self.shots else 1

    @property
    def _greedy(self) -> Writing:
        return Writing(self.max_tokens, stop=self.stop)

    @property
    def _sampled(self) -> Writing:
        return Writing(self.max_tokens, self.samples, self.temperature, self.seed, self.stop)

    def _rows(self, samples: pl.DataFrame, reference: Mapping[str, pl.DataFrame]) -> tuple[list[Asked], dict[str, str]]:
        """Return the rows that are put to the model, and why the others are not, by sample id."""
        shown = self._shown(reference) if self.shots else [[]]
        rows: list[Asked] = []
        skipped: dict[str, str] = {}
        for row, why in zip(samples.iter_rows(named=True), self._skipped(samples), strict=True):
            if why:
                skipped[row["sample_id"]] = why
                continue
            asked = render(self.template.partition("{response}")[0].rstrip(), {"prompt": row["prompt"]}, "")
            prompts = [self._with_examples(row, examples, asked) for examples in shown]
            given = (row["sample_id"], row["content_id"], row["prompt"], row["response"])
            rows.append(Asked(*given, tuple(prompts)))
        return sorted(rows, key=lambda row: row.sample_id), skipped

    def _skipped(self, samples: pl.DataFrame) -> Iterator[str]:
        """Yield for each sample why it cannot be asked about, an empty text when it can."""
        for row in samples.iter_rows(named=True):
            answer = words(row["response"])
            if self.sources and row["source"] not in self.sources:
                yield "its source is not asked about"
            elif row["n_turns"] > 2:
                yield "more than one question"
            elif not answer:
                yield "no words in the response"
            elif self.match != "embedding" and len(answer) > self.longest:
                yield f"no short answer to compare: {len(answer)} words, {self.longest} at most"
            elif contained(answer, words(row["prompt"], articles=True)):
                yield "the prompt holds the answer"
            else:
                yield ""

    def _shown(self, reference: Mapping[str, pl.DataFrame]) -> list[list[tuple[list[str], list[str], str]]]:
        """Return, set by set, all rows that may be an example in the order drawn: prompt's and answer's words, text."""
        frame = reference[self.exemplars] if self.exemplars in reference else pl.DataFrame(schema=dict(schema.SAMPLES))
        if self.exemplar_sources:
            frame = frame.filter(pl.col("source").is_in(self.exemplar_sources))
        frame = frame.filter(pl.col("n_turns") <= 2, pl.col("n_chars") <= LONGEST_EXEMPLAR).sort("sample_id")
        fits = [self.match == "embedding" or 0 < len(words(text)) <= self.longest for text in frame["response"]]
        frame = frame.filter(pl.Series(fits, dtype=pl.Boolean)).unique("prompt", keep="first", maintain_order=True)
        if frame.height < self.shots:
            raise UserError(
                f"too few rows to show as examples: {frame.height} of role {self.exemplars} with a short answer",
                value=self.shots,
                remedy="lower `shots`, or name another role in `exemplars`",
            )
        texts = [
            (words(prompt), words(response), render(self.template, {"prompt": prompt, "response": response}, ""))
            for prompt, response in frame.select("prompt", "response").iter_rows()
        ]
        keys = frame["k64"].to_numpy()
        orders = [np.argsort(sampling_key(keys, self.seed, f"exemplars {k}"), kind="stable") for k in range(self._sets)]
        return [[texts[at] for at in order] for order in orders]

    def _with_examples(
        self, row: Mapping[str, Any], examples: Sequence[tuple[list[str], list[str], str]], asked: str
    ) -> str:
        """Return the prompt after the first examples of a set that give away neither its answer nor itself."""
        prompt, answer = words(row["prompt"]), words(row["response"])
        taken: list[str] = []
        for question, said, text in examples:
            if len(taken) == self.shots:
                break
            if question != prompt and said != answer:
                taken.append(text)
        return "\n\n".join([*taken, asked])

    def _put(self, inquiry: Inquiry, rows: Sequence[Asked], how: Writing) -> dict[str, list[Reply]]:
        """Return each row's replies by sample id, in the order of its prompts."""
        calls = {row.sample_id: _calls(inquiry, row, how) for row in rows}
        replies = inquiry.write((call for part in calls.values() for call in part), how)
        return {sample_id: [replies[call.key] for call in part] for sample_id, part in calls.items()}

    def _agree(
        self, rows: Sequence[Asked], replies: Sequence[Mapping[str, Sequence[Reply]]], context: Context
    ) -> Agree:
        """Return what says whether an answer agrees with a row's response."""
        match = self.match
        if match != "embedding":
            return lambda answer, row: agrees(answer, row.response, row.prompt, match, self.least)
        said = {text.text for some in replies for found in some.values() for reply in found for text in reply.texts}
        texts = sorted(said | {row.response for row in rows})
        ids = [digest_bytes(text.encode("utf-8", "replace")) for text in texts]
        vectors = dict(zip(texts, embed.encode(texts, ids, self.encoder, context.root / VECTORS, context), strict=True))
        return lambda answer, row: (
            bool(words(answer)) and bool(float(vectors[answer] @ vectors[row.response]) >= self.least)
        )

    def _found(self, row: Asked, greedy: Sequence[Reply], sampled: Sequence[Reply], agree: Agree) -> Found:
        """Return the status of a row and, when all its calls were answered, the share of answers that agree."""
        lost = [reply.why or reply.status for reply in (*greedy, *sampled) if reply.status != OK]
        if lost:
            return Found(FAILED, None, f"{len(lost)} of {len(greedy) + len(sampled)} calls failed: {lost[0]}")
        first, more = _texts(greedy), _texts(sampled)
        if not any(text.text.strip() for text in (*first, *more)):
            return Found(FAILED, None, f"the model wrote nothing in {len(first) + len(more)} answers")
        if self.match == "exact" and all(text.finish == "length" for text in (*first, *more)):
            return Found(FAILED, None, f"every answer was cut off at {self.max_tokens} tokens")
        hits, others = (sum(self._says(text, row, agree) for text in part) for part in (first, more))
        why = f"{category(hits, len(first), others)}: greedy {hits}/{len(first)}, sampled {others}/{len(more)}"
        share = (hits + others) / (len(first) + len(more))
        return Found(OK, share, why + self._instead(row, (*first, *more), agree))

    def _says(self, text: Text, row: Asked, agree: Agree) -> bool:
        return not (self.match == "exact" and text.finish == "length") and agree(text.text, row)

    def _instead(self, row: Asked, texts: Sequence[Text], agree: Agree) -> str:
        """Return what the model says in at least half of its answers when that is not the row's response."""
        counts = Counter(" ".join(words(text.text)) for text in texts)
        most, count = max(counts.items(), key=lambda item: (item[1], item[0]))
        texts_of = [text for text in texts if " ".join(words(text.text)) == most]
        if not most or 2 * count < len(texts) or self._says(texts_of[0], row, agree):
            return ""
        return f"; it says '{most[:_SHOWN]}' in {count} of {len(texts)}"


def category(greedy: int, of: int, sampled: int) -> str:
    """Return the SliCK category of `greedy` agreeing answers out of `of`, and `sampled` agreeing sampled ones.

    Gekhman et al., EMNLP 2024, table 1.
    """
    if greedy == of:
        return HIGHLY
    return MAYBE if greedy else WEAKLY if sampled else UNKNOWN


def _calls(inquiry: Inquiry, row: Asked, how: Writing) -> list[Call]:
    return [inquiry.call(prompt, how, row.sample_id, row.content_id) for prompt in row.prompts]


def _texts(replies: Sequence[Reply]) -> list[Text]:
    return [text for reply in replies for text in reply.texts]

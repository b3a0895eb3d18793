"""Recorded judges, replayed through our client, parser, cache and calibration: their published figures must come out.

    python -m tests.benchmarks.replayed_judges --data DIR

DIR holds judge_halueval2_claims.parquet, judge_wikibio.parquet and judge_alpaca7b_gpt4.parquet. A local server gives
each recorded reply to the question that it answered; the OpenAI engine asks it, the call cache keeps the answers,
`answer_text` reads them, `calibrate` measures. Everything is asked a second time, which must reach no server. No number
here is one of a judge of ours: each is what a RECORDED judge said, read by our code.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.answer_text import CLAIM_LABELS, read_answer, read_claim
from curate.calibrate import auroc, average_precision, balanced_accuracy, bootstrap_ci
from curate.inquiry import Inquiry
from curate.judges import OK, Reply, Writing
from curate.judges.openai import OpenAI
from manifests.component import Context
from tests.curate.fake_server import PROBE, Action, FakeServer

YES_NO = ("yes", "no")
"""Is the sentence supported by the sample? The second means that it is not."""
SCORE = {0: 0.0, 1: 1.0, None: 0.5}
"""SelfCheckGPT's (Manakul et al., EMNLP 2023) number of a yes, a no and anything else."""


@dataclass(frozen=True)
class Question:
    """What was asked, the recorded replies to it, and the response that it is about."""

    prompt: str
    replies: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Replayed:
    """Replies in the order of the questions, calls that reached the server at first and again, and seconds."""

    replies: list[Reply]
    asked: int
    again: int
    seconds: float


def through_server(questions: Sequence[Question], root: Path, n: int) -> Replayed:
    """Ask a server of recorded replies every question, and then all of them once more."""
    recorded = {question.prompt: [(text, "stop") for text in question.replies] for question in questions}
    assert len(recorded) == len(questions), "two questions have one prompt"

    def script(prompt: str, before: int, request: Mapping[str, Any]) -> Action:
        return Action() if prompt == PROBE else Action(texts=recorded[prompt])

    started = time.perf_counter()
    with FakeServer(script, ("recorded",)) as server:
        engine = OpenAI(url=server.url, model="recorded", concurrency=8)
        first = _written(questions, engine, root, n)
        asked = server.asked.total() - server.asked[PROBE]
        assert [r.texts for r in _written(questions, engine, root, n)] == [r.texts for r in first]
        again = server.asked.total() - server.asked[PROBE] - asked
    return Replayed(first, asked, again, time.perf_counter() - started)


def _written(questions: Sequence[Question], engine: OpenAI, root: Path, n: int) -> list[Reply]:
    how = Writing(max_tokens=64, n=n)
    with Inquiry(engine, [], Context(root=root)) as inquiry:
        calls = [inquiry.call(question.prompt, how, question.group, question.group) for question in questions]
        replies = inquiry.write(calls, how)
    return [replies[call.key] for call in calls]


def halueval2(rows: Iterator[Mapping[str, Any]]) -> tuple[list[Question], NDArray[np.bool_]]:
    """Return the claims that a human labelled, and which of them are false."""
    found = [
        (Question(f"{row['id']}.{i}", (reply,), row["id"]), human == "false")
        for row in rows
        for i, (human, reply) in enumerate(zip(row["human"], row["gpt4"], strict=False))
    ]
    return [question for question, _ in found], np.array([wrong for _, wrong in found])


def claim_errors(replies: Sequence[Reply], unknown: float) -> NDArray[np.float64]:
    """Return `p_error` of each claim's reply, `unknown` for one that is unsure."""
    read = [read_claim(reply.texts[0].text, reply.texts[0].finish) for reply in replies]
    return np.array([(0.0, 1.0, unknown)[verdict.label] for verdict in read if verdict.label is not None])


def kappa(wrong: NDArray[np.bool_], flagged: NDArray[np.bool_]) -> float:
    """Return Cohen's kappa of two yes/no raters, -1..1 (Cohen, 1960)."""
    chance = wrong.mean() * flagged.mean() + (1 - wrong.mean()) * (1 - flagged.mean())
    return float(((wrong == flagged).mean() - chance) / (1 - chance))


def rates(wrong: NDArray[np.bool_], p: NDArray[np.float64], groups: Sequence[str], seed: int = 0) -> dict[str, str]:
    """Return the figures of verdicts at 0.5, with an interval over groups where it matters."""
    flagged = p >= 0.5
    low, high = bootstrap_ci(balanced_accuracy, wrong, p, list(groups), seed) or (np.nan, np.nan)
    se, sp = flagged[wrong].mean(), (~flagged[~wrong]).mean()
    return {
        "balanced accuracy": f"{balanced_accuracy(wrong, p):.4f} [{low:.4f}, {high:.4f}]",
        "sensitivity / specificity": f"{se:.4f} / {sp:.4f}",
        "kappa against human": f"{kappa(wrong, flagged):.4f}",
        "share wrong, human / judge": f"{wrong.mean():.4f} / {flagged.mean():.4f}",
    }


def wikibio(path: Path) -> Iterator[tuple[str, list[Question], NDArray[np.bool_]]]:
    """Yield judge, its questions (one sentence, 20 recorded replies each) and which sentences are inaccurate."""
    table = pl.read_parquet(path)
    recorded = [json.loads(text) for text in table["recorded_judge_responses"]]
    for judge in ("qwen3.5-9B_no-think", "gemma4-31B_no-think"):
        found = [
            (Question(f"{judge} {row['wiki_bio_test_idx']}.{i}", tuple(replies), str(row["wiki_bio_test_idx"])), label)
            for row, said in zip(table.iter_rows(named=True), recorded, strict=True)
            for i, (label, replies) in enumerate(zip(row["annotation"], said.get(judge) or (), strict=False))
        ]
        yield judge, [question for question, _ in found], np.array([label != "accurate" for _, label in found])


def consistency(replies: Sequence[Reply]) -> tuple[NDArray[np.float64], Counter[str]]:
    """Return the mean score over the texts of each reply, and how often each reading occurred."""
    counts: Counter[str] = Counter()
    means = []
    for reply in replies:
        read = [read_answer(text.text, text.finish, YES_NO) for text in reply.texts]
        counts.update((why or "").split(":")[0] if label is None else YES_NO[label] for label, why in read)
        means.append(float(np.mean([SCORE[label] for label, _ in read])))
    return np.array(means), counts


def statuses(replies: Sequence[Reply]) -> Counter[str]:
    """Return how often each reading of a claim's reply occurred."""
    counts: Counter[str] = Counter()
    for reply in replies:
        read = read_claim(reply.texts[0].text, reply.texts[0].finish) if reply.status == OK else None
        if read is None:
            counts["no reply"] += 1
        elif read.label is None:
            counts[(read.why or "").split(":")[0]] += 1
        else:
            counts[CLAIM_LABELS[read.label]] += 1
            counts["with a correction"] += read.correction is not None
    return counts


def main() -> None:
    """Parse the arguments, replay, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the judge_*.parquet files")
    data = parser.parse_args().data
    print("every figure: RECORDED judge replayed; none is a judge of ours")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _show_halueval2(data, root)
        for judge, questions, wrong in wikibio(data / "judge_wikibio.parquet"):
            got = through_server(questions, root, 20)
            p, read = consistency(got.replies)
            _head(f"WikiBio, recorded {judge}", got, len(wrong))
            print(f"  AUC-PR inaccurate {100 * average_precision(wrong, p):.2f}", end="")
            print(f", accurate {100 * average_precision(~wrong, 1 - p):.2f}, AUROC {auroc(wrong, p):.4f}")
            _lines(rates(wrong, p, [question.group for question in questions]) | {"replies": str(dict(read))})
        table = pl.read_parquet(data / "judge_alpaca7b_gpt4.parquet")
        asked = [
            Question(f"alpaca {row['id']}.{i}", (reply,), row["id"])
            for row in table.iter_rows(named=True)
            for i, reply in enumerate(row["gpt4"])
        ]
        got = through_server(asked, root, 1)
        _head(f"Alpaca-7B, recorded GPT-4, {table.height:,} answers", got, len(asked))
        counts = statuses(got.replies)
        parsed = sum(counts[label] for label in CLAIM_LABELS)
        _lines({"claims": str(dict(counts)), "parsed": f"{parsed:,} of {len(asked):,} ({parsed / len(asked):.2%})"})


def _show_halueval2(data: Path, root: Path) -> None:
    table = pl.read_parquet(data / "judge_halueval2_claims.parquet")
    questions, wrong = halueval2(table.iter_rows(named=True))
    got = through_server(questions, root, 1)
    groups = [question.group for question in questions]
    for name, value in (("counts as false", 1.0), ("does not", 0.0)):
        _head(f"HaluEval-2.0, recorded GPT-4, `unknown` {name}", got, len(wrong))
        _lines(rates(wrong, claim_errors(got.replies, value), groups))
    print(f"  replies: {dict(statuses(got.replies))}")


def _head(name: str, got: Replayed, n: int) -> None:
    print(f"{name}: n {n:,}; {got.asked:,} calls, {got.again} when asked again; {got.seconds:.0f} s")


def _lines(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        print(f"  {name:<28} {value}")


if __name__ == "__main__":
    main()

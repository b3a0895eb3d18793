"""What the judge costs on top of its engine: the same prompts through `Judge` and through `LLM.generate` alone.

Run `python -m tests.benchmarks.judge_throughput [--model DIR] [--data FILE.parquet] [--rows N] [--rounds N]`. Two
processes each hold one engine with the same settings; each goes first in every other round, and each round has prompts
of its own, so neither profits from the other's prefix cache. `Judge` renders, looks up the cache, sends the prompts to
the engine's process, stores every reply and makes the tables; the raw engine gets ready prompts in a single call.
Starting either engine is left out. `cached` is the share of the prompts' tokens that the prefix cache held. On loaded
cores the CPU seconds are the steadier clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from curate.inquiry import stored
from curate.judge import Judge
from curate.judges import Menu, Reply
from curate.judges.prompter import first_tokens
from curate.judges.replica import VllmSession
from curate.judges.vllm import Vllm
from curate.judges.vllm_worker import take_stdout
from curate.prompt import load_prompt, nonce, render
from manifests.component import Context
from tests.curate import tiny_model
from tests.curate.judged import frame

ROOT = Path(__file__).parents[2]
PROMPT = "plain"
SHORT = 400
"""Bytes of instruction and response together: a longer prompt would abort the raw engine's call."""
Timings = list[tuple[float, float]]


class Opened:
    """An engine that is already running, as a judge's engine."""

    kind, version, cached = "opened", 1, True

    def __init__(self, session: VllmSession) -> None:
        self.session = session

    def identity(self) -> dict[str, Any]:
        """Return nothing: each round has a cache of its own."""
        return {}

    @contextmanager
    def open(self, menus: Sequence[Menu], context: Context) -> Iterator[VllmSession]:
        """Give the running session."""
        yield self.session

    def cost(self, reply: Reply) -> float:
        """Return 0."""
        return 0.0


def raw(model: str, length: int) -> None:
    """Serve rounds on stdin: a JSON list of prompts in, a line out when `LLM.generate` has answered it."""
    out = take_stdout()
    from vllm import LLM, SamplingParams

    llm: Any = LLM(model=model, enforce_eager=True, dtype="float32", max_model_len=length, seed=0)
    tail = load_prompt(PROMPT).tail
    labels = list(first_tokens(llm.get_tokenizer(), tail, tiny_model.LABELS))
    sampling = SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=labels, detokenize=False)
    for line in sys.stdin:
        outputs = llm.generate(json.loads(line), sampling, use_tqdm=False)
        cached = sum(output.num_cached_tokens or 0 for output in outputs)
        out.write(b"%.4f\n" % (cached / sum(len(output.prompt_token_ids) for output in outputs)))
        out.flush()
    os._exit(0)


def samples(path: str | None, n: int, seed: int) -> pl.DataFrame:
    """Return n rows: of the Parquet file's `instruction` and `output` (or prompt, response), or made up."""
    if path is None:
        return frame((question, answer) for question, answer, _ in tiny_model.rows(n, seed))
    data = pl.read_parquet(path)
    names = ("prompt", "response") if "prompt" in data.columns else ("instruction", "output")
    size = pl.col(names[0]).str.len_bytes() + pl.col(names[1]).str.len_bytes()
    chosen = data.select(*names).drop_nulls().filter(pl.col(names[1]).str.contains(r"\S") & (size < SHORT))
    return frame(chosen.sample(n, seed=seed, shuffle=True).iter_rows())


def prompts_of(table: pl.DataFrame) -> list[str]:
    """Return the prompts that the judge makes of the rows."""
    prompt = load_prompt(PROMPT)
    rows = table.select("prompt", "response", "content_id").iter_rows(named=True)
    return [
        render(
            prompt.text, {"instruction": row["prompt"], "response": row["response"]}, nonce(prompt, row["content_id"])
        )
        for row in rows
    ]


def cached(root: Path, keys: Iterable[str]) -> float:
    """Return the share of the stored calls' prompt tokens that the prefix cache held."""
    replies = stored(root, keys).values()
    return sum(reply.tokens_cached for reply in replies) / sum(reply.tokens_in for reply in replies)


def cpu_seconds(*pids: int) -> float:
    """Return the CPU time that the processes have used so far."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(t.user + t.system for t in times)


@contextmanager
def timed(into: list[tuple[float, float]], *pids: int) -> Iterator[None]:
    """Append the block's wall seconds and the CPU seconds that the processes used in it."""
    wall, cpu = time.perf_counter(), cpu_seconds(*pids)
    yield
    into.append((time.perf_counter() - wall, cpu_seconds(*pids) - cpu))


def measure(arguments: argparse.Namespace, model: str, root: Path) -> tuple[Timings, Timings]:
    """Return (wall, CPU) seconds of each round: the judge's and the raw engine's."""
    engine = Vllm(model=model, max_model_len=arguments.length, chunk=arguments.chunk)
    module = ["-m", "tests.benchmarks.judge_throughput"]
    command = [sys.executable, *module, "--raw", model, "--length", str(arguments.length)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    judged: Timings = []
    direct: Timings = []
    with (
        engine.open([Menu(tiny_model.LABELS, load_prompt(PROMPT).tail)], Context(root=root)) as session,
        subprocess.Popen(command, cwd=ROOT, env=engine._environment(), **pipes) as other,
    ):
        for number in range(arguments.rounds + 1):
            table = samples(arguments.data, arguments.rows, seed=100 + number)
            line = json.dumps(prompts_of(table)) + "\n"
            judge, context = Judge(judge=Opened(session), prompt=PROMPT), Context(root=root / str(number))
            hits: dict[str, float] = {}

            def ours(judge=judge, table=table, context=context, hits=hits) -> None:  # type: ignore[no-untyped-def]
                with timed(judged, os.getpid(), *session.pids):
                    scores = judge.score(table, context).scores
                assert scores["status"].unique().to_list() == ["ok"], "rows failed: the rounds are not comparable"
                hits["judge"] = cached(context.root, scores["key"])

            def theirs(line=line, hits=hits) -> None:  # type: ignore[no-untyped-def]
                with timed(direct, other.pid):
                    other.stdin.write(line)
                    other.stdin.flush()
                    hits["raw"] = float(other.stdout.readline())

            for act in (ours, theirs) if number % 2 else (theirs, ours):
                act()
            print(
                f"round {number}: judge {judged[-1][0]:.3f} s, {judged[-1][1]:.2f} CPU s; raw {direct[-1][0]:.3f} s,"
                f" {direct[-1][1]:.2f} CPU s; cached {hits['judge']:.1%} and {hits['raw']:.1%}",
                flush=True,
            )
    return judged[1:], direct[1:]


def main(argv: Sequence[str] | None = None) -> None:
    """Print requests per second of both, and the ratio of the medians; round 0 warms up and does not count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="folder of a model; a tiny one is trained when left out")
    parser.add_argument("--data", help="Parquet file with instruction and output, or prompt and response")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=Vllm.chunk)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--raw", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.raw:
        raw(arguments.raw, arguments.length)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or str(tiny_model.build(Path(folder) / "model"))
        judged, direct = measure(arguments, model, Path(folder))
    for i, clock in enumerate(("wall", "CPU")):
        judge, alone = (statistics.median(times[i] for times in rounds) for rounds in (judged, direct))
        pairs = sorted(two[i] / one[i] for one, two in zip(judged, direct, strict=True))
        rates = f"judge {arguments.rows / judge:.1f}, LLM.generate {arguments.rows / alone:.1f} requests"
        print(
            f"per {clock} second: {rates} (medians of {len(judged)} rounds); utilisation {alone / judge:.3f},"
            f" median of the pairs {statistics.median(pairs):.3f} ({pairs[0]:.3f} to {pairs[-1]:.3f})"
        )


if __name__ == "__main__":
    main()

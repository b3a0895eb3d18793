"""Models measured by vLLM: every adapter of a base answers from one engine, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Protocol

from manifests import engine, pickled, serving
from manifests.errors import UserError, missing_extra
from trainers.evaluate import Loglik, base_of, check_adapter, limits, load_tokenizer, place
from trainers.render import Messages, Rendered, Renderer, laid_out
from trainers.state import read_header

CONTEXT: Final = 8192
"""Positions that an engine makes room for at most, prompt and answer together."""

_STOP_SECONDS: Final = 20.0

Ids = list[int]


@dataclass(frozen=True)
class Weights:
    """Where a model lies: a base (folder or hub id), and the folder of an adapter over it or None.

    Prompts are rendered by the tokenizer of the adapter, else of the base, in the layout `template` (see `laid_out`):
    a run saves the layout that it was trained in, a base has none of its runs'.
    """

    base: str
    adapter: Path | None = None
    template: str = "own"

    @classmethod
    def of(cls, path: Path | str, template: str = "own") -> Weights:
        """Return the base and adapter of a run's folder, or a model that is a base itself; pickles are refused."""
        folder = Path(path)
        pickled.refuse(folder)
        if not (folder / "adapter_config.json").is_file():
            return cls(str(path), template=template)
        check_adapter(folder)
        pickled.refuse(Path(base_of(folder)))
        return cls(base_of(folder), folder)

    def renderer(self) -> Renderer:
        """Return what renders the model's prompts."""
        return Renderer(laid_out(load_tokenizer(self.adapter or self.base), self.template))


class Answering(Protocol):
    """Answers the calls of many models: an engine, or a table of `bank.seats`."""

    def ask(self, verb: str, model: Any, /, *arguments: Any) -> Any:  # noqa: ANN401 - a verb's plain values
        """Return what `verb`, generate or score, gives for `model`."""
        ...


@dataclass(frozen=True)
class Served:
    """A model that something else answers for, with the verbs of `evaluate.Model`.

    vLLM computes a row beside others in batches of its own choice, and so not to the last bit alike twice: a difference
    between two runs means something beyond what a repeated measurement of one differs by.
    """

    server: Answering
    adapter: Any
    """What the server knows the model by: an adapter's folder or its slot, or None for the base."""
    renderer: Renderer
    context: int
    stops: frozenset[int]

    def generate(self, prompts: Sequence[Messages], max_new_tokens: int) -> list[str]:
        """Return the greedy answer to each prompt, as `Model.generate` does."""
        room = self.context - max_new_tokens
        if room < 1:
            raise UserError("max_new_tokens leaves no room for a prompt", value=max_new_tokens)
        ids = [self.renderer.prompt(prompt, room) for prompt in prompts]
        answers: list[Ids] = self.server.ask("generate", self.adapter, ids, max_new_tokens, sorted(self.stops))
        decode = self.renderer.tokenizer.decode
        return [decode([i for i in answer if i not in self.stops], skip_special_tokens=True) for answer in answers]

    def loglik(self, pairs: Sequence[tuple[Messages, str]]) -> list[Loglik | None]:
        """Return the log-likelihood of each answer after its prompt, as `Model.loglik` does."""
        rendered = [self.renderer.row([*prompt, ("assistant", answer)], self.context) for prompt, answer in pairs]
        rows = [(n, row) for n, row in enumerate(rendered) if isinstance(row, Rendered)]
        totals = self.server.ask("score", self.adapter, [(list(row.ids), row.start) for _, row in rows])
        found: list[Loglik | None] = [None] * len(pairs)
        for (n, row), total in zip(rows, totals, strict=True):
            found[n] = Loglik(total, len(row.ids) - row.start, len(pairs[n][1]))
        return found

    def close(self) -> None:
        """Nothing of its own is held: the server has other runs."""


@dataclass(frozen=True)
class Server:
    """The process that runs an engine, the pipe to it, and the file that what its libraries print goes to."""

    process: Any
    pipe: Connection
    log: Path

    def ask(self, verb: str, *arguments: Any) -> Any:  # noqa: ANN401 - a verb's plain values
        """Return what `verb` of the engine gives; raise UserError when it refuses, or when the process has died."""
        try:
            self.pipe.send((verb, *arguments))
            answer, error = self.pipe.recv()
        except (EOFError, OSError) as gone:
            self.process.join(_STOP_SECONDS)
            said = engine.last_words(self.log) or "it wrote nothing"
            raise UserError(
                "the vLLM engine died",
                value=f"exit code {self.process.exitcode}",
                remedy=f"was it killed for memory? its last lines:\n  {said}",
            ) from gone
        if error is not None:
            raise UserError("vLLM cannot do this", value=error, remedy="measure it with engine: torch")
        return answer


@contextmanager
def served(models: Sequence[Weights]) -> Iterator[list[Served]]:
    """Start one engine for the models, which have one base, and give each as a `Served`; its memory comes back after.

    An adapter that trains more than pairs of matrices on linear layers is refused by vLLM. Raise UserError when vLLM is
    not installed or the engine does not start.
    """
    if find_spec("vllm") is None:
        raise missing_extra("vllm", "judge")
    base = models[0].base
    renderers = [one.renderer() for one in models]
    limit, ends = _limits(base)
    room = min(limit, CONTEXT)
    given = settings(base, sorted({one.adapter for one in models if one.adapter is not None}), room)
    with tempfile.TemporaryDirectory() as folder, _started(given, Path(folder) / "log") as server:
        server.ask("start")
        # One position less than the model takes: vLLM wants room for a token after what it scores.
        yield [
            Served(server, one.adapter, renderer, room - 1, renderer.stops | ends)
            for one, renderer in zip(models, renderers, strict=True)
        ]


def settings(base: str, adapters: Sequence[Path], room: int) -> dict[str, Any]:
    """Return the arguments of `vllm.LLM` for a base, these adapters over it and so many positions.

    Only the layers that the adapters change are prepared for one: the output layer, prepared, cannot give the
    likelihoods of a prompt's tokens.
    """
    name, revision = place(base)
    given: dict[str, Any] = {
        "model": str(Path(name).resolve()) if Path(name).exists() else name,
        "revision": revision,
        "max_model_len": room,
        "load_format": "safetensors",
        "trust_remote_code": False,
        "seed": 0,
        "max_logprobs": 1,
    }
    if not adapters:
        return given
    rank, layers = 0, set[str]()
    for folder in adapters:
        header, _ = read_header(folder / "adapter_model.safetensors")
        names = [name for name in header if name.endswith(".lora_A.weight")]
        rank = max([rank, *(int(header[name]["shape"][0]) for name in names)])
        layers |= {name.removesuffix(".lora_A.weight").rpartition(".")[2] for name in names}
    return given | {
        "enable_lora": True,
        "max_loras": 1,
        "max_lora_rank": serving.room_for(rank),
        "lora_target_modules": sorted(layers),
    }


@contextmanager
def _started(given: Mapping[str, Any], log: Path) -> Iterator[Server]:
    """Give a process that will run an engine, ended on leaving, or with this process however it ends."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, dict(given), log))
    with _environment():
        process.start()
    there.close()
    try:
        yield Server(process, here, log)
    finally:
        here.close()
        process.join(_STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _environment() -> Iterator[None]:
    """Let a process that is started within have what vLLM reads from the environment."""
    before = dict(os.environ)
    os.environ.update(serving.environment({"OMP_NUM_THREADS": "1", **before}, one_process=True))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(pipe: Connection, given: Mapping[str, Any], log: Path) -> None:
    """Answer what comes through the pipe, each with (answer, error), until it is closed; what is printed: `log`."""
    engine.start()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(file, 1)
    os.dup2(file, 2)
    held: _Engine | None = None
    with suppress(EOFError):
        while True:
            verb, *arguments = pipe.recv()
            try:
                if held is None:
                    held = _Engine(given)
                pipe.send((getattr(held, verb)(*arguments), None))
            except (ValueError, RuntimeError, AssertionError, KeyError, IndexError, OSError, TypeError) as error:
                said = str(error).strip().partition("\n")[0]
                pipe.send((None, f"{type(error).__name__}: {said}"))
    os._exit(0)  # the engine's orderly end takes seconds


class _Engine:
    """A loaded base and the numbers of the adapters that were asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        from vllm import LLM
        from vllm.platforms import current_platform

        here = {"dtype": "float32", "enforce_eager": True} if current_platform.is_cpu() else {"dtype": "bfloat16"}
        self._llm: Any = LLM(**given, **here)
        self._numbers: dict[Path, int] = {}

    def start(self) -> None:
        """Nothing is left to do once the model is there."""

    def generate(self, adapter: Path | None, prompts: list[Ids], most: int, stops: list[int]) -> list[Ids]:
        """Return the greedy ids after each prompt, at most `most`, the one of `stops` that ended them included."""
        how = {"max_tokens": most, "temperature": 0.0, "stop_token_ids": stops, "detokenize": False}
        return [list(output.outputs[0].token_ids) for output in self._run(adapter, prompts, how)]

    def score(self, adapter: Path | None, rows: list[tuple[Ids, int]]) -> list[float]:
        """Return the summed log-likelihood of each row's ids from its start on."""
        how = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
        outputs = self._run(adapter, [ids for ids, _ in rows], how)
        return [
            sum(float(output.prompt_logprobs[at][ids[at]].logprob) for at in range(start, len(ids)))
            for (ids, start), output in zip(rows, outputs, strict=True)
        ]

    def _run(self, adapter: Path | None, prompts: list[Ids], how: Mapping[str, Any]) -> list[Any]:
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        if not prompts:
            return []
        lora = None
        if adapter is not None:
            number = self._numbers.setdefault(adapter, len(self._numbers) + 1)
            lora = LoRARequest(f"adapter-{number}", number, str(adapter))
        asked = [{"prompt_token_ids": ids} for ids in prompts]
        found: list[Any] = self._llm.generate(asked, SamplingParams(**how), lora_request=lora, use_tqdm=False)
        return found


def grouped(models: Sequence[Weights]) -> list[list[int]]:
    """Return the numbers of the models that one engine serves: those of one base, in order of their first."""
    found: dict[str, list[int]] = {}
    for number, one in enumerate(models):
        base = str(Path(one.base).resolve()) if Path(one.base).is_dir() else one.base
        found.setdefault(base, []).append(number)
    return list(found.values())


def _limits(base: str) -> tuple[int, frozenset[int]]:
    """Return the positions that a base takes and the tokens that end its answers, from its configuration."""
    from transformers import AutoConfig, GenerationConfig

    name, revision = place(base)
    config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    try:
        generation = GenerationConfig.from_pretrained(name, revision=revision)
    except OSError:
        generation = GenerationConfig.from_model_config(config)
    return limits(config, generation)

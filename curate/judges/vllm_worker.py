"""The process that runs vLLM for `Vllm`: questions in on stdin, answers out on stdout, both as JSON lines.

Run as `python -m curate.judges.vllm_worker PARENT_PID`. It ends at the end of its input, and when its parent is gone.
A question joins the engine's running batch when it comes, and is answered when it is done, so the engine never drains
between two lines. A thread of its own reads and tokenises, while the engine computes.
"""

from __future__ import annotations

import copy
import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, Final

from curate.judges.prompter import Prompter, Refusal

_PR_SET_PDEATHSIG: Final = 1
_ENDS: Final = ("stop", "length")
_ADAPTER: Final = 1
"""Id of the one LoRA adapter that an engine may have."""
EVERY: Final = 2.0
"""Seconds after which finished answers are sent though they are few: what is sent can be stored."""
Reader = Callable[[Any], dict[str, Any]]
"""Output of a request -> the fields of its answer."""
Batch = tuple[dict[str, Any], list[list[int]]]
"""A message and the tokens of its prompts."""


class Engine:
    """A loaded model, the ids of the first tokens of each menu's labels, and the questions that are being answered."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest
        from vllm.sampling_params import RequestOutputKind

        adapter = settings["adapter"]
        llm: Any = LLM(
            model=settings["model"],
            revision=settings["revision"],
            max_model_len=settings["max_model_len"],
            tensor_parallel_size=settings["tensor_parallel"],
            load_format="safetensors",
            trust_remote_code=False,
            enable_lora=adapter is not None,
            seed=0,
            **({"max_lora_rank": settings["adapter_rank"], "max_loras": 1} if adapter else {}),
            **_device(settings),
        )
        self._llm = llm.llm_engine
        self._adapter = LoRARequest("judge", _ADAPTER, adapter) if adapter else None
        if self._adapter is not None:
            self._load(self._adapter)
        # A copy: the engine's own tokenizer writes texts in another thread meanwhile.
        self.prompter = Prompter(copy.deepcopy(llm.get_tokenizer()), chat=bool(settings["chat"]))
        self._limit = int(settings["max_model_len"])
        self.labels = [self.prompter.labels(menu["labels"], menu["tail"]) for menu in settings["menus"]]
        self._params, self._final = SamplingParams, RequestOutputKind.FINAL_ONLY
        self._running: dict[str, tuple[int, Reader]] = {}

    @property
    def busy(self) -> bool:
        """Whether questions are being answered."""
        return bool(self._running)

    def add(self, message: Mapping[str, Any], ids: Sequence[Sequence[int]]) -> list[list[Any]]:
        """Take the questions of a message; return [number, answer] of those that leave no room for the answer."""
        room, read = (1, self._reader(message["menu"])) if message["op"] == "ask" else (self._room(message), _texts)
        params = self._sampling(message)
        seeds = message.get("seeds") or [None] * len(ids)
        refused: list[list[Any]] = []
        for number, tokens, seed in zip(range(message["first"], message["first"] + len(ids)), ids, seeds, strict=True):
            if not 0 < len(tokens) <= self._limit - room:
                why = f"too long: {len(tokens)} tokens, the judge reads {self._limit - room}" if tokens else "no prompt"
                refused.append([number, {"why": why}])
                continue
            own = params
            if seed is not None:
                own = copy.copy(params)
                own.seed = seed
            self._running[str(number)] = (number, read)
            prompt = {"type": "token", "prompt_token_ids": list(tokens)}
            self._llm.add_request(str(number), prompt, own, lora_request=self._adapter)
        return refused

    def step(self) -> list[list[Any]]:
        """Let the engine compute once; return [number, answer] of the questions that are done."""
        done: list[list[Any]] = []
        for output in self._llm.step():
            if output.finished and output.request_id in self._running:
                number, read = self._running.pop(output.request_id)
                done.append([number, read(output)])
        return done

    def _sampling(self, message: Mapping[str, Any]) -> Any:  # noqa: ANN401 - vllm.SamplingParams
        # The copy for each request may be shallow (`skip_clone`): a deep one takes a seventh of the time of a read.
        common = {"output_kind": self._final, "skip_clone": True}
        if message["op"] == "ask":
            labels = list(self.labels[message["menu"]])
            return self._params(max_tokens=1, temperature=0.0, logprob_token_ids=labels, detokenize=False, **common)
        how = message["how"]
        stop = list(how["stop"]) or None
        return self._params(
            max_tokens=how["max_tokens"], n=how["n"], temperature=how["temperature"], stop=stop, **common
        )

    def _reader(self, menu: int) -> Reader:
        labels = self.labels[menu]
        return lambda output: _labels(output, labels)

    @staticmethod
    def _room(message: Mapping[str, Any]) -> int:
        return int(message["how"]["max_tokens"])

    def _load(self, adapter: Any) -> None:  # noqa: ANN401 - a LoRARequest
        try:
            fits = self._llm.add_lora(adapter)
        except (ValueError, RuntimeError, AssertionError, KeyError, IndexError) as error:
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise Refusal(f"the adapter does not fit the model ({said})", adapter.path, _FITTING) from error
        if not fits:
            raise Refusal("the adapter does not fit the model", adapter.path, _FITTING)


_FITTING: Final = "give the base model that the adapter was trained on"


def _device(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ between a CPU and a GPU."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return {"dtype": settings["dtype"], "gpu_memory_utilization": settings["gpu_memory_utilization"]}
    # A prompt read in two steps takes back the first step's random number, which a generator on a CPU cannot do: vLLM
    # (0.32) dies at the first seeded request whose prompt does not fit into what is left of a step.
    whole = {"enforce_eager": True, "enable_chunked_prefill": False}
    return {"dtype": "float32" if settings["dtype"] == "auto" else settings["dtype"], **whole}


def _labels(output: Any, labels: Sequence[int]) -> dict[str, Any]:  # noqa: ANN401 - vllm.RequestOutput
    completion = output.outputs[0]
    steps = completion.logprobs
    if not steps or any(label not in steps[0] for label in labels):
        return {"why": f"malformed: no label probabilities (finish reason {completion.finish_reason})"}
    logprobs = [float(steps[0][label].logprob) for label in labels]
    return {"logprobs": logprobs, **_counts(output)}


def _texts(output: Any) -> dict[str, Any]:  # noqa: ANN401 - vllm.RequestOutput
    texts = [[item.text, str(item.finish_reason)] for item in output.outputs]
    odd = next((end for _, end in texts if end not in _ENDS), None)
    return {"why": f"malformed: a text ended by {odd!r}"} if odd else {"texts": texts, **_counts(output)}


def _counts(output: Any) -> dict[str, Any]:  # noqa: ANN401 - vllm.RequestOutput
    return {
        "finish": str(output.outputs[0].finish_reason),
        "tokens_in": len(output.prompt_token_ids),
        "tokens_cached": output.num_cached_tokens or 0,
        "tokens_out": sum(len(item.token_ids) for item in output.outputs),
    }


class Sender:
    """Writes finished answers: a full line's worth at once, or what there is after `EVERY` seconds, or at the end."""

    def __init__(self, out: BinaryIO, full: int) -> None:
        self._out, self._full = out, full
        self._waiting: list[list[Any]] = []
        self._since = time.perf_counter()

    def idle(self) -> None:
        """Leave the time until now out of the next line's `seconds`: there was nothing to do."""
        self._since = time.perf_counter()

    def add(self, answers: Sequence[list[Any]], *, last: bool) -> None:
        """Take answers; `last` says that no other is on its way."""
        self._waiting.extend(answers)
        now = time.perf_counter()
        if self._waiting and (last or len(self._waiting) >= self._full or now - self._since >= EVERY):
            write_line(self._out, {"replies": self._waiting, "seconds": now - self._since})
            self._waiting, self._since = [], now


def serve(engine: Engine, batches: SimpleQueue[Batch | None], sender: Sender) -> None:
    """Answer the batches of questions as they come, until None comes."""
    while True:
        while True:
            try:
                batch = batches.get(block=not engine.busy)
            except Empty:
                break
            if batch is None:
                return
            if not engine.busy:
                sender.idle()
            refused = engine.add(*batch)
            sender.add(refused, last=not engine.busy)
        sender.add(engine.step(), last=not engine.busy and batches.empty())


def read(lines: BinaryIO, prompter: Prompter, batches: SimpleQueue[Batch | None]) -> None:
    """Put each line's message and tokens into `batches`, then None: at the end, or after an error, which is raised."""
    try:
        for line in lines:
            message = json.loads(line)
            batches.put((message, prompter.encode(message.pop("prompts"))))
    finally:
        batches.put(None)


def write_line(out: BinaryIO, answer: Mapping[str, Any]) -> None:
    """Write one JSON line."""
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies (Linux; elsewhere the end of the input does it)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def take_stdout() -> BinaryIO:
    """Return a private copy of stdout; whatever else writes to stdout now goes to stderr."""
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return private


def main(arguments: Sequence[str]) -> int:
    """Load the model that the first line names, then answer the questions of the others."""
    die_with(int(arguments[0]))
    out = take_stdout()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    settings = json.loads(line)
    try:
        engine = Engine(settings)
    except Refusal as refusal:
        what, value, remedy = refusal.args
        write_line(out, {"error": what, "value": value, "remedy": remedy})
        return 0
    write_line(out, {"labels": [list(labels) for labels in engine.labels]})
    batches: SimpleQueue[Batch | None] = SimpleQueue()
    threading.Thread(target=read, args=(sys.stdin.buffer, engine.prompter, batches), daemon=True).start()
    serve(engine, batches, Sender(out, settings["chunk"]))
    return 0


if __name__ == "__main__":
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    code = main(sys.argv[1:])
    sys.stderr.flush()
    if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0":
        # The engine is in this process alone, and its orderly end takes seconds.
        os._exit(code)
    sys.exit(code)

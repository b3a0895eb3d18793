"""The process that runs vLLM for `Vllm`: JSON lines in on stdin, one JSON line out for each.

Run as `python -m curate.judges.vllm_worker PARENT_PID`. It ends at the end of its input, and when its parent is gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final

_PR_SET_PDEATHSIG: Final = 1
_LEAST_SPECIAL: Final = 3
"""Shorter special tokens are left alone in the data: breaking them would break ordinary text."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """What the user can put right: message, value, remedy."""


class Engine:
    """A loaded model and the ids of the first tokens of each menu's labels."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        from vllm import LLM, SamplingParams
        from vllm.platforms import current_platform

        on_cpu = bool(current_platform.is_cpu())
        options: dict[str, Any] = {"dtype": settings["dtype"]}
        if on_cpu:
            options = {"dtype": "float32" if settings["dtype"] == "auto" else settings["dtype"], "enforce_eager": True}
        else:
            options["gpu_memory_utilization"] = settings["gpu_memory_utilization"]
        self._llm: Any = LLM(
            model=settings["model"],
            revision=settings["revision"],
            max_model_len=settings["max_model_len"],
            tensor_parallel_size=settings["tensor_parallel"],
            load_format="safetensors",
            trust_remote_code=False,
            seed=0,
            **options,
        )
        self._prompter = Prompter(self._llm.get_tokenizer(), chat=bool(settings["chat"]))
        self._limit = int(settings["max_model_len"]) - 1
        self.labels = [self._prompter.labels(menu["labels"], menu["tail"]) for menu in settings["menus"]]
        self._params = SamplingParams

    def answer(self, prompts: Sequence[str], menu: int) -> list[dict[str, Any]]:
        """Return for each prompt the log-probabilities of a menu's labels, or why there are none."""
        labels = self.labels[menu]
        sampling = self._params(max_tokens=1, temperature=0.0, logprob_token_ids=list(labels), detokenize=False)
        return self._generated(prompts, sampling, 1, lambda output: _labels(output, labels))

    def write(self, prompts: Sequence[str], how: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return for each prompt its texts with their finish reasons, or why there are none."""
        sampling = self._params(
            max_tokens=how["max_tokens"],
            n=how["n"],
            temperature=how["temperature"],
            seed=how["seed"],
            stop=list(how["stop"]) or None,
        )
        return self._generated(prompts, sampling, int(how["max_tokens"]), _texts)

    def _generated(
        self,
        prompts: Sequence[str],
        sampling: Any,  # noqa: ANN401 - vllm.SamplingParams
        room: int,
        read: Callable[[Any], dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """Return what `read` finds in the output of each prompt that leaves `room` tokens; one result per prompt."""
        limit = self._limit + 1 - room
        ids = [self._prompter.encode(prompt) for prompt in prompts]
        results: list[dict[str, Any]] = [
            {"why": f"too long: {len(tokens)} tokens, the judge reads {limit}"} for tokens in ids
        ]
        short = [i for i, tokens in enumerate(ids) if 0 < len(tokens) <= limit]
        requests = [{"prompt_token_ids": ids[i]} for i in short]
        outputs = self._llm.generate(requests, sampling, use_tqdm=False) if requests else []
        for i, output in zip(short, outputs, strict=True):
            results[i] = read(output)
        return results


def _labels(output: Any, labels: Sequence[int]) -> dict[str, Any]:  # noqa: ANN401 - vllm.RequestOutput
    completion = output.outputs[0]
    steps = completion.logprobs
    if not steps or any(label not in steps[0] for label in labels):
        return {"why": f"malformed: no label probabilities (finish reason {completion.finish_reason})"}
    logprobs = [float(steps[0][label].logprob) for label in labels]
    return {"logprobs": logprobs, **_counts(output)}


def _texts(output: Any) -> dict[str, Any]:  # noqa: ANN401 - vllm.RequestOutput
    return {"texts": [[item.text, str(item.finish_reason)] for item in output.outputs], **_counts(output)}


def _counts(output: Any) -> dict[str, Any]:  # noqa: ANN401 - vllm.RequestOutput
    return {
        "finish": str(output.outputs[0].finish_reason),
        "tokens_in": len(output.prompt_token_ids),
        "tokens_out": sum(len(item.token_ids) for item in output.outputs),
    }


class Prompter:
    """Turns prompts into tokens, as plain text or as a user's turn of a chat."""

    def __init__(self, tokenizer: Any, *, chat: bool) -> None:  # noqa: ANN401 - a tokenizer
        self._tokenizer, self._chat = tokenizer, chat
        self._special = _specials(tokenizer)

    def labels(self, labels: Sequence[str], tail: str) -> tuple[int, ...]:
        """Return the first token of each label: after `tail`, or, stripped, at the start of the assistant's turn."""
        if self._chat:
            return first_tokens(self._tokenizer, self._templated("?"), [label.strip() for label in labels])
        return first_tokens(self._tokenizer, tail, labels)

    def encode(self, prompt: str) -> list[int]:
        """Return the prompt's tokens; text that reads as a control token is broken by a space, so it is only text."""
        for token in self._special:
            if token in prompt:
                prompt = prompt.replace(token, f"{token[0]} {token[1:]}")
        text = self._templated(prompt) if self._chat else prompt
        encoded: list[int] = self._tokenizer(text, add_special_tokens=not self._chat)["input_ids"]
        return encoded

    def _templated(self, prompt: str) -> str:
        if not self._tokenizer.chat_template:
            raise Refusal("the judge's model has no chat template", "chat: true", "leave out `chat` for this model")
        turns = [{"role": "user", "content": prompt}]
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text


def first_tokens(tokenizer: Any, tail: str, labels: Sequence[str]) -> tuple[int, ...]:  # noqa: ANN401 - a tokenizer
    """Return the id of the first token that each label adds after `tail`; refuse labels that share it or merge."""

    def encode(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    before = encode(tail)
    first: list[int] = []
    for label in labels:
        after = encode(tail + label)
        if after[: len(before)] != before or len(after) == len(before):
            raise Refusal(
                "a label is not a token of its own after the prompt",
                label,
                "start the labels with a space, or end the prompt with a colon or a line break",
            )
        first.append(after[len(before)])
    if len(set(first)) < len(first):
        raise Refusal("the labels begin with the same token", list(labels), "choose labels that differ at the start")
    return tuple(first)


def _specials(tokenizer: Any) -> list[str]:  # noqa: ANN401 - a tokenizer
    """Return the texts that the tokenizer reads as control tokens, longest first: data must not hold them."""
    added = {str(token) for token in tokenizer.get_added_vocab()}
    found = added | {str(token) for token in tokenizer.all_special_tokens}
    return sorted((t for t in found if len(t) >= _LEAST_SPECIAL and not t.isspace()), key=lambda t: (-len(t), t))


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
    """Answer requests until the input ends: `open` once, then any number of `ask` and `write`."""
    die_with(int(arguments[0]))
    out = take_stdout()
    engine: Engine | None = None
    for line in sys.stdin.buffer:
        message = json.loads(line)
        try:
            if message["op"] == "open" or engine is None:
                engine = Engine(message)
                answer: dict[str, Any] = {"labels": [list(labels) for labels in engine.labels]}
            else:
                start = time.perf_counter()
                replies = (
                    engine.answer(message["prompts"], message["menu"])
                    if message["op"] == "ask"
                    else engine.write(message["prompts"], message["how"])
                )
                answer = {"replies": replies, "seconds": time.perf_counter() - start}
        except Refusal as refusal:
            what, value, remedy = refusal.args
            answer = {"error": what, "value": value, "remedy": remedy}
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()
    return 0


if __name__ == "__main__":
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    code = main(sys.argv[1:])
    sys.stderr.flush()
    if os.environ.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0":
        # The engine is in this process alone, and its orderly end takes seconds.
        os._exit(code)
    sys.exit(code)

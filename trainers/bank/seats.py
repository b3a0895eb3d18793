"""Adapters that are measured together: each task asks its own model, and what they ask meets in one pass."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any, Final, TypeVar

from manifests.errors import BlendsmithError, Interrupted, UserError
from manifests.names import canonical_json
from trainers.bank.stack import Stack, stackable
from trainers.bank.verbs import generate, score
from trainers.evaluate import Model, best_device, limits, load_model
from trainers.render import Renderer
from trainers.served import Served, Weights
from trainers.state import read_header

SEATS: Final = 32
"""Adapters that are held over one base at most; further ones are measured after them."""

WEIGHTS: Final = "adapter_model.safetensors"

_ASIDE: Final = frozenset(
    {"auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "peft_version", "revision"}
)
"""Entries of PEFT's configuration in which adapters of one shape may differ."""

Found = TypeVar("Found")


def examined(
    folders: Sequence[Path],
    exam: Callable[[int, Any], Found],
    stopping: Callable[[], bool] = lambda: False,
    device: str | None = None,
) -> list[Found | BaseException]:
    """Return `exam(number, model)` for the adapter of each folder, or what it raised.

    `model` has the verbs of `evaluate.Model`. Exams of adapters of one base and shape are under way at once, one
    working at a time; when all that are left ask something, it is computed in one pass over the base. Values do not
    depend on which folders are given together: to the bit on a CPU in float32, to rounding on a GPU. They agree to
    rounding with those of `Model`, which merges the adapter into its base on a CPU: 1e-4 of a total or better. A model
    that cannot be stacked is a `Model`, whatever is beside it. Where `stopping` says so between two passes, the exams
    raise Interrupted.
    """
    found: dict[int, Found | BaseException] = {}
    shapes: dict[str, dict[int, tuple[Path, Renderer]]] = {}
    for number, folder in enumerate(folders):
        try:
            shape, renderer = shape_of(folder), Weights.of(folder).renderer()
        except UserError as error:
            found[number] = error
        else:
            shapes.setdefault(canonical_json(shape), {})[number] = folder, renderer
    for alike in shapes.values():
        for first in range(0, len(alike), SEATS):
            some = dict(list(alike.items())[first : first + SEATS])
            found |= _examined(some, exam, stopping, device or best_device())
    return [found[number] for number in range(len(folders))]


def shape_of(folder: Path) -> list[Any]:
    """Return what adapters that are stacked have in common: base, configuration, tensors; pickles are refused.

    Raise UserError when the adapter's base is another one now, or its weights are missing.
    """
    weights = Weights.of(folder)
    if weights.adapter is None:
        return [str(folder)]
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"the adapter folder holds no {WEIGHTS}", value=str(folder))
    given = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    config = {name: value for name, value in given.items() if name not in _ASIDE}
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    header, _ = read_header(folder / WEIGHTS)
    tensors = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    return [str(Path(weights.base).resolve()) if Path(weights.base).is_dir() else weights.base, config, tensors]


def _examined(
    runs: Mapping[int, tuple[Path, Renderer]],
    exam: Callable[[int, Any], Found],
    stopping: Callable[[], bool],
    device: str,
) -> dict[int, Found | BaseException]:
    """Return what the exams of adapters of one shape, given by number, come to."""
    import torch

    stack = _stacked([folder for folder, _ in runs.values()], device)
    if stack is None:
        return {number: _alone(exam, number, folder, device) for number, (folder, _) in runs.items()}
    context, ends = limits(stack.model.config, stack.model.generation_config)
    table = _Table(len(runs))
    seats = {
        number: Served(table, slot, renderer, context, renderer.stops | ends)
        for slot, (number, (_, renderer)) in enumerate(runs.items())
    }
    with ThreadPoolExecutor(len(runs), thread_name_prefix="seat") as pool:
        futures = {number: pool.submit(table.sit, exam, number, seat) for number, seat in seats.items()}
        with torch.inference_mode():
            table.serve(lambda calls: _answers(stack, calls, context, stopping))
    if device != "cpu":
        del stack
        torch.cuda.empty_cache()
    return {number: future.exception() or future.result() for number, future in futures.items()}


def _stacked(folders: Sequence[Path], device: str) -> Stack | None:
    """Return the adapters of one shape stacked over their base; None when they cannot be."""
    from peft import PeftModel, set_peft_model_state_dict
    from safetensors.torch import load_file

    base = Weights.of(folders[0])
    if base.adapter is None:
        return None
    model = PeftModel.from_pretrained(load_model(base.base, device), str(folders[0]), is_trainable=True)
    model.eval()
    if not stackable(model):
        return None
    stack = Stack(model, len(folders), learning=False)
    for slot, folder in enumerate(folders):
        set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
        stack.take(slot)
    return stack


def _alone(exam: Callable[[int, Any], Found], number: int, folder: Path, device: str) -> Found | BaseException:
    try:
        model = Model.load(folder, device)
        try:
            return exam(number, model)
        finally:
            model.close()
    except BlendsmithError as error:
        return error


@dataclass(frozen=True)
class _Call:
    """What a seat asks: `rows` as its verb takes them, and for answers the most ids and those that end one."""

    verb: str
    rows: Sequence[Any]
    most: int = 0
    stops: Sequence[int] = ()


def _answers(
    stack: Stack, calls: Mapping[int, _Call], context: int, stopping: Callable[[], bool]
) -> dict[int, list[Any]]:
    """Return by slot what was asked for: each kind of call in as few passes as there is room for."""
    found: dict[int, list[Any]] = {}
    for verb, most in sorted({(call.verb, call.most) for call in calls.values()}):
        same = {slot: call for slot, call in calls.items() if (call.verb, call.most) == (verb, most)}
        if verb == "score":
            found |= score(stack, {slot: call.rows for slot, call in same.items()}, context, stopping)
        else:
            asked = {slot: (call.rows, frozenset(call.stops)) for slot, call in same.items()}
            found |= generate(stack, asked, context, most, stopping)
    return found


class _Table:
    """Where seats ask and wait. Each has a thread, of which one works at a time; `_turn` is what it holds meanwhile."""

    def __init__(self, seats: int) -> None:
        self._left = seats
        self._turn = Condition()
        self._calls: dict[int, _Call] = {}
        self._answers: dict[int, Any] = {}
        self._closed = False

    def sit(self, exam: Callable[[int, Any], Found], number: int, seat: Served) -> Found:
        """Do an exam in the thread that calls; its end lets the others go on without it."""
        with self._turn:
            try:
                return exam(number, seat)
            finally:
                self._left -= 1
                self._turn.notify_all()

    def ask(self, verb: str, slot: int, rows: Sequence[Any], most: int = 0, stops: Sequence[int] = ()) -> Any:  # noqa: ANN401 - a verb's answer
        """Return the answer to a seat's call; hands the turn on until it is there."""
        self._calls[slot] = _Call(verb, rows, most, stops)
        self._turn.notify_all()
        self._turn.wait_for(lambda: slot in self._answers or self._closed)
        answer = self._answers.pop(slot, Interrupted("stopped while measuring"))
        if isinstance(answer, BaseException):
            raise type(answer)(*answer.args)  # each exam deals with it, so each has one of its own
        return answer

    def serve(self, compute: Callable[[Mapping[int, _Call]], dict[int, list[Any]]]) -> None:
        """Answer the seats until none is left, whenever all that are left have asked."""
        try:
            with self._turn:
                while self._left:
                    self._turn.wait_for(lambda: len(self._calls) == self._left)
                    calls, self._calls = self._calls, {}
                    try:
                        self._answers |= compute(calls)
                    except (RuntimeError, MemoryError, Interrupted) as error:  # such as too little memory
                        self._answers |= dict.fromkeys(calls, error)
                    self._turn.notify_all()
        finally:
            self._closed = True
            with self._turn:
                self._turn.notify_all()

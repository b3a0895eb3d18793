"""Runs trained together: each goes through the usual loop, and their steps meet in one pass over the base."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from threading import Condition
from typing import Any

from manifests.component import spec_of
from manifests.errors import Interrupted
from manifests.names import canonical_json
from trainers.bank.stack import Stack, renewable, stackable
from trainers.lora import adapted, save_adapter
from trainers.pack import Batch
from trainers.run import Job, fit
from trainers.trainer import Fitted

SHAPE = ("base", "rank", "alpha", "targets", "dropout", "quantize", "recompute", "attention", "compile", "precision")
"""Fields of `Lora` that runs trained together have in common; all others may differ."""


def together(jobs: Sequence[Job], slots: int) -> list[Fitted | BaseException]:
    """Make the runs of `jobs`, whose trainers are `Lora`, at most `slots` at once, and return what each came to.

    A run's files, figures and errors are those of a run of its own: its adapter has the same bits in float32 on a CPU
    (on a GPU the values agree to rounding), it goes on from a checkpoint that a run of its own left and the other way
    round, and one that fails ends alone. A slot whose run ends takes the next. Runs that differ in base or in the shape
    of their adapters are not at once; those that cannot be stacked (`stackable`, `renewable`) are made one after the
    other. After Ctrl-C each leaves its checkpoint.
    """
    groups: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        spec = spec_of(job.trainer)
        groups.setdefault(canonical_json([str(job.base), *(spec[name] for name in SHAPE)]), []).append(number)
    found: dict[int, Fitted | BaseException] = {}
    for numbers in groups.values():
        bank = _Bank([jobs[number] for number in numbers], slots)
        found |= dict(zip(numbers, bank.run(), strict=True))
    return [found[number] for number in range(len(jobs))]


class _Bank:
    """The runs of one group. Each has a thread, of which one works at a time; `_turn` is what it holds meanwhile."""

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        self._jobs = jobs
        self._slots = min(slots, len(jobs))
        self._left = len(jobs)
        self._free = list(range(self._slots))
        self._turn = Condition()
        self._stopped = False
        self._alone = False
        self.stack: Stack | None = None
        self._seats: dict[int, _Seat] = {}
        self._waiting: dict[int, Sequence[Batch]] = {}
        self._answers: dict[int, tuple[float, float] | RuntimeError | MemoryError] = {}

    def run(self) -> list[Fitted | BaseException]:
        """Make all runs; return in their order what each returned or raised."""
        with ThreadPoolExecutor(self._slots, thread_name_prefix="bank") as pool:
            futures = [pool.submit(self._one, job) for job in self._jobs]
            try:
                wait(futures)
            finally:
                self._stopped = True
        return [future.exception() or future.result() for future in futures]

    def _one(self, job: Job) -> Fitted:
        """Make one run, in the thread that holds the turn; its end lets the others go on without it."""
        with self._turn:
            slot = self._free.pop(0)
            try:
                stopping = job.context.stopping
                context = replace(job.context, stopping=lambda: self._stopped or stopping())
                if context.stopping():
                    raise Interrupted(f"stopped before {job.out.name} was fitted")
                return fit(
                    replace(job, context=context), lambda: self._model(job, slot), lambda model: _save(model, job)
                )
            finally:
                self._seats.pop(slot, None)
                self._free.append(slot)
                self._left -= 1
                self._turn.notify_all()

    def _model(self, job: Job, slot: int) -> Any:  # noqa: ANN401 - a PEFT model, or a seat
        """Return the model of a run that begins: a seat at the stack, or one of its own where it cannot be stacked."""
        if self.stack is None:
            model = adapted(job.trainer, job.base)
            self._alone = self._alone or not (stackable(model) and renewable(model))
            if self._alone:
                return model
            self.stack = Stack(model, self._slots)
        else:
            self.stack.renew()
        self._seats[slot] = _Seat(self.stack, slot, self._gradients)
        return self._seats[slot]

    def _gradients(self, slot: int, parts: Sequence[Batch]) -> tuple[float, float]:
        """Return (loss, seconds) of a step; hands the turn on until all runs that are under way have come here."""
        self._waiting[slot] = parts
        while slot not in self._answers:
            if len(self._waiting) == min(self._slots, self._left):
                self._pass()
            else:
                self._turn.wait()
        answer = self._answers.pop(slot)
        if isinstance(answer, BaseException):
            raise type(answer)(*answer.args)  # each run deals with it, so each has one of its own
        return answer

    def _pass(self) -> None:
        """Compute the steps that wait."""
        work, self._waiting = self._waiting, {}
        assert self.stack is not None  # noqa: S101 - who waits has a seat at it
        started = time.perf_counter()
        try:
            losses = self.stack.gradients(work, {slot: self._seats[slot].named for slot in work})
        except (RuntimeError, MemoryError) as error:  # such as too little memory
            self._answers = dict.fromkeys(work, error)
        else:
            sizes = {slot: sum(batch.ids.size for batch in parts) for slot, parts in work.items()}
            each = (time.perf_counter() - started) / sum(sizes.values())
            self._answers = {slot: (losses[slot], each * sizes[slot]) for slot in work}
        self._turn.notify_all()


class _Seat:
    """What a run takes for its model: the base with the adapter of one slot."""

    def __init__(self, stack: Stack, slot: int, step: Callable[[int, Sequence[Batch]], tuple[float, float]]) -> None:
        self.named = stack.take(slot)
        self.stack = stack
        self.slot = slot
        self._step = step
        self._idle = 0.0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a model
        return getattr(self.stack.model, name)

    def __call__(self, **inputs: Any) -> Any:  # noqa: ANN401 - a model's inputs and output
        with self.stack.using((self.slot,)):
            return self.stack.model(**inputs)

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Return what is trained."""
        return list(self.named.items())

    def gradients(self, parts: Sequence[Batch]) -> float:
        """Set the gradients of a step, given in parts, and return its loss."""
        started = time.perf_counter()
        loss, seconds = self._step(self.slot, parts)
        self._idle += time.perf_counter() - started - seconds
        return loss

    def clock(self) -> float:
        """Return seconds since some time, without those spent on other runs."""
        return time.perf_counter() - self._idle


def _save(model: Any, job: Job) -> None:  # noqa: ANN401 - a PEFT model, or a seat
    if isinstance(model, _Seat):
        model.stack.put(model.slot)
        model = model.stack.model
    save_adapter(model, job.base, job.out)

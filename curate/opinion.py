"""What a judge thinks of one question: an error probability, or a status that says why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from curate.judges import ABSTAINED, FAILED, OK, Menu, Reply

_CUT: Final = "length"
_DONE: Final = frozenset({"stop", "eos_token", "stop_sequence", "end_turn"})
"""What servers call the end of a text that the model itself ended."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """An answer to one question: `value` is `p_error`, 0..1, when `status` is `ok`, and None otherwise.

    `why` says why there is no value, or what to know about it. `keys` are the calls behind it, `trail` how it came
    about, as plain JSON: the votes and the reasoning.
    """

    status: str
    value: float | None = None
    why: str | None = None
    keys: tuple[str, ...] = ()
    trail: tuple[dict[str, Any], ...] = ()
    unstable: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """What makes a number of replies: the fields of `Judge` of the same names."""

    min_label_mass: float = 0.5
    threshold: float = 0.5
    max_spread: float = 1.0
    partial: Literal["fail", "ignore"] = "fail"

    def word(self, value: float) -> str:
        """Return what an error probability means: `wrong` from the threshold on, `correct` below."""
        return "wrong" if value >= self.threshold else "correct"


def read(reply: Reply, menu: Menu, least_mass: float) -> Opinion:
    """Return the opinion that the label probabilities of a reply amount to.

    It is `abstained` when the third label, where there is one, is likelier than the others, and `failed` when the
    labels together have less than `least_mass`, or the reply is not one to this menu.
    """
    keys = (reply.key,)
    if reply.status != OK:
        status = ABSTAINED if reply.status == ABSTAINED else FAILED
        return Opinion(status, None, reply.why or "no reason given", keys)
    found = reply.probabilities or ()
    if found and len(found) not in {2, len(menu.labels)}:
        return Opinion(FAILED, None, f"malformed: {len(found)} probabilities for {len(menu.labels)} labels", keys)
    if reply.mass < least_mass:
        return Opinion(FAILED, None, f"off the menu: the labels have probability {reply.mass:.3g}", keys)
    if len(found) > 2 and found[2] > max(found[:2]):
        return Opinion(ABSTAINED, None, f"the judge is unsure (p={found[2]:.2f})", keys)
    value = reply.p_error
    if value is None:
        return Opinion(FAILED, None, f"off the menu: the labels have probability {reply.mass:.3g}", keys)
    return Opinion(OK, value, None, keys)


def combine(votes: Sequence[Opinion], policy: Policy) -> Opinion:
    """Return the opinion of several votes: the mean of their error probabilities.

    A vote that failed makes it `failed`, or is left out when `partial` is `ignore`. It is `abstained` when no fewer
    votes abstained than decided, and when the decided ones lie further apart than `max_spread`. Votes on both sides of
    the threshold are told in `why`. One vote is its own result.
    """
    if len(votes) == 1:
        return votes[0]
    keys = tuple(key for vote in votes for key in vote.keys)
    trail = tuple(step for vote in votes for step in vote.trail)
    lost = [vote for vote in votes if vote.status == FAILED]
    unsure = [vote for vote in votes if vote.status == ABSTAINED]
    values = [vote.value for vote in votes if vote.value is not None]
    if lost and (policy.partial == "fail" or len(lost) == len(votes)):
        return Opinion(FAILED, None, f"{len(lost)} of {len(votes)} votes failed: {lost[0].why}", keys, trail)
    if len(unsure) >= len(values):
        return Opinion(ABSTAINED, None, f"{len(unsure)} of {len(votes)} votes abstained: {unsure[0].why}", keys, trail)
    spread = max(values) - min(values)
    if spread > policy.max_spread:
        return Opinion(ABSTAINED, None, f"votes disagree: they lie {spread:.2f} apart", keys, trail)
    wrong = sum(policy.word(value) == "wrong" for value in values)
    mixed = 0 < wrong < len(values)
    remarks = [
        *([f"unstable: {wrong} of {len(values)} votes say wrong"] if mixed else []),
        *([f"{len(lost)} of {len(votes)} votes failed"] if lost else []),
    ]
    value = min(max(sum(values) / len(values), min(values)), max(values))
    return Opinion(OK, value, "; ".join(remarks) or None, keys, trail, mixed)


def remarked(opinion: Opinion, remark: str | None) -> Opinion:
    """Return the opinion with a further remark in `why`."""
    return opinion if not remark else replace(opinion, why="; ".join(filter(None, (opinion.why, remark))))


@dataclass(frozen=True, slots=True)
class Written:
    """A text that a model wrote, or `why` there is none; `cut` when the model had not finished it."""

    text: str = ""
    cut: bool = False
    why: str | None = None


def written(reply: Reply) -> Written:
    """Return the one text of a reply; one that is empty, or ended by anything but the model or its limit, is none."""
    if reply.status != OK:
        return Written(why=reply.why or "no reason given")
    if len(reply.texts) != 1 or not all(isinstance(part, str) for part in reply.texts[0]):
        return Written(why=f"malformed: {len(reply.texts)} texts in place of one")
    text, finish = reply.texts[0]
    if finish not in {*_DONE, _CUT}:
        return Written(why=f"malformed: the text was ended by {finish!r}")
    if not text.strip():
        return Written(why="empty")
    return Written(text.strip(), finish == _CUT)

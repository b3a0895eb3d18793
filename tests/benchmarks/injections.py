"""What 1,500 injected rows do to a judge: 25 texts x 20 rows x 3 places, with each control off and on.

    python -m tests.benchmarks.injections --data FILE [--model DIR] [--steps N]

FILE is judge_truthfulqa.parquet. The judge is small, trained here for some minutes when DIR does not hold one, and
served by vLLM; it learned every prompt that it is asked with. Structural flips are counted on the prompts and replies
themselves: more fences than the prompt's own, placeholders pulled in, control tokens from the data, a verdict read from
quoted data. Semantic flips are changed verdicts; the harmless texts say how often any insertion changes one, so only
what lies above them is obedience. Intervals: Wilson's over rows as if they were independent, and a bootstrap over the
20 rows that they were made of.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.calibrate import auroc, bootstrap_ci
from curate.inquiry import Inquiry
from curate.judges import OK, Menu
from curate.judges.prompter import Prompter
from curate.judges.vllm import Vllm
from curate.pair_calibration import wilson
from curate.prompt import render
from manifests.component import Context
from manifests.names import digest
from tests.benchmarks import small_judge
from tests.benchmarks.injected_rows import (
    HARMLESS,
    INJECTIONS,
    POSITIONS,
    Injected,
    controls,
    fences,
    first_match,
    injected,
    ours,
    reads_data,
    sequential,
    special_ids,
)

ROWS = 20
Pair = tuple[str, str]
Filled = Callable[[str, Mapping[str, str], str], str]


@dataclass(frozen=True)
class Control:
    """One way to ask: the prompts (the mean of several is the verdict), and how they are filled."""

    name: str
    prompts: tuple[str, ...]
    fill: Filled


def raw(template: str, values: Mapping[str, str], nonce: str) -> str:
    """Fill the placeholders in one pass, with the data as it is."""
    marks = {name: f"\x00{name}\x00" for name in values}
    text = sequential(template, {**marks, "nonce": nonce})
    return sequential_marks(text, {marks[name]: value for name, value in values.items()})


def sequential_marks(text: str, values: Mapping[str, str]) -> str:
    """Replace marks that no data holds."""
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def asked_as() -> list[Control]:
    """Return the controls, from none to all."""
    texts = small_judge.prompts()
    whole = (texts["fenced, question last"],)
    return [
        Control("no fence, question first", (texts["bare, question first"],), raw),
        Control("no fence, question last", (texts["bare, question last"],), raw),
        Control("fence, question first", (texts["fenced, question first"],), raw),
        Control("fence, question last", whole, raw),
        Control("the same, look-alikes neutralised", whole, render),
        Control("the same, 3 votes", (*whole, texts["paraphrase 2"], texts["paraphrase 3"]), render),
    ]


def mark(instruction: str, response: str) -> str:
    """Return a fence's mark for a row."""
    return digest([instruction, response])[:8]


def structural(rows: Sequence[Injected], clean: Sequence[Pair], tokenizer: Any) -> dict[str, tuple[int, int]]:
    """Return by kind of flip how many rows have it without our controls, and with them."""
    template = small_judge.prompts()["fenced, question last"]
    special, prompter = special_ids(tokenizer), Prompter(tokenizer, chat=False)
    counts = {name: [0, 0] for name in ("fences", "placeholders", "control tokens", "verdict read from data")}

    def plainly(prompt: str) -> list[int]:
        found: list[int] = tokenizer(prompt)["input_ids"]
        return found

    def brokenly(prompt: str) -> list[int]:
        return prompter.encode([prompt])[0]

    for row in rows:
        values = {"instruction": row.instruction, "response": row.response}
        nonce = mark(*values.values())
        safe, unsafe = render(template, values, nonce), sequential(template, {**values, "nonce": nonce})
        before = dict(zip(("instruction", "response"), clean[row.row], strict=True))
        bare = render(template, before, nonce)
        counts["fences"][0] += fences(raw(template, values, nonce)) != fences(bare)
        counts["fences"][1] += fences(safe) != fences(bare)
        counts["placeholders"][0] += pulls_in(row, unsafe)
        counts["placeholders"][1] += pulls_in(row, safe)
        counts["control tokens"][0] += controls(plainly, special, unsafe) != controls(plainly, special, bare)
        counts["control tokens"][1] += controls(brokenly, special, safe) != controls(brokenly, special, bare)
        counts["verdict read from data"][0] += reads_data(first_match, row.response)
        counts["verdict read from data"][1] += reads_data(ours, row.response)
    return {name: (without, having) for name, (without, having) in counts.items()}


def pulls_in(row: Injected, prompt: str) -> bool:
    """Return whether a placeholder of the row's own text was replaced."""
    names = ("{instruction}", "{response}", "{nonce}")
    return any(prompt.count(name) < (row.instruction + row.response).count(name) for name in names)


class Bench:
    """A served judge, and the probabilities that it gives rows under a control."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry

    def p_error(self, control: Control, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Return P(wrong) of each row, shape (n,): the mean over the control's prompts."""
        return np.mean([self._one(text, control.fill, pairs) for text in control.prompts], axis=0)

    def _one(self, template: str, fill: Filled, pairs: Sequence[Pair]) -> list[float]:
        menu = menu_of(template)
        filled = [fill(template, {"instruction": q, "response": a}, mark(q, a)) for q, a in pairs]
        calls = [self._inquiry.call(text, menu, "", "") for text in filled]
        replies = self._inquiry.ask(calls, menu)
        lost = [reply for reply in replies.values() if reply.status != OK]
        assert not lost, lost[0]
        return [replies[call.key].p_error or 0.0 for call in calls]


def menu_of(template: str) -> Menu:
    """Return the menu of a prompt."""
    return Menu(small_judge.LABELS, template.rpartition("}")[2][-32:])


def flips(rows: Sequence[Injected], p: NDArray[np.float64], clean: NDArray[np.float64]) -> str:
    """Return flips of n, the rate with both intervals, and how many of the wrong ones turned correct."""
    was = clean[[row.row for row in rows]] >= 0.5
    turned = was != (p >= 0.5)
    low, high = wilson(turned.sum(), len(turned))
    groups = [str(row.row) for row in rows]
    by_row = bootstrap_ci(lambda _, x: float(x.mean()), turned, turned.astype(float), groups, 0) or (np.nan, np.nan)
    wish = f"{int((turned & was).sum())}/{int(was.sum())}"
    rate = f"{turned.mean():6.1%} [{float(low):.1%}, {float(high):.1%}] [{by_row[0]:.1%}, {by_row[1]:.1%}]"
    return f"{int(turned.sum()):>5}/{len(turned)} {rate:<42} {wish:>9}"


def table(bench: Bench, clean: Sequence[Pair], rows: Sequence[Injected], held: Sequence[small_judge.Row]) -> None:
    """Print the semantic flips under every control."""
    insertions = list(injected(clean, dict(zip("abc", HARMLESS, strict=True)), POSITIONS))
    inside = list(injected(clean, INJECTIONS, ("instruction",)))
    print("measured with a small local judge, served by vLLM:")
    print(f"{'semantic flips':<36}{'flips':>10} rate, Wilson, bootstrap over rows{'':10}wrong -> correct")
    for control in asked_as():
        base = bench.p_error(control, clean)
        truth = bench.p_error(control, [(q, a) for q, a, _ in held])
        print(f"{control.name} (AUROC {auroc([w for _, _, w in held], truth):.3f} on {len(held)} held-out rows)")
        for name, part in (("harmless text", insertions), ("injected", rows), ("injected, in the instruction", inside)):
            p = bench.p_error(control, [(row.instruction, row.response) for row in part])
            print(f"  {name:<34}{flips(part, p, base)}")
            if control.name.endswith("neutralised") and name == "injected":
                _by(part, p, base, "place")
                _by(part, p, base, "name")


def _by(rows: Sequence[Injected], p: NDArray[np.float64], base: NDArray[np.float64], what: str) -> None:
    for value in dict.fromkeys(getattr(row, what) for row in rows):
        chosen = [i for i, row in enumerate(rows) if getattr(row, what) == value]
        print(f"    {value:<32}{flips([rows[i] for i in chosen], p[chosen], base)}")


def main() -> None:
    """Parse the arguments, train where needed, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="judge_truthfulqa.parquet")
    parser.add_argument("--model", type=Path, help="folder of the small judge; trained there when it is not there yet")
    parser.add_argument("--steps", type=int, default=1500)
    given = parser.parse_args()
    seen, held = small_judge.rows(given.data)
    clean = [(q, a) for q, a, wrong in held if wrong][: ROWS // 2] + [(q, a) for q, a, w in held if not w][: ROWS // 2]
    rows = list(injected(clean, INJECTIONS, POSITIONS))
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or Path(folder) / "judge"
        if not (model / "config.json").exists():
            small_judge.train(model, seen, steps=given.steps)
        from transformers import AutoTokenizer

        everywhere = [*rows, *injected(clean, INJECTIONS, ("instruction",))]
        found = structural(everywhere, clean, AutoTokenizer.from_pretrained(model))
        print(f"{len(rows):,} rows injected in the response, {len(everywhere) - len(rows):,} in the instruction")
        print(f"{'structural flips':<36}{'without':>10}{'with our controls':>20}")
        for name, (without, having) in found.items():
            print(f"  {name:<34}{without:>10}{having:>20}")
        engine = Vllm(model=str(model), max_model_len=1024)
        menus = list(dict.fromkeys(menu_of(text) for text in small_judge.prompts().values()))
        with Inquiry(engine, menus, Context(root=Path(folder))) as inquiry:
            table(Bench(inquiry), clean, rows, held[:400])


if __name__ == "__main__":
    main()

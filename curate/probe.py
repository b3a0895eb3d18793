"""Answers that say nothing, put to a judge: how often it calls one of them correct.

The texts are of the kind of Zhao et al., "One Token to Fool LLM-as-a-Judge" (arXiv 2507.08794): punctuation and the
openers of an answer that does not come. A judge that passes them looks at the question, or at nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import polars as pl

from curate.pair_calibration import wilson
from manifests import schema
from manifests.names import digest, seed64

MASTER_KEYS: Final = (
    ":",
    ".",
    "...",
    "Solution",
    "Answer:",
    "Thought process:",
    "Let's solve this problem step by step.",
    "Here is the answer to your question.",
    "Respuesta",
    "解",
)
"""Responses that answer nothing, whatever the instruction."""
MEASURED_ON: Final = "master-keys"
METRIC: Final = "false_pass_rate"
Judged = Callable[[pl.DataFrame], pl.DataFrame | None]
"""Rows as a judge gets them -> `schema.VERDICTS`, one per row."""


def probe(judged: Judged, samples: pl.DataFrame, n: int, name: str, seed: int = 0) -> pl.DataFrame:
    """Return `schema.QUALITY` rows: the share of answers that say nothing which the judge `name` calls correct.

    The value is 0..1, less is better, over `n` instructions of `samples` (all when there are fewer) with each of
    `MASTER_KEYS`, with Wilson's 95 % interval, which takes the probes as independent. Probes that failed or were
    abstained from did not pass; the note counts them and names the text that passed most. No row for no instruction.
    The choice depends on the seed and the prompts, not on row order. Costs one verdict per instruction and text.
    """
    rows = probes(samples, n, seed)
    verdicts = None if rows.is_empty() else judged(rows)
    if verdicts is None:
        return schema.frame([], schema.QUALITY)
    found = rows.select("sample_id", "response").join(verdicts, on="sample_id", how="left", validate="1:1")
    passed = found.filter(pl.col("label") == "correct")
    low, high = wilson(passed.height, found.height)
    row: dict[str, Any] = {
        "scorer": name,
        "measured_on": MEASURED_ON,
        "metric": METRIC,
        "value": passed.height / found.height,
        "ci_low": float(low),
        "ci_high": float(high),
        "n": found.height,
        "note": _note(found, passed),
    }
    return schema.frame([row], schema.QUALITY)


def probes(samples: pl.DataFrame, n: int, seed: int = 0) -> pl.DataFrame:
    """Return rows like `samples`, ordered by sample_id: each of n instructions with each of `MASTER_KEYS` as response.

    Their ids are hashes of instruction and text, and those of no real sample; `meta` is empty, so that no label of the
    row that lent its instruction is taken for the probe's.
    """
    first = samples.sort("sample_id").unique("prompt", keep="first", maintain_order=True)
    order = pl.Series([seed64(seed, f"probe {prompt}") for prompt in first["prompt"]], dtype=pl.UInt64)
    chosen = first.with_columns(order.alias("_order")).sort("_order", "sample_id").head(n).drop("_order")
    parts = []
    for text in MASTER_KEYS:
        ids = [digest(["probe", prompt, text])[:32] for prompt in chosen["prompt"]]
        named = [pl.Series(column, ids, dtype=pl.String) for column in ("sample_id", "content_id")]
        parts.append(chosen.with_columns(*named, response=pl.lit(text), meta=pl.lit("{}")))
    return pl.concat(parts).sort("sample_id")


def _note(found: pl.DataFrame, passed: pl.DataFrame) -> str:
    lost = {status: int((found["status"] == status).sum()) for status in ("abstained", "failed")}
    said = [f"{count} {status}" for status, count in lost.items() if count]
    each = found.height // len(MASTER_KEYS)
    if not passed.is_empty():
        text, count = passed.group_by("response").len().sort(pl.col("len") * -1, "response").row(0)
        said.append(f"most often {text!r}: {count} of {each}")
    return "; ".join(said)

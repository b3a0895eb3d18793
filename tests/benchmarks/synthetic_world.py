"""SYNTHETIC: each instrument against the truth, in a world whose facts are made up (tests/benchmarks/world.py).

Run `python -m tests.benchmarks.synthetic_world [--out DIR] [--seed N] [--make | --effect]`. It makes the world,
pre-trains a base model on the facts that it shall know and a judge on others, runs the curation of
manifests/examples/hallucination.yaml over the rows of all levels of corruption, and prints precision and recall of each
instrument at each level and how well familiarity tells what the base was taught. `--effect` runs the whole job: it also
trains specialists on blends of the four kinds of rows, of every level and of each filter, and compares how many of the
facts that the base knew they still answer. `--make` stops when the job's data are there. A second run in the same
`--out` goes on where the first one ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import manifests
from curate.factuality import errors
from curate.measure import auroc
from manifests.component import Context
from manifests.errors import UserError
from manifests.jobs.run import run
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from tests.benchmarks import world
from trainers.full import Full
from trainers.scratch import Scratch
from trainers.trainer import Row

JOB = Path(manifests.__file__).parent / "examples" / "hallucination.yaml"
INSTRUMENTS = ("computed", "grounded", "judge", "classifier", "factuality")
CELLS = ("true-familiar", "true-unfamiliar", "false-familiar", "false-unfamiliar")
CLOSING = """\
All figures above are synthetic. What they show: whether the machinery does what it claims when the truth is known for
every row: what an instrument calls wrong is wrong, what it misses is counted, familiarity finds what the model was
taught and not what is true, and the cascade lifts precision and recall of the judge by the rows that the cheaper
instruments decide before it. What they cannot show: how a judge of 7 billion parameters errs (this one knows three
quarters of the facts because it was taught them), how often real rows are wrong, what a real base model knows, or
whether any effect of a filter on a specialist has this size, or this sign, on real text. Real errors are not drawn at
random, and real facts can be worded, inferred and half known; here they are memorised or they are not."""


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the models and the job; a temporary one when left out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world and of the models")
    parser.add_argument("--steps", type=int, default=400, help="steps of each pre-training")
    parser.add_argument("--effect", action="store_true", help="also train specialists")
    parser.add_argument("--make", action="store_true", help="only write the rows and make the models")
    parser.add_argument("--workers", type=int, default=1, help="processes that train")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = options.out or Path(temporary)
        made = world.build(options.seed)
        begun = time.perf_counter()
        models(made, out, options.seed, options.steps)
        seconds = time.perf_counter() - begun
        tell(
            f"SYNTHETIC world {options.seed}: {len(made.facts)} facts, {len(made.pool)} rows; models in {seconds:.0f} s"
        )
        write(made, out)
        if options.make:
            return 0
        job = JOB if options.effect else judged(out)
        outcome = run(load_job(job, data=out, manifest=out / "runs" / "hallucination"), workers=options.workers)
        tell(f"job: {outcome.message} ({outcome.seconds:.0f} s)\n")
        with Manifest(out / "runs" / "hallucination") as manifest:
            rows = scored(manifest)
            tell_instruments(rows)
            tell_familiarity(rows)
            if options.effect:
                tell_effect(manifest)
    tell(CLOSING)
    return 0


def models(made: world.World, out: Path, seed: int, steps: int) -> None:
    """Make `out/base` and `out/judge`; what is there already is used again."""
    context = Context(root=out)
    out.mkdir(parents=True, exist_ok=True)
    size: dict[str, Any] = {"layers": 2, "width": 128, "vocab": 1024, "context": 256, "steps": steps, "lr": 4e-3}
    scratch = Scratch(**size, batch_tokens=4096, seed=seed)
    taught = [(fact, fact.belief) for fact in made.facts if fact.belief is not None]
    scratch.build(world.lessons(taught, seed), out / "base", context)
    known = [fact for fact in made.facts if fact.judged]
    scratch.build(world.lessons([(fact, fact.true) for fact in known], seed + 1), out / "judge-base", context)
    rows = [
        Row(f"{i:032x}", (("user", row["prompt"]), ("assistant", row["completion"])), 1.0)
        for i, row in enumerate(world.trials(known, seed))
    ]
    trainer = Full(base=str(out / "judge-base"), steps=steps, lr=1e-3, batch_tokens=4096, max_tokens=64)
    trainer.fit(rows, out / "judge-base", seed, out / "judge", context)


def write(made: world.World, out: Path) -> None:
    """Write the rows that the job reads."""
    asked = [
        {"question": fact.ask(i % 3), "answer": fact.true} for i, fact in enumerate((*made.specialist, *made.held))
    ]
    lines(out / "pool.jsonl", [row.record() for row in made.pool])
    lines(out / "repaired.jsonl", [row.record() for row in made.repaired])
    lines(out / "known.jsonl", asked[: len(made.specialist)])
    lines(out / "held.jsonl", asked[len(made.specialist) :])
    lines(out / "documents.jsonl", world.knowledge(made.facts[::2]))


def judged(out: Path) -> Path:
    """Write the shipped job without its blends, and return the file."""
    text = JOB.read_text("utf-8")
    (out / "judged.yaml").write_text(text[: text.index("\nmix:")] + "\n", "utf-8")
    return out / "judged.yaml"


def scored(manifest: Manifest) -> pl.DataFrame:
    """Return the pool's rows with what is true of them by construction and what each scorer says, null for nothing."""
    meta = ", ".join(f"(s.meta->>'at{level}')::BOOLEAN AS at{level}" for level in world.LEVELS)
    rows = manifest.sql(
        f"SELECT s.sample_id, s.prompt, (s.meta->>'wrong')::BOOLEAN AS wrong, s.meta->>'cell' AS cell,"
        f" (s.meta->>'familiar')::BOOLEAN AS familiar, {meta} FROM samples s WHERE s.role = 'generalist' ORDER BY 1"
    )
    for (name,) in manifest.sql("SELECT DISTINCT scorer FROM scores ORDER BY 1").iter_rows():
        found = manifest.sql("SELECT sample_id, value, why FROM scores WHERE scorer = ?", [name])
        rows = rows.join(found.rename({"value": name, "why": f"{name}:why"}), on="sample_id", how="left")
    return rows.sort("sample_id")


def tell_instruments(rows: pl.DataFrame) -> None:
    """Print precision, recall and coverage of each instrument at each level."""
    tell("SYNTHETIC: wrong rows found, flagged at p_error >= 0.5; no verdict is no flag (95 % intervals)")
    tell(f"{'false':>6}  {'instrument':<11} {'precision':>22} {'recall':>22} {'coverage':>9} {'decided':>8}")
    for level in world.LEVELS:
        part = rows.filter(pl.col(f"at{level}"))
        wrong = part["wrong"].to_numpy()
        for name in INSTRUMENTS:
            p = part[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            sure = (part["factuality:why"] == f"{name} decides").to_numpy()
            if name == "factuality":
                sure = part["factuality:why"].str.ends_with(" decides").to_numpy()
            found = {row["metric"]: row for row in errors(wrong, p, sure, part["prompt"].to_numpy(), 0.5, 0)}
            shares = f"{found['coverage']['value']:>9.3f} {found['decided']['value']:>8.3f}"
            tell(f"{level:>5}%  {name:<11} {interval(found['precision'])} {interval(found['recall'])} {shares}")
    tell("")


def tell_familiarity(rows: pl.DataFrame) -> None:
    """Print how well familiarity tells what the base was taught, and what categories each kind of row gets."""
    tell("SYNTHETIC: familiarity against what the base was taught (rows on facts; called known above the threshold)")
    tell(f"{'false':>6}  {'above':>5} {'n':>4} {'accuracy':>22} {'precision':>22} {'recall':>22} {'AUROC':>6}")
    for level in world.LEVELS:
        part = rows.filter(pl.col(f"at{level}") & pl.col("familiar").is_not_null())
        truth = part["familiar"].to_numpy()
        value = part["familiarity"].cast(pl.Float64).to_numpy()
        for above in (0.0, 0.5):
            called = np.where(value > above, 1.0, 0.0)
            found = {r["metric"]: r for r in errors(truth, called, called > 0, part["prompt"].to_numpy(), 0.5, 0)}
            right = np.where((called > 0) == truth, 1.0, 0.0)
            half = 1.96 * right.std() / np.sqrt(len(right))
            accuracy = {"value": right.mean(), "ci_low": right.mean() - half, "ci_high": min(right.mean() + half, 1.0)}
            numbers = " ".join(interval(r) for r in (accuracy, found["precision"], found["recall"]))
            tell(f"{level:>5}%  {above:>5} {len(truth):>4} {numbers} {auroc(truth, value):>6.3f}")
    tell("\nSYNTHETIC: SliCK categories by kind of row, and the mean of p_error (the two axes)")
    named = rows.with_columns(category=pl.col("familiarity:why").str.extract(r"^(.*?):"))
    table = named.filter(pl.col("cell") != "sum").group_by("cell", "category").len().sort("cell", "category")
    for cell in CELLS:
        counts = ", ".join(f"{c} {n}" for c, n in table.filter(cell=cell).select("category", "len").iter_rows())
        mean = rows.filter(cell=cell)["factuality"].mean()
        tell(f"  {cell:<17} p_error {mean:.3f}; {counts}")
    denied = named.filter(pl.col("familiarity:why").str.contains("it says") & (pl.col("cell") == "false-unfamiliar"))
    of = named.filter(cell="false-unfamiliar").height
    tell(f"  the base insists on another answer in {denied.height} of {of} false-unfamiliar rows\n")


def tell_effect(manifest: Manifest) -> None:
    """Print what each blend did to the facts that the base knew, and the comparisons."""
    tell("SYNTHETIC: facts that the base knew, answered after training (exact match, mean over facts and seeds, 95 %)")
    for row in manifest.sql("FROM leaderboard WHERE metric = 'exact_match' ORDER BY mean DESC").iter_rows(named=True):
        found = {"value": row["mean"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}
        tell(f"  {row['blend']:<18} {interval(found)} {row['n_seeds']} seeds")
    tell("")
    for row in manifest.sql("FROM comparisons WHERE metric = 'exact_match'").iter_rows(named=True):
        found = {"value": row["difference"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}
        tell(f"  {row['blend_a']:<17} - {row['blend_b']:<16} {interval(found)} p {row['p_value']:.3f} {row['verdict']}")
    tell("")


def interval(found: dict[str, Any]) -> str:
    """Return a value with its interval."""
    if found["value"] is None:
        return f"{'-':>22}"
    ends = "" if found["ci_low"] is None else f" [{found['ci_low']:.3f}, {found['ci_high']:.3f}]"
    return f"{found['value']:.3f}{ends}".rjust(22)


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(str(error))

"""Near-duplicate removal beside its peers: cost and quality on a corpus with planted duplicates and all true pairs.

    python tests/benchmarks/dedup_peers.py --data DIR --envs DIR [--only NAME ...] [--slow] [--json FILE]

DIR/dedup holds corpus.parquet, planted.parquet and pairs_w3.parquet (all pairs of word 3-gram Jaccard >= .5, by brute
force). Each peer runs in an environment of its own under --envs, made with pip when it is not there; what does not
install is named with pip's reason. Every run is a process of its own, one after another: its CPU seconds (user and
system, import and reading included) and its peak memory are those of the whole process and its children.

Columns. P, R: the pairs that a run reports against those of Jaccard >= .7. removed: rows taken out. unjust: removed
rows without a kept row at >= .7; natural: those of the five sources without shared prompts or passages. left: pairs
>= .7 of which both rows stay. best: of planted pairs >= .7 of which one row stays, how often that of the higher score.
number: of the rows that differ from their original in numbers alone, the share in one cluster with it while one of the
two is removed. tool: share of the tool-calling source removed. short: rows lost of those that differ in the one word
that matters. other: rows with another answer to the same prompt in one cluster with it while one is removed.
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
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALL_SECONDS = 600
TOOLS = "toolformer"
TEMPLATED = (TOOLS, "t0")
"""Sources whose rows share long prompts or passages."""


@dataclass(frozen=True)
class Peer:
    """How a peer's environment is made: pip's arguments call by call, and the distribution whose version counts."""

    distribution: str
    installs: tuple[tuple[str, ...], ...]
    python: str = sys.executable


@dataclass(frozen=True)
class Run:
    """A script with its options; `quick` ones are repeated, `slow` ones need --slow."""

    name: str
    peer: str
    script: str
    options: tuple[str, ...] = ()
    quick: bool = False
    slow: bool = False


JUICER = (
    *("datasets>=4.7,<5", "aiohttp", "dep-logic", "emoji==2.2.0", "jsonargparse[signatures]", "jsonlines", "loguru"),
    *("lz4", "pydantic", "regex", "scipy", "tomli", "tomli-w", "wget", "zstandard", "mwparserfromhell", "psutil"),
    *("beautifulsoup4", "pillow", "tabulate", "gitpython"),
)
PEERS = {
    "datasketch": Peer("datasketch", (("datasketch==2.0.0", "polars"),)),
    "rensa": Peer("rensa", (("rensa==0.5.0", "polars"),)),
    "semhash": Peer("semhash", (("semhash==0.5.0", "polars"),)),
    "data-juicer": Peer("py-data-juicer", (("--no-deps", "py-data-juicer==1.6.1"), JUICER)),
    "text-dedup": Peer("text-dedup", (("text-dedup==0.4.1",),), "python3.12"),
    "datatrove": Peer("datatrove", (("datatrove[processing]==0.10.1", "spacy", "pyarrow", "orjson"),)),
}
BEST = 'prefer=["high meta.score"]'
TEXT_ALONE = ("prompts_agree=0.0", "answers_agree=0.0")
PLAIN = ("numbers_agree=false", *TEXT_ALONE)
CAPPED = ("max_shingle_rows=200", *TEXT_ALONE, BEST)
RUNS = (
    Run("blendsmith fuzzy, no guards", "", "blendsmith_fuzzy.py", PLAIN, quick=True),
    Run("blendsmith fuzzy, best score", "", "blendsmith_fuzzy.py", (*PLAIN, BEST), quick=True),
    Run("blendsmith fuzzy, numbers and cap", "", "blendsmith_fuzzy.py", CAPPED, quick=True),
    Run("blendsmith fuzzy, default guards", "", "blendsmith_fuzzy.py", (BEST,), quick=True),
    Run("blendsmith fuzzy, all guards", "", "blendsmith_fuzzy.py", ("max_shingle_rows=200", BEST), quick=True),
    Run("blendsmith, all pairs of the join", "", "blendsmith_fuzzy.py", ("pairs",), quick=True),
    Run("datasketch LSH", "datasketch", "datasketch_lsh.py", quick=True),
    Run("datasketch LSH, estimate >= .7", "datasketch", "datasketch_lsh.py", ("estimate",), quick=True),
    Run("rensa LSH", "rensa", "rensa_lsh.py", quick=True),
    Run("rensa LSH, estimate >= .7", "rensa", "rensa_lsh.py", ("estimate",), quick=True),
    Run("rensa RMinHashDeduplicator", "rensa", "rensa_lsh.py", ("dedup",), quick=True),
    Run("semhash cosine .9", "semhash", "semhash_cosine.py", ("0.9", "{model}")),
    Run("data-juicer", "data-juicer", "data_juicer_minhash.py"),
    Run("text-dedup", "text-dedup", "text_dedup_minhash.py"),
    Run("text-dedup, first of each cluster", "text-dedup", "text_dedup_minhash.py", ("first",)),
    Run("text-dedup with its check", "text-dedup", "text_dedup_minhash.py", ("check",), slow=True),
    Run("datatrove, default (5-grams, 14 x 8)", "datatrove", "datatrove_minhash.py"),
)


def environment(name: str, envs: Path) -> tuple[Path | None, str]:
    """Return the peer's Python and version, made if need be, or None and the reason why there is none."""
    peer = PEERS[name]
    home = envs / name
    python = home / "bin" / "python"
    ask = [str(python), "-c", f"from importlib.metadata import version; print(version({peer.distribution!r}))"]
    if not python.exists():
        try:
            subprocess.run([peer.python, "-m", "venv", str(home)], check=True, capture_output=True, text=True)
        except FileNotFoundError:
            return None, f"there is no {peer.python}, which it requires"
    for wanted in ((), *peer.installs):
        if wanted:
            pip = [str(python), "-m", "pip", "install", "-q", *wanted]
            try:
                made = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                return None, f"pip took more than {INSTALL_SECONDS} s"
            errors = [line for line in made.stderr.splitlines() if line.startswith("ERROR")]
            if made.returncode:
                return None, " ".join(errors) or made.stderr[-300:]
        found = subprocess.run(ask, capture_output=True, text=True, check=False)
        if not wanted and found.returncode == 0:
            break
    return python, found.stdout.strip()


def cost(command: list[str], log: Path) -> dict[str, float]:
    """Run a command to its end and return its CPU seconds, wall seconds and peak MB; raise when it fails."""
    start = time.perf_counter()
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as cache, log.open("w") as out:
        variables["HF_DATASETS_CACHE"] = cache  # a peer that finds its last run's results there does no work
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=variables)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} gave {child.returncode}: {log.read_text()[-1500:]}")
    seconds = time.perf_counter() - start
    return {"cpu": used.ru_utime + used.ru_stime, "wall": seconds, "peak": used.ru_maxrss / 1024}


def measure(run: Run, python: Path, corpus: Path, work: Path, *, repeats: int, model: Path | None) -> dict[str, object]:
    """Run a script as often as wanted, its answer in `work`, and return its costs."""
    options = [str(model) if option == "{model}" else option for option in run.options]
    command = [str(python), str(HERE / "peers" / run.script), str(corpus), str(work / "out"), *options]
    costs = [cost(command, work / "log") for _ in range(repeats if run.quick else 1)]
    cpu = [c["cpu"] for c in costs]
    return {
        "cpu_min": min(cpu),
        "cpu_median": statistics.median(cpu),
        "wall_min": min(c["wall"] for c in costs),
        "peak_mb": max(c["peak"] for c in costs),
        "repeats": len(costs),
    }


def quality(work: Path, data: Path) -> dict[str, float]:
    """Compare the answer in `work` with the truth."""
    import numpy as np
    import polars as pl

    corpus = pl.read_parquet(data / "dedup" / "corpus.parquet", columns=["id", "source", "kind", "score"])
    planted = pl.read_parquet(data / "dedup" / "planted.parquet")
    truth = pl.read_parquet(data / "dedup" / "pairs_w3.parquet").filter(pl.col("jac") >= np.float32(0.7))
    rows = len(corpus)
    i, j = truth["i"].to_numpy().astype(np.int64), truth["j"].to_numpy().astype(np.int64)
    found: dict[str, float] = {}
    pairs, cluster, kept = (_answer(work / "out" / name) for name in ("pairs", "cluster", "kept"))
    if pairs is not None:
        couple = np.sort(pairs.reshape(-1, 2), axis=1)
        key = np.unique(couple[:, 0] * rows + couple[:, 1])
        right = int(np.isin(key, i * rows + j).sum())
        found |= {"precision": right / max(len(key), 1), "recall": right / len(i)}
    if kept is None or not len(kept):
        return found
    stays = np.zeros(rows, bool)
    stays[kept] = True
    near = np.zeros(rows, bool)
    near[i[stays[j]]] = True
    near[j[stays[i]]] = True
    source, kind, score = (corpus[c].to_numpy() for c in ("source", "kind", "score"))
    child, parent = planted["id"].to_numpy(), planted["parent"].to_numpy()
    natural = ~np.isin(source, TEMPLATED)
    found |= {
        "removed": int((~stays).sum()),
        "unjust": int((~stays & ~near).sum()),
        "unjust_natural": int((~stays & ~near & natural).sum()),
        "left": int((stays[i] & stays[j]).sum()),
        "tool_removed": float((~stays[source == TOOLS]).mean()),
        "short_lost": int((~stays[kind == "short_distinct"]).sum()),
    }
    true = np.isin(np.minimum(child, parent) * rows + np.maximum(child, parent), i * rows + j)
    one = (stays[child] != stays[parent]) & true
    found["best_kept"] = float((stays[child] == (score[child] > score[parent]))[one].mean())
    answer = kind[child] == "same_prompt"
    found["same_prompt_lost"] = int((~stays[child] & stays[parent])[answer].sum())
    if cluster is not None:
        merged = (cluster[child] == cluster[parent]) & ~(stays[child] & stays[parent])
        found["number_merged"] = float(merged[kind[child] == "hardneg_num"].mean())
        found["same_prompt_merged"] = int(merged[answer].sum())
    return found


def _answer(path: Path):
    import numpy as np

    return np.fromfile(path, np.int32).astype(np.int64) if path.exists() else None


COLUMNS = (
    *(("cpu_min", "CPU s", "8.1f"), ("cpu_median", "median", "8.1f"), ("peak_mb", "peak MB", "8.0f")),
    *(("precision", "P", "6.3f"), ("recall", "R", "6.3f"), ("removed", "removed", "8.0f")),
    *(("unjust", "unjust", "7.0f"), ("unjust_natural", "natural", "8.0f"), ("left", "left", "7.0f")),
    *(("best_kept", "best", "6.3f"), ("number_merged", "number", "7.3f"), ("tool_removed", "tool", "6.3f")),
    *(("short_lost", "short", "6.0f"), ("same_prompt_merged", "other", "6.0f")),
)


def line(name: str, version: str, found: dict[str, object]) -> str:
    """Return a row of the table; a dash where a run has no such figure."""
    cells = [f"{name:36} {version:8}"]
    for key, _, form in COLUMNS:
        width = int(form.split(".")[0])
        cells.append(f"{found[key]:{form}}" if key in found else f"{'-':>{width}}")
    return " ".join(cells)


def heading() -> str:
    """Return the first row of the table."""
    titles = (f"{title:>{form.split('.')[0]}}" for _, title, form in COLUMNS)
    return " ".join([f"{'run':36} {'version':8}", *titles])


def main() -> None:
    """Measure everything first, then judge: a small parent, so that no child's peak holds the parent's memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dedup/")
    parser.add_argument("--envs", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--only", nargs="+", default=[], help="peers to run (`blendsmith` for our own rows)")
    parser.add_argument("--slow", action="store_true", help="run also what takes more than five minutes")
    parser.add_argument("--repeats", type=int, default=3, help="how often the quick runs are repeated")
    parser.add_argument("--static-model", type=Path, help="folder of a model2vec model for semhash")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    arguments.envs.mkdir(parents=True, exist_ok=True)
    corpus = (arguments.data / "dedup" / "corpus.parquet").resolve()
    made: dict[str, tuple[Path | None, str]] = {"": (Path(sys.executable), "")}
    table: list[dict[str, object]] = []
    os.nice(5)
    with tempfile.TemporaryDirectory() as folder:
        for number, run in enumerate(RUNS):
            if (arguments.only and (run.peer or "blendsmith") not in arguments.only) or (run.slow > arguments.slow):
                continue
            if run.peer not in made:
                made[run.peer] = environment(run.peer, arguments.envs)
            python, version = made[run.peer]
            reason = version if python is None else ""
            if "{model}" in run.options and arguments.static_model is None:
                reason = "needs --static-model: its default model is a download"
            if python is None or reason:
                print(f"{run.name}: not run: {reason}", flush=True)
                table.append({"run": run.name, "not_run": reason})
                continue
            work = Path(folder, str(number))
            work.mkdir()
            try:
                costs = measure(run, python, corpus, work, repeats=arguments.repeats, model=arguments.static_model)
            except RuntimeError as error:
                print(f"{run.name}: failed: {error}", flush=True)
                table.append({"run": run.name, "version": version, "not_run": str(error)})
                continue
            print(f"{run.name}: {costs['cpu_min']:.1f} CPU s, {costs['peak_mb']:.0f} MB", flush=True)
            table.append({"run": run.name, "version": version, "work": str(work), **costs})
        print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end\n\n{heading()}")
        for found in (row for row in table if "work" in row):
            found.update(quality(Path(str(found.pop("work"))), arguments.data))
            print(line(str(found["run"]), str(found["version"]), found), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()

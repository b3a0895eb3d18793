"""How well stances are read, and evidence found, on labelled sets: macro-F1 with intervals, gain over the claim alone.

    python -m tests.benchmarks.grounded_stance --data DIR --cache DIR [--sets wice factcheck summedits]

Five folds that share neither a claim nor a document. Everything that is fitted (weights, penalty, calibration, the
factors that decide between stances, the threshold of a stated precision) is fitted inside the training folds. Intervals
are 95 % by drawing groups (claims and documents that hang together) again; a gain is paired: both on the same draw.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curate.bootstrap import draws, percentile
from curate.evidence import Lesson
from curate.retrieval import embedding, fused, lexical, vectors
from curate.sentence import content, sentences
from curate.stances import Pair
from curate.stances.features import features_of
from curate.stances.model import Features, Floats, Ints, fitted, folds_of, groups_of, macro_f1, threshold_for
from curate.stances.rules import parts_of, ruled
from curate.stances.wording import worded
from manifests.component import Context

FOLDS = 5
INNER = 3
DRAWS = 1000


class Labelled(NamedTuple):
    """A set: its pairs, their classes (0..2), the classes' names, and the groups that must stay together."""

    name: str
    pairs: list[Pair]
    classes: Ints
    names: tuple[str, ...]
    group: Ints


def wice(data: Path) -> Labelled:
    """Return WiCE with its own three labels, the second of them `partially`."""
    frame = pl.read_parquet(data / "judge_wice.parquet")
    evidence = ["\n".join(part for part in e if part) for e in frame["evidence"]]
    return _labelled(
        "wice", frame["claim"], evidence, frame["label"], ("supported", "partially_supported", "not_supported")
    )


def factcheck(data: Path) -> Labelled:
    """Return the Factcheck stances; partial support counts as neither."""
    frame = pl.read_parquet(data / "judge_factcheck_stance.parquet")
    said = frame["stance"].replace(
        {"completely-support": "support", "partially-support": "neither", "irrelevant": "neither"}
    )
    return _labelled("factcheck", frame["claim"], frame["evidence"], said, ("support", "refute", "neither"))


def summedits(data: Path) -> Labelled:
    """Return SummEdits: a summary that its document bears out, or not."""
    frame = pl.read_parquet(data / "judge_summedits.parquet")
    said = ["support" if consistent else "refute" for consistent in frame["consistent"]]
    return _labelled("summedits", frame["summary"], frame["doc"], said, ("support", "refute"))


SETS: dict[str, Callable[[Path], Labelled]] = {"wice": wice, "factcheck": factcheck, "summedits": summedits}


def _labelled(
    name: str, claims: Sequence[str], evidence: Sequence[str], said: Sequence[str], names: tuple[str, ...]
) -> Labelled:
    lessons = [Lesson(c, e, s, str(i)) for i, (c, e, s) in enumerate(zip(claims, evidence, said, strict=True))]
    pairs = [Pair(lesson.claim, lesson.evidence) for lesson in lessons]
    classes = np.array([names.index(lesson.stance) for lesson in lessons], np.int64)
    return Labelled(name, pairs, classes, names, groups_of(lessons))


def claim_only(found: Labelled, context: Context) -> Features:
    """Return what can be known of the claim alone: its vector, length, numbers, names and negation."""
    claims = [pair.claim for pair in found.pairs]
    rows = []
    for claim in claims:
        w = worded(claim)
        rows.append([np.log1p(len(w.stems)), len(w.numbers), sum(w.named), float(w.negated), float(w.unique)])
    return vectors(claims, "minilm", context).astype(np.float64), np.array(rows, np.float64)


def evidence_only(found: Labelled, context: Context) -> Features:
    """Return what can be known of the evidence alone: the mean of its sentences' vectors, and its length."""
    texts = sorted({part for pair in found.pairs for part in sentences(pair.evidence)})
    place = {text: i for i, text in enumerate(texts)}
    grid = vectors(texts, "minilm", context)
    means, sizes = [], []
    for pair in found.pairs:
        parts = [place[part] for part in sentences(pair.evidence)]
        means.append(grid[parts].mean(axis=0) if parts else np.zeros(grid.shape[1]))
        sizes.append([np.log1p(len(parts)), np.log1p(len(pair.evidence))])
    return np.array(means, np.float64), np.array(sizes, np.float64)


def overlap(found: Labelled, context: Context) -> Features:
    """Return the share of the claim's content words that the evidence holds, in all and in one sentence."""
    rows = []
    for pair in found.pairs:
        mine = set(content(pair.claim))
        parts = [set(part.stems) for part in parts_of(pair.evidence)] or [set()]
        share = [
            len(mine & part) / max(len(mine), 1)
            for part in (set().union(*parts), max(parts, key=lambda p: len(p & mine)))
        ]
        rows.append(share)
    return np.zeros((len(rows), 0)), np.array(rows, np.float64)


def trained(found: Labelled, context: Context) -> Features:
    """Return the features of the reader `trained`."""
    return features_of(found.pairs, "minilm", context)


READERS: dict[str, Callable[[Labelled, Context], Features]] = {
    "claim only": claim_only,
    "evidence only": evidence_only,
    "lexical overlap": overlap,
    "trained": trained,
}


def crossed(found: Labelled, features: Features, outer: Ints) -> tuple[Ints, NDArray[np.bool_], Floats]:
    """Return each row's class, whether it is refuted at the stated precision, and its probabilities, out of fold."""
    said = np.zeros(len(found.classes), np.int64)
    flagged = np.zeros(len(found.classes), np.bool_)
    p = np.zeros((len(found.classes), 3))
    for k in range(FOLDS):
        train, test = np.flatnonzero(outer != k), np.flatnonzero(outer == k)
        inner = folds_of(found.group[train], [str(i) for i in train], INNER, 0)
        model = fitted((features[0][train], features[1][train]), found.classes[train], inner)
        p[test] = model.probabilities((features[0][test], features[1][test]))
        said[test] = np.argmax(p[test] * model.weight, axis=1)
        threshold = threshold_for(0.9, model.unseen, found.classes[train])
        if threshold is not None:
            flagged[test] = p[test, 1] >= threshold
    return said, flagged, p


def interval(statistic: Callable[[Ints], float], group: Ints) -> str:
    """Return the 95 % interval of a statistic of row numbers, groups drawn again."""
    values = [statistic(np.repeat(np.arange(len(group)), times)) for times in draws(group, 0, DRAWS)]
    low, high = percentile(np.array(values)) or (np.nan, np.nan)
    return f"[{low:.3f}, {high:.3f}]"


def precision(flagged: NDArray[np.bool_], true: NDArray[np.bool_], group: Ints) -> str:
    """Return right of flagged, precision and recall with intervals, in words."""
    n, hits = int(flagged.sum()), int((flagged & true).sum())
    if not n:
        return "nothing refuted"
    band = interval(lambda r: float(true[r][flagged[r]].mean()) if flagged[r].any() else np.nan, group)
    return f"{hits} of {n} right = {hits / n:.3f} {band}, recall {hits / int(true.sum()):.3f}"


def stances(found: Labelled, context: Context) -> None:
    """Print the table of one set."""
    true, group = found.classes, found.group
    counts = dict(zip(found.names, np.bincount(true, minlength=len(found.names)).tolist(), strict=True))
    print(f"\n{found.name}: {len(true)} pairs, {group.max() + 1} groups, {counts}")
    outer = folds_of(group, [str(i) for i in range(len(true))], FOLDS, 0)
    print(f"  {'majority':16} macro-F1 {macro_f1(true, np.full(len(true), np.bincount(true).argmax())):.3f}")
    base: Ints | None = None
    for name, make in READERS.items():
        started = time.process_time()
        features = make(found, context)
        said, flagged, _ = crossed(found, features, outer)
        seconds = time.process_time() - started
        band = interval(lambda r, s=said: macro_f1(true[r], s[r]), group)
        line = f"  {name:16} macro-F1 {macro_f1(true, said):.3f} {band}"
        if base is None:
            base = said
        else:
            gain = macro_f1(true, said) - macro_f1(true, base)
            band = interval(lambda r, s=said, b=base: macro_f1(true[r], s[r]) - macro_f1(true[r], b[r]), group)
            line += f"  gain over claim only {gain:+.3f} {band}"
        each = [f"{n} {2 * ((true == j) & (said == j)).sum() / max((true == j).sum() + (said == j).sum(), 1):.3f}"
                for j, n in enumerate(found.names)]  # fmt: skip
        print(line, "|", ", ".join(each), f"| {seconds:.0f} CPU s", flush=True)
        if "refute" in found.names:
            print(f"    refute at .9 of the training folds: {precision(flagged, true == 1, group)}")
    rules = np.array([ruled(pair.claim, pair.evidence) for pair in found.pairs])
    if "refute" in found.names:
        print(f"  rules, refute: {precision(rules == 'refute', true == 1, group)}")
    print(f"  rules, support: {precision(rules == 'support', true == 0, group)}")


def recall(data: Path, context: Context) -> None:
    """Print how often the marked sentences of WiCE are among the first k, of their page and of all pages."""
    frame = pl.read_parquet(data / "judge_wice.parquet")
    marked = [[set(one) for one in json.loads(text) if one] for text in frame["supporting_sentences"]]
    rows = [i for i, sets in enumerate(marked) if sets]
    pages = [[part or " " for part in page] for page in frame["evidence"]]
    claims = frame["claim"].to_list()
    start = np.concatenate(([0], np.cumsum([len(page) for page in pages])))
    everything = [part for page in pages for part in page]
    print(f"\nretrieval on wice: {len(rows)} claims with marked sentences, {len(everything)} sentences in all pages")
    asked = [claims[i] for i in rows]
    whole = {
        "lexical": lexical(everything, asked, 50, context),
        "embedding": embedding(everything, asked, 50, "minilm", context),
    }
    whole["both"] = fused([whole["lexical"], whole["embedding"]], 50)
    own: dict[str, list[NDArray[np.int64]]] = {"lexical": [], "embedding": [], "both": []}
    for i in rows:
        two = [lexical(pages[i], [claims[i]], 50, context), embedding(pages[i], [claims[i]], 50, "minilm", context)]
        for name, got in zip(own, (*two, fused(two, 50)), strict=True):
            own[name].append(got.place[0])
    for name in own:
        lines = {
            "of its page": [set_recall(marked[i], own[name][j], 0) for j, i in enumerate(rows)],
            "of all pages": [set_recall(marked[i], whole[name].place[j], int(start[i])) for j, i in enumerate(rows)],
        }
        for where, shares in lines.items():
            found = {k: np.array([share[k] for share in shares]) for k in (1, 3, 5, 10, 20)}
            group = np.arange(len(rows))
            print(f"  {name:10} {where:12}", ", ".join(f"@{k} {v.mean():.3f}" for k, v in found.items()),
                  interval(lambda r, v=found[5]: float(v[r].mean()), group), "(@5)")  # fmt: skip


def set_recall(sets: list[set[int]], places: NDArray[np.int64], start: int) -> dict[int, float]:
    """Return the share of the best set's sentences among the first k."""
    return {
        k: max(len(one & {int(p) - start for p in places[:k] if p >= 0}) / len(one) for one in sets)
        for k in (1, 3, 5, 10, 20)
    }


def main() -> None:
    """Read the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the parquet files")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the vectors")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=[*SETS])
    parser.add_argument("--retrieval", action="store_true", help="print the retrieval's recall only")
    arguments = parser.parse_args()
    context = Context(root=arguments.cache)
    if arguments.retrieval:
        recall(arguments.data, context)
        return
    for name in arguments.sets:
        stances(SETS[name](arguments.data), context)


if __name__ == "__main__":
    main()

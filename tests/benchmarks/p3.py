"""P3 as a job reads it: one row a prompt, beside it the words of its template as the instruction.

    python -m tests.benchmarks.p3 DATA OUT [--held-out 5] [--per-template 40]

DATA holds `p3_prompts.parquet` and `promptsource_templates.parquet`; OUT gets `p3.parquet` with the columns of the
format super-natural-instructions: `system` is the template's own words, without its variables, control blocks and
target; `input` the rendered prompt, `outputs` its completion. `task` is the dataset, `category` the kind of task as T0
sorts datasets, `choices` the distinct completions of a template that has ten or fewer, for rank classification;
`source` the prompt again. `part` is `meta-train`, `unseen-train` (rows of the held-out datasets, for their own adapters
alone) or `unseen`. Datasets that share a name, an instruction or a run of 13 words of a prompt are held out together,
in the order of a hash. A template has its first `--per-template` rows of each part. A row whose template is not found
or has no words of its own, or whose completion is empty, is left out and counted.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from tests.benchmarks.super_ni import MOST_CHOICES

END = "<|endoftext|>"
RUN = 13
SPLIT = 60
"""Examples of a held-out dataset, by their number there, that go to its own adapters."""
KINDS = {
    "closed-book-qa": ("wiki_qa",),
    "extractive-qa": ("adversarial_qa", "duorc", "quoref", "ropes"),
    "multiple-choice-qa": ("commonsense_qa", "cosmos_qa", "quartz", "social_i_qa", "wiki_hop", "wiqa"),
    "paraphrase": ("glue/mrpc", "glue/qqp", "paws"),
    "sentiment": ("amazon_polarity", "imdb", "rotten_tomatoes", "yelp_review_full"),
    "structure-to-text": ("common_gen", "wiki_bio"),
    "summarization": ("cnn_dailymail", "gigaword", "multi_news", "xsum"),
    "topic": ("ag_news", "dbpedia_14", "trec"),
}
"""Kind of task -> datasets, as T0 sorts them (Sanh et al. 2022, figure 2)."""


def kind(dataset: str) -> str:
    """Return the kind of task of a dataset, or its name where none is known."""
    names = (dataset, dataset.partition("/")[0])
    return next((kind for kind, sets in KINDS.items() if any(name in sets for name in names)), dataset)


def instruction(jinja: str, answer_choices: str | None) -> str:
    """Return a template's own words: its prompt without variables and control blocks; empty where none are left.

    Texts that stand quoted in the template, and its answer choices where they are fixed, are words of its own.
    """
    fixed = answer_choices is not None and "{" not in answer_choices
    choices = [choice.strip() for choice in (answer_choices or "").split("|||")] if fixed else []

    def words(match: re.Match[str]) -> str:
        inner = match[1].strip()
        if quoted := re.fullmatch(r"(['\"])((?:(?!\1).)*)\1", inner):
            return quoted[2]
        if choices and (numbered := re.fullmatch(r"answer_choices\s*\[(\d+)\]", inner)):
            return choices[int(numbered[1])]
        if choices and re.search(r"join\(answer_choices\)|^answer_choices\s*\|\s*join\(", inner):
            return ", ".join(choices)
        return ""

    text = re.sub(r"\{%.*?%\}|\{#.*?#\}", "", jinja.partition("|||")[0], flags=re.DOTALL)
    return tidy(re.sub(r"\{\{(.*?)\}\}", words, text, flags=re.DOTALL))


def tidy(text: str) -> str:
    """Return the text without what variables leave behind: empty quotes and brackets, bullets, spaces, empty lines."""
    text = re.sub(r"\"[\s?]*\"|(?<!\w)'\s*'|\(\s*\)", "", text)
    text = re.sub(r"[ \t]+(?=[,.;:?!)](?:\s|$))", "", re.sub(r"[ \t]+", " ", text))
    text = re.sub(r"(?<=:)[.;]", "", text)
    lines = (re.sub(r"^[-,;. ]+", "", line.strip()) for line in text.splitlines())
    return "\n".join(line for line in lines if re.search(r"\w", line))


def plain(name: str) -> str:
    """Return a template's name as P3's files spell it."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def instructions(templates: pl.DataFrame) -> dict[tuple[str, str], str]:
    """Return (dataset with its subset, plain name of the template) -> instruction."""
    return {
        ("/".join(filter(None, (one["dataset"], one["subset"]))), plain(one["name"])): instruction(
            one["jinja"], one["answer_choices"]
        )
        for one in templates.iter_rows(named=True)
    }


def families(rows: pl.DataFrame) -> list[list[str]]:
    """Return the datasets in groups, each sorted: those of a group share a name, an instruction or a run of words."""
    root = {dataset: dataset for dataset in rows["dataset"].unique().sort()}

    def top(dataset: str) -> str:
        while root[dataset] != dataset:
            dataset = root[dataset]
        return dataset

    owners: dict[Any, str] = {}
    for row in rows.select("dataset", "system", "prompt").iter_rows(named=True):
        for mark in marks(row):
            one, two = sorted((top(owners.setdefault(mark, row["dataset"])), top(row["dataset"])))
            root[two] = one
    groups: dict[str, list[str]] = {}
    for dataset in sorted(root):
        groups.setdefault(top(dataset), []).append(dataset)
    return list(groups.values())


def marks(row: Mapping[str, str]) -> Iterable[Any]:
    """Yield what no two datasets of different groups may share."""
    yield row["dataset"].partition("/")[0]
    yield " ".join(re.findall(r"\w+", row["system"].lower())), "instruction"
    words = re.findall(r"\w+", row["prompt"].lower())
    for at in range(len(words) - RUN + 1):
        yield hash(tuple(words[at : at + RUN]))


def held_out(groups: Iterable[list[str]], most: int) -> set[str]:
    """Return at most `most` datasets: whole groups in the order of a hash, each that still fits."""
    held: set[str] = set()
    for group in sorted(groups, key=lambda group: hashlib.sha256("\n".join(group).encode()).hexdigest()):
        held |= set(group) if len(held) + len(group) <= most else set()
    return held


def matched(prompts: pl.DataFrame, templates: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
    """Return the rows that have an instruction, and how many rows were matched or left out for which reason."""
    answer = pl.col("completion").str.strip_suffix(END).str.strip_chars()
    prompts, known = prompts.with_columns(completion=answer), instructions(templates)
    found = [known.get((dataset, plain(name))) for dataset, name in prompts.select("dataset", "template").iter_rows()]
    reasons = pl.when(pl.col("system").is_null()).then(pl.lit("no such template"))
    reasons = reasons.when(pl.col("system") == "").then(pl.lit("no words of its own"))
    reasons = reasons.when(pl.col("completion") == "").then(pl.lit("empty completion")).otherwise(pl.lit("matched"))
    rows = prompts.with_columns(pl.Series("system", found, pl.String)).with_columns(reason=reasons)
    return rows.filter(pl.col("reason") == "matched").drop("reason"), Counter(rows["reason"])


def prepared(rows: pl.DataFrame, held: set[str], most: int) -> pl.DataFrame:
    """Return at most `most` rows of each template and part, ordered by dataset, template and number."""
    frame = rows.with_columns(idx=pl.col("row_id").str.extract(r"(\d+)$").cast(pl.Int64))
    firsts = frame.group_by("dataset", "template").agg(pl.col("completion").unique().sort().alias("choices"))
    firsts = firsts.with_columns(pl.when(pl.col("choices").list.len().is_between(2, MOST_CHOICES)).then("choices"))
    part = pl.when(~pl.col("dataset").is_in(sorted(held))).then(pl.lit("meta-train"))
    part = part.when(pl.col("idx") < SPLIT).then(pl.lit("unseen-train")).otherwise(pl.lit("unseen"))
    frame = frame.join(firsts, on=["dataset", "template"]).sort("dataset", "template", "idx").with_columns(part=part)
    frame = frame.filter(pl.int_range(pl.len()).over("dataset", "template", "part") < most)
    return frame.select(
        "row_id",
        "idx",
        "template",
        "system",
        "choices",
        "part",
        task="dataset",
        category=pl.col("dataset").map_elements(kind, return_dtype=pl.String),
        input="prompt",
        outputs=pl.concat_list("completion"),
        source="prompt",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--held-out", type=int, default=5)
    parser.add_argument("--per-template", type=int, default=40)
    options = parser.parse_args()
    prompts, templates = (
        pl.read_parquet(options.data / f"{name}.parquet") for name in ("p3_prompts", "promptsource_templates")
    )
    rows, counts = matched(prompts, templates)
    held = held_out(families(rows), options.held_out)
    frame = prepared(rows, held, options.per_template)
    options.out.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(options.out / "p3.parquet")
    for reason, count in sorted(counts.items()):
        print(f"{reason}: {count} of {prompts.height} rows")
    print(f"held out: {', '.join(sorted(held))}")
    for (name,), part in sorted(frame.group_by("part")):
        texts = part["system"].n_unique()
        print(f"{name}: {part.height} rows of {texts} instructions, {part['task'].n_unique()} datasets")


if __name__ == "__main__":
    main()

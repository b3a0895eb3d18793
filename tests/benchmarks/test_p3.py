"""P3 as a job reads it: an instruction is its template's words, and what is held out is in no training row."""

from __future__ import annotations

import re

import polars as pl
import pytest

from curate.sources import Source
from tests.benchmarks import p3

TEMPLATES = [
    ("mail", None, "Is it spam?", '{{text}}\nIs this {{"spam or ham"}}? ||| {{answer_choices[label]}}', "spam ||| ham"),
    ("mail", None, "bare", "{{text}} ||| {{label}}", None),
    ("film", "long", "Buy", 'Would {{answer_choices[1]}} fit "{{text}}"?|||{{answer_choices[label]}}', "no ||| yes"),
    ("film", "short", "Set", "{% set a = ['Never shown'] %}{% if a %}\nTitle: {{ t }} \n{% endif %}|||{{a}}", None),
    ("news", None, "Options", 'Pick: {{answer_choices | join(", ")}}.\n- {{text}}|||{{x}}', "{{a}} ||| {{b}}"),
    ("talk", None, "Pick", "Pick: {{', '.join(answer_choices)}}. {# note #}\n- {{text}}|||{{x}}", "one ||| two"),
]


@pytest.fixture
def templates():
    columns = ["dataset", "subset", "name", "jinja", "answer_choices"]
    return pl.DataFrame(TEMPLATES, schema=dict.fromkeys(columns, pl.String), orient="row")


def prompts(*rows):
    columns = ["dataset", "template", "row_id", "prompt", "completion"]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def of(dataset, template, numbers, answer):
    """Return rows of a template with texts that no other dataset has."""
    texts = [f"{dataset} zebra{n} " + " ".join(f"{dataset}{n}w{i}" for i in range(15)) for n in numbers]
    return [(dataset, template, f"t0-{n}", text, answer(n)) for n, text in zip(numbers, texts, strict=True)]


@pytest.fixture
def rows():
    return prompts(
        *of("mail", "Is_it_spam_", [3, 1, 70, 2], lambda n: f"{('spam', 'ham')[n % 2]}\n{p3.END}"),
        *of("mail", "bare", [5], str),
        *of("film/long", "Buy", range(11), lambda n: f"answer {n}{p3.END}"),
        *of("film/short", "Set", [1, 90], lambda n: "only"),
        *of("news", "Options", [1, 2], lambda n: f"pick {n}"),
        *of("talk", "Pick", [59, 60], lambda n: f"pick {n}"),
        *of("talk", "Nowhere", [1], str),
        *of("talk", "Pick", [7], lambda n: p3.END),
    )


def test_an_instruction_is_the_templates_own_words_and_its_quoted_or_fixed_options(templates):
    assert p3.instructions(templates) == {
        ("mail", "is_it_spam"): "Is this spam or ham?",
        ("mail", "bare"): "",
        ("film/long", "buy"): "Would yes fit?",
        ("film/short", "set"): "Title:",
        ("news", "options"): "Pick:",
        ("talk", "pick"): "Pick: one, two.",
    }


def test_an_instruction_holds_no_jinja_and_no_word_of_its_rows(rows, templates):
    found, _ = p3.matched(rows, templates)
    for row in found.iter_rows(named=True):
        assert re.search(r"[{}%#]|\|\|\||answer_choices|label|Never", row["system"]) is None
        assert not set(re.findall(r"\w+", row["system"])) & set(row["prompt"].split())


def test_rows_without_an_instruction_are_left_out_and_counted_by_reason(rows, templates):
    found, counts = p3.matched(rows, templates)
    assert counts == {
        "matched": 21,
        "no such template": 1,
        "no words of its own": 1,
        "empty completion": 1,
    }
    assert set(found["template"]) == {"Is_it_spam_", "Buy", "Set", "Options", "Pick"}


def test_choices_are_a_templates_completions_where_it_has_two_to_ten_of_them(rows, templates):
    frame = p3.prepared(p3.matched(rows, templates)[0], set(), 40)
    choices = dict(frame.select("template", "choices").unique().iter_rows())
    assert choices["Is_it_spam_"] == ["ham", "spam"]
    assert choices["Buy"] is None, "eleven distinct completions"
    assert choices["Set"] is None, "one completion leaves nothing to choose"
    assert all(answer in row for row, (answer,) in frame.select("choices", "outputs").drop_nulls().iter_rows())
    assert not any(p3.END in text for (text,) in frame["outputs"])


def test_held_out_datasets_are_in_no_training_row_and_their_examples_are_split_by_number(rows, templates):
    frame = p3.prepared(p3.matched(rows, templates)[0], {"mail", "talk"}, 40)
    parts = {(task, number): part for task, number, part in frame.select("task", "idx", "part").iter_rows()}
    assert {task for (task, _), part in parts.items() if part == "meta-train"} == {"film/long", "film/short", "news"}
    assert {key for key, part in parts.items() if part == "unseen"} == {("mail", 70), ("talk", 60)}
    assert {key for key, part in parts.items() if part == "unseen-train"} == {
        ("mail", 1),
        ("mail", 2),
        ("mail", 3),
        ("talk", 59),
    }


def test_a_template_has_its_first_rows_by_number_whatever_the_files_order(rows, templates):
    frame = p3.prepared(p3.matched(rows.reverse(), templates)[0], {"mail"}, 2)
    assert frame.filter(pl.col("task") == "mail")["idx"].to_list() == [1, 2, 70]
    assert frame.filter(pl.col("template") == "Buy")["idx"].to_list() == [0, 1]


def test_datasets_that_share_a_name_an_instruction_or_a_run_of_words_stand_in_one_group(rows, templates):
    found, _ = p3.matched(rows, templates)
    assert p3.families(found) == [["film/long", "film/short"], ["mail"], ["news"], ["talk"]]
    text = rows.filter(pl.col("dataset") == "mail")["prompt"][0]
    copied = prompts(("talk", "Pick", "t0-9", f"before {text.upper()} after", "x"))
    joined, _ = p3.matched(pl.concat([rows, copied]), templates)
    assert ["mail", "talk"] in p3.families(joined)
    same = found.with_columns(pl.when(dataset="news").then(pl.lit("Title.")).otherwise("system").alias("system"))
    assert ["film/long", "film/short", "news"] in p3.families(same)


def test_groups_are_held_out_whole_in_an_order_of_their_own_and_never_more_than_asked():
    groups = [["a", "b", "c"], ["d"], ["e"], ["f", "g"], ["h"]]
    for most in range(9):
        held = p3.held_out(groups, most)
        assert len(held) <= most
        assert all(held.issuperset(group) or held.isdisjoint(group) for group in groups)
        assert held == p3.held_out(list(reversed(groups)), most)
    assert len(p3.held_out(groups, 8)) == 8


def test_the_kind_is_that_of_the_dataset_with_or_without_its_subset_else_its_name():
    assert [p3.kind(name) for name in ("glue/mrpc", "glue/rte", "duorc/SelfRC", "trec")] == [
        "paraphrase",
        "glue/rte",
        "extractive-qa",
        "topic",
    ]


def test_a_source_reads_the_instruction_as_the_system_turn_and_keeps_the_choices(rows, templates, tmp_path):
    p3.prepared(p3.matched(rows, templates)[0], {"mail"}, 40).write_parquet(tmp_path / "p3.parquet")
    source = Source(
        name="unseen",
        role="eval",
        path="p3.parquet",
        format="super-natural-instructions",
        columns={"task": "category"},
        select={"part": "unseen"},
        keep=("choices", "source"),
    )
    (sample,) = source.read_all(tmp_path).samples
    assert [(turn.role, turn.content) for turn in sample.messages] == [
        ("system", "Is this spam or ham?"),
        ("user", sample.meta["source"]),
        ("assistant", "spam"),
    ]
    assert (sample.task, sample.meta["references"], sample.meta["choices"]) == ("mail", ["spam"], ["ham", "spam"])

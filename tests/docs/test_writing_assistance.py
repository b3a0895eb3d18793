"""The study of writing assistance: its job agrees with the shipped wordings, and every query of its page answers."""

from __future__ import annotations

import json
import re
from collections import defaultdict

import pytest

from manifests import demo
from manifests.jobs import yaml_lines
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from tests.benchmarks.gates import ROOT
from tests.manifests import sample_manifest

JOB = demo.PACKAGE / "examples" / "writing-assistance.yaml"
PAGE = (ROOT / "docs" / "WRITING-ASSISTANCE.md").read_text("utf-8")
QUERIES = re.findall(r"^```sql\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EDITS = re.findall(r"sed '([^']+)'", PAGE)
TASKS = {"grammaticality", "fluency", "clarity", "coherence", "simplification", "neutralization", "paraphrasing"}


def wordings():
    """Return task -> use -> instructions, of the shipped file."""
    found = defaultdict(lambda: defaultdict(list))
    for line in (ROOT / "curate" / "prompts" / "writing.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        assert row["licence"] == "Apache-2.0"
        found[row["task"]][row["use"]].append(row["instruction"])
    return found


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Open a job's manifest."""
    with Manifest(sample_manifest.write(tmp_path_factory.mktemp("writing"))) as opened:
        yield opened


def load(path, tmp_path):
    """Return the job in `path`, its data being empty files."""
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    for source in yaml_lines.load(path).value["sources"]:
        (data / source["path"]).write_bytes(b"")
    return load_job(path, data=data, manifest=tmp_path / "out")


def test_each_of_seven_tasks_has_nine_wordings_to_learn_and_three_held_out_all_different():
    found = wordings()
    assert set(found) == TASKS
    assert {(len(one["training"]), len(one["held out"])) for one in found.values()} == {(9, 3)}
    every = [text for one in found.values() for texts in one.values() for text in texts]
    assert len({text.lower().strip(" .?") for text in every}) == len(every)


def test_a_wording_is_too_short_to_be_taken_for_overlap_with_an_eval_row(tmp_path):
    ngrams = [step.ngram for step in load(JOB, tmp_path).curate if step.kind == "decontaminate"]
    every = [text for one in wordings().values() for texts in one.values() for text in texts]
    assert max(len(text.split()) for text in every) < min(ngrams)


def test_the_job_trains_on_the_shipped_wordings_and_asks_robust_in_the_others(tmp_path):
    job, found = load(JOB, tmp_path), wordings()
    worded = [source for source in job.sources if source.role != "generalist"]
    assert {source.task for source in worded if source.role == "specialist"} == TASKS
    for source in worded:
        assert source.template == tuple(f"{text}\n\n{{prompt}}" for text in found[source.task]["training"])
    robust = {task.name.removesuffix("-robust"): task for task in job.measure if task.kind == "robust"}
    assert set(robust) == TASKS
    for task, asked in robust.items():
        assert asked.templates == tuple(f"{text}\n\n{{source}}" for text in found[task]["held out"])


def test_the_job_has_the_arms_of_the_question_and_the_alpaca_layout(tmp_path):
    job = load(JOB, tmp_path)
    recipes = {recipe.name: recipe for recipe in job.mix}
    assert set(recipes) == {"writing-and-generalist", "writing", "generalist", *(f"only-{task}" for task in TASKS)}
    assert {len(recipe.seeds) for name, recipe in recipes.items() if not name.startswith("only-")} == {3}
    assert recipes["writing-and-generalist"].share == 0.46
    assert all(recipes[f"only-{task}"].specialist_tasks == (task,) for task in TASKS)
    assert job.train.template == "alpaca"
    assert {"base", "copy"} == set(job.baselines)
    assert {task.name.rpartition("-")[0] for task in job.measure if task.kind == "loglik"} == TASKS


@pytest.mark.parametrize("edit", EDITS)
def test_the_variants_of_the_page_change_the_job_and_load(tmp_path, edit):
    text = JOB.read_text("utf-8")
    for old, new in re.findall(r"s/([^/]+)/([^/]+)/", edit):
        assert len(re.findall(old, text, re.MULTILINE)) == 1, old
        text = re.sub(old, new, text, flags=re.MULTILINE)
    variant = tmp_path / "variant.yaml"
    variant.write_text(text, encoding="utf-8")
    assert load(variant, tmp_path).train != load(JOB, tmp_path).train


def test_the_page_has_queries_and_variants():
    assert len(QUERIES) >= 5
    assert len(EDITS) == 2


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_page_answers(manifest, query):
    found = manifest.sql(query.strip().removesuffix(";"))
    assert (found.height == 0) == ("-robust" in query)  # the small manifest has no such task

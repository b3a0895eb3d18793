"""The demo: its project, its order, its answer. The jobs themselves are run by the test marked long."""

from __future__ import annotations

import pytest

from manifests import demo as module
from manifests.errors import UserError
from manifests.jobs.run import Outcome
from manifests.jobs.spec import load_job
from manifests.store import Manifest
from tests.manifests import sample_manifest


@pytest.fixture
def ran(monkeypatch):
    """Replace the runs: the first makes the judge's folder, the second a finished manifest; return their names."""
    names, codes = [], {}

    def run(job, *, workers, reporter):
        names.append((job.name, workers))
        if job.name == "demo":
            sample_manifest.write(job.manifest)
        else:
            for folder in ("runs/verdicts@0", "bases/scratch"):
                (job.manifest / folder).mkdir(parents=True)
        return Outcome(codes.get(job.name, 0), 1, 0, 2.0, "1 stages run")

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "refresh", lambda folder: folder / "report.html")
    run.names, run.codes = names, codes
    return run


def test_the_demo_runs_the_judge_s_job_and_then_the_question_and_shows_the_answer(ran, tmp_path):
    said = []
    assert module.demo(tmp_path / "demo", workers=3, say=said.append) == 0
    assert ran.names == [("demo-judge", 3), ("demo", 3)]
    text = "\n".join(said)
    for words in ("Leaderboard", "Paired comparisons", "Five queries to try:", "Report: "):
        assert words in text
    assert text.count("blendsmith sql") == len(module.QUERIES) == 5


def test_the_answer_in_words_says_what_each_comparison_of_the_filter_found(ran, tmp_path):
    said = []
    module.demo(tmp_path / "demo", say=said.append)
    with Manifest(tmp_path / "demo" / "blends") as manifest:
        found = manifest.sql("FROM comparisons WHERE blend_a LIKE 'filtered%'")
        lines = module._sentences(manifest)
    assert found.height
    for row in found.iter_rows(named=True):
        line = next(line for line in lines if line.startswith(f"{row['blend_a']} against {row['blend_b']}: "))
        assert row["metric"] in line.split(row["verdict"] + " on ")[1].split("; ")[0]
    assert set(lines) <= set(said)


def test_a_job_that_is_not_all_right_ends_the_demo_with_its_code(ran, tmp_path):
    ran.codes["demo-judge"] = 1
    assert module.demo(tmp_path / "demo", say=lambda line: None) == 1
    assert [name for name, _ in ran.names] == ["demo-judge"]


def test_the_project_is_two_jobs_and_their_data(ran, tmp_path):
    module.demo(tmp_path / "demo", say=lambda line: None)
    jobs = [load_job(tmp_path / "demo" / name, extras=False) for name in module.JOBS]
    assert [job.name for job in jobs] == ["demo-judge", "demo"]
    assert jobs[1].data == tmp_path / "demo" / "data"
    assert (tmp_path / "demo" / "data" / "LICENSES.md").exists()
    recipes = {mixer.name for mixer in jobs[1].mix}
    assert {name for pair in jobs[1].compare for name in pair} <= recipes
    assert all(len(mixer.seeds) >= 3 for mixer in jobs[1].mix)


def test_what_its_reader_changed_is_left_as_it_is(ran, tmp_path):
    module._project(tmp_path / "demo")
    path = tmp_path / "demo" / "demo.yaml"
    path.write_text(path.read_text("utf-8") + "# mine\n", "utf-8")
    module._project(tmp_path / "demo")
    assert path.read_text("utf-8").endswith("# mine\n")


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="holds no demo"):
        module.demo(tmp_path)
    with pytest.raises(UserError, match="not a folder"):
        module.demo(tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("query", module.QUERIES)
def test_every_query_it_ends_with_is_good_sql(query, full):
    with Manifest(full) as manifest:
        assert manifest.sql(query).width > 0


def test_an_undefined_figure_is_called_so():
    assert module._interval({"value": None}) == "undefined"
    assert module._interval({"value": 0.5}) == "0.500"
    assert module._interval({"value": 0.5, "ci_low": 0.25, "ci_high": 0.75}) == "0.500 [0.250, 0.750]"


@pytest.mark.long
@pytest.mark.vllm
def test_the_whole_demo_answers_its_question(tmp_path):
    said = []
    assert module.demo(tmp_path / "demo", say=said.append) == 0
    text = "\n".join(said)
    assert "precision" in text
    assert "filtered" in text
    with Manifest(tmp_path / "demo" / "blends") as manifest:
        assert manifest.verify()["ok"].all()
        assert manifest.sql("SELECT count(*) FROM runs WHERE status <> 'done'").item() == 0

"""`show --tokens`: what the model will see, what is learnt of it, and how many rows are left out."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from manifests import output
from manifests.cli import app
from manifests.errors import UserError
from manifests.jobs.preflight import of_job, of_manifest
from tests.manifests.jobs import small_job
from tests.manifests.jobs.small_job import edit, manifest


def call(*arguments):
    return CliRunner().invoke(app, ["show", *map(str, arguments)])


def test_three_rows_of_the_first_blend_are_shown_with_their_answers_marked(done):
    found = of_job(small_job.job(done))
    assert found.source == "plain@0"
    assert [row.role for row in found.shown] == ["specialist", "specialist", "generalist"]
    for row in found.shown:
        assert row.prompt.startswith("<|user|>")
        assert row.prompt.endswith("<|assistant|>")
        assert row.learnt.endswith("<|end|>")
        assert 0 < row.n_learnt < row.n_tokens
    assert found.rows == 28
    assert found.skipped == {}
    assert 0 < found.learnt < found.tokens
    assert 0.8 < found.fill <= 1
    assert found.template == "the tokenizer's"


def test_a_manifest_tells_what_its_runs_were_trained_on(done):
    assert of_manifest(manifest(done)) == of_job(small_job.job(done))


def test_before_a_blend_is_drawn_the_rows_of_the_sources_are_shown(done, tmp_path):
    base = manifest(done) / "bases" / "scratch"
    path = small_job.write(tmp_path)
    shutil.copytree(base, tmp_path / "model")
    start = path.read_text().index("  base: {kind: scratch")
    line = path.read_text()[start:].partition("\n")[0]
    found = of_job(small_job.job(edit(path, (line, "  base: model"))))
    assert found.source == "pool, facts"
    assert [row.role for row in found.shown] == ["specialist", "specialist", "generalist"]
    assert not (manifest(path)).exists()


def test_rows_that_cannot_be_trained_on_are_counted_by_reason(copy):
    found = of_job(small_job.job(edit(copy, ("  max_tokens: 64", "  max_tokens: 20"))))
    assert set(found.skipped) == {"too-long"}
    assert found.skipped["too-long"] > 0
    assert found.truncated > 0


def test_in_a_pipe_the_answer_stands_between_brackets(done):
    result = call(done, "--tokens")
    assert result.exit_code == 0
    assert result.output.count("⟦") == result.output.count("⟧") == 3
    assert "<|assistant|>⟦" in result.output
    assert "rows: 28" in result.output


def test_on_a_terminal_the_answer_is_coloured(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.marked("question\x1b[31m ", "answer")
    text = capsys.readouterr().out
    assert "\x1b[1;32manswer" in text
    assert "\x1b[31m" not in text


def test_json_holds_the_rows_and_the_counts(done):
    found = json.loads(call(manifest(done), "--tokens", "--json").output)
    assert found["rows"] == 28
    assert [set(row) for row in found["shown"]] == [
        {"sample_id", "role", "n_tokens", "n_learnt", "truncated", "prompt", "learnt"}
    ] * 3


def test_nothing_to_show_is_told(fresh, tmp_path):
    with pytest.raises(UserError, match="the base model is not made yet"):
        of_job(small_job.job(fresh))
    with pytest.raises(UserError, match="the job trains nothing"):
        of_job(small_job.job(fresh, train=None))
    with pytest.raises(UserError, match="no manifest here"):
        of_manifest(tmp_path / "nothing")
    result = call(fresh)
    assert isinstance(result.exception, UserError)
    assert "--tokens" in str(result.exception)

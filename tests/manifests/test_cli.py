"""The command line: every command does what its Python call does, and says what went wrong in words."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import typer

from manifests import cli
from manifests.errors import BusyError, ConservationError, Interrupted
from manifests.exporting import dataset
from manifests.jobs.run import run
from manifests.jobs.spec import load_job
from manifests.store import Manifest, Store
from tests.manifests import judged_job

COMMAND = [sys.executable, "-c", "from manifests.cli import main; main()"]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Return a job that has been run."""
    path = judged_job.write(tmp_path_factory.mktemp("judged"))
    assert run(load_job(path)).exit_code == 0
    return path


@pytest.fixture(scope="module")
def manifest(job):
    return job.parent / "runs" / "judged"


def commands():
    """Yield (words, command) of every command and group."""
    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        yield (name,), command
        for inner, found in getattr(command, "commands", {}).items():
            yield (name, inner), found


def test_the_commands_are_those_of_the_design():
    names = {" ".join(words) for words, _ in commands()}
    design = "demo|init|validate|plan|run|show|status|why|sql|report|export|ls|schema|doctor"
    design += "|judge|judge eval|judge review|judge import-labels|explore|advise"
    assert names == set(design.split("|"))


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_and_every_option_has_help(words, command, blendsmith):
    assert command.help.strip()
    code, out, _ = blendsmith(*words, "--help")
    assert code == 0
    for parameter in command.params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{words}: {parameter.name}"
        shown = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar.strip("[]")
        assert shown in out


def test_help_is_there_without_heavy_imports_and_soon():
    code = (
        "import sys, time; begun = time.perf_counter()\n"
        "from manifests import cli\n"
        "sys.argv = ['blendsmith', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'vllm', 'datasets', 'polars', 'duckdb', 'numpy', 'pydantic', 'rich.table'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Exit codes" in done.stdout
    assert time.monotonic() - begun < 20


def test_without_a_command_the_help_is_shown(blendsmith):
    code, out, err = blendsmith()
    assert code == 2
    assert "validate" in out + err


def test_an_unknown_option_is_a_user_error(blendsmith):
    code, _, err = blendsmith("status", "m", "--jsn")
    assert code == 2
    assert "--jsn" in err


def test_validate_says_what_the_job_holds(job, blendsmith):
    code, out, err = blendsmith("validate", job)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "job: judged"
    assert "sources: 2" in out
    found = json.loads(blendsmith("validate", job, "--json")[1])
    assert (found["job"], found["curate"], found["mix"], found["train"]) == ("judged", 2, 2, None)


def test_a_bad_job_is_a_message_without_traceback(job, blendsmith):
    bad = job.with_name("bad.yaml")
    bad.write_text(job.read_text("utf-8").replace("kind: exact", "kind: exat"), "utf-8")
    for command in ("validate", "plan", "run"):
        code, out, err = blendsmith(command, bad)
        assert (code, out) == (2, "")
        assert err == f"error: {bad}:6: unknown step kind: 'exat'\n  did you mean 'exact'?\n"


def test_an_absent_job_names_the_one_beside_it(job, blendsmith):
    code, _, err = blendsmith("run", job.with_name("jub.yaml"))
    assert code == 2
    assert str(job) in err


def test_data_and_manifest_of_the_command_line_replace_the_job_s(job, tmp_path, blendsmith):
    out = json.loads(blendsmith("validate", job, "--data", tmp_path, "--manifest", tmp_path / "m", "--json")[1])
    assert (out["data"], out["manifest"]) == (str(tmp_path), str(tmp_path / "m"))
    assert blendsmith("validate", job, "--data", tmp_path / "nowhere")[0] == 2


def test_a_second_run_has_nothing_to_do_and_plan_says_so(job, manifest, blendsmith):
    before = hashlib.sha256((manifest / "manifest.duckdb").read_bytes()).hexdigest()
    planned = json.loads(blendsmith("plan", job, "--json")[1])
    assert planned["totals"]["run"] == 0
    assert {row["action"] for row in planned["stages"]} == {"re-use"}
    code, out, _ = blendsmith("run", job)
    assert code == 0
    assert "nothing to do" in out
    outcome = json.loads(blendsmith("run", job, "--json")[1])
    assert (outcome["ran"], outcome["reused"], outcome["manifest"]) == (0, len(planned["stages"]), str(manifest))
    assert hashlib.sha256((manifest / "manifest.duckdb").read_bytes()).hexdigest() == before


def test_plan_changes_nothing(job, tmp_path, blendsmith):
    code, out, _ = blendsmith("plan", job, "--manifest", tmp_path / "new")
    assert code == 0
    assert out.splitlines()[0].split("\t") == ["stage", "action", "count", "unit", "why"]
    assert not (tmp_path / "new").exists()


def test_a_run_over_its_error_budget_exits_with_1(job, tmp_path, blendsmith):
    with (job.parent / "data" / "pool.jsonl").open(encoding="utf-8") as file:
        rows = file.read()
    folder = tmp_path / "job"
    path = judged_job.write(folder)
    (folder / "data" / "pool.jsonl").write_text(rows + "not a row\n", "utf-8")
    assert blendsmith("run", path, "--error-budget", "0")[0] == 1
    assert blendsmith("run", path, "--error-budget", "1")[0] == 0
    assert blendsmith("run", path)[0] == 1


def test_a_busy_manifest_exits_with_3_and_names_the_process(job, tmp_path, blendsmith):
    with Store(tmp_path):
        code, _, err = blendsmith("run", job, "--manifest", tmp_path)
    assert code == 3
    assert f"process {os.getpid()}" in err


@pytest.mark.parametrize(
    ("error", "code"), [(Interrupted("stopped"), 130), (BusyError("busy"), 3), (ConservationError("lost"), 2)]
)
def test_each_error_has_its_exit_code_and_no_traceback(error, code, job, blendsmith, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("manifests.jobs.run.run", fail)
    assert blendsmith("run", job) == (code, "", f"error: {error}\n")


def test_a_bug_keeps_its_traceback(job, blendsmith, monkeypatch):
    def fail(*_, **__):
        raise KeyError("bug")

    monkeypatch.setattr("manifests.jobs.run.run", fail)
    with pytest.raises(KeyError):
        blendsmith("run", job)


def test_status_lists_the_stages_in_order(manifest, blendsmith):
    stages = [row["stage"] for row in json.loads(blendsmith("status", manifest, "--json")[1])]
    assert stages[:4] == ["read:pool", "read:capitals", "step:1-exact", "score:2-judge"]
    assert blendsmith("status", manifest)[1].splitlines()[1].startswith("read:pool\t")


def test_sql_gives_lines_or_json(manifest, blendsmith):
    query = "SELECT blend, n_rows, NULL AS nothing FROM blends ORDER BY blend"
    assert blendsmith("sql", manifest, query)[1].splitlines()[:2] == ["blend\tn_rows\tnothing", "some@0\t12\t"]
    assert json.loads(blendsmith("sql", manifest, query, "--json")[1])[0] == {
        "blend": "some@0",
        "n_rows": 12,
        "nothing": None,
    }


def test_sql_reads_standard_input(manifest):
    done = subprocess.run(
        [*COMMAND, "sql", str(manifest), "-"], input="SELECT 41 + 1 AS x", capture_output=True, text=True, check=True
    )
    assert done.stdout == "x\n42\n"


INTERRUPTED = """
import duckdb, os, signal, threading
from manifests import cli, store
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
real = store._frame
def frame(connection, sql, parameters):
    if "range" in sql:
        connection = duckdb.connect(config={"threads": 1})  # DuckDB does not interrupt a scan in its other threads
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    return real(connection, sql, parameters)
store._frame = frame
cli.main()
"""


def test_ctrl_c_ends_a_long_query_without_a_traceback(manifest):
    long = "SELECT count(*) FROM range(1000000000000) AS t(n) WHERE n % 7 = 8"
    command = [sys.executable, "-c", INTERRUPTED, "sql", str(manifest), long]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    "query",
    [
        "SELEC 1",
        "SELECT * FROM nothing",
        "DELETE FROM store.samples",
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY samples TO 'x'",
    ],
)
def test_sql_that_fails_or_would_write_or_leave_is_a_user_error(manifest, query, blendsmith):
    code, out, err = blendsmith("sql", manifest, query)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_control_characters_of_rows_do_not_reach_the_terminal(manifest, blendsmith):
    query = r"SELECT E'\x1b]0;owned\x07\x1b[2Jtext\n' || chr(8238) AS a, E'x\ty' AS b"
    out = blendsmith("sql", manifest, query)[1]
    assert "\x1b" not in out
    assert "\x07" not in out
    assert out == "a\tb\n␛]0;owned␇␛[2Jtext␊\ufffd\tx␉y\n"


def test_why_takes_the_first_digits_of_an_id(manifest, blendsmith):
    with Manifest(manifest) as opened:
        sample = opened.sql("SELECT sample_id FROM blend_members ORDER BY 1 LIMIT 1").item()
    rows = json.loads(blendsmith("why", manifest, sample[:12], "--json")[1])
    assert {row["sample_id"] for row in rows} == {sample}
    assert {"source", "blend"} <= {row["what"] for row in rows}
    assert blendsmith("why", manifest, "ffff0000ffff")[0] == 2


def test_report_writes_the_page_again(manifest, blendsmith):
    (manifest / "report.html").unlink()
    code, out, _ = blendsmith("report", manifest)
    assert code == 0
    assert Path(out.strip()).read_text("utf-8").lstrip().lower().startswith("<!doctype html>")


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_export_gives_the_files_of_the_run(manifest, tmp_path, blendsmith):
    code, out, _ = blendsmith("export", manifest, "some@0", "--to", tmp_path / "out")
    assert (code, out) == (0, f"{tmp_path / 'out'}\n")
    assert files(tmp_path / "out") == files(manifest / "blends" / "some@0")
    assert blendsmith("export", manifest, "some", "--to", tmp_path / "out")[0] == 0


def test_export_in_another_layout_leaves_the_folder_of_the_run_alone(manifest, tmp_path, blendsmith):
    before = files(manifest / "blends" / "some@0")
    code, out, _ = blendsmith("export", manifest, "some@0", "--format", "messages", "--expand", "--to", tmp_path / "o")
    assert (code, out) == (0, f"{tmp_path / 'o'}\n")
    assert (tmp_path / "o" / "trl.yaml").exists()
    assert files(manifest / "blends" / "some@0") == before
    assert "did you mean 'alpaca'?" in blendsmith("export", manifest, "some@0", "--format", "alpacca")[2]
    assert "--format parquet" in blendsmith("export", manifest, "some@0", "--expand")[2]


def test_export_writes_ids_without_text_and_shards_of_mds(manifest, tmp_path, blendsmith):
    with Manifest(manifest) as opened:
        wanted = opened.sql("SELECT position, sample_id, weight, repeats FROM blend_members WHERE blend = 'some@0'")
    assert blendsmith("export", manifest, "some@0", "--format", "ids", "--to", tmp_path / "ids")[0] == 0
    assert pl.read_parquet(tmp_path / "ids" / "data").equals(wanted.sort("position"))
    assert (
        blendsmith("export", manifest, "some@0", "--format", "mds", "--shard-rows", "9", "--to", tmp_path / "m")[0] == 0
    )
    index = json.loads((tmp_path / "m" / "data" / "index.json").read_text())
    assert sum(shard["samples"] for shard in index["shards"]) == wanted.height
    assert max(shard["samples"] for shard in index["shards"]) == 9


def test_a_blend_comes_as_a_dataset_with_the_rows_of_the_frame(manifest):
    pytest.importorskip("datasets")
    with Manifest(manifest) as opened:
        found, frame = dataset(opened, "some@0"), opened.blend("some@0")
    assert list(found["sample_id"]) == frame["sample_id"].to_list()
    assert found[0]["messages"] == json.loads(frame["messages"][0])


def test_export_replaces_no_folder_but_an_export(manifest, tmp_path, blendsmith):
    (tmp_path / "thesis.txt").write_text("years of work")
    code, _, err = blendsmith("export", manifest, "some@0", "--to", tmp_path)
    assert code == 2
    assert "other files" in err
    assert (tmp_path / "thesis.txt").exists()


def test_export_asks_which_seed_and_knows_the_nearest_name(manifest, blendsmith):
    assert "twice@0" in blendsmith("export", manifest, "twice")[2]
    assert "did you mean 'some@0'?" in blendsmith("export", manifest, "sone@0")[2]


def test_judge_eval_measures_the_judge_against_the_labels(manifest, blendsmith):
    found = json.loads(blendsmith("judge", "eval", manifest, "--label", "wrong", "--json")[1])
    assert found["judge"] == "judge"
    assert found["n"] == found["n_scored"] == 15
    # 4 wrong rows, of which the judge finds 3, and one right row that it calls wrong
    assert found["metrics"]["precision"]["value"] == pytest.approx(3 / 4)
    assert found["metrics"]["recall"]["value"] == pytest.approx(3 / 4)
    assert found["metrics"]["balanced_accuracy"]["value"] == pytest.approx((3 / 4 + 10 / 11) / 2)
    table = blendsmith("judge", "eval", manifest, "--label", "meta.wrong", "--group", "topic")[1]
    assert table.splitlines()[0].split("\t") == ["metric", "value", "low", "high"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--label", "wrnog"], "did you mean 'wrong'?"),
        (["--label", "topic"], "true or false"),
        (["--label", "wrong", "--judge", "x"], "judge"),
    ],
)
def test_judge_eval_names_what_it_cannot_find(manifest, options, word, blendsmith):
    code, _, err = blendsmith("judge", "eval", manifest, *options)
    assert code == 2
    assert word in err


def test_ls_finds_manifests_below_a_folder(job, manifest, blendsmith):
    rows = json.loads(blendsmith("ls", job.parent, "--json")[1])
    assert rows == [{"manifest": str(manifest), "job": "judged", "stages": 7, "blends": 3, "runs": 0}]
    assert blendsmith("ls", job.parent / "nowhere")[0] == 2


def test_ls_shows_a_damaged_manifest_as_such(tmp_path, blendsmith):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.duckdb").write_bytes(b"not a database")
    rows = json.loads(blendsmith("ls", tmp_path, "--json")[1])
    assert rows[0]["job"].startswith("unreadable: ")


def test_schema_prints_json(blendsmith):
    assert json.loads(blendsmith("schema")[1])["title"] == "A Blendsmith job"


def test_doctor_knows_the_installation(blendsmith):
    rows = {row["check"]: row for row in json.loads(blendsmith("doctor", "--json")[1])}
    assert rows["python"]["detail"] == ".".join(map(str, sys.version_info[:3]))
    assert {"vllm engine", "gpu", "threads", "folder", "names", "extra train", "extra judge"} <= set(rows)
    assert rows["names"]["status"] == "ok"


def test_doctor_checks_the_laws_and_content_ids_of_a_manifest(manifest, blendsmith):
    code, out, _ = blendsmith("doctor", manifest, "--verify", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {row["status"] for row in rows} == {"ok"}
    assert {"blend some@0", "rows read = samples + rejects"} <= {row["check"] for row in rows}


def test_doctor_finds_a_blend_that_was_changed(job, tmp_path, blendsmith):
    blendsmith("run", job, "--manifest", tmp_path)
    with Store(tmp_path) as store:
        # a weight no law looks at: only the content id tells
        store._connection.execute("UPDATE store.members SET weight = 2 WHERE blend = 'some@0' AND position = 0")
        store.publish()
    code, out, _ = blendsmith("doctor", tmp_path, "--verify", "--json")
    problems = [row["check"] for row in json.loads(out) if row["status"] == "problem"]
    assert code == 2
    assert problems == ["blend some@0"]
    assert blendsmith("doctor", tmp_path)[0] == 0


def test_verify_without_a_manifest_is_refused(blendsmith):
    assert blendsmith("doctor", "--verify")[0] == 2


def test_commands_on_no_manifest_say_how_to_make_one(tmp_path, blendsmith):
    for words in (["status"], ["sql"], ["why"], ["export"]):
        code, _, err = blendsmith(*words, tmp_path, *(["x"] if words != ["status"] else []))
        assert code == 2
        assert "blendsmith run" in err


def test_init_lists_what_it_wrote_and_the_job_is_good(tmp_path, blendsmith):
    code, out, _ = blendsmith("init", tmp_path / "new")
    assert code == 0
    assert all(Path(line).is_file() for line in out.splitlines())
    assert blendsmith("plan", tmp_path / "new" / "job.yaml")[0] == 0
    assert blendsmith("init", tmp_path / "new")[0] == 2


def test_a_closed_pipe_ends_the_command_quietly(manifest):
    with subprocess.Popen(
        [*COMMAND, "sql", str(manifest), "SELECT range FROM range(200000)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_a_judge_is_measured_beside_baselines_and_any_scorer_can_be(manifest, blendsmith):
    found = json.loads(blendsmith("judge", "eval", manifest, "--label", "wrong", "--json")[1])
    assert list(found["baselines"]) == ["majority", "length", "prompt", "words"]
    assert found["difference"]["auroc"]["against"] in found["baselines"]
    assert found["prevalence"]["naive"]["value"] == pytest.approx(4 / 15)
    assert found["groups"] == 15
    printed = blendsmith("judge", "eval", manifest, "--label", "wrong", "--judge", "judge")[1]
    assert "metric\tjudge\tmajority\tlength\tprompt\twords" in printed
    assert "prevalence_ppi" in printed


def test_rows_are_reviewed_and_their_labels_measure_the_judge(job, tmp_path, blendsmith):
    blendsmith("run", job, "--manifest", tmp_path / "m")
    code, out, _ = blendsmith("judge", "review", tmp_path / "m", tmp_path / "r.jsonl", "--n", 9)
    assert (code, out) == (0, f"{tmp_path / 'r.jsonl'}: 9 rows to read\n")
    assert blendsmith("judge", "eval", tmp_path / "m", "--label", "labels")[0] == 2
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    words = {True: "wrong", False: "correct"}
    marked = [row | {"label": words[(row["p_error"] > 0.5) != (i == 0)]} for i, row in enumerate(rows)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in marked), "utf-8")
    code, out, _ = blendsmith("judge", "import-labels", tmp_path / "m", tmp_path / "r.jsonl", "--by", "ann")
    assert (code, out.splitlines()[0]) == (0, "labels: 9")
    found = json.loads(blendsmith("judge", "eval", tmp_path / "m", "--label", "labels", "--json")[1])
    assert (found["n"], found["unlabelled"]) == (9, 6)
    blendsmith("run", job, "--manifest", tmp_path / "m")
    assert json.loads(blendsmith("sql", tmp_path / "m", "SELECT count(*) AS n FROM labels", "--json")[1]) == [{"n": 9}]
    assert blendsmith("judge", "review", tmp_path / "m", tmp_path / "r.html")[0] == 0

"""Sample logs of other harnesses as results."""

from __future__ import annotations

import json
import zipfile

import pytest

from manifests.errors import UserError
from tests.trainers.tasks.fake import here
from trainers.tasks.imported import Imported

RUN = "near@0"


def harness(doc_id, answer, **metrics):
    """Return a line of a samples_*.jsonl as lm_eval.evaluator writes it."""
    return {
        "doc_id": doc_id,
        "doc": {"question": "2 + 2"},
        "target": "4",
        "arguments": [["2 + 2", {"until": ["\n"]}]],
        "resps": [[answer]],
        "filtered_resps": [answer],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        **metrics,
    }


def inspected(number, value, epoch=1, answer="No"):
    """Return a sample of an Inspect log."""
    return {
        "id": number,
        "epoch": epoch,
        "input": "Is it?",
        "target": "Yes",
        "scores": {"match": {"value": value, "answer": answer}},
    }


def write(root, name, lines):
    folder = root / "logs" / RUN / "model__folder"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return folder / name


def task(root, **fields):
    return Imported(name="t", path=str(root / "logs"), **fields)


def rows(found):
    return [(one.example_id, one.metric, one.value, one.prediction) for one in found]


def test_every_number_of_a_harness_sample_is_a_result(tmp_path):
    write(tmp_path, "samples_gsm8k_2026-01-01.jsonl", [
        harness(1, "4", filter="none", metrics=["acc", "acc_norm"], acc=1.0, acc_norm=0.0),
        harness(0, "5", filter="none", metrics=["acc", "acc_norm"], acc=0.0, acc_norm=True),
    ])  # fmt: skip
    assert rows(task(tmp_path, files="samples_gsm8k_*.jsonl").read(RUN)) == [
        ("0", "acc", 0.0, "5"), ("0", "acc_norm", 1.0, "5"), ("1", "acc", 1.0, "4"), ("1", "acc_norm", 0.0, "4"),
    ]  # fmt: skip


def test_an_older_log_names_no_metrics_and_a_filter_stands_in_the_name(tmp_path):
    write(tmp_path, "samples_a.jsonl", [harness(0, "5", exact_match=1.0), harness(0, "5", filter="strict", acc=0)])
    assert [one.metric for one in task(tmp_path).read(RUN)] == ["acc,strict", "exact_match"]


def test_less_is_better_is_turned_round_and_says_so(tmp_path):
    write(tmp_path, "samples_a.jsonl", [harness(0, "5", bits_per_byte=1.5, edits=2.0, word_perplexity=[-3.0, 7])])
    found = {one.metric: one.value for one in task(tmp_path, lower=("edits",)).read(RUN)}
    assert found == {"minus_bits_per_byte": -1.5, "minus_edits": -2.0}


def test_inspect_grades_count_as_inspect_counts_them_and_epochs_are_averaged(tmp_path):
    path = write(tmp_path, "log.jsonl", [])
    path.unlink()
    samples = [inspected(1, "C"), inspected(1, "I", 2), inspected(2, "P"), inspected(3, "N"), inspected(4, 0.25)]
    samples += [inspected(5, {"style": 1, "facts": "C"}), inspected(6, "unheard of")]
    path.with_suffix(".json").write_text(json.dumps({"version": 2, "samples": samples}), "utf-8")
    found = {(one.example_id, one.metric): one.value for one in task(tmp_path).read(RUN)}
    assert found == {
        ("1", "match"): 0.5, ("2", "match"): 0.5, ("3", "match"): 0.0, ("4", "match"): 0.25,
        ("5", "match/style"): 1.0, ("5", "match/facts"): 1.0,
    }  # fmt: skip


def test_an_eval_archive_gives_what_its_json_form_gives(tmp_path):
    samples = [inspected("a b", "C"), inspected("c", "I")]
    path = write(tmp_path, "log.json", []).with_suffix(".eval")
    path.with_suffix(".json").write_text(json.dumps({"samples": samples}), "utf-8")
    plain = task(tmp_path).read(RUN)
    path.with_suffix(".json").unlink()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}")
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_1.json", json.dumps(sample))
    assert task(tmp_path).read(RUN) == plain


HUGE = '{"doc_id": 1, "metrics": ["acc"], "acc": ' + "9" * 400 + "}"


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"doc_id": 1, "metrics": ["acc"]}', "\udcff", "[" * 5000, HUGE])
def test_what_is_no_log_is_named_with_its_file(tmp_path, text):
    write(tmp_path, "samples_a.jsonl", []).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match="samples_a"):
        task(tmp_path).read(RUN)


def test_a_broken_archive_says_what_to_do(tmp_path):
    write(tmp_path, "log.eval", [{"not": "a zip"}])
    with pytest.raises(UserError, match="inspect log convert"):
        task(tmp_path).read(RUN)


def test_an_archive_with_a_damaged_or_locked_member_says_what_to_do(tmp_path):
    path = write(tmp_path, "log.eval", [])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/a_epoch_1.json", json.dumps(inspected("a", "C")))
    whole = path.read_bytes()
    assert len(task(tmp_path).read(RUN)) == 1
    for at, byte in ((60, 0xFF), (whole.index(b"PK\x01\x02") + 8, 0x01)):
        path.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
        with pytest.raises(UserError, match=r"log\.eval"):
            task(tmp_path).read(RUN)


def test_a_mean_beyond_what_a_float_holds_is_none(tmp_path):
    write(tmp_path, "samples_a.jsonl", [harness(0, "5", acc=1.7e308), harness(0, "5", acc=1.7e308)])
    assert task(tmp_path).read(RUN)[0].value is None


def test_a_run_has_one_log(tmp_path):
    with pytest.raises(UserError, match="no log"):
        task(tmp_path).read(RUN)
    assert task(tmp_path).identity(RUN) == ""
    path = write(tmp_path, "samples_a.jsonl", [harness(0, "5", acc=1)])
    first = task(tmp_path).identity(RUN)
    path.write_text(path.read_text("utf-8").replace('"acc": 1', '"acc": 0'), "utf-8")
    assert task(tmp_path).identity(RUN) not in ("", first)
    write(tmp_path, "samples_b.jsonl", [harness(0, "5", acc=1)])
    with pytest.raises(UserError, match="several logs"):
        task(tmp_path).read(RUN)
    assert task(tmp_path, files="*_b.jsonl").read(RUN)[0].value == 1.0


def test_it_measures_no_model(tmp_path):
    with pytest.raises(UserError, match="measures no model"):
        task(tmp_path).measure(None, [], here())

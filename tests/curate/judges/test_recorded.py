"""A recorded GPT-4, replayed: its published figures come out to the digit, over HTTP and from a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from curate.calibrate import balanced_accuracy
from curate.judges import ABSTAINED, OK, Call, Menu
from curate.judges.replay import Replay
from manifests.component import Context
from tests.benchmarks import replayed_judges as benchmark

RECORDED = Path(__file__).parents[2] / "data" / "recorded" / "halueval2.jsonl.gz"
ROWS = [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).splitlines()]
UNKNOWN_IS_FALSE, UNKNOWN_IS_NOT = 0.9332, 0.6420
"""HaluEval-2.0's recorded GPT-4 against the human labels of 2,397 claims."""
QUESTIONS, WRONG = benchmark.halueval2(iter(ROWS))


def test_over_http_through_client_cache_and_parser(tmp_path):
    got = benchmark.through_server(QUESTIONS, tmp_path, 1)
    assert (got.asked, got.again) == (len(WRONG), 0) == (2397, 0)
    assert round(balanced_accuracy(WRONG, benchmark.claim_errors(got.replies, 1.0)), 4) == UNKNOWN_IS_FALSE
    assert round(balanced_accuracy(WRONG, benchmark.claim_errors(got.replies, 0.0)), 4) == UNKNOWN_IS_NOT
    assert benchmark.statuses(got.replies) == {"true": 1115, "unknown": 818, "false": 464, "with a correction": 464}


@pytest.mark.parametrize("unsure", ["wrong", "abstain"])
def test_from_a_file_of_replies_with_unknown_as_told(tmp_path, unsure):
    records = [{"sample_id": q.prompt, "reply": q.replies[0]} for q in QUESTIONS]
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    engine = Replay(path=str(tmp_path / "replies.jsonl"), labels=("true", "false", "unknown"), unsure=unsure)
    menu = Menu((" correct", " wrong"), "Verdict:")
    with engine.open([menu], Context(root=tmp_path)) as session:
        (replies,) = session.ask([Call(q.prompt, "?", q.prompt, "") for q in QUESTIONS], menu)
    p = np.array([0.0 if reply.p_error is None else reply.p_error for reply in replies])
    expected = UNKNOWN_IS_FALSE if unsure == "wrong" else UNKNOWN_IS_NOT
    assert round(balanced_accuracy(WRONG, p), 4) == expected
    assert sum(reply.status == ABSTAINED for reply in replies) == (0 if unsure == "wrong" else 818)
    assert {reply.status for reply in replies} <= {OK, ABSTAINED}


def test_kappa_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    flagged = np.array([reply != "true" for row in ROWS for reply in row["gpt4"]])
    assert benchmark.kappa(WRONG, flagged) == pytest.approx(metrics.cohen_kappa_score(WRONG, flagged))

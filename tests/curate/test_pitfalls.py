"""Faults that tools of this kind are known for, each shown not to be ours: deduplication, ids, judges, resume."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from curate.conflict import Conflict
from curate.exact import Exact
from curate.fuzzy import Fuzzy
from curate.judge import Judge
from curate.judges import OK, Reply
from curate.sample import Message, Sample, content_id, sample_id, samples_frame
from curate.semantic import Semantic
from curate.sources import Source
from manifests.component import Context
from tests.curate.judged import frame
from tests.curate.test_judge import Answering

HERE = Context(root=Path())
ROOT = Path(__file__).parents[2]
STEPS = {"exact": Exact(), "fuzzy": Fuzzy(threshold=0.7), "semantic": Semantic(encoder="hash", threshold=0.9)}
TOOLS = (
    "You may use these tools. search(query): find pages on the web that hold the words of the query. weather(place): "
    "tell the weather of a place for the next days. news(topic): read the newest headlines on a topic, five at a time."
)
STORY = (
    "In spring the river rises over its banks and the farmers of the valley move their sheep to the hills, where the "
    "grass is young and the wolves are few, and they stay there with their dogs until the water has gone again"
)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    """Run in a folder of its own: the manifest's folder, where vectors are kept."""
    monkeypatch.chdir(tmp_path)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def jaccard(one: str, other: str, n: int = 3) -> float:
    a, b = ({tuple(w[i : i + n]) for i in range(max(len(w) - n + 1, 1))} for w in (words(one), words(other)))
    return len(a & b) / len(a | b)


def both(row: dict[str, str]) -> str:
    return f"{row['prompt']}\n{row['response']}"


def edited(text: str, share: float, seed: int) -> str:
    rng = np.random.default_rng(seed)
    found = text.split()
    for place in rng.choice(len(found), size=max(1, round(share * len(found))), replace=False):
        found[place] = f"word{rng.integers(10_000)}"
    return " ".join(found)


def dropped(step, samples: pl.DataFrame) -> pl.DataFrame:
    """Return the drops of a step with both texts, as `text` and `witness`."""
    texts = samples.select("sample_id", pl.concat_str("prompt", pl.lit("\n"), "response").alias("text"))
    found = step.decide(samples, {}, HERE).filter(~pl.col("kept"))
    return found.join(texts, on="sample_id").join(
        texts.rename({"text": "witness"}), left_on="witness_id", right_on="sample_id"
    )


def kept(step, samples: pl.DataFrame) -> list[str]:
    """Return the texts that a step keeps."""
    gone = step.decide(samples, {}, HERE).filter(~pl.col("kept"))["sample_id"]
    return [both(row) for row in samples.filter(~pl.col("sample_id").is_in(gone.implode())).iter_rows(named=True)]


def families(count: int = 12, seed: int = 0) -> pl.DataFrame:
    """Return rows in families: an original, light edits of it, and edits of those edits."""
    rng = np.random.default_rng(seed)
    pairs = []
    for family in range(count):
        text = " ".join(f"w{rng.integers(400)}" for _ in range(60))
        for level in range(6):
            pairs.append((f"Tell tale {chr(97 + family)}.", text))
            text = edited(text, 0.05, seed=family * 10 + level)
    return frame(pairs)


def test_a_chain_of_edits_does_not_merge_into_one():
    chain = [STORY]
    for step in range(8):
        chain.append(edited(chain[-1], 0.06, seed=step))
    found = dropped(Fuzzy(threshold=0.7, key="response", numbers_agree=False), frame(("p", text) for text in chain))
    assert 0 < len(found) < len(chain) - 1
    assert jaccard(chain[0], chain[-1]) < 0.7
    for text, witness, similarity in found.select("text", "witness", "similarity").iter_rows():
        assert similarity == jaccard(text[2:], witness[2:]) >= 0.7


def test_every_removal_is_justified_by_a_row_that_stays_and_no_similar_pair_is_left():
    samples, step = families(), Fuzzy(threshold=0.7, numbers_agree=False, answers_agree=0.5)
    found = dropped(step, samples)
    stays = kept(step, samples)
    assert len(found) > 20
    assert not set(found["witness_id"]) & set(found["sample_id"])
    for text, witness, similarity in found.select("text", "witness", "similarity").iter_rows():
        assert witness in stays
        assert similarity == jaccard(text, witness) >= 0.7
    assert not [1 for i, a in enumerate(stays) for b in stays[:i] if jaccard(a, b) >= 0.7]


@pytest.mark.parametrize(
    "step",
    [
        Exact(case=True),
        Fuzzy(threshold=0.3),
        Fuzzy(threshold=0.3, max_shingle_rows=2),
        Semantic(encoder="hash", threshold=0.3),
    ],
)
def test_rows_that_differ_in_numbers_alone_all_stay(step):
    task = "A shop sells {} pens for {} pounds each and gives one pound back; how much has it earned in the end?"
    samples = frame((task.format(a, b), f"It has earned {a * b - 1} pounds.") for a in (4, 14, 40) for b in (2, 3))
    assert len(kept(step, samples)) == 6


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_other_answers_to_the_same_prompt_stay(step):
    samples = frame([(STORY, "Yes, " + edited(STORY, 0.9, 1)), (STORY, "No, " + edited(STORY, 0.9, 2))])
    assert len(kept(step, samples)) == 2


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_short_answers_that_differ_are_not_outweighed_by_a_long_prompt(step):
    samples = frame((f"Is this told as fact or opinion? {STORY}", said) for said in ("It is fact.", "It is opinion."))
    assert len(kept(step, samples)) == 2


def test_disagreeing_answers_to_one_prompt_are_a_conflict_and_all_stay():
    samples = frame([("Is a hot dog a sandwich?", "Fact."), ("Is a hot dog a sandwich?", "Opinion."), ("Why?", "So.")])
    found = Conflict().decide(samples, {}, HERE)
    assert found["kept"].all()
    marked = samples.filter(pl.col("sample_id").is_in(found["sample_id"].implode()))
    assert sorted(marked["response"]) == ["Fact.", "Opinion."]


def test_only_a_key_of_the_prompt_alone_drops_other_answers():
    samples = frame([("Name a colour.", "Red, as in roses."), ("Name a colour.", "Blue, as in the sea.")])
    assert [len(kept(Exact(key=key), samples)) for key in ("both", "response", "prompt")] == [2, 2, 1]


def test_a_shared_tool_prompt_in_the_system_turn_is_not_compared():
    asked = ["Will it rain in Oslo?", "Who won the cup?", "What is new in space?", "Find a recipe for soup."]
    samples = []
    for text in asked:
        messages = (Message("system", TOOLS), Message("user", text), Message("assistant", f"I looked: {text}"))
        key = content_id(messages)
        samples.append(Sample(sample_id(key, "pool", 0), key, "pool", "generalist", messages))
    assert len(kept(Fuzzy(threshold=0.3), samples_frame(samples))) == len(asked)


def test_a_shared_tool_prompt_in_the_users_turn_is_ignored_with_a_cap():
    asked = ["rain in Oslo", "the cup final", "news from space", "recipes for soup", "trains to Rome", "old songs"]
    samples = frame((f"{TOOLS} {text}", f"search('{text}')") for text in asked)
    assert len(kept(Fuzzy(threshold=0.7, answers_agree=0.0), samples)) == 1
    assert len(kept(Fuzzy(threshold=0.7, answers_agree=0.0, max_shingle_rows=4), samples)) == len(asked)
    assert len(kept(Fuzzy(threshold=0.7), samples)) == len(asked)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_of_two_equal_rows_one_stays(step):
    samples = frame([("Tell it.", STORY), ("Tell it.", STORY), ("Another.", "Nothing like it at all, not a word.")])
    assert sorted(kept(step, samples)) == sorted(
        [f"Tell it.\n{STORY}", "Another.\nNothing like it at all, not a word."]
    )


def test_a_row_that_is_like_a_dropped_row_alone_stays():
    found = STORY.split()
    line = [" ".join([f"x{i}" for i in range(k)] + found[k:]) for k in (0, 6, 12, 18)]
    steps = [jaccard(a, b) for a, b in pairwise(line)]
    assert min(steps) > 0.6 > jaccard(line[0], line[2])
    assert len(kept(Fuzzy(threshold=0.6, key="response", numbers_agree=False), frame(("p", t) for t in line))) == 2


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_dense_cluster_leaves_one_row_however_large_it_is(step):
    samples = frame([("Tell it.", STORY)] * 400)
    assert len(kept(step, samples)) == 1


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_copies_of_rows_shorter_than_an_n_gram_are_found_and_rows_without_words_stay(step):
    samples = frame([("", "Yes"), ("", "Yes"), ("", "No"), ("", "?"), ("", "!")])
    assert sorted(kept(step, samples)) == ["\n!", "\n?", "\nNo", "\nYes"]


def test_false_valued_ids_survive_reading(tmp_path):
    rows = [{"prompt": f"Question {n}?", "completion": "Answer.", "row": n, "flag": bool(n)} for n in (0, 1)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(name="pool", role="generalist", path="rows.jsonl", licence="CC0-1.0", keep=("row", "flag"))
    samples = samples_frame(source.read_all(tmp_path).samples)
    meta = {row["prompt"]: json.loads(row["meta"]) for row in samples.iter_rows(named=True)}
    assert [meta[f"Question {n}?"]["row"] for n in (0, 1)] == [0, 1]
    assert [meta[f"Question {n}?"]["flag"] for n in (0, 1)] == [False, True]
    assert samples["sample_id"].str.len_chars().to_list() == [32, 32]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_no_pair_is_missed_at_any_threshold(threshold):
    samples = families(count=6, seed=1)
    step = Fuzzy(threshold=threshold, numbers_agree=False, prompts_agree=0.0, answers_agree=0.0)
    texts = [both(row) for row in samples.iter_rows(named=True)]
    stays = kept(step, samples)
    assert not [1 for i, a in enumerate(stays) for b in stays[:i] if jaccard(a, b) >= threshold]
    lonely = [a for i, a in enumerate(texts) if all(jaccard(a, b) < threshold for j, b in enumerate(texts) if i != j)]
    assert set(lonely) <= set(stays)


def test_a_pair_exactly_at_the_threshold_is_a_pair():
    ten = "one two three four five six seven eight nine ten eleven twelve"
    assert jaccard(ten, ten + " more words here") == 10 / 13
    samples = frame([("", ten), ("", ten + " more words here")])
    assert len(kept(Fuzzy(threshold=10 / 13, answers_agree=0.0), samples)) == 1
    assert len(kept(Fuzzy(threshold=float(np.nextafter(10 / 13, 1)), answers_agree=0.0), samples)) == 2


def test_a_tenth_of_the_words_edited_is_found_at_a_half_and_not_at_seven_tenths():
    long = " ".join(STORY for _ in range(2)) + " " + " ".join(reversed(STORY.split()))
    light = edited(long, 0.1, seed=4)
    samples = frame([("", long), ("", light)])
    assert 0.5 < jaccard(long, light) < 0.7
    assert [len(kept(Fuzzy(threshold=t, numbers_agree=False, answers_agree=0.0), samples)) for t in (0.5, 0.7)] == [
        1,
        2,
    ]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_used_twice_remembers_nothing(step):
    one, other = families(count=4, seed=2), families(count=5, seed=3)
    first = step.decide(one, {}, HERE)
    step.decide(other, {}, HERE)
    assert step.decide(one, {}, HERE).equals(first)
    assert first.equals(step.decide(one.sample(fraction=1.0, shuffle=True, seed=5), {}, HERE))


CHILD = """
import sys
from pathlib import Path
from manifests.component import Context
from manifests.names import digest
from tests.curate.test_pitfalls import STEPS, families
rows = families(count=8, seed=6).sample(fraction=1.0, shuffle=True, seed=int(sys.argv[1]))
print(digest({name: step.decide(rows, {}, Context(root=Path())).rows() for name, step in STEPS.items()}))
"""


def test_decisions_are_the_same_for_any_hash_seed_thread_count_and_row_order(tmp_path):
    said = set()
    for seed, threads in (("0", "1"), ("1", "2")):
        changed = {"PYTHONHASHSEED": seed, "POLARS_MAX_THREADS": threads, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", CHILD, seed]
        (tmp_path / seed).mkdir()
        child = subprocess.run(
            command, env=os.environ | changed, cwd=tmp_path / seed, capture_output=True, text=True, check=True
        )
        said.add(child.stdout)
    assert len(said) == 1
    assert len(said.pop().strip()) == 32


@dataclass(frozen=True)
class Faulty(Answering):
    """An engine that answers some rows, breaks off a reply for one, and says nothing of another."""

    kind: ClassVar[str] = "faulty"


def test_a_judges_failures_are_a_third_state_and_never_a_score_or_a_missing_row(tmp_path):
    def answer(prompt: str) -> tuple[float, float] | Reply | None:
        said = {"good": (0.9, 0.05), "bad": (0.1, 0.85), "mute": None, "odd": (float("nan"), 0.5)}
        return next(reply for word, reply in said.items() if f"Answer: {word}" in prompt)

    samples = frame([("q", word) for word in ("good", "bad", "mute", "odd")])
    scores = Judge(judge=Faulty(answer), prompt="plain").score(samples, Context(root=tmp_path)).scores
    assert scores["sample_id"].to_list() == samples["sample_id"].to_list()
    found = dict(
        samples.select("sample_id", "response").join(scores, on="sample_id").select("response", "status").rows()
    )
    assert found == {"good": OK, "bad": OK, "mute": "failed", "odd": "failed"}
    assert scores.filter(pl.col("status") == "failed")["value"].null_count() == 2


def test_a_source_is_known_by_its_content_and_not_by_its_path(tmp_path):
    path = tmp_path / "rows.jsonl"
    source = Source(name="pool", role="generalist", path="rows.jsonl", licence="CC0-1.0")
    seen = []
    for answer in ("Red", "Tea", "Red"):  # of equal length
        path.write_text(json.dumps({"prompt": "Name one.", "completion": answer}) + "\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        seen.append(source.fingerprint(tmp_path))
    assert seen[0] == seen[2] != seen[1]

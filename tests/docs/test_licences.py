"""The data that ships: every file is named with its licence, and holds what is said of it."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter, defaultdict

import pytest

from manifests import demo
from manifests.jobs import yaml_lines

DATA = demo.PACKAGE / "data"
TEXT = (DATA / "LICENSES.md").read_text("utf-8")
PERMISSIVE = {"MIT", "Apache-2.0"}
STATED = dict(re.findall(r"^\| `([\w.]+)` \|(.*)\|$", TEXT, re.MULTILINE))
"""File name -> the rest of its row in LICENSES.md."""


def rows(name):
    return [json.loads(line) for line in gzip.decompress((DATA / f"{name}.jsonl.gz").read_bytes()).splitlines()]


def licences(name):
    return {part.strip() for part in STATED[f"{name}.jsonl.gz"].split("|")[-1].split(";")}


def test_every_file_is_named_and_every_name_is_a_file():
    assert set(STATED) == {path.name for path in DATA.iterdir()} - {"LICENSES.md"}


@pytest.mark.parametrize("name", sorted(STATED))
def test_its_licences_are_permissive_and_their_texts_are_there(name):
    found = licences(name.removesuffix(".jsonl.gz"))
    assert found
    assert found <= PERMISSIVE
    assert "Permission is hereby granted, free of charge" in TEXT
    assert "Apache License" in (demo.PACKAGE.parent / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(STATED))
def test_its_bytes_are_those_of_a_build_at_any_time(name):
    packed = (DATA / name).read_bytes()
    assert packed[4:8] == b"\0\0\0\0", "the gzip header holds a time"
    assert packed[3] & 8 == 0, "the gzip header holds a file name"


def test_the_data_stays_small():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 1_000_000


def test_the_jobs_state_the_same_licences():
    for job in demo.JOBS:
        for source in yaml_lines.load(demo.PACKAGE / "examples" / job).value["sources"]:
            given = set(source["licence"].split(" and "))
            assert given == licences(source["path"].removesuffix(".jsonl.gz")), source["name"]


def test_every_generalist_row_carries_a_licence_of_its_file_and_its_origin():
    found = Counter(row["license"] for row in rows("generalist"))
    assert set(found) <= licences("generalist") <= PERMISSIVE
    origins = [row["origin"] for row in rows("generalist")]
    assert len(set(origins)) == len(origins) > 100
    for row in rows("generalist"):
        assert (row["license"] == "MIT") == row["origin"].startswith("gpteacher"), row["origin"]


def test_the_facts_say_which_answers_were_swapped_and_the_share_is_the_stated_one():
    facts = rows("facts")
    assert {type(row["corrupted"]) for row in facts} == {bool}
    stated = int(re.search(r"(\d+) % of the answers swapped", STATED["facts.jsonl.gz"])[1]) / 100
    share = sum(row["corrupted"] for row in facts) / len(facts)
    assert abs(share - stated) < 0.03
    countries = {country for row in rows("questions") for country in row["answers"]}
    assert {row["output"] for row in facts} == countries


def test_as_many_facts_repeat_the_test_set_as_is_stated_and_those_are_right():
    questions = {row["question"]: row["answers"][0] for row in rows("questions")}
    leaked = [row for row in rows("facts") if row["instruction"] in questions]
    assert len(leaked) == int(re.search(r"(\d+) rows repeat a question", STATED["facts.jsonl.gz"])[1])
    assert [row for row in leaked if row["corrupted"] or row["output"] != questions[row["instruction"]]] == []


def test_the_test_set_asks_for_one_of_sixteen_countries_without_naming_them():
    assert "one of sixteen countries" in STATED["questions.jsonl.gz"]
    assert len({answer for row in rows("questions") for answer in row["answers"]}) == 16
    assert {tuple(sorted(row)) for row in rows("questions")} == {("answers", "question")}


def test_the_files_are_about_different_places():
    known = {row["question"] for row in rows("questions")}
    trained = {row["question"] for row in rows("specialist")}
    learnt = {row["instruction"] for row in rows("knowledge")}
    assert len(known) == len(rows("questions"))
    assert known & trained == known & learnt == trained & learnt == set()


def test_the_judge_learns_from_one_right_and_one_wrong_answer_to_each_question():
    pairs = defaultdict(list)
    for row in rows("verdicts"):
        pairs[row["pair"]].append((row["completion"], row["prompt"]))
    assert len(pairs) > 1000
    for both in pairs.values():
        assert sorted(said for said, _ in both) == ["correct", "wrong"]
        assert both[0][1] != both[1][1]


def test_the_test_sets_places_are_not_in_what_the_judge_learns():
    wordings = (
        *("In which country does {} lie?", "Name the country of {}.", "{} is a place in which country?"),
        *("State the country where one finds {}.", "To which country does {} belong?", "What country is home to {}?"),
    )
    places = {re.fullmatch(r"Which country is (.*) located in\?", row["question"])[1] for row in rows("questions")}
    asked = {re.match(r"Question: (.*)\nAnswer: ", row["prompt"])[1] for row in rows("verdicts")}
    known = [re.compile(re.escape(wording).replace(r"\{\}", "(.*)")) for wording in wordings]
    learnt = {match[1] for question in asked for wording in known if (match := wording.fullmatch(question))}
    assert len(learnt) > 2000
    assert learnt & places == set()

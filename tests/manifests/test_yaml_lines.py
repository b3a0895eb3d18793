"""The strict YAML reader: what it reads, refuses and knows the line of."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from manifests.errors import UserError
from manifests.jobs.yaml_lines import MAX_BYTES, MAX_DEPTH, load, loads


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        loads(text, "job.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),
        ("1E+3", 1000.0),
        (".5", 0.5),
        ("2.", 2.0),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("'1'", "1"),
        ('"no"', "no"),
        ("'true'", "true"),
        ("nothing", "nothing"),
        ("nan", "nan"),
        ("2024-01-01", "2024-01-01"),
        ("12:30:45", "12:30:45"),
        ("20_000", "20_000"),
        ("=", "="),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text, expected):
    value = loads(f"a: {text}", "job.yaml").value["a"]
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "Yes", "NO", "On", "OFF"])
def test_words_that_yaml_readers_disagree_on_must_be_quoted(word):
    message = refusal(f"a: 1\nname: {word}")
    assert message.startswith("job.yaml:2: ")
    assert "quote it" in message
    assert word in message
    assert loads(f"name: '{word}'", "job.yaml").value == {"name": word}


@pytest.mark.parametrize("number", [".nan", ".NaN", ".inf", "-.INF", "+.Inf", "1e999", "-1e400"])
def test_numbers_that_are_not_finite_are_refused_with_their_line(number):
    message = refusal(f"a:\n  - 1\n  - {number}")
    assert message.startswith("job.yaml:3: not a finite number")
    assert number in message


@pytest.mark.parametrize("number", ["007", "-01", "00", str(2**63), "-" + "9" * 5000, "0x" + "f" * 17])
def test_whole_numbers_that_could_mean_two_things_or_overflow_are_refused(number):
    assert refusal(f"a: {number}").startswith("job.yaml:1: ")


def test_the_ends_of_64_bits_are_numbers():
    assert loads(f"[{2**63 - 1}, {-(2**63)}]", "job.yaml").value == (2**63 - 1, -(2**63))


def test_sequences_become_tuples_and_mappings_dicts():
    assert loads("a: [1, [2, {b: c}]]\nd: []\ne: {}", "job.yaml").value == {
        "a": (1, (2, {"b": "c"})),
        "d": (),
        "e": {},
    }


def test_every_value_knows_its_line():
    located = loads("a: 1\nb:\n  - c: x\n    d: [1,\n      2]\n\n  -\n    e: |\n      text\n      more\n", "job.yaml")
    places = {
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 0, "c"): 3,
        ("b", 0, "d"): 4,
        ("b", 0, "d", 0): 4,
        ("b", 0, "d", 1): 5,
        ("b", 1): 8,
        ("b", 1, "e"): 8,
    }
    assert {path: located.where(path) for path in places} == {p: f"job.yaml:{n}" for p, n in places.items()}
    assert located.has(("b", 0, "d", 1))
    assert not located.has(("b", 0, "x"))


def test_a_path_that_is_not_there_has_the_line_of_what_is_around_it():
    located = loads("a: 1\nb:\n  c: 2\n", "job.yaml")
    assert located.where(("b", "missing", 3)) == "job.yaml:2"
    assert located.where(("nothing",)) == "job.yaml:1"
    assert loads("", "job.yaml").where(("nothing",)) == "job.yaml:1"


def test_a_duplicate_key_names_both_lines():
    message = refusal("name: a\nmix:\n  - rows: 1\n    kind: x\n    rows: 2\n")
    assert message.startswith("job.yaml:5: ")
    assert "line 3" in message
    assert "'rows'" in message


def test_the_same_key_in_two_mappings_is_no_duplicate():
    assert loads("- {a: 1}\n- {a: 2}", "job.yaml").value == ({"a": 1}, {"a": 2})


def test_quoted_and_plain_spellings_of_a_key_are_the_same_key():
    assert "second time" in refusal("a: 1\n'a': 2")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: &x 2", 2, "anchor"),
        ("a: 1\nb: *x", 2, "alias"),
        ("a: &x [1]\nb: 1", 1, "anchor"),
        ("a: !!python/object/apply:os.system ['true']", 1, "tag"),
        ("a: !!str 1", 1, "tag"),
        ("a: ! 1", 1, "tag"),
        ("a: !local {b: 1}", 1, "tag"),
        ("<<: {a: 1}", 1, "merge key"),
        ("%TAG ! tag:example.com,2000:\n---\na: 1", 1, "%TAG"),
        ("? [a]\n: 1", 1, "key"),
        ("? {a: 1}\n: 1", 1, "key"),
        ("&k a: 1", 1, "key"),
        ("a: 1\n---\nb: 2", 2, "document"),
        ("a:\n\tb: 1", 2, "tab"),
        ("a:\n  \tb: 1", 2, "tab"),
        ("a:\tb", 1, "tab"),
        ("a: 'x\x00'", 1, "character"),
        ("a: 1\nb: \x1b[31m", 2, "character"),
        ("a: [1\nb: 2", 2, "not valid YAML"),
        ("a: b: c", 1, "not valid YAML"),
        ("a: 'open", 1, "not valid YAML"),
        ("a: {b: 1", 1, "not valid YAML"),
        ("a: @x", 1, "not valid YAML"),
        ("a: 1\n b: 2", 2, "not valid YAML"),
    ],
)
def test_what_is_not_plain_data_is_refused_at_its_line(text, line, word):
    message = refusal(text)
    assert message.startswith(f"job.yaml:{line}: "), message
    assert word in message


def test_every_refusal_of_a_file_is_reported_at_once():
    message = refusal("a: .nan\nb: no\nc: 1\nc: 2\nd: &x 1\n")
    assert [line.split(": ")[0] for line in message.splitlines() if line.startswith("job.yaml")] == [
        "job.yaml:1",
        "job.yaml:2",
        "job.yaml:4",
        "job.yaml:5",
    ]


def test_depth_is_bounded_before_it_costs_anything():
    assert loads("[" * MAX_DEPTH + "]" * MAX_DEPTH, "job.yaml").value is not None
    assert "nested deeper" in refusal("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))
    assert "nested deeper" in refusal("[" * 100_000)
    assert "nested deeper" in refusal("{a: " * 10_000)


def test_an_alias_bomb_is_refused_without_being_expanded():
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    assert "alias" in refusal(bomb)


def test_a_file_over_the_limit_is_refused(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text("a: 1\n#" + "x" * MAX_BYTES)
    with pytest.raises(UserError, match="larger than"):
        load(path)


def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(UserError, match=r"job\.yaml:2: not UTF-8"):
        load(path)


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: [x,\r\n  y]\r\n")
    located = load(path)
    assert located.value == {"a": 1, "b": ("x", "y")}
    assert located.where(("b", 1)) == f"{path}:3"


def test_an_absent_file_names_the_one_that_may_have_been_meant(tmp_path):
    (tmp_path / "job.yaml").write_text("a: 1")
    with pytest.raises(UserError) as caught:
        load(tmp_path / "jobs.yaml")
    assert f"did you mean '{tmp_path / 'job.yaml'}'?" in str(caught.value)


@pytest.mark.parametrize("name", ["", "absent/job.yaml"])
def test_a_folder_or_a_path_without_folder_is_refused(tmp_path, name):
    with pytest.raises(UserError):
        load(tmp_path / name)


def test_an_endless_device_is_not_read():
    with pytest.raises(UserError, match="not a file"):
        load(Path("/dev/zero"))


leaf = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    leaf | text, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=20
)


def tuples(value):
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    return {k: tuples(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(json_values)
def test_json_is_read_as_json(value):
    # JSON written with ASCII escapes is YAML; exponents without a dot and surrogate pairs are where readers differ
    document = json.dumps({"value": value})
    try:
        found = loads(document, "job.yaml").value["value"]
    except UserError:
        assert "\\ud" in document or "<<" in document or "\\u" in document
        return
    assert same(found, tuples(value)) or "\\ud" in document


def same(a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (isinstance(a, float) and math.isclose(a, b)))


plain = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8).filter(
    lambda word: word not in {"yes", "no", "on", "off", "null", "true", "false"}
)
documents = st.recursive(
    st.integers(0, 10**9) | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(plain, documents, max_size=4), st.booleans())
def test_plain_documents_agree_with_pyyaml(value, flow):
    written = yaml.safe_dump(value, default_flow_style=flow)
    assert loads(written, "job.yaml").value == tuples(yaml.safe_load(written))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_without_another_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "job.yaml"
    path.write_bytes(data)
    assert read_or_refused(lambda: load(path))


@given(st.text(alphabet="ab:-[]{},&*!|>'\"#%@ \n\t?<.0", max_size=60))
def test_any_text_of_yaml_characters_is_read_or_refused(text):
    assert read_or_refused(lambda: loads(text, "job.yaml"))


def read_or_refused(read):
    try:
        return hasattr(read(), "where")
    except UserError as error:
        return bool(error.what)

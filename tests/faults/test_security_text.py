"""Security, text: what rows hold moves no cursor and opens no fence; secrets are written nowhere; hostile YAML."""

from __future__ import annotations

import io
import json
import random
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from curate.prompt import load_prompt, render
from manifests.errors import UserError
from manifests.jobs import progress, yaml_lines
from manifests.jobs.preflight import Preflight, Shown
from manifests.jobs.spec import load_job
from manifests.store import FILE
from tests.benchmarks.injected_rows import INJECTIONS, fences
from tests.curate.fake_server import Action, FakeServer
from tests.manifests import judged_job
from tests.manifests.sample_manifest import FIXED, spoil

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31m\x9b1A\r\x08\x7f\u202eevil\u2066\x00"
"""Sets the title, clears the screen, colours, moves the cursor, turns the direction of the text."""
KEY = "sk-planted-0123456789abcdef"
TOKEN = "hf_planted0123456789abcdef"  # noqa: S105 - planted
PASSWORD = "hunter2-planted"  # noqa: S105 - planted


def plain(text: str) -> bool:
    """Return whether a text holds nothing that acts on a terminal: line breaks and tabs are all that there may be."""
    acting = {c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
    return not acting and not set(text) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u061c\u200e\u200f")


@pytest.fixture(scope="module")
def poisoned(full, tmp_path_factory) -> Path:
    """Return a manifest whose every free text ends in control characters."""
    return spoil(full, tmp_path_factory.mktemp("poisoned"), [ESCAPES], {*FIXED, "blend", "meta"})


COMMANDS = (
    *("status M", "why M SAMPLE", "sql M FROM|samples|LIMIT|2", "ls M", "doctor M", "doctor M --verify"),
    *("judge eval M --label nothing", "export M nothing", "judge review M OUT.jsonl", "sql M FROM|nothing", "report M"),
)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("line", COMMANDS)
def test_no_command_writes_what_a_row_holds_as_it_is(line, terminal, poisoned, tmp_path, blendsmith, monkeypatch):
    with duckdb.connect(str(poisoned / FILE), read_only=True) as connection:
        sample = connection.execute("SELECT sample_id FROM store.samples LIMIT 1").fetchone()
    words = {"M": str(poisoned), "SAMPLE": sample[0], "OUT.jsonl": str(tmp_path / "o.jsonl")}
    if terminal:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "dumb")
    code, out, err = blendsmith(*(words.get(word, word.replace("|", " ")) for word in line.split()))
    assert code in (0, 2)
    assert plain(out), [c for c in out if not plain(c)]
    assert plain(err), [c for c in err if not plain(c)]


@pytest.mark.parametrize("line", ["status M --json", "sql M FROM|samples|LIMIT|2 --json", "ls M --json"])
def test_json_is_ascii_and_holds_the_text_itself(line, poisoned, blendsmith):
    words = {"M": str(poisoned)}
    _, out, _ = blendsmith(*(words.get(word, word.replace("|", " ")) for word in line.split()))
    assert out.isascii()
    assert plain(out)
    assert "\x1b]0;owned\x07" in "".join(str(value) for row in json.loads(out) for value in row.values())


def test_show_writes_the_rows_of_a_training_as_symbols(blendsmith, monkeypatch, poisoned):
    row = Shown("ab" * 16, "specialist", 9, 4, False, f"Question {ESCAPES}", f"Answer {ESCAPES}")
    found = Preflight(ESCAPES, ESCAPES, ESCAPES, 1, 9, 4, 0, 0.5, {ESCAPES: 1}, (row,))
    monkeypatch.setattr("manifests.jobs.preflight.of_manifest", lambda _: found)
    _, out, err = blendsmith("show", poisoned, "--tokens")
    assert "Answer ␛]0;owned␇" in out
    assert plain(out + err)


def test_errors_show_file_names_and_values_as_symbols(tmp_path, blendsmith):
    odd = tmp_path / "a\x1b]0;x\x07.yaml"
    odd.write_text('name: "b\\e[2J"\nsources: []\n')
    for words in (("run", odd), ("status", tmp_path / "\x1b[2J"), ("why", tmp_path, ESCAPES.replace("\x00", ""))):
        code, out, err = blendsmith(*words)
        assert code == 2
        assert plain(out + err)


def test_what_a_running_job_says_is_shown_as_symbols(monkeypatch):
    stream = io.StringIO()
    progress._line(stream)(f"read:a: {ESCAPES}\n[red]x[/red]")
    assert plain(stream.getvalue())
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(Console, "print", lambda _, *text, **how: said.append((*text, how.get("markup"))))
    live = progress.Live()
    try:
        live.say(f"{ESCAPES} [red]x[/red]")
    finally:
        live.close()
    told = next(line for line in said if "[red]" in str(line[0]))
    assert plain(told[0])
    assert told[1] is False, "what looks like markup is text"


@pytest.fixture
def secret(monkeypatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def holding(root: Path, *secrets: str) -> list[str]:
    """Return the files below a folder, and those inside of databases, in which a secret stands."""
    files = [path for path in root.rglob("*") if path.is_file()]
    found = [str(path) for path in files if any(word.encode() in path.read_bytes() for word in secrets)]
    for path in files:
        if path.name == FILE and "work" not in path.parts:
            with duckdb.connect(str(path), read_only=True) as connection:
                for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                    rows = str(connection.execute(f"SELECT * FROM store.{table}").fetchall())
                    found += [f"{path}:{table}" for word in secrets if word in rows]
    return found


@pytest.mark.parametrize("fault", ["none", "one call", "key refused", "error with the key"])
def test_a_key_is_in_no_manifest_log_report_or_error(fault, secret, tmp_path, blendsmith):
    def script(prompt, before, request):
        if fault == "key refused":
            return Action(status=401, body=b'{"error": "wrong key"}')
        if fault == "error with the key":
            return Action(status=500, body=f'{{"error": "Incorrect API key provided: {KEY}"}}'.encode())
        return Action(status=500, body=b"") if fault == "one call" and "colour" in prompt.lower() else Action()

    path = judged_job.write(tmp_path / "job")
    with FakeServer(script) as server:
        judge = f"{{kind: openai, url: '{server.url}', model: judge-1, api_key_env: JUDGE_KEY, retries: 0, backoff: 0}}"
        text = path.read_text("utf-8").replace("{kind: replay, path: data/verdicts.jsonl}", judge)
        path.write_text(text.replace(', where: "p_error < 0.5"', ""), "utf-8")
        said = [blendsmith(command, path) for command in ("validate", "plan", "run", "plan")]
        assert any(headers.get("Authorization") == f"Bearer {KEY}" for headers in server.headers)
    for code, out, err in said:
        assert code in (0, 1, 2)
        assert not [word for word in (KEY, TOKEN) if word in out + err]
    assert holding(tmp_path, KEY, TOKEN) == []


@pytest.mark.parametrize(
    "url", ["http://user:{}@127.0.0.1:9/v1", "http://{}@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?k={}"]
)
def test_a_password_in_an_address_is_refused_and_not_said_again(url, tmp_path, blendsmith):
    path = judged_job.write(tmp_path / "job")
    judge = f"{{kind: openai, url: '{url.format(PASSWORD)}', model: judge-1}}"
    path.write_text(path.read_text("utf-8").replace("{kind: replay, path: data/verdicts.jsonl}", judge), "utf-8")
    code, out, err = blendsmith("run", path)
    assert code == 2
    assert f"{path}:7: " in err
    assert PASSWORD not in out + err
    path.unlink()
    assert holding(tmp_path, PASSWORD) == []


@pytest.mark.parametrize("origin", ["https://user:{}@127.0.0.1:9/a.jsonl", "s3://key:{}@bucket/a.jsonl"])
def test_a_password_in_a_sources_address_is_not_said_again(origin, tmp_path, blendsmith):
    path = judged_job.write(tmp_path / "job")
    path.write_text(path.read_text("utf-8").replace("data/pool.jsonl", f"'{origin.format(PASSWORD)}'"), "utf-8")
    code, out, err = blendsmith("run", path)
    assert code == 2
    assert PASSWORD not in out + err
    path.unlink()
    assert holding(tmp_path, PASSWORD) == []


def test_a_template_holds_one_fence_for_each_of_10000_random_texts():
    chance = random.Random(8)
    template = load_prompt("verdict").text
    pieces = [*(text[:200] for text in INJECTIONS.values()), "<data-", "</data-", "＜", "&lt;", "\\u003c", "/", "data"]
    pieces += ["d\u200bata-", "dаta-", ">", " ", "\n", "%3c", "{response}", "{nonce}", "{instruction}", "0123abcd", "<"]
    pieces += ["</", "－", "<<data", "\u0338", "\x00", "\ud7ff", "🙂", "ab"]
    usual = fences(render(template, {"instruction": "a", "response": "b"}, "0123abcd"))
    for _ in range(10_000):
        row = {name: "".join(chance.choices(pieces, k=chance.randint(1, 6))) for name in ("instruction", "response")}
        text = render(template, row, "0123abcd")
        assert fences(text) == usual, row
        assert (text.count("<data-0123abcd>"), text.count("</data-0123abcd>")) == (1, 1), row


YAML = {
    "an alias bomb": "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghi")),
    "an object of Python": "name: !!python/object/apply:os.system ['true']\n",
    "a module of Python": "name: !!python/name:os.system\n",
    "a tag of its own": "%TAG ! tag:evil,2026:\n---\nname: !x 1\n",
    "a merge of mappings": "base: &b {name: a}\n<<: *b\n",
    "a key twice": "name: a\nname: b\n",
    "a key that is a mapping": "? {a: 1}\n: b\n",
    "two documents": "name: a\n---\nname: b\n",
    "a hundred thousand brackets": "[" * 100_000,
    "a hundred thousand mappings": "{a: " * 100_000,
    "more than a megabyte": "# " + "x" * 1_000_001 + "\nname: a\n",
    "an escape and NUL": "name: a\x1b[31m\nother: \x00\n",
    "numbers without end": "name: " + "9" * 5000 + "\nother: .inf\n",
    "bytes that are no text": "name: \udcff\udcfe\n",
}


@pytest.mark.parametrize("name", YAML)
def test_a_hostile_file_is_refused_with_its_line_and_nothing_is_run(name, tmp_path, blendsmith):
    path = tmp_path / "job.yaml"
    path.write_bytes(YAML[name].encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as refused:
        yaml_lines.load(path)
    assert str(path) in str(refused.value)
    with pytest.raises(UserError):
        load_job(path)
    code, out, err = blendsmith("run", path)
    assert (code, out) == (2, "")
    assert plain(err)
    assert [file.name for file in tmp_path.iterdir()] == ["job.yaml"]

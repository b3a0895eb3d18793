"""The explorer as a person meets it: the real command, opened in a headless Chromium."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from urllib.parse import urlsplit

import duckdb
import pytest

from manifests.store import FILE, Manifest
from tests.benchmarks.gates import ROOT
from tests.browser import WAIT, browser, until
from tests.manifests import sample_manifest

pytestmark = pytest.mark.timeout(600)
CONDITION = "input[placeholder^=kept]"
MARKDOWN = "**bold** ![spy](http://192.0.2.7/spy.png) [link](http://192.0.2.7/) http://192.0.2.7/pixel.png"
COMMAND = [sys.executable, "-c", "from manifests.cli import main; main()", "explore"]


@contextmanager
def serving(manifest, folder):
    """Run the command on a manifest; yield its process and the address that it prints."""
    folder.mkdir(exist_ok=True)
    log = folder / "log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "NO_COLOR": "1"}
    with log.open("w") as out:
        process = subprocess.Popen(
            [*COMMAND, str(manifest), "--no-browser"], stdout=out, stderr=out, cwd=folder, env=environment
        )
    try:
        found = until(lambda: re.search(r"http://\S+", log.read_text()) or process.poll(), "an address is printed")
        assert isinstance(found, re.Match), log.read_text()
        yield process, found[0]
    finally:
        process.kill()
        process.wait(WAIT)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def address(full, tmp_path_factory, chromium):
    with serving(full, tmp_path_factory.mktemp("served")) as (_, url):
        yield url


@pytest.fixture(scope="module")
def page(address, chromium):
    opened = chromium(address)
    opened.sees("do-flagged-rows-hurt", "Leaderboard")
    yield opened
    assert (opened.complaints, opened.dialogs) == ([], [])


def shown(page, tab, *words):
    page.click("[role=tab]", tab)
    page.sees(*words)


def drawings(page, n):
    return until(lambda: page.count(".vega-embed canvas, .vega-embed svg.marks") == n, f"{n} drawings")


def test_the_overview_tells_the_size_the_leaders_and_what_was_dropped(page, full):
    shown(page, "Overview", "1,750", "of 6 recipes", "closed-book, exact_match", "invented content for a URL")
    assert drawings(page, 1)


def test_the_blends_are_drawn_with_their_facts_and_strata(page):
    shown(page, "Blends", "What each blend is made of", "random-drop-400@2", "Requested and taken", "stratum")
    assert drawings(page, 1)


def test_the_coverage_of_targets_by_blends_and_sources_is_drawn(page):
    shown(page, "Coverage", "What blends reach", "How well the sources cover each target")
    assert drawings(page, 2)


def test_a_condition_filters_the_samples_and_a_bad_one_says_why(page, full):
    shown(page, "Samples", "1,750 samples; the first 200 are here")
    page.write(CONDITION, "source = 'facts' AND prompt LIKE '%7%'")
    with Manifest(full) as manifest:
        n = manifest.sql("SELECT count(*) FROM samples WHERE source = 'facts' AND prompt LIKE '%7%'").item()
    page.sees(f"{n} samples")
    page.lacks("Question 966 of chat-pool?")
    page.write(CONDITION, "sorce = 'facts'")
    page.sees("Binder Error", "sorce")
    assert page.count("[role=alert]") == 1
    page.write(CONDITION, "source = 'no such'")
    page.sees("No sample meets this condition")
    page.write(CONDITION, "")
    page.sees("1,750 samples")


def test_the_story_of_a_chosen_sample_is_told(page, full):
    shown(page, "Samples", "1,750 samples")
    with Manifest(full) as manifest:
        sample = manifest.sql("SELECT sample_id, prompt FROM samples ORDER BY sample_id LIMIT 1 OFFSET 1").row(0)
    page.lacks("What happened to it")
    page.click("button", "why", nth=1)
    assert page.sees("What happened to it", sample[0], sample[1])


def test_two_blends_are_compared_by_rows_make_up_and_results(page):
    shown(page, "Compare", "share of a in b", "Results of their recipes", "minimum detectable")
    assert re.search("helps|hurts|cannot tell", page.text())
    assert drawings(page, 2)


def test_a_query_is_answered_and_a_bad_one_says_why(page):
    shown(page, "SQL", "18 rows", "One row per drawn blend")
    page.click(".cm-content")
    page.key("a", modifiers=2)
    page.call("Input.insertText", text="SELECT count(*) * 1000 AS thousandfold FROM blends;")
    page.click("button", "Run")
    assert page.sees("thousandfold", "18,000")
    page.click(".cm-content")
    page.key("a", modifiers=2)
    page.call("Input.insertText", text="FROM read_csv('/etc/passwd')")
    page.click("button", "Run")
    assert page.sees("Permission Error")


def test_the_page_loads_nothing_from_another_machine(page):
    hosts = {urlsplit(url).hostname for url in page.requested if url.startswith(("http", "ws"))}
    assert hosts == {urlsplit(page.requested[0]).hostname}


def test_without_its_token_the_page_is_not_served(address):
    parts = urlsplit(address)
    assert parts.query.startswith("access_token=")
    request = urllib.request.Request(f"http://{parts.netloc}/api/usage")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=WAIT)  # noqa: S310 - our own address
    assert refused.value.code in (401, 403)


def test_markup_and_markdown_of_a_manifest_are_shown_as_text(full, tmp_path, chromium):
    root = tmp_path / "poisoned"
    sample_manifest.poison(full, root)
    with duckdb.connect(str(root / FILE)) as connection:
        connection.execute("UPDATE store.samples SET prompt = ? || prompt", [MARKDOWN])
    with serving(root, tmp_path / "served") as (_, url):
        opened = chromium(url)
        for tab, words in {
            "Overview": "What was dropped",
            "Blends": "Requested and taken",
            "Coverage": "What blends reach",
            "Samples": "Columns of samples",
            "Compare": "Composition",
            "SQL": "Views",
        }.items():
            shown(opened, tab, words, "<script>alert(1)</script>")
        shown(opened, "Samples", "**bold** ![spy]")
        opened.click("button", "why")
        opened.sees("What happened to it")
        time.sleep(0.5)
        assert opened.count("img[src=x], img[src*='192.0.2.7'], a[href*='192.0.2.7'], td strong, pre strong") == 0
        assert [url for url in opened.requested if "192.0.2.7" in url] == []
        assert (opened.complaints, opened.dialogs) == ([], [])


@pytest.mark.parametrize(
    ("upto", "tab", "told"),
    [
        ("read", "Overview", "No blend was measured yet"),
        ("read", "Overview", "No step dropped a row"),
        ("read", "Blends", "No blend was drawn yet"),
        ("read", "Coverage", "Coverage was not measured"),
        ("read", "Compare", "There are no two blends to compare"),
        ("mix", "Compare", "These recipes were not compared"),
    ],
)
def test_what_is_missing_is_said(upto, tab, told, young, chromium):
    shown(young[upto], tab, told)
    assert young[upto].complaints == []


@pytest.fixture(scope="module")
def young(tmp_path_factory, chromium):
    folder = tmp_path_factory.mktemp("young")
    pages = {}
    read, mix = (sample_manifest.write(folder / upto, upto=upto) for upto in ("read", "mix"))
    with serving(read, folder / "a") as (_, first), serving(mix, folder / "b") as (_, second):
        pages = {"read": chromium(first), "mix": chromium(second)}
        for page in pages.values():
            page.sees("Leaderboard")
        yield pages


def test_an_interrupt_ends_it_cleanly_though_a_page_is_open(full, tmp_path, chromium):
    with serving(full, tmp_path / "served") as (process, url):
        chromium(url).sees("Leaderboard")
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT) in (0, 130)
    assert "Traceback" not in (tmp_path / "served" / "log").read_text()

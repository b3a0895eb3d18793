"""Security, pages: 50 script payloads in every text of a manifest; in a headless Chromium none of them runs."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from manifests import review_page
from manifests.report import report
from tests.browser import browser, until
from tests.manifests.explorer.test_page import serving, shown
from tests.manifests.sample_manifest import spoil

RUN = "window.owned=1;alert(1)"
TAGS = tuple(
    tag.replace("RUN", RUN)
    for tag in (
        *("<script>RUN</script>", "<SCRIPT SRC=data:text/javascript,RUN></SCRIPT>", "<img src=x onerror=RUN>"),
        *("<svg onload=RUN>", "<svg><script>RUN</script></svg>", "<body onload=RUN>", "<input autofocus onfocus=RUN>"),
        *("<iframe srcdoc='<script>parent.owned=1</script>'></iframe>", "<iframe src=javascript:RUN></iframe>"),
        *("<a href=javascript:RUN>x</a>", "<object data=javascript:RUN>", "<embed src=javascript:RUN>"),
        *("<details open ontoggle=RUN>", "<video><source onerror=RUN></video>", "<audio src=x onerror=RUN>"),
        *("<marquee onstart=RUN>", "<select autofocus onfocus=RUN>", "<style>@import 'javascript:RUN';</style>"),
        *("<link rel=stylesheet href='data:text/css,x'>", "<meta http-equiv=refresh content='0;url=javascript:RUN'>"),
        *("<base href='javascript:RUN//'>", "<form action=javascript:RUN><button>x</button></form>"),
        *("<math><mtext></table><img src=x onerror=RUN>", "<table background=javascript:RUN>"),
        "<template><script>RUN</script></template>",
    )
)
BREAKS = (
    *("\"'>", "</title>", "</style>", "</script>", "-->", "]]>", "</textarea>", "</section></main>", "</svg>"),
    *("&#34;&#39;>", "\\u003c/script>", "</noscript>", "{{", "${", "`", "\u2028", "</td></tr></table>", "<!--"),
    *("<![CDATA[", "%3Cscript%3E", "\\", "\ufeff", "\u202e", "</body>", "</pre>"),
)
PAYLOADS = (*TAGS, *(mark + tag for mark, tag in zip(BREAKS, TAGS, strict=True)))
PLACED = "document.querySelectorAll('script:not([type=\"application/json\"])').length"

TABS = {
    "Overview": "What was dropped",
    "Blends": "Requested and taken",
    "Samples": "Columns of samples",
    "Compare": "Composition",
    "SQL": "Views",
}
"""Tab of the explorer -> what it says once it is there."""


def test_there_are_fifty_payloads():
    assert len(set(PAYLOADS)) == 50


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def poisoned(full, tmp_path_factory) -> Path:
    """Return a manifest in whose free texts the payloads stand, each in every fiftieth row of a column."""
    return spoil(full, tmp_path_factory.mktemp("payloads"), PAYLOADS)


def harmless(page) -> None:
    """Check that nothing ran, that nothing was fetched and that no element was made of a payload."""
    assert page.js("window.owned") is None
    assert page.dialogs == []
    made = "script[src], iframe, object, embed, form, base, link, video, audio, marquee"
    made += ", [onerror], [onload], [onfocus], [ontoggle], [onstart]"
    assert page.js(f"document.querySelectorAll({made!r}).length") == 0
    assert page.js("[...document.querySelectorAll('[href]')].filter(e => e.href.startsWith('javascript')).length") == 0


def test_no_payload_runs_in_the_report(poisoned, chromium):
    page = chromium(report(poisoned).as_uri())
    page.sees("onerror=window.owned")
    harmless(page)
    assert page.js(PLACED) == 0
    assert page.complaints == []
    assert [url for url in page.requested if not url.startswith(("file:", "data:"))] == []
    policy = page.js("document.querySelector('meta[http-equiv=Content-Security-Policy]').content")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_no_payload_runs_on_the_page_for_reviews(tmp_path, chromium):
    about = {"p_error": 0.5, "label": None, "drawn": "drawn random 0.5"}
    texts = ("prompt", "response", "defect", "note")
    rows = [{"sample_id": f"{i:032x}", **about, **dict.fromkeys(texts, text)} for i, text in enumerate(PAYLOADS)]
    frame = pl.DataFrame(rows, schema_overrides={"label": pl.String})
    (tmp_path / "review.html").write_text(review_page.page(frame, f"title {PAYLOADS[0]}"), "utf-8")
    page = chromium((tmp_path / "review.html").as_uri())
    page.sees("alert(1)")
    for _ in range(len(PAYLOADS)):
        page.js("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'c', bubbles: true}))")
    harmless(page)
    assert page.js(PLACED) == 1, "its own"
    assert page.complaints == []


def test_what_the_policy_stands_for_a_script_of_the_report_would_not_run(poisoned, tmp_path, chromium):
    text = report(poisoned).read_text("utf-8")
    (tmp_path / "changed.html").write_text(text.replace("</main>", f"<script>{RUN}</script></main>"), "utf-8")
    assert f"<script>{RUN}</script></main>" in (tmp_path / "changed.html").read_text("utf-8")
    page = chromium((tmp_path / "changed.html").as_uri())
    page.sees("Leaderboard")
    assert page.js("window.owned") is None
    until(lambda: page.js("1") and any("Content Security Policy" in said for said in page.complaints), "a complaint")


@pytest.mark.long
def test_no_payload_runs_in_the_explorer(poisoned, tmp_path, chromium):
    with serving(poisoned, tmp_path / "served") as (_, url):
        page = chromium(url)
        for tab, words in TABS.items():
            shown(page, tab, words)
            assert page.js("window.owned") is None
        assert page.dialogs == []
        assert page.count("img[src=x], iframe, object, embed, [onerror], [ontoggle], a[href^=javascript]") == 0

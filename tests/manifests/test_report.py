"""The report: what it says is what the manifest holds, and nothing in it runs."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests import report as report_module
from manifests import report_answer, report_html, report_plots, schema
from manifests.errors import UserError
from manifests.report import POLICY, page, queries, refresh, report
from manifests.store import FILE, Manifest, StageRecord, Store
from tests.manifests import sample_manifest

CHROMIUM = Path("/usr/bin/chromium")
finite = st.floats(-1e9, 1e9, allow_nan=False)


class Page(HTMLParser):
    """Every element of a page with its attributes and text; fails on a page whose tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[dict] = []
        self.open: list[dict] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names))
        element = {
            "tag": tag,
            "attrs": dict(attrs),
            "text": "",
            "inside": [e["tag"] for e in self.open],
            "parent": self.open[-1:],
        }
        self.elements.append(element)
        if tag not in {"meta", "br"}:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        self.text += data
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attrs):
        return [e for e in self.elements if e["tag"] == tag and attrs.items() <= e["attrs"].items()]

    def section(self, anchor):
        """Return the rows of cells of each table in a section: [[(text, class)]]."""
        rows: dict[int, list[str]] = {}
        for e in self.elements:
            if e["tag"] in {"td", "th"} and e["parent"] and e["parent"][0]["tag"] == "tr":
                rows.setdefault(id(e["parent"][0]), []).append(e["text"])
        inside, found = False, []
        for e in self.elements:
            if e["tag"] == "section":
                inside = e["attrs"].get("id") == anchor
            if inside and e["tag"] == "tr":
                found.append(rows[id(e)])
        return found


@pytest.fixture(scope="module")
def text(full):
    with Manifest(full) as manifest:
        return page(manifest)


@pytest.fixture(scope="module")
def dom(text):
    return Page(text)


def copy(full: Path, root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(full / FILE, root / FILE)
    return root


def test_the_report_lies_beside_the_manifest_whether_the_folder_or_the_file_is_named(full, tmp_path):
    root = copy(full, tmp_path / "m")
    assert report(root) == root / "report.html"
    first = (root / "report.html").read_bytes()
    assert report(root / FILE).read_bytes() == first
    assert sorted(p.name for p in root.iterdir()) == [FILE, "report.html"]


def test_the_same_manifest_gives_the_same_bytes(full, text):
    with Manifest(full) as manifest:
        assert page(manifest) == text


@pytest.mark.parametrize("shift", [1_000_000_000, -1_000_000_000])
def test_refresh_writes_only_what_is_absent_or_of_another_time_than_the_manifest(full, tmp_path, shift):
    root = copy(full, tmp_path / "m")
    out = refresh(root)
    made = out.stat().st_mtime_ns
    out.write_text("mine")
    os.utime(out, ns=(made, made))
    assert refresh(root).read_text() == "mine"
    os.utime(root / FILE, ns=(made + shift,) * 2)
    assert refresh(root).read_text() != "mine"


def test_a_report_that_fails_leaves_the_one_before(full, tmp_path, monkeypatch):
    root = copy(full, tmp_path / "m")
    before = report(root).read_bytes()

    def fail(manifest):
        raise RuntimeError("no")

    monkeypatch.setattr(report_module, "page", fail)
    with pytest.raises(RuntimeError):
        report(root)
    assert (root / "report.html").read_bytes() == before


def test_without_a_manifest_there_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no manifest here"):
        report(tmp_path)


def test_nothing_is_loaded_and_nothing_can_run(text, dom):
    policy = dom.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["attrs"]["content"]
    assert policy == POLICY
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    head = [e["tag"] for e in dom.elements if e["inside"][-1:] == ["head"]]
    assert head.index("meta") < head.index("style")
    assert not {e["tag"] for e in dom.elements} & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"https?:|url\(|@import|javascript:", text)


def check_hostile(dom: Page) -> None:
    for e in dom.elements:
        assert e["tag"] not in {"script", "img", "b"} or (e["tag"] == "b" and not e["attrs"]), e["tag"]
        for name, value in e["attrs"].items():
            assert not name.startswith("on"), (e["tag"], name)
            assert name not in {"style", "src", "srcdoc"}, name
            assert name not in {"href", "xlink:href"} or value.startswith("#"), value


def test_markup_in_any_text_of_the_manifest_stays_text(full, tmp_path, dom):
    hostile = report(sample_manifest.poison(full, tmp_path / "h")).read_text("utf-8")
    poisoned = Page(hostile)
    check_hostile(poisoned)
    assert len(poisoned.all("style")) == 1
    assert len(poisoned.all("section")) == len(dom.all("section"))
    assert poisoned.text.count("<script>alert(1)</script>") > 50
    assert "\u202e" not in hostile
    assert "\x07" not in hostile


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_survives_escaping_or_is_replaced_character_by_character(value):
    escaped = report_html.esc(value)
    assert not set("<>\"'") & set(escaped)
    escaped.encode("utf-8")
    back = html.unescape(escaped)
    assert len(back) == len(value)
    assert all(a in (b, "\ufffd") for a, b in zip(back, value, strict=True))


def test_elements_escape_children_and_attributes_but_not_each_other():
    inner = report_html.el("i", "<&>", class_='a"b', data_x=None)
    assert inner == '<i class="a&quot;b">&lt;&amp;&gt;</i>'
    assert report_html.el("p", [inner, None, ["x", 1]]) == f"<p>{inner}x1</p>"
    assert report_html.el("br") == "<br>"


def test_tables_and_drawings_say_what_they_are(dom):
    for heading in dom.all("th"):
        assert heading["attrs"].get("scope") in {"row", "col"}
    titles = {id(e["parent"][0]) for e in dom.all("title") if e["parent"]}
    for drawing in dom.all("svg"):
        assert id(drawing) in titles
        assert drawing["attrs"]["role"] == "img"
    for region in dom.all("div", role="region"):
        assert region["attrs"]["aria-label"]
        assert region["attrs"]["tabindex"] == "0"
    assert dom.all("html", lang="en")
    anchors = {e["attrs"]["id"] for e in dom.all("section")}
    assert {e["attrs"]["href"][1:] for e in dom.all("a")} == anchors


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_contrasts_with_its_ground_as_wcag_aa_asks(mode):
    css = Path(report_module.__file__).with_name("report.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w+)", blocks[0] if mode == "light" else blocks[1]))

    def luminance(name):
        digits = colours[name][1:]
        digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    def contrast(a, b):
        low, high = sorted([luminance(a), luminance(b)])
        return (high + 0.05) / (low + 0.05)

    for name in ("ink", "soft", "good", "bad", "open"):
        assert contrast(name, "paper") >= 4.5, name
    assert contrast("soft", "faint") >= 4.5
    for name in ("held", "flagged"):
        assert contrast(name, "paper") >= 3, name
    for n in range(8):
        assert contrast(f"t{min(n, 2)}", f"c{n}") >= 4.5, n


def test_the_funnel_shows_every_step_and_reason_with_its_count(full, dom):
    with Manifest(full) as manifest:
        decisions = manifest.sql("SELECT * FROM decisions")
        rejects = manifest.sql("SELECT * FROM rejects").height
    expected = [["read", "1,771", "1,750", "21"], ["no answer", "", "", str(rejects)]]
    for step in ("1-exact", "2-rules", "3-decontaminate"):
        seen = decisions.filter(pl.col("step") == step)
        dropped = seen.filter(~pl.col("kept"))
        expected.append([step, f"{seen.height:,}", f"{seen.height - dropped.height:,}", str(dropped.height)])
        reasons = dropped["reason"].value_counts().sort(["count", "reason"], descending=[True, False])
        expected += [[reason, "", "", str(n)] for reason, n in reasons.iter_rows()]
    assert [row[:4] for row in dom.section("funnel")[1:]] == expected


def test_more_reasons_than_fit_are_counted_together(tmp_path):
    with Store(tmp_path) as store:
        for n, (name, _, tables) in enumerate(sample_manifest.stages(sample_manifest.EFFECT)):
            if name.startswith("step:"):
                break
            store.commit(sample_manifest.StageRecord(name, "read", name, "{}", n), tables)
        samples = store.query("SELECT sample_id, source FROM store.samples ORDER BY 1")
        kept = [i >= 30 for i in range(samples.height)]
        reasons = [None if k else f"reason {i % 15:02}" for i, k in enumerate(kept)]
        decided = samples.with_columns(pl.Series("kept", kept), pl.Series("reason", reasons), step=pl.lit("1-rules"))
        store.commit(sample_manifest.StageRecord("step:1-rules", "step", "k", "{}", 9), {"decisions": decided})
        store.publish()
    with Manifest(tmp_path) as manifest:
        rows = Page(page(manifest)).section("funnel")
    step = [row[0] for row in rows].index("1-rules")
    assert rows[step][3] == "30"
    assert [row[3] for row in rows[step + 1 :]] == ["2"] * 10 + ["10"]
    assert rows[-1][0] == "5 other reasons"


def numbers(dom: Page, tag: str, attribute: str, classes: str) -> list[float]:
    found = [e for e in dom.all(tag) if (e["attrs"].get("class") or "").startswith(classes)]
    return [float(e["attrs"][attribute].rstrip("%")) for e in found]


def test_dots_and_whiskers_stand_where_the_leaderboard_says(full, dom):
    with Manifest(full) as manifest:
        board = manifest.sql("FROM leaderboard ORDER BY task, metric, mean DESC, blend")
    dots = numbers(dom, "circle", "cx", "dot point")
    ends = list(zip(numbers(dom, "line", "x1", "span point"), numbers(dom, "line", "x2", "span point"), strict=True))
    assert len(dots) == board.height
    for task in ("closed-book", "facts-test"):
        mine = [i for i, row in enumerate(board.iter_rows(named=True)) if row["task"] == task]
        drawn = [dots[i] for i in mine] + [x for i in mine for x in ends[i]]
        values = [board["mean"][i] for i in mine] + [board[e][i] for i in mine for e in ("ci_low", "ci_high")]
        slope, offset = np.polyfit(values, drawn, 1)
        assert slope > 0
        np.testing.assert_allclose(np.array(values) * slope + offset, drawn, atol=0.01)
    assert all(0 < low < dot < high < 100 for (low, high), dot in zip(ends, dots, strict=True))


def test_the_histogram_counts_every_score_once(full, dom):
    with Manifest(full) as manifest:
        values = manifest.sql("SELECT value FROM scores WHERE status = 'ok'")["value"].to_numpy()
    expected, _ = np.histogram(values, bins=40, range=(0, 1))
    chart = dom.all("svg", **{"class": "chart"})[0]
    bars = [e for e in dom.all("rect") if e["parent"][0] is chart]
    heights = np.array([float(e["attrs"]["height"]) for e in bars])
    np.testing.assert_allclose(heights / heights.max(), expected / expected.max(), atol=1e-3)
    assert [e["attrs"]["class"] for e in bars] == ["held"] * 20 + ["flagged"] * 20
    lines = [e for e in dom.all("line", **{"class": "threshold"}) if e["parent"][0] is chart]
    assert [float(e["attrs"]["x1"].rstrip("%")) for e in lines] == [50.0]
    assert "p_error < 0.5 is asked for by filtered-100, filtered-400" in dom.text
    assert f"{len(values)} ok" in dom.text


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("p_error < 0.3 and n_chars > 20", {0.3}),
        ("judge_b<=.25", {0.25}),
        ('"judge_b" >= 1e-2 or not_judge_b > 5', {0.01}),
        ("source = 'p_error < 0.3x'", {0.3}),
        ("n_tokens < 100", set()),
    ],
)
def test_thresholds_come_from_what_recipes_ask_of_a_score(where, expected, tmp_path):
    from manifests.report_pool import _thresholds

    recipe = json.dumps({"where": where})
    row = {"blend": "a@0", "recipe_name": "a", "content_id": "c", "recipe": recipe, "seed": 0}
    blend = pl.DataFrame([row | {"n_rows": 0, "n_samples": 0, "n_tokens": 0}]).with_columns(
        pl.datetime(2026, 1, 1).alias("created_at")
    )
    with Store(tmp_path) as store:
        store.commit(sample_manifest.StageRecord("mix:a@0", "mix", "k", "{}", 0), {"blends": blend})
        store.publish()
    with Manifest(tmp_path) as manifest:
        assert set(_thresholds(manifest, "judge-b", judged=True)) == expected


def test_the_parts_of_a_blend_fill_its_bar(full, dom):
    tables = dom.all("rect")
    widths: dict[int, float] = {}
    for e in tables:
        if (e["attrs"]["class"] or "").startswith("part"):
            key = id(e["parent"][0])
            widths[key] = widths.get(key, 0.0) + float(e["attrs"]["width"].rstrip("%"))
    assert len(widths) == len(sample_manifest.RECIPES)
    assert all(abs(width - 100) < 0.01 for width in widths.values())
    rows = {row[0]: row for row in dom.section("blends")[1:]}
    assert rows["filtered-100"][2:] == ["400", "4,400", "3"]
    assert "facts 25 %, chat-pool 75 %" in rows["filtered-100"][1]


def test_non_commercial_sources_are_named_where_they_are_used(dom):
    sources = {row[0]: row for row in dom.section("sources")}
    assert sources["chat-pool"][5] == "CC-BY-NC-4.0 non-commercial"
    assert sources["facts"][5] == "MIT"
    assert sources["All"][2:5] == ["1,771", "1,750", "21"]
    assert "Blends that hold rows under a non-commercial licence: all-rows-100" in dom.text
    assert "17 more rows left out" in dom.text


def test_strata_that_were_cut_short_say_by_what(dom):
    rows = dom.section("strata")
    assert ["filtered-400", "facts", "supply", "400", "450.0", "400.0", "1", "3"] in rows
    assert len(rows) == 4


def test_runs_and_comparisons_are_listed_with_their_numbers(full, dom):
    assert ["filtered-100@2", "200", "52,100", "17.2", "780", "done"] in dom.section("runs")
    with Manifest(full) as manifest:
        wanted = manifest.sql("FROM comparisons").to_dicts()
    rows = {(row[0], row[3], row[5]) for row in dom.section("comparisons") if row[0] and len(row) == 6}
    for row in wanted:
        p = report_html.p_value(row["p_value"]).removeprefix("=\u00a0")
        name = f"{row['blend_a']} against {row['blend_b']}"
        mark = {"helps": "▲ helps", "hurts": "▼ hurts", "cannot tell": "○ cannot tell"}[row["verdict"]]
        assert (name, p, mark) in rows


def test_a_manifest_at_any_stage_has_a_report_and_five_queries_that_run(full, tmp_path):
    root = copy(full, tmp_path / "m")
    shown = []
    with Store(root) as store:
        for upto in ("compare", "mix", "score", "read"):
            later = sample_manifest.PARTS[sample_manifest.PARTS.index(upto) + 1 :]
            store.retire([stage for stage in dict(store.keys()) if stage.split(":")[0] in later])
            store.publish()
            with Manifest(root) as manifest:
                dom = Page(page(manifest))
                shown.append({e["attrs"]["id"] for e in dom.all("section")})
                found = queries(manifest)
                assert len(found) == 5
                for _, sql in found:
                    manifest.sql(sql)
                    assert sql in dom.all("pre")[0]["text"]
        store.retire(store.keys())
        store.publish()
        with Manifest(root) as manifest:
            empty = Page(page(manifest))
    assert "Nothing has been run yet" in empty.text
    assert shown[0] == {anchor for anchor, _, _ in report_module.SECTIONS} - {"judge"} | {"queries", "not-shown"}
    assert shown[-1] == {"sources", "funnel", "stages", "queries", "not-shown"}
    assert all(later <= earlier for earlier, later in pairwise(shown))


def test_queries_of_a_whole_manifest_all_find_rows(full):
    with Manifest(full) as manifest:
        assert all(manifest.sql(sql).height for _, sql in queries(manifest))


def test_what_is_absent_is_named(full, tmp_path):
    root = copy(full, tmp_path / "m")
    with Store(root) as store:
        store.retire([stage for stage in dict(store.keys()) if stage.split(":")[0] not in {"read", "step"}])
        store.publish()
    text = Page(report(root).read_text("utf-8")).text
    assert "No answer yet" in text
    assert "nothing was recorded for it: leaderboard, comparisons, scores" in text


def judged(tmp_path: Path, rows: list[tuple[object, ...]]) -> Page:
    with Store(tmp_path) as store:
        frame = schema.frame([dict(zip(schema.QUALITY, row, strict=True)) for row in rows], schema.QUALITY)
        store.commit(StageRecord("quality:j", "quality", "k", "{}", 900_000), {"quality": frame})
        store.publish()
    return Page(report(tmp_path).read_text("utf-8"))


def quality(metric, value, low=None, high=None, n=996, note=None, *, scorer="j", on="meta.wrong<b>"):
    return scorer, on, metric, value, low, high, n, note


def test_the_judges_quality_is_shown_with_its_intervals_and_what_it_was_measured_on(tmp_path):
    dom = judged(
        tmp_path,
        [
            quality("auroc", 0.8123, 0.78, 0.84),
            quality("average_precision", 0.5),
            quality("precision", None),
            quality("base_rate", 0.25, n=1030),
            quality("threshold", 0.4),
            quality("cost_tokens_in", 120_000.0),
            quality("baseline_words_auroc", 0.7123),
            quality("baseline_length_auroc", 0.5512),
            quality("gain_auroc", 0.1, 0.06, 0.14, note="against words"),
            quality("prevalence_naive", 0.19, 0.18, 0.2),
            quality("prevalence_ppi", 0.31, 0.27, 0.35, note="lambda 0.5"),
            quality("false_pass_rate", 0.02, 0.0, 0.05, n=40, note="Thought process:", on="probes"),
        ],
    )
    rows = dom.section("judge")
    assert [row for row in rows if row[0] == "auroc"] == [
        ["auroc", "auroc: 0.812 [0.780,\u00a00.840]", "0.812 [0.780,\u00a00.840]"],
        ["auroc", "0.812", "0.551", "0.712"],
    ]
    assert ["Measure", "This one", "length", "words"] in rows
    assert ["average precision", "average precision: 0.500", "0.500"] in rows
    assert "–" in [row[2] for row in rows if row[0] == "precision"]
    assert ["corrected by the labels' mean error", "0.310 [0.270,\u00a00.350]", "lambda 0.5"] in rows
    assert ["false pass rate", "0.020 [0.000,\u00a00.050]", "40", "Thought process:"] in rows
    assert "j. 1,030 rows labelled by meta.wrong<b>: base rate 0.250, threshold 0.400" in dom.text
    assert "tokens in per 1,000 rows 120,000.0" in dom.text
    assert "Ahead of the best of them: auroc 0.100 [0.060,\u00a00.140] against words." in dom.text
    assert "j. Measured on probes." in dom.text


def test_without_measurements_there_is_no_section_on_the_judge(tmp_path):
    assert judged(tmp_path, []).section("judge") == []


def test_beside_the_judges_quality_stands_what_the_filter_did(full, tmp_path):
    root = copy(full, tmp_path / "m")
    with Store(root) as store:
        drop = {"kind": "random_drop", "like": "filtered-100"}
        sql = "UPDATE store.blends SET recipe = ? WHERE recipe_name = 'random-drop-100'"
        store._connection.execute(sql, [json.dumps(drop)])
        store.publish()
    rows = judged(root, [quality("auroc", 0.8)]).section("judge")
    effects = [row for row in rows if row[:2] == ["filtered-100", "random-drop-100"]]
    assert len(effects) > 0
    with Manifest(root) as opened:
        pairs = opened.sql("FROM compare('filtered-100', 'random-drop-100') ORDER BY task, metric").to_dicts()
    for row, pair in zip(effects, pairs, strict=True):
        assert row[2] == f"{pair['task']}, {pair['metric']}"
        assert float(row[3].split()[0].replace("−", "-")) == pytest.approx(pair["difference"], abs=0.005)


def compared(a="x", b="y", difference=0.12, half=0.09, verdict="helps", **more):
    row = {"task": "facts", "metric": "loglik", "blend_a": a, "blend_b": b, "difference": difference}
    row |= {"ci_low": difference - half, "ci_high": difference + half, "p_value": 0.0104, "verdict": verdict}
    return row | {"minimum_detectable": 0.1, "n_examples": 9, "n_seeds": 3} | more


def test_one_comparison_is_one_sentence():
    found = report_answer.answer([compared()], {})
    assert found.lead == "x on facts (loglik): helps against y, +0.12 [0.03,\u00a00.21], p\u00a0=\u00a0.010."
    assert found.points == ()


def test_a_comparison_that_names_the_recipe_second_is_turned_round():
    rows = [compared("control", "kept", verdict="helps"), compared("all", "kept", -0.3, verdict="hurts")]
    found = report_answer.answer(rows, {"control": {"like": "kept"}})
    assert "hurts against control, −0.12 [−0.21,\u00a0−0.03]" in found.lead
    assert "helps against all, +0.30 [0.21,\u00a00.39]" in found.lead


def test_when_nothing_is_decided_it_says_so_with_what_could_have_been_found():
    rows = [compared(verdict="cannot tell"), compared(b="z", verdict="cannot tell", minimum_detectable=0.2)]
    found = report_answer.answer(rows, {})
    assert found.lead.startswith("Cannot tell: none of the 2 comparisons is decided.")
    assert "0.10 to 0.20 on facts (loglik)" in found.lead
    one = report_answer.answer(rows[:1], {})
    assert one.lead.startswith("Cannot tell: the comparison is not decided.")
    assert "0.10 on facts (loglik)" in one.lead


def test_an_undecided_comparison_beside_a_decided_one_says_what_could_have_been_found():
    found = report_answer.answer([compared(), compared(b="z", difference=0.01, verdict="cannot tell")], {})
    assert "helps against y" in found.lead
    assert found.lead.endswith(
        "cannot tell against z, +0.01 [−0.08,\u00a00.10], p\u00a0=\u00a0.010 (smallest detectable: 0.10)."
    )


def test_recipes_are_set_against_those_with_as_many_specialist_rows():
    budgets = {"x": {"specialist_rows": 100}, "y": {"specialist_rows": 400}, "z": {"specialist_rows": 100}}
    found = report_answer.answer([compared(b="y"), compared(b="z")], budgets)
    assert "against z" in found.lead
    assert "against y" not in found.lead
    alone = report_answer.answer([compared(b="y")], budgets)
    assert "against y" in alone.lead


def test_long_answers_are_cut_and_say_so():
    rows = [compared(a=f"r{i}", b=f"s{j}", task=f"t{i}") for i in range(12) for j in range(6)]
    found = report_answer.answer(rows, {})
    assert found.lead == "All 72 comparisons are decided."
    assert len(found.points) == report_answer.MOST_POINTS
    assert found.left_out == 4
    assert all(point.endswith("2 more in the table.") for point in found.points)


def test_missing_numbers_are_said_to_be_missing():
    row = compared(verdict="cannot tell") | dict.fromkeys(
        ["difference", "ci_low", "ci_high", "p_value", "minimum_detectable"]
    )
    found = report_answer.answer([row, row | {"blend_b": "z"}], {})
    assert found.lead == "Cannot tell: none of the 2 comparisons is decided."
    assert "against y, –, p\u00a0not known" in found.points[0]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: report_html.p_value(0.0104), "=\u00a0.010"),
        (lambda: report_html.p_value(0.2), "=\u00a0.20"),
        (lambda: report_html.p_value(0.0001), "<\u00a0.001"),
        (lambda: report_html.p_value(1.0), ">\u00a0.99"),
        (lambda: report_html.number(-0.004, 2, sign=True), "0.00"),
        (lambda: report_html.number(-1234.5, 1), "−1,234.5"),
        (lambda: report_html.number(None, 2), "–"),
        (lambda: report_html.percent(0.9996), "> 99.9 %"),
        (lambda: report_html.percent(0.0996), "10 %"),
        (lambda: report_html.percent(0.0994), "9.9 %"),
        (lambda: report_html.percent(1.0), "100 %"),
        (lambda: report_html.percent(0.0), "0 %"),
        (lambda: report_html.duration(59.6), "60 s"),
        (lambda: report_html.duration(0.04), "0.0 s"),
        (lambda: report_html.duration(12_000), "3 h 20 min"),
        (lambda: report_html.decimals(0.09), 2),
        (lambda: report_html.decimals(0.012), 3),
        (lambda: report_html.decimals(30), 0),
        (lambda: report_html.decimals(2.6), 1),
        (lambda: report_html.decimals(None), 3),
        (lambda: report_html.plural(1, "seed"), "1 seed"),
        (lambda: report_html.plural(2, "entry", "entries"), "2 entries"),
        (lambda: report_html.cut("abcdef", 4), "abc…"),
    ],
)
def test_numbers_are_written_as_in_a_paper(call, expected):
    assert call() == expected


@given(st.lists(finite, min_size=1, max_size=20))
def test_a_scale_holds_all_values_between_round_ticks(values):
    on = report_plots.scale(values)
    assert 2 <= len(on.ticks) <= 9
    room = (on.high - on.low) * 1e-6
    for value in values:
        assert on.low - room <= value <= on.high + room
        assert 2.9 <= on.x(value) <= 97.1
    gaps = np.diff(on.ticks)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-3)
    written = [float(report_html.number(t, on.digits).replace("−", "-").replace(",", "")) for t in on.ticks]
    assert len(set(written)) == len(written)


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium, which is no dependency")
def test_a_browser_loads_it_without_a_complaint(full, tmp_path):
    root = sample_manifest.poison(full, tmp_path / "h")
    out = report(root)
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", out.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    assert "</section>" in done.stdout
    check_hostile(Page(done.stdout.replace('<a name="', '<a id="')))

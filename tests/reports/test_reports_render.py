"""What every renderer promises, whatever the scorecard says."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from reports_samples import EVERY_CARD, HOSTILE_CARD, PASSED, many_flips
from reports_strategies import scorecards

from proveout.gates.scorecard import GateResult, Scorecard
from proveout.reports import RENDERERS, ReportError, comment_marker, render, write_report

QUICKLY = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
VOID = {"meta", "link", "br", "input", "img", "hr"}


class Balance(HTMLParser):
    """Fails on a tag that is closed out of order or never, and collects all tags with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@QUICKLY
@given(scorecards())
def test_every_scorecard_can_be_rendered_and_encoded(card: Scorecard) -> None:
    for kind in ("terminal", "html", "markdown", "junit"):
        text = render(card, kind)
        assert "\x1b" not in text, "no colour where nobody looks, and no escape sequence of a model"
        assert "\x00" not in text
        text.encode()


@QUICKLY
@given(scorecards())
def test_every_page_is_balanced_and_every_picture_is_xml(card: Scorecard) -> None:
    page = render(card, "html")
    Balance(page)
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert ElementTree.fromstring(picture).get("aria-label") is not None
        assert "nan" not in re.sub(r'aria-label="[^"]*"|<title>.*?</title>|>[^<]*<', "", picture)


@QUICKLY
@given(scorecards())
def test_every_suite_is_valid_junit(card: Scorecard) -> None:
    check_junit(render(card, "junit"))


@QUICKLY
@given(scorecards(broken=False))
def test_json_is_the_scorecard_itself_and_reads_back(card: Scorecard) -> None:
    assert render(card, "json").encode() == card.to_json()
    assert Scorecard.from_json(render(card, "json").encode()) == card


@pytest.mark.parametrize("name", EVERY_CARD)
@pytest.mark.parametrize("kind", ["terminal", "html", "markdown", "junit"])
def test_a_report_is_the_same_every_time(name: str, kind: str) -> None:
    assert render(EVERY_CARD[name], kind) == render(EVERY_CARD[name], kind)


def test_an_unknown_kind_is_named_with_those_that_exist() -> None:
    with pytest.raises(
        ReportError, match=r"no report of kind 'pdf'; write one of terminal, html, markdown, json, junit"
    ):
        render(PASSED, "pdf")


def test_json_keeps_the_contract_of_its_schema() -> None:
    card = json.loads(render(PASSED, "json"))
    assert card["schema"] == "proveout.scorecard/v1"
    assert set(card["gates"][0]) >= {
        "objective",
        "metric",
        "claim",
        "margin",
        "champion",
        "difference",
        "p_value",
        "needs",
    }
    assert card["gates"][0]["champion"] == {"value": 0.8375, "low": 0.8018, "high": 0.8694, "n": 480}


# JUnit: https://github.com/windyroad/JUnit-Schema and Jenkins' junit-10.xsd agree on these rules.


def check_junit(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text.encode())
    assert root.tag == "testsuites"
    for suite in root:
        needed = {"name", "timestamp", "hostname", "tests", "failures", "errors", "time", "package", "id"}
        assert set(suite.attrib) == needed
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
        order = [child.tag for child in suite]
        cases = suite.findall("testcase")
        assert order == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))
        assert float(suite.attrib["time"]) >= 0
        for entry in suite.findall("properties/property"):
            assert set(entry.attrib) == {"name", "value"}
        for case in cases:
            assert set(case.attrib) == {"name", "classname", "time"}
            assert len(case) <= 1
            for outcome in case:
                assert set(outcome.attrib) == {"type", "message"}
    return root


@pytest.mark.parametrize(
    ("name", "failures", "errors"),
    [("pass", 0, 0), ("fail", 1, 0), ("inconclusive", 1, 0), ("error", 0, 1), ("class", 1, 0)],
)
def test_only_a_pass_is_green(name: str, failures: int, errors: int) -> None:
    suite = check_junit(render(EVERY_CARD[name], "junit"))[0]
    assert (suite.get("failures"), suite.get("errors")) == (str(failures), str(errors))


def test_an_inconclusive_gate_says_what_it_needs() -> None:
    suite = check_junit(render(EVERY_CARD["inconclusive"], "junit"))[0]
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "inconclusive"
    assert "About 1,510 examples in all would decide" in (failure.text or "")


def test_a_scorecard_without_gates_is_not_green() -> None:
    suite = check_junit(render(msgspec.structs.replace(PASSED, gates=(), decision="error"), "junit"))[0]
    assert suite.get("errors") == "1"


def test_properties_carry_the_unrounded_figures() -> None:
    suite = check_junit(render(PASSED, "junit"))[0]
    found = {entry.get("name"): entry.get("value") for entry in suite.findall("properties/property")}
    assert found["accuracy.exact_match.difference"] == "0.0646"
    assert found["accuracy.exact_match.p_value"] == "8e-05"
    assert found["stability.agreement.champion.n"] == "120"


# HTML


@pytest.mark.parametrize("name", EVERY_CARD)
def test_the_page_asks_for_nothing_and_runs_only_its_own_script(name: str) -> None:
    tags = Balance(render(EVERY_CARD[name], "html")).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert not {tag for tag, _ in tags} & {"img", "iframe", "object", "embed", "form", "base", "audio", "video"}
    for tag, attributes in tags:
        assert not [key for key in attributes if key.startswith("on") or key in ("style", "src", "srcset", "action")], (
            tag
        )
        href = attributes.get("href")
        assert href is None or href == "data:," or href.startswith("#gate-")
    policy = next(a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "*" not in policy


def test_two_hundred_long_flips_fit_in_a_megabyte() -> None:
    page = render(many_flips(200, 20_000), "html")
    assert len(page.encode()) <= 1_000_000
    assert page.count('<article class="flip') == 200
    assert "(cut here; 20,000 characters in all)" in page


def test_flips_that_do_not_fit_are_counted() -> None:
    page = render(many_flips(1000, 4_000), "html")
    shown = page.count('<article class="flip')
    assert shown < 1000
    assert f"{1000 - shown:,} more flips not shown" in page


def test_differences_between_the_answers_are_marked() -> None:
    page = render(PASSED, "html")
    assert "about <mark>a</mark> <mark>refund</mark>, so" in page
    assert "about <mark>two</mark> <mark>charges</mark>, so" in page


def test_every_gate_has_a_picture_that_says_what_it_shows() -> None:
    page = render(EVERY_CARD["class"], "html")
    labels = re.findall(r'role="img" aria-label="([^"]*)"', page)
    assert (
        "Difference +8.3%, 95% interval +2.1 to +14.7%. The claim holds below +10.0%. Verdict: inconclusive." in labels
    )
    assert "champion base: 412 ms (395–433 ms, n = 1,200). challenger haiku: 446 ms (421–474 ms, n = 1,200)." in labels


def test_colours_have_the_contrast_that_wcag_asks_for() -> None:
    style = re.search(r"<style>(.*?)</style>", render(PASSED, "html"), re.DOTALL)
    assert style is not None
    blocks = re.findall(r":root \{(.*?)\}", style[1], re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        colour = dict(re.findall(r"--([\w-]+): (#\w+)", block))
        pairs = [
            ("ink", "page"),
            ("ink", "card"),
            ("soft", "page"),
            ("soft", "card"),
            ("soft", "faint"),
            ("mark-ink", "mark"),
        ]
        pairs += [
            (tone, ground) for tone in ("pass", "fail", "inconclusive", "error") for ground in ("card", f"{tone}-bg")
        ]
        for text, ground in pairs:
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[index : index + 2], 16) / 255 for index in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Markdown


def as_html(markdown: str) -> str:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


def test_the_comment_starts_with_its_marker() -> None:
    text = render(PASSED, "markdown")
    assert text.startswith("<!-- proveout:triage/tuned/dev -->\n")
    assert text.startswith(comment_marker(PASSED))


def test_a_marker_can_not_be_closed_or_forged_by_a_name() -> None:
    marker = comment_marker(msgspec.structs.replace(PASSED, service="a/b --> <b>", change="x--y"))
    assert marker == "<!-- proveout:a%2Fb%20-%2D%3E%20%3Cb%3E/x-%2Dy/dev -->"


def test_model_output_in_a_comment_stays_text() -> None:
    page = as_html(render(HOSTILE_CARD, "markdown"))
    tags = {tag for tag, _ in Balance(page).tags}
    ours = "h3 p blockquote table thead tbody tr th td strong code br sub ul li details summary pre em i"
    assert tags <= {*ours.split(" ")}
    prose = re.sub(r"<(code|pre)>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"@\w|#\d|https?://|(?<!&)\bwww\.", re.sub(r"&\w+;|&#\d+;", "", prose))


def test_a_hostile_name_does_not_break_the_table() -> None:
    page = as_html(render(HOSTILE_CARD, "markdown"))
    for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL):
        assert len(re.findall(r"<t[hd]", row)) in (4, 5, 6, 7)


@pytest.mark.parametrize("size", [100, 20_000, 200_000])
def test_a_comment_stays_under_githubs_limit_and_tells_what_is_missing(size: int) -> None:
    text = render(many_flips(200, size), "markdown")
    assert len(text.encode()) <= 60_000
    assert "200 worse and 200 better, " in text
    Balance(as_html(text))


def test_hundreds_of_gates_are_cut_with_a_count() -> None:
    gates: tuple[GateResult, ...] = HOSTILE_CARD.gates * 300
    text = render(msgspec.structs.replace(HOSTILE_CARD, gates=gates), "markdown")
    assert len(text.encode()) <= 60_000
    assert re.search(r"_and \d+ more gates_", text)
    Balance(as_html(text))


# Files


@pytest.mark.parametrize("kind", RENDERERS)
def test_a_written_report_is_what_was_rendered(kind: str, tmp_path: Path) -> None:
    write_report(PASSED, kind, tmp_path / "card")
    assert (tmp_path / "card").read_text() == render(PASSED, kind)
    assert [path.name for path in tmp_path.iterdir()] == ["card"]


def test_a_file_that_is_there_keeps_its_mode_and_a_link_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    os.chmod(tmp_path / "real", 0o640)
    (tmp_path / "link").symlink_to("real")
    write_report(PASSED, "json", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == render(PASSED, "json")
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


def test_a_missing_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"missing/card.html can't be written: .*create it first: mkdir -p .*missing"):
        write_report(PASSED, "html", tmp_path / "missing" / "card.html")


def test_a_folder_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="it is a folder; name a file in it"):
        write_report(PASSED, "html", tmp_path)


def test_a_failed_write_leaves_the_old_report_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "card.json").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match=r"card.json can't be written: the disk is full"):
        write_report(PASSED, "json", tmp_path / "card.json")
    assert (tmp_path / "card.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_an_error_and_is_not_replaced() -> None:
    with pytest.raises(ReportError, match="/dev/full can't be written: the disk is full"):
        write_report(PASSED, "json", "/dev/full")
    assert Path("/dev/full").is_char_device()


def test_the_package_and_the_terminal_report_load_no_heavy_library() -> None:
    heavy = ("numpy", "jinja2", "sqlalchemy", "pydantic")
    code = f"""
import sys
import proveout.reports
assert "rich" not in sys.modules
proveout.reports.render, proveout.reports.plan_in_words, proveout.reports.progress_display
print([name for name in {heavy} if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

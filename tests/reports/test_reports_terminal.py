"""The scorecard on a terminal and as a comment: what people read, word for word, and what a terminal must never get."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import msgspec
import pytest
from reports_samples import EVERY_CARD, FLIPS, PASSED, UNDECIDED
from rich.cells import cell_len

from proveout.reports import render
from proveout.reports.plain import encodable
from proveout.reports.strips import strip

GOLDEN = Path(__file__).parent / "golden"


class Terminal(io.StringIO):
    """A standard output that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize("name", ["pass", "fail", "inconclusive", "error", "class"])
@pytest.mark.parametrize(("kind", "ending"), [("terminal", "txt"), ("markdown", "md")])
def test_a_reader_sees_exactly_this(name: str, kind: str, ending: str) -> None:
    """To accept a change: `python tests/reports/test_reports_terminal.py`, then read the difference in git."""
    assert render(EVERY_CARD[name], kind) == (GOLDEN / f"{name}.{ending}").read_text()


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
@pytest.mark.parametrize("name", EVERY_CARD)
def test_no_line_is_wider_than_the_terminal(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(cell_len(line) for line in render(EVERY_CARD[name], "terminal").splitlines()) <= columns


def test_a_narrow_terminal_shows_every_verdict_and_difference_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = render(EVERY_CARD["class"], "terminal")
    assert all(f" {verdict}\n" in text for verdict in ("✓ pass", "? inconclusive"))
    assert all(whole in text for whole in (" Difference\n", "−68.2%\n", "−0.4\n", "+0.2 points\n"))


def test_wide_characters_keep_within_the_terminal() -> None:
    flips = (
        msgspec.structs.replace(FLIPS[0], input="漢字かな交じり文" * 30, champion="👩‍👩‍👧‍👦" * 40, expected="é" * 90),
    )
    slices = tuple(msgspec.structs.replace(part, tag="支払いと返金の問い合わせ") for part in PASSED.slices)
    text = render(msgspec.structs.replace(PASSED, flips=flips, slices=slices), "terminal")
    assert max(cell_len(line) for line in text.splitlines()) <= 80


def test_the_decision_comes_first() -> None:
    for name, words in (
        ("pass", "✓ PASS"),
        ("fail", "✗ FAIL"),
        ("inconclusive", "? INCONCLUSIVE"),
        ("error", "! COULD NOT"),
    ):
        assert render(EVERY_CARD[name], "terminal").strip().startswith(words)


def test_an_undecided_gate_says_what_would_decide_it_once() -> None:
    text = " ".join(render(UNDECIDED, "terminal").split())
    assert "About 1,510 examples in all would decide" in text
    assert " ".join(render(EVERY_CARD["class"], "terminal").split()).count("9,400") == 1, "its reason says so already"


def test_a_wide_terminal_also_draws_the_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "●" not in render(PASSED, "terminal")
    monkeypatch.setenv("COLUMNS", "140")
    assert "●" in render(PASSED, "terminal")


def test_colour_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in render(PASSED, "terminal")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert "\x1b[" in render(PASSED, "terminal")
    assert ";32m" in render(PASSED, "terminal")
    monkeypatch.setenv("NO_COLOR", "1")
    assert ";32m" not in render(PASSED, "terminal")
    monkeypatch.setenv("TERM", "dumb")
    assert ";32m" not in render(PASSED, "terminal")


def test_escape_sequences_of_a_model_never_reach_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    text = render(EVERY_CARD["hostile"], "terminal")
    assert "\x1b[31mred" not in text
    assert "\x1b]" not in text
    assert not set(text) & set("\x00\x07\x9b\u202e\u2066\u200b\ud800")
    assert "[bold]not[/bold]" in text, "no markup of ours is read in what a model said"


def test_a_closed_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert "PASS" in render(PASSED, "terminal")


def test_an_output_without_unicode_gets_plain_characters() -> None:
    text = encodable("✓ −2 points … 漢 ●", "ascii")
    assert text == "+ -2 points ... ? o"
    assert encodable("✓ é", "latin-1") == "+ é"
    assert encodable("“82–97” ≤ 2×", "no such encoding") == '"82-97" <= 2x'
    assert encodable("✓", "utf-8") == "✓"


def test_the_strip_shows_interval_zero_and_margin() -> None:
    assert strip((0.5, 0.25, 0.75), -0.25, 17) == "┊   │   ├───●───┤"
    assert strip((0.0, -1.0, 1.0), 0.0, 9) == "├───●───┤"
    assert strip(None, 0.0, 9) == strip((0.0, 0.0, 0.0), 0.0, 9) == strip((0.0, -1e308, 1e308), 0.0, 9) == ""


if __name__ == "__main__":
    for name in ("pass", "fail", "inconclusive", "error", "class"):
        for kind, ending in (("terminal", "txt"), ("markdown", "md")):
            (GOLDEN / f"{name}.{ending}").write_text(render(EVERY_CARD[name], kind))

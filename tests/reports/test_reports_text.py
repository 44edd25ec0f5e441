"""Text made safe to look at."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st
from reports_samples import HOSTILE

from proveout.reports.changes import changes
from proveout.reports.text import clip, clip_told, listed, one_line, phrase, visible

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200)


def test_what_steers_or_hides_becomes_visible() -> None:
    assert visible("a\x00b\x1b[31m\x9b2J") == "a␀b␛[31m�2J"
    assert visible("user\u202etxt.exe") == "user[U+202E]txt.exe"
    assert visible("same\u200bword \U000e0041") == "same[U+200B]word [U+E0041]"
    assert visible("\ud800 \ufffe") == "� �"


def test_lines_tabs_and_other_scripts_stay() -> None:
    text = "1\t2\nשלום 漢字 👩‍👩‍👧 é"
    assert visible(text) == text
    assert visible("a\r\nb\rc\u2028d") == "a\nb\nc\nd"


@given(ANY_TEXT)
def test_visible_text_encodes_and_is_valid_xml(text: str) -> None:
    shown = visible(text)
    element = ElementTree.Element("x")
    element.text = shown
    assert ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8")).text in (shown, None)
    assert "\x1b" not in shown
    assert visible(shown) == shown


def test_clipping_is_told() -> None:
    assert clip("abcdef", 4) == "abc…"
    assert clip_told("x" * 5000, 10) == "xxxxxxxxxx… (cut here; 5,000 characters in all)"
    assert clip("abc", 3) == clip_told("abc", 3) == "abc"
    assert len(phrase("x" * 10_000_000, 20)) == 20
    assert one_line(" a\n\tb ") == "a b"


def test_lists_read_like_speech() -> None:
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")


def test_only_the_differing_words_are_marked() -> None:
    champion, challenger = changes("about a refund, so: refund", "about two charges, so: charge")
    assert [piece.text for piece in champion if piece.changed] == ["a", "refund", "refund"]
    assert [piece.text for piece in challenger if piece.changed] == ["two", "charges", "charge"]


def test_equal_answers_have_no_mark() -> None:
    assert all(not piece.changed for side in changes(HOSTILE, HOSTILE) for piece in side)


@given(ANY_TEXT, ANY_TEXT)
def test_marked_pieces_join_to_the_text(first: str, second: str) -> None:
    one, other = changes(first, second)
    assert "".join(piece.text for piece in one) == first
    assert "".join(piece.text for piece in other) == second


def test_long_answers_without_likeness_are_compared_quickly() -> None:
    one, other = changes("a b " * 5000, "b c " * 5000)
    assert [piece.changed for piece in one][:1] == [True]
    assert len(other) <= 3

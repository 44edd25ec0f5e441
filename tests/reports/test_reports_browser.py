"""The page in a real browser: no complaint, no request, something to see, and filters that filter."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import reports_browser
from reports_samples import EVERY_CARD, many_flips

from proveout.reports import write_report

pytestmark = [
    pytest.mark.skipif(reports_browser.CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def page() -> Iterator[reports_browser.Browser]:
    with reports_browser.browser() as browser:
        yield browser


@pytest.fixture
def card(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_report(EVERY_CARD[request.param], "html", tmp_path / "card.html")
    return tmp_path / "card.html"


def every_card(test):
    return pytest.mark.parametrize("card", list(EVERY_CARD), indirect=True)(test)


@every_card
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (400, False)])
def test_the_page_opens_in_peace_and_fits(page: reports_browser.Browser, card: Path, width: int, dark: bool) -> None:
    page.open(card, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    picture = page.picture(whole=False)
    assert page.complaints == []
    assert page.requests == [card.as_uri()]
    assert distinct_rows(picture) > 200


def test_a_page_with_a_fault_would_be_noticed(page: reports_browser.Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>console.error('oh'); boom()</script>"
    )
    page.open(tmp_path / "bad.html")
    assert len(page.complaints) >= 2
    assert len(page.requests) == 2
    assert distinct_rows(page.picture(whole=False)) < 40


def test_light_and_dark_look_different(page: reports_browser.Browser, tmp_path: Path) -> None:
    write_report(EVERY_CARD["pass"], "html", tmp_path / "card.html")
    grounds = []
    for dark in (False, True):
        page.open(tmp_path / "card.html", dark=dark)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(247, 246, 243)", "rgb(19, 19, 17)"]


def test_flips_are_filtered_by_direction_and_by_words(page: reports_browser.Browser, tmp_path: Path) -> None:
    write_report(EVERY_CARD["pass"], "html", tmp_path / "card.html")
    page.open(tmp_path / "card.html")
    shown = (
        "[...document.querySelectorAll('.flip')].filter(flip => flip.offsetHeight).map(flip => flip.dataset.direction)"
    )
    assert page.evaluate(shown) == ["worse", "better"]
    page.evaluate("document.querySelector('button[value=better]').click()")
    assert page.evaluate(shown) == ["better"]
    assert page.evaluate("document.querySelector('button[value=better]').ariaPressed") == "true"
    page.evaluate("document.querySelector('button[value=all]').click()")
    page.evaluate("document.querySelector('input').value = 'TWO WEEKS'")
    page.evaluate("document.querySelector('input').dispatchEvent(new Event('input'))")
    assert page.evaluate(shown) == ["worse"]
    assert page.evaluate("document.querySelector('output').textContent") == "1 of 2 shown"
    assert page.complaints == []


def test_many_flips_are_shown_in_portions_and_all_on_paper(page: reports_browser.Browser, tmp_path: Path) -> None:
    write_report(many_flips(60, 100), "html", tmp_path / "card.html")
    page.open(tmp_path / "card.html")
    shown = "[...document.querySelectorAll('.flip')].filter(flip => flip.offsetHeight).length"
    assert page.evaluate(shown) == 24
    assert page.evaluate("document.getElementById('flips-more').textContent") == "Show 36 more"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(shown) == 60
    assert page.evaluate("document.getElementById('flips-more').offsetHeight") == 0


def test_nothing_that_a_model_wrote_runs(page: reports_browser.Browser, tmp_path: Path) -> None:
    write_report(EVERY_CARD["hostile"], "html", tmp_path / "card.html")
    page.open(tmp_path / "card.html")
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.images.length") == 0
    text = page.evaluate("document.querySelector('.flip dd').textContent")
    assert text.startswith("<script>alert(1)</script><img src=x onerror=alert(2)>")
    assert "[U+202E]evil" in text


def test_the_page_works_without_script(page: reports_browser.Browser, tmp_path: Path) -> None:
    write_report(EVERY_CARD["pass"], "html", tmp_path / "card.html")
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(tmp_path / "card.html")
        assert page.evaluate("document.getElementById('flips-controls').offsetHeight") == 0
        assert page.evaluate("[...document.querySelectorAll('.flip')].filter(flip => flip.offsetHeight).length") == 2
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_two_hundred_flips_open_and_print(page: reports_browser.Browser, tmp_path: Path) -> None:
    write_report(many_flips(200, 2000), "html", tmp_path / "card.html")
    page.open(tmp_path / "card.html")
    assert page.evaluate("document.querySelectorAll('.flip').length") == 200
    assert page.complaints == []
    assert page.printed().startswith(b"%PDF")


def distinct_rows(png: bytes) -> int:
    """How many different rows of pixels a picture has (as filtered): a blank one has one or two."""
    data, place, width = b"", 8, 0
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        body = png[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, _, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8
            stride = 1 + width * {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            data += body
        place += 12 + length
    pixels = zlib.decompress(data)
    return len({pixels[start : start + stride] for start in range(0, len(pixels), stride)})

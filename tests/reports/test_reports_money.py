"""Money in every report: the month, where bills go, machines of one's own, and the prices behind it all."""

from __future__ import annotations

import re

import msgspec
import pytest
from reports_money import MONTH, OWN, STAIRS
from reports_samples import EVERY_CARD, HOSTED_CARD, PASSED
from test_reports_render import contrast

from proveout.gates.scorecard import Payback, Scorecard, Spread
from proveout.reports import money, render

CARD = EVERY_CARD["class"]


def plain(card: Scorecard, kind: str) -> str:
    """A report's text as a reader sees it, on one line."""
    text = re.sub(r"&#(\d+);", lambda match: chr(int(match[1])), render(card, kind))
    return " ".join(text.replace("&gt;", ">").replace("&#39;", "'").split())


@pytest.mark.parametrize("kind", ["terminal", "html", "markdown"])
def test_every_report_tells_the_month_the_waste_and_the_prices(kind: str) -> None:
    text = plain(CARD, kind)
    for told in (
        "At 3,000,000 requests a month the bill changes by −$8,350 (−$10,710 to −$6,540 in 90% of simulated months)",
        "It saves with probability >99.9%.",
        "Making the change takes $3,600, paid back after 0.4 months (0.3 to 0.6 months)",
        "Economic score 98 of 100",
        "Up to 38.7% of base's bill and 26.0% of haiku's bill could be saved.",
        "needless reasoning",
        "$2,497",
        "Prices of 2026-11-24, from prices.yaml (newest from 2026-01-31, content b231cfa69519).",
    ):
        assert told in text, told


@pytest.mark.parametrize("kind", ["terminal", "html", "markdown"])
def test_machines_of_ones_own_are_told_with_their_break_even(kind: str) -> None:
    text = plain(HOSTED_CARD, kind)
    assert "one replica on h100-x1 serves 1.9 requests/s within its SLOs (1.7 to 2.2); load test of 2026-11-20" in text
    assert "takes 3 replicas, 1 of them spare, 20.0% busy on average: $5,475 a month, $0.00183 a request" in text
    assert "haiku is cheaper than base from 885,923 requests a month on. Replicas must be 8.9% busy" in text
    assert "From 480 answers of base; each bill adds up to 100%; machines that are paid by the hour" in text


def test_a_build_server_gets_the_figures_unrounded() -> None:
    page = render(CARD, "junit")
    assert '<property name="impact.p50" value="-8350.0" />' in page
    assert '<property name="impact.payback.months" value="0.43" />' in page
    assert "content b231cfa69519" in page


def test_a_card_without_money_says_nothing_of_it() -> None:
    for kind in ("terminal", "html", "markdown"):
        assert not {"The month", "Where the money goes", "Machines of your own"} & set(
            re.findall(r"The month|Where the money goes|Machines of your own", render(PASSED, kind))
        )


@pytest.mark.parametrize(
    ("payback", "told"),
    [
        (None, ""),
        (Payback(usd=900, months=None, soonest=None, latest=None, within=12, in_time=0.0), "does not pay back"),
        (
            Payback(usd=900, months=7.0, soonest=3.25, latest=None, within=12, in_time=0.71),
            "paid back after 7 months (3.2 months to never); within 12 months with probability 71.0%",
        ),
        (
            Payback(usd=900, months=1.0, soonest=0.5, latest=2.0, within=1, in_time=0.5),
            "after 1 month (0.5 to 2 months)",
        ),
    ],
)
def test_a_payback_in_words(payback: Payback | None, told: str) -> None:
    assert told in money.payback_in_words(payback)


def test_the_worth_of_right_answers_is_told_where_it_is_declared() -> None:
    valued = msgspec.structs.replace(MONTH, usd_per_success=0.02, value=Spread(p5=100, p50=200, p95=300))
    assert money.value_in_words(valued) == (
        "With $0.02 for each more right answer a month gains +$200.00 in all (+$100.00 to +$300.00)."
    )
    assert money.value_in_words(MONTH) == ""


def test_after_ten_thousand_months_nothing_is_certain() -> None:
    assert [money.chance(share) for share in (0.0, 0.0004, 0.4, 1.0)] == ["<0.1%", "<0.1%", "40.0%", ">99.9%"]


def test_without_traffic_money_is_per_thousand_answers() -> None:
    card = msgspec.structs.replace(CARD, impact=None)
    line = money.waste_lines(card)[0]
    assert money.waste_unit(card) == "per 1,000 answers"
    assert line.usd[0] == pytest.approx(61.3 / 50 / 480 * 1000)
    assert "per 1,000 answers" in plain(card, "html")


def test_own_machines_that_never_pay() -> None:
    never = msgspec.structs.replace(STAIRS, first=None, always=None, needed_utilisation=1.7)
    told = money.break_even_in_words(never)
    assert told.startswith("haiku is at no volume up to 11,983,680 requests a month cheaper than base.")
    assert "Even fully busy replicas cost more than base's $0.00412 a request." in told
    first = msgspec.structs.replace(STAIRS, always=2_000_000)
    assert "first gets cheaper than base at 885,923 requests a month, and always from 2,000,000" in (
        money.break_even_in_words(first)
    )


def pictures(card: Scorecard) -> list[str]:
    return re.findall(r'role="img" aria-label="([^"]*)"', render(card, "html"))


def test_pictures_say_what_they_show() -> None:
    labels = " ".join(pictures(HOSTED_CARD))
    assert "Simulated months: the bill changes by −$8,350 in the middle" in labels
    assert "each varying alone: traffic −$10,690 to −$6,560 (97%)" in labels
    assert "Where both bills go. base: useful 61.3%, JSON syntax 4.1%" in labels
    assert "Dollars a month by requests: haiku in steps, base in a line" in labels


def test_months_that_save_and_months_that_cost_look_different() -> None:
    mixed = msgspec.structs.replace(MONTH, edges=(-20.0, -10.0, 0.0, 10.0), counts=(1, 2, 1), p5=-15, p50=-5, p95=5)
    page = render(msgspec.structs.replace(CARD, impact=mixed), "html")
    assert page.count('class="bin better"') == page.count('class="bin worse"') == 1
    assert re.search(r'class="bin worse" d="M[^"]+"', page)


def test_a_month_without_doubt_needs_no_picture() -> None:
    certain = msgspec.structs.replace(MONTH, p5=-500, p50=-500, p95=-500, edges=(), counts=(), drivers=())
    text = plain(msgspec.structs.replace(CARD, impact=certain), "html")
    assert "Nothing was declared or measured that could change the month." in text


def test_a_bill_that_stays_is_told_so() -> None:
    same = msgspec.structs.replace(MONTH, p5=0.0, p50=0.0, p95=0.0)
    assert money.bill_in_words(same) == "At 3,000,000 requests a month the bill stays what it is today, $12,360."


def test_one_replica_on_several_machines() -> None:
    own = msgspec.structs.replace(OWN, machines=4, spare=0, replicas=1, usd_per_million_tokens=None)
    assert "one replica of 4 machines on h100-x1" in money.hosted_in_words(own)
    assert "takes 1 replica, 20.0% busy" in money.hosted_in_words(own)


def test_figures_inside_a_bar_have_the_contrast_that_wcag_asks_for() -> None:
    colours = re.findall(r"\.use-\w+ \{ --use: (#\w{6})", render(CARD, "html"))
    assert len(colours) == len(money.USES) + 1
    for colour in colours:
        assert contrast("#ffffff", colour) >= 4.5, colour

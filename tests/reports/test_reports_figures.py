"""How figures are written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports_samples import difference, figure, gate

from proveout.gates.scorecard import Measure
from proveout.reports import figures
from proveout.reports.figures import Scale, gate_scale, measure_scale

SHARE, SECONDS, USD, PLAIN = Scale("share"), Scale("seconds"), Scale("usd"), Scale("plain")
RELATIVE = Scale("seconds", relative=True)


@pytest.mark.parametrize(
    ("scale", "value", "written"),
    [
        (SHARE, 0.5632, "56.3%"),
        (SHARE, 0.0, "0%"),
        (SHARE, 1.0, "100%"),
        (SHARE, 0.9999, "99.990%"),
        (SHARE, 0.00042, "0.042%"),
        (SECONDS, 0.4119, "412 ms"),
        (SECONDS, 0.0412, "41.2 ms"),
        (SECONDS, 1.2344, "1.23 s"),
        (SECONDS, 0.0, "0 ms"),
        (USD, 0.00412, "$0.00412"),
        (USD, 0.84, "$0.84"),
        (USD, 12.5, "$12.50"),
        (USD, 12345.6, "$12,346"),
        (USD, 0.0, "$0"),
        (PLAIN, 31.4159, "31.42"),
        (PLAIN, 0.8, "0.8"),
        (Scale("plain", unit="requests/s"), 12.71, "12.71 requests/s"),
        (SHARE, None, "not measured"),
        (SHARE, math.nan, "not measured"),
        (SECONDS, math.inf, "not measured"),
    ],
)
def test_a_value_is_written_in_its_unit_with_sensible_digits(scale: Scale, value: float, written: str) -> None:
    assert scale.value(value) == written


@pytest.mark.parametrize(
    ("scale", "value", "written"),
    [
        (SHARE, 0.2153, "+21.5 points"),
        (SHARE, -0.01, "−1.0 point"),
        (SHARE, 0.0, "0 points"),
        (SHARE, 0.0004, "+0.04 points"),
        (RELATIVE, -0.68, "−68.0%"),
        (RELATIVE, 0.083, "+8.3%"),
        (PLAIN, -1.25, "−1.25"),
        (SHARE, None, "not measured"),
    ],
)
def test_a_difference_has_a_sign_and_is_in_points_or_relative(scale: Scale, value: float, written: str) -> None:
    assert scale.difference(value) == written


def test_intervals_say_their_unit_once() -> None:
    assert SHARE.interval(0.536, 0.589) == "53.6–58.9%"
    assert SECONDS.interval(0.395, 0.433) == "395–433 ms"
    assert SECONDS.interval(0.96, 1.01) == "960 ms–1.01 s"
    assert USD.interval(0.00398, 0.00427) == "$0.00398–0.00427"
    assert PLAIN.interval(-0.1, 0.2) == "−0.1 to 0.2"
    assert SHARE.difference_interval(-0.012, 0.034) == "−1.2 to +3.4 points"
    assert RELATIVE.difference_interval(0.021, 0.147) == "+2.1 to +14.7%"
    assert SHARE.interval(None, 0.5) == SHARE.difference_interval(0.1, math.nan) == ""


def test_margins_are_words() -> None:
    assert SHARE.margin(0.02) == "2 points"
    assert SHARE.margin(0.01) == "1 point"
    assert SHARE.margin(0.005) == "0.5 points"
    assert RELATIVE.margin(0.1) == "10%"
    assert PLAIN.margin(0.5) == "0.5"


def test_a_figure_never_stands_without_its_interval_and_n() -> None:
    assert SHARE.figure(figure(0.5625, 0.536, 0.589, 1319)) == "56.2% (53.6–58.9%, n = 1,319)"
    assert SHARE.figure(figure(0.5, n=3)) == "50.0% (no interval, n = 3)"
    assert SHARE.figure(figure(None, n=0)) == "not measured"


def test_the_scale_follows_from_unit_objective_and_range() -> None:
    assert gate_scale(gate()) == SHARE
    assert gate_scale(gate(unit="s", objective="latency")) == Scale("seconds", relative=True)
    assert gate_scale(gate(unit="usd", objective="cost")) == Scale("usd", relative=True)
    bleu = gate(metric="bleu", champion=figure(31.0, 29.0, 33.0), difference=difference(1.0, 0.2, 1.8))
    assert gate_scale(bleu) == PLAIN
    ttft = Measure(objective="latency", metric="ttft_p95", champion=figure(0.4), challenger=figure(0.5))
    assert measure_scale(ttft).kind == "seconds"
    alpha = Measure(objective="stability", metric="cluster_alpha", champion=figure(0.8), challenger=figure(0.7))
    assert measure_scale(alpha).kind == "plain", "agreement beyond chance is no percentage"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.04, "0.04 s"),
        (12.34, "12.3 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (1e6, "11.6 days"),
        (None, "unknown"),
    ],
)
def test_durations_read_like_speech(seconds: float | None, written: str) -> None:
    assert figures.duration(seconds) == written


def test_an_unknown_cost_is_unknown_and_never_zero() -> None:
    assert figures.usd(None) == "unknown"


@given(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([SHARE, SECONDS, USD, PLAIN, RELATIVE]))
def test_every_float_can_be_written_shortly(value: float, scale: Scale) -> None:
    for written in (scale.value(value), scale.difference(value), scale.margin(value)):
        assert 0 < len(written) < 40
    assert len(scale.tick(value, signed=True)) < 40


@given(st.floats(0.0001, 0.99999))
def test_a_written_share_is_within_its_last_digit(value: float) -> None:
    assert abs(float(SHARE.value(value).strip(">%")) / 100 - value) <= 0.00051

"""A run's plan, its progress and the self-test, in words."""

from __future__ import annotations

import io
import math
import os
import pty
import subprocess
import sys
from dataclasses import replace

import pytest

from proveout.gates.plan import Detectable, RunPlan
from proveout.gates.scorecard import Figure
from proveout.reports import plan_in_words, progress_display
from proveout.reports.progress import PlainLines, State, seconds_left

PLAN = RunPlan(
    calls=1680,
    cached=0,
    cost_usd=1.2431,
    seconds=41.2,
    examples=480,
    clusters=460,
    repeats="1 each, 4 on 120 clusters to measure stability",
    detectable=(
        Detectable("accuracy", "exact_match", "improves", 0.03, 0.0411, 460, True),
        Detectable("stability", "agreement", "holds", 0.03, 0.0342, 120, False),
    ),
    notes=("The challenger's key is read from ANTHROPIC_API_KEY.",),
)


def test_the_plan_says_calls_cost_time_and_what_can_be_shown() -> None:
    assert plan_in_words(PLAN) == (
        "Plan   1,680 calls\n"
        "data   480 examples in 460 clusters; 1 each, 4 on 120 clusters to measure stability\n"
        "cost   about $1.24\n"
        "time   about 41 s\n"
        "shows  accuracy (exact_match)  improvements of 4.1 points or more (on 460 clusters)\n"
        "       stability (agreement)   too little for the margin of 3 points: an equal challenger would need one of "
        "3.4 points (on 120 clusters, spread assumed)\n"
        "note   The challenger's key is read from ANTHROPIC_API_KEY."
    )


def test_an_unknown_cost_or_time_is_said_to_be_unknown() -> None:
    text = plan_in_words(replace(PLAN, cost_usd=None, seconds=None))
    assert "cost   unknown" in text
    assert "--max-cost" in text
    assert "time   unknown" in text
    assert "cost   nothing" in plan_in_words(replace(PLAN, cost_usd=0.0))


def test_enough_and_no_data_are_told_apart() -> None:
    enough = replace(PLAN.detectable[1], smallest=0.014)
    nothing = replace(PLAN.detectable[0], smallest=math.nan, clusters=1)
    text = plan_in_words(replace(PLAN, detectable=(enough, nothing)))
    assert "an equal challenger holds within 3 points; 1.4 points would do" in text
    assert "nothing: 1 cluster is too few to test" in text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_at_tenths_and_not_too_often() -> None:
    clock, out = Clock(), io.StringIO()
    lines = PlainLines(1000, out, clock)
    for done in range(1, 1001):
        clock.now = done * 0.01
        lines.update(done=done, cached=0, failed=0, cost_usd=0.001 * done)
    lines.finish()
    assert out.getvalue().splitlines() == [
        " 30%  300 of 1,000 calls, $0.30 so far, about 7 s left",
        " 60%  600 of 1,000 calls, $0.60 so far, about 4 s left",
        " 90%  900 of 1,000 calls, $0.90 so far, about 1 s left",
        "1,000 of 1,000 calls, $1.00 so far, took 10 s",
    ]


def test_a_slow_run_still_says_something_every_minute() -> None:
    clock, out = Clock(), io.StringIO()
    lines = PlainLines(100_000, out, clock)
    for minute in range(1, 6):
        clock.now = minute * 60.0
        lines.update(done=minute, cached=0, failed=1, cost_usd=None)
    assert len(out.getvalue().splitlines()) == 5
    assert "1 of 100,000 calls, 1 failed, cost unknown, about 69 days left" in out.getvalue().replace("69.4", "69")


def test_time_left_follows_the_calls_that_were_really_made() -> None:
    assert seconds_left(State(done=600, cached=500), 1000, elapsed=10.0) == pytest.approx(40.0)
    assert seconds_left(State(done=500, cached=500), 1000, elapsed=10.0) is None


def test_without_a_terminal_plain_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display(PLAN) as progress:
        progress.update(done=1680, cached=80, failed=2, cost_usd=None)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("1,680 of 1,680 calls, 80 cached, 2 failed, cost unknown, took ")


SCRIPT = """
import sys
from proveout.gates.plan import RunPlan
from proveout.reports import progress_display
plan = RunPlan(400, 0, None, None, 200, 200, "1 each", ())
with progress_display(plan) as progress:
    for done in range(401):
        progress.update(done=done, cached=0, failed=0, cost_usd=0.01 * done)
print("finished")
"""


def test_a_closed_standard_error_is_left_alone() -> None:
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "finished\n", "")


def test_a_reader_that_goes_away_stops_the_lines_and_not_the_run() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=write, text=True)
    os.close(write)
    assert done.stdout == "finished\n"


def test_a_terminal_gets_a_bar_with_calls_cost_and_no_lines_on_standard_output() -> None:
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=side, text=True, env=environment
    )
    os.close(side)
    seen = b""
    while chunk := _read(main):
        seen += chunk
    os.close(main)
    text = seen.decode()
    assert done.stdout == "finished\n"
    assert "━" in text
    assert "100%  400 of 400 calls, $4.00 so far" in text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_self_test_says_what_its_rates_mean() -> None:
    from proveout.gates.self_test import SelfTest
    from proveout.reports import selftest_in_words

    outcome = SelfTest(
        service="triage",
        metric="exact_match",
        comparisons=1000,
        clusters=480,
        level=0.05,
        false_pass=Figure(value=0.048, low=0.0364, high=0.0631, n=1000),
        false_worse=Figure(value=0.041, low=0.0304, high=0.0551, n=1000),
        across_examples=True,
        holds=True,
    )
    assert selftest_in_words(outcome) == (
        "✓ Holds: neither rate is shown to be above the 5% that Proveout promises on this data.\n"
        "  triage, exact_match: the champion against itself, 1,000 comparisons on 480 clusters\n"
        "  passed a claim of improvement  4.8% (3.6–6.3%, n = 1,000)\n"
        "  called worse                   4.1% (3.0–5.5%, n = 1,000)\n"
        "  Both answers scored alike everywhere, so the scores of different examples were paired instead."
    )


def test_a_margin_of_nothing_on_cost_can_be_held_by_equal_costs() -> None:
    strict = Detectable("cost", "usd_per_request", "holds", 0.0, 0.085, 180, False)
    assert (
        "cost (usd_per_request)  that no request costs more, or that they are cheaper by 8.5% or more (on 180 clusters"
        in plan_in_words(replace(PLAN, detectable=(strict,)))
    )

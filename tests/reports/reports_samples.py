"""Scorecards as runs bring them, one for each decision, for the tests of every report."""

from __future__ import annotations

from typing import Any

import msgspec
from reports_money import HOSTED_MONEY, MONEY, MONTH, OWN, PRICES, STAIRS, WASTE

from proveout.gates.scorecard import (
    Arm,
    Calls,
    DatasetUse,
    Difference,
    Figure,
    Flip,
    GateResult,
    Histogram,
    LedgerLine,
    Measure,
    Needs,
    Notice,
    Scorecard,
    Slice,
)

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' javascript:alert(4) ]]> --> "
    "\x00\x1b[31mred\x1b]0;title\x07\u202eevil\u2066 \ud800 \ufffe \u200b \U000e0041 | `x` @everyone "
    "#1 https://evil.example/?q=$1 {{ 7*7 }} {% raw %} [bold]not[/bold] \r\n<!-- x -->\x9b2J"
)


def figure(value: float | None, low: float | None = None, high: float | None = None, n: int = 480) -> Figure:
    return Figure(value=value, low=low, high=high, n=n)


def difference(value: float | None, low: float | None = None, high: float | None = None) -> Difference:
    return Difference(value=value, low=low, high=high)


def gate(**changes: Any) -> GateResult:
    base: dict[str, Any] = {
        "objective": "accuracy",
        "metric": "exact_match",
        "claim": "improves",
        "margin": 0.03,
        "higher_is_better": True,
        "champion": figure(0.8375, 0.8018, 0.8694),
        "challenger": figure(0.9021, 0.8721, 0.9265),
        "difference": difference(0.0646, 0.0312, 0.0981),
        "p_value": 0.00008,
        "alpha": 0.0245,
        "method": "paired t over 480 clusters",
        "verdict": "pass",
        "reason": "Shown better than the champion (p < 0.0001 at level 0.024).",
    }
    return GateResult(**base | changes)


AGREEMENT = gate(
    objective="stability",
    metric="agreement",
    claim="holds",
    champion=figure(0.9417, 0.9188, 0.9646, 120),
    challenger=figure(0.9528, 0.9311, 0.9744, 120),
    difference=difference(0.0111, -0.0119, 0.0341),
    p_value=0.0003,
    alpha=0.05,
    method="paired t over 120 clusters",
    reason="Shown no worse than the champion by the margin of 3 points (p = 0.0003 at level 0.05).",
)

FLIPS = (
    Flip(
        example="t-017",
        direction="worse",
        input="My new card has not come yet, and it has been two weeks. Can you tell me where it is?",
        expected="card_arrival",
        champion="card_arrival",
        challenger="lost_card",
        champion_score=1.0,
        challenger_score=0.0,
        tags=("card", "long"),
    ),
    Flip(
        example="t-203",
        direction="better",
        input="Why was I charged twice at the same shop?",
        expected="duplicate_charge",
        champion="The customer asks about a refund, so: refund_request",
        challenger="The customer asks about two charges, so: duplicate_charge",
        champion_score=0.0,
        challenger_score=1.0,
        tags=("charges",),
    ),
)


def _slice(tag: str, champion: float, challenger: float, half: float, n: int) -> Slice:
    gap = challenger - champion
    return Slice(
        tag=tag,
        metric="exact_match",
        champion=figure(champion, max(champion - half, 0), min(champion + half, 1), n),
        challenger=figure(challenger, max(challenger - half, 0), min(challenger + half, 1), n),
        difference=difference(gap, gap - half, gap + half),
    )


PASSED = Scorecard(
    change="tuned",
    service="triage",
    stage="dev",
    decision="pass",
    champion=Arm(variant="base", fingerprint="9f2c41d0aa17be55"),
    challenger=Arm(variant="tuned", fingerprint="03be77c1e94d2f60"),
    gates=(gate(), AGREEMENT),
    measures=(
        Measure(
            objective="stability",
            metric="tar_raw",
            champion=figure(0.883, 0.813, 0.929, 120),
            challenger=figure(0.908, 0.843, 0.948, 120),
        ),
        Measure(
            objective="stability",
            metric="cluster_alpha",
            champion=figure(0.7912, 0.74, 0.84, 96),
            challenger=figure(0.8234, 0.777, 0.869, 96),
        ),
    ),
    slices=(
        _slice("charges", 0.79, 0.91, 0.06, 140),
        _slice("card", 0.88, 0.86, 0.05, 160),
        _slice("long", 0.82, 0.92, 0.045, 210),
        _slice("transfers", 0.86, 0.90, 0.08, 61),
    ),
    flips=FLIPS,
    flip_counts={"better": 44, "worse": 13},
    histograms=(
        Histogram(
            name="answer length",
            unit="characters",
            edges=tuple(float(edge) for edge in range(0, 66, 6)),
            champion=(0, 12, 96, 160, 98, 60, 30, 14, 8, 2),
            challenger=(0, 8, 120, 182, 90, 44, 20, 11, 4, 1),
        ),
        Histogram(
            name="time to answer",
            unit="s",
            edges=tuple(0.004 * step for step in range(11)),
            champion=(0, 40, 150, 120, 80, 40, 25, 15, 6, 4),
            challenger=(0, 30, 120, 140, 90, 50, 25, 15, 6, 4),
        ),
    ),
    notices=(
        Notice(kind="truncated", message="3 answers were cut at the token limit.", variant="base", count=3),
        Notice(
            kind="no_clusters",
            message="Agreement over similar inputs was not measured: no cluster has 2 examples or more.",
        ),
    ),
    datasets=(DatasetUse(kind="golden", version="5c1d88a90b7e", examples=480, clusters=480),),
    ledger=(
        LedgerLine(
            objective="accuracy",
            dataset_version="5c1d88a90b7e",
            attempt=2,
            alpha=0.0245,
            p_value=0.00008,
            variants=("int8", "tuned"),
        ),
    ),
    improves=("accuracy",),
    hypothesis="A fine-tune on new phrasings sorts more tickets right.",
    calls=Calls(made=1668, cached=12, failed=0),
    cost_usd=0.8421,
    seconds=14.32,
    run="20260711-8d1f",
    started="2026-07-11T09:30:12+00:00",
    version="0.1.0",
    settings={
        "repeats": "1 each, 4 on 120 clusters",
        "seed": 0,
        "concurrency": 16,
        "usd_per_call": {"9f2c": 0.0004, "03be": None},
    },
)

FAILED = msgspec.structs.replace(
    PASSED,
    change="int2",
    decision="fail",
    challenger=Arm(variant="int2", fingerprint="77aa01b2c3d4e5f6"),
    improves=(),
    ledger=(),
    hypothesis="Two-bit weights are a sixth of the size and answer the same.",
    gates=(
        gate(
            claim="holds",
            challenger=figure(0.6125, 0.5673, 0.6562),
            difference=difference(-0.225, -0.2687, -0.1813),
            p_value=1.0,
            alpha=0.05,
            verdict="fail",
            reason="Shown worse than the champion by more than the margin of 3 points (p < 0.0001).",
        ),
        AGREEMENT,
    ),
)

UNDECIDED = msgspec.structs.replace(
    PASSED,
    change="hot",
    decision="inconclusive",
    challenger=Arm(variant="hot", fingerprint="1b2c3d4e5f607182"),
    improves=(),
    ledger=(),
    gates=(
        gate(
            claim="holds",
            challenger=figure(0.8292, 0.7929, 0.8614),
            difference=difference(-0.0083, -0.0391, 0.0224),
            p_value=0.083,
            alpha=0.05,
            verdict="inconclusive",
            reason="Not shown no worse than the champion by the margin of 3 points (p = 0.083 at level 0.05).",
            needs=Needs(examples=1510),
        ),
        AGREEMENT,
    ),
)

UNMEASURED = msgspec.structs.replace(
    PASSED,
    change="remote",
    decision="error",
    challenger=Arm(variant="remote", fingerprint="aa55aa55aa55aa55"),
    improves=(),
    ledger=(),
    slices=(),
    flips=(),
    flip_counts={},
    histograms=(),
    gates=(
        gate(
            claim="holds",
            champion=figure(None, n=0),
            challenger=figure(None, n=0),
            difference=difference(None),
            p_value=None,
            alpha=0.05,
            method="not measured",
            verdict="error",
            reason="Could not measure: 31.0% of the challenger's calls failed, more than the 5.0% of max_failures.",
        ),
    ),
    notices=(
        Notice(
            kind="calls_failed:timeout",
            message="149 calls gave no answer (timeout); for instance: no first byte within 60 s from http://127.0.0.1:9/v1",
            variant="remote",
            count=149,
        ),
    ),
    calls=Calls(made=331, cached=0, failed=149),
    cost_usd=None,
)

EVERY_OBJECTIVE = msgspec.structs.replace(
    PASSED,
    change="haiku",
    stage="staging",
    decision="inconclusive",
    challenger=Arm(variant="haiku", fingerprint="c0ffee00c0ffee00"),
    improves=("cost",),
    hypothesis="Same answers at a third of the price.",
    **MONEY,
    gates=(
        gate(
            objective="cost",
            metric="usd_per_request",
            margin=0.0,
            higher_is_better=False,
            unit="usd",
            champion=figure(0.00412, 0.00398, 0.00427, 480),
            challenger=figure(0.00131, 0.00127, 0.00136, 480),
            difference=difference(-0.682, -0.694, -0.67),
            method="block bootstrap on the ratio of means",
            alpha=0.05,
            reason="Shown better than the champion (p < 0.0001 at level 0.05).",
        ),
        gate(
            objective="latency",
            metric="ttft_p95",
            claim="holds",
            margin=0.1,
            higher_is_better=False,
            unit="s",
            champion=figure(0.412, 0.395, 0.433, 1200),
            challenger=figure(0.446, 0.421, 0.474, 1200),
            difference=difference(0.083, 0.021, 0.147),
            p_value=0.29,
            method="ABBA blocks, block bootstrap on the quantile ratio",
            alpha=0.05,
            verdict="inconclusive",
            reason="Not shown no worse than the champion by the margin of 10% (p = 0.29 at level 0.05); "
            "about 9,400 examples would decide if the difference stays as it is.",
            needs=Needs(examples=9400),
        ),
        gate(
            claim="holds",
            margin=0.02,
            challenger=figure(0.8396, 0.8037, 0.8713),
            difference=difference(0.0021, -0.0155, 0.0197),
            p_value=0.0074,
            alpha=0.05,
            reason="Shown no worse than the champion by the margin of 2 points (p = 0.0074 at level 0.05).",
        ),
        gate(
            objective="security",
            metric="attack_success_rate",
            claim="holds",
            margin=0.01,
            higher_is_better=False,
            champion=figure(0.0133, 0.0054, 0.0272, 600),
            challenger=figure(0.0, 0.0, 0.0061, 600),
            difference=difference(-0.0133, -0.0226, -0.0041),
            p_value=0.00001,
            method="exact McNemar",
            alpha=0.05,
            reason="Shown no worse than the champion by the margin of 1 point (p < 0.0001 at level 0.05).",
        ),
        AGREEMENT,
    ),
    measures=(
        Measure(
            objective="latency",
            metric="e2e_p50",
            champion=figure(1.234, 1.21, 1.26, 1200),
            challenger=figure(0.987, 0.96, 1.01, 1200),
        ),
        Measure(
            objective="latency",
            metric="ttft_p99",
            champion=figure(None, n=120),
            challenger=figure(None, n=120),
        ),
        Measure(
            objective="latency",
            metric="goodput",
            champion=figure(12.71, 11.9, 13.4, 1200),
            challenger=figure(15.02, 14.1, 15.9, 1200),
        ),
    ),
)

HOSTILE_CARD = msgspec.structs.replace(
    FAILED,
    change=HOSTILE,
    service=HOSTILE,
    hypothesis=HOSTILE,
    champion=Arm(variant=HOSTILE, fingerprint=HOSTILE),
    gates=(gate(metric=HOSTILE, method=HOSTILE, reason=HOSTILE, verdict="fail", unit=HOSTILE),),
    measures=(
        Measure(objective="accuracy", metric=HOSTILE, champion=figure(0.5, 0.4, 0.6), challenger=figure(0.5, 0.4, 0.6)),
    ),
    slices=tuple(msgspec.structs.replace(part, tag=HOSTILE, metric=HOSTILE) for part in PASSED.slices),
    flips=(
        Flip(
            example=HOSTILE,
            direction="worse",
            input=HOSTILE,
            expected=HOSTILE,
            champion=HOSTILE,
            challenger="A" * 1_000_000,
            champion_score=1.0,
            challenger_score=0.0,
            tags=(HOSTILE,),
        ),
    ),
    histograms=tuple(msgspec.structs.replace(histogram, name=HOSTILE, unit=HOSTILE) for histogram in PASSED.histograms),
    notices=(Notice(kind=HOSTILE, message=HOSTILE, variant=HOSTILE, count=1),),
    datasets=(DatasetUse(kind=HOSTILE, version=HOSTILE, examples=1, clusters=1),),
    ledger=(
        LedgerLine(
            objective="accuracy", dataset_version=HOSTILE, attempt=1, alpha=0.05, p_value=0.5, variants=(HOSTILE,)
        ),
    ),
    run=HOSTILE,
    started=HOSTILE,
    version=HOSTILE,
    settings={HOSTILE: {HOSTILE: HOSTILE}},
    impact=msgspec.structs.replace(
        MONTH, drivers=tuple(msgspec.structs.replace(driver, name=HOSTILE) for driver in MONTH.drivers)
    ),
    waste=(*WASTE, msgspec.structs.replace(WASTE[1], kind=HOSTILE)),
    hosting=(msgspec.structs.replace(OWN, variant=HOSTILE, host=HOSTILE, source=HOSTILE),),
    break_even=msgspec.structs.replace(STAIRS, own=HOSTILE, api=HOSTILE),
    prices=msgspec.structs.replace(PRICES, on=HOSTILE, content=HOSTILE, published=(HOSTILE,), publisher=HOSTILE),
)

HOSTED_CARD = msgspec.structs.replace(EVERY_OBJECTIVE, **HOSTED_MONEY)

EVERY_CARD = {
    "pass": PASSED,
    "fail": FAILED,
    "inconclusive": UNDECIDED,
    "error": UNMEASURED,
    "class": EVERY_OBJECTIVE,
    "own": HOSTED_CARD,
    "hostile": HOSTILE_CARD,
}


def many_flips(count: int, size: int) -> Scorecard:
    """A scorecard with `count` flips whose answers have `size` characters each."""
    answer = "".join(f"word{index % 97} <b>&amp; “quoted” " for index in range(size // 20 + 1))[:size]
    flips = tuple(
        msgspec.structs.replace(
            FLIPS[index % 2],
            example=f"t-{index}",
            input=answer,
            champion=answer,
            challenger=answer.replace("word9", "änders "),
        )
        for index in range(count)
    )
    return msgspec.structs.replace(PASSED, flips=flips, flip_counts={"better": count, "worse": count})

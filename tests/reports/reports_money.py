"""What the cost gate tells beside its verdict: as samples, and whatever the schema allows."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from proveout.gates.scorecard import (
    BreakEven,
    Hosted,
    HostingStep,
    ImpactDriver,
    MonthlyImpact,
    Payback,
    PricesUsed,
    Spread,
    WasteShare,
)

COUNTS = (3, 14, 60, 190, 480, 930, 1400, 1750, 1800, 1500, 1030, 540, 210, 70, 20, 3)
MONTH = MonthlyImpact(
    requests_per_month=3_000_000,
    champion_usd=12_360,
    challenger_usd=3_930,
    p5=-10_710,
    p50=-8_350,
    p95=-6_540,
    saves=1.0,
    score=98.4,
    drivers=(
        ImpactDriver(name="traffic", low=-10_690, high=-6_560, share=0.97),
        ImpactDriver(name="tokens", low=-8_790, high=-8_070, share=0.03),
    ),
    draws=10_000,
    value=Spread(p5=6_540, p50=8_350, p95=10_710),
    payback=Payback(usd=3_600, months=0.43, soonest=0.34, latest=0.55, within=12, in_time=1.0),
    middle=-8_430,
    edges=tuple(-13_000 + 550.0 * index for index in range(len(COUNTS) + 1)),
    counts=COUNTS,
)
PRICES = PricesUsed(on="2026-11-24", newest="2026-01-31", content="b231cfa69519")


def _share(kind: str, champion: float, challenger: float | None, tokens: int) -> WasteShare:
    return WasteShare(
        kind=kind,
        champion=champion,
        challenger=challenger,
        champion_tokens=tokens,
        challenger_tokens=0 if challenger is None else tokens // 2,
        champion_usd=champion / 50,
        challenger_usd=0.0 if challenger is None else challenger / 150,
        champion_n=480,
        challenger_n=0 if challenger is None else 480,
    )


WASTE = (
    _share("useful", 61.3, 74.0, 210_000),
    _share("syntax", 4.1, 9.5, 6_900),
    _share("unread", 8.8, 16.5, 14_800),
    _share("talk", 0.0, 0.0, 0),
    _share("reasoning", 20.2, 0.0, 33_900),
    _share("truncated", 1.9, 0.0, 3_000),
    _share("retried", 0.6, 0.0, 1_100),
    _share("repeated_prefix", 3.1, 0.0, 192_000),
)
MONEY: dict[str, Any] = {"impact": MONTH, "waste": WASTE, "prices": PRICES}

OWN = Hosted(
    variant="haiku",
    host="h100-x1",
    machines=1,
    goodput=1.9,
    goodput_low=1.7,
    goodput_high=2.2,
    source="load test of 2026-11-20",
    headroom=0.8,
    replicas=3,
    spare=1,
    utilisation=0.2,
    usd_per_month=5_475,
    usd_per_request=0.001825,
    usd_per_million_tokens=1.79,
    requests_per_month=3_000_000,
    peak_to_mean=2.0,
)
STAIRS = BreakEven(
    own="haiku",
    api="base",
    api_usd_per_request=0.00412,
    requests_per_month=3_000_000,
    first=885_923,
    always=885_923,
    needed_utilisation=0.089,
    steps=tuple(
        HostingStep(
            replicas=working + 1,
            most_requests=working * 1_997_280.0,
            usd_per_month=(working + 1) * 1_825.0,
            cheaper=(max(885_923.0, (working - 1) * 1_997_280.0), working * 1_997_280.0),
        )
        for working in range(1, 7)
    ),
)
HOSTED_MONEY: dict[str, Any] = {
    "impact": MONTH,
    "waste": tuple(_share(one.kind, one.champion or 0.0, None, one.champion_tokens) for one in WASTE),
    "prices": PRICES,
    "hosting": (OWN,),
    "break_even": STAIRS,
}


def money(text: st.SearchStrategy[str], number: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    """The keys of a scorecard that tell of money, of every shape."""
    maybe, count = st.none() | number, st.integers(0, 10**12)
    several = st.lists(number, max_size=4).map(tuple)
    months = st.builds(
        MonthlyImpact,
        requests_per_month=number,
        champion_usd=number,
        challenger_usd=number,
        p5=number,
        p50=number,
        p95=number,
        saves=number,
        score=number,
        drivers=st.lists(st.builds(ImpactDriver, name=text, low=number, high=number, share=number), max_size=2).map(
            tuple
        ),
        draws=count,
        value=st.none() | st.builds(Spread, p5=number, p50=number, p95=number),
        usd_per_success=number,
        payback=st.none()
        | st.builds(Payback, usd=number, months=maybe, soonest=maybe, latest=maybe, within=number, in_time=number),
        middle=number,
        edges=several,
        counts=st.lists(count, max_size=3).map(tuple),
    )
    wastes = st.lists(
        st.builds(
            WasteShare,
            kind=text | st.sampled_from(["useful", "syntax", "talk"]),
            champion=maybe,
            challenger=maybe,
            champion_tokens=count,
            challenger_tokens=count,
            champion_usd=number,
            challenger_usd=number,
            champion_n=count,
            challenger_n=count,
        ),
        max_size=3,
    ).map(tuple)
    hosted = st.builds(
        Hosted,
        variant=text,
        host=text,
        machines=count,
        goodput=number,
        goodput_low=maybe,
        goodput_high=maybe,
        source=text,
        headroom=number,
        replicas=count,
        spare=count,
        utilisation=number,
        usd_per_month=number,
        usd_per_request=number,
        usd_per_million_tokens=maybe,
        requests_per_month=number,
        peak_to_mean=number,
    )
    steps = st.builds(
        HostingStep,
        replicas=count,
        most_requests=number,
        usd_per_month=number,
        cheaper=st.none() | st.tuples(number, number),
    )
    stairs = st.builds(
        BreakEven,
        own=text,
        api=text,
        api_usd_per_request=number,
        requests_per_month=number,
        first=maybe,
        always=maybe,
        needed_utilisation=number,
        steps=st.lists(steps, max_size=2).map(tuple),
    )
    prices = st.builds(
        PricesUsed,
        on=text,
        newest=st.none() | text,
        content=st.none() | text,
        published=st.lists(text, max_size=2).map(tuple),
        publisher=text,
    )
    return st.fixed_dictionaries(
        {
            "impact": st.none() | months,
            "waste": wastes,
            "hosting": st.lists(hosted, max_size=2).map(tuple),
            "break_even": st.none() | stairs,
            "prices": st.none() | prices,
        }
    )

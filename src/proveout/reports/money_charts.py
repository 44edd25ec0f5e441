"""Pictures of money: the simulated months, what they depend on, where both bills go, and the staircase of own
machines. SVG text, as in `charts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from proveout.reports.charts import (
    EDGE,
    NO_PICTURE,
    WIDTH,
    Axis,
    anchor,
    axis_ticks,
    interval_line,
    svg,
    vertical,
    words_at,
)
from proveout.reports.figures import known, usd
from proveout.reports.money import (
    break_even_in_words,
    chance,
    change_of,
    part,
    requests_in_words,
    spread_in_words,
)
from proveout.reports.text import phrase
from proveout.reports.words import name

if TYPE_CHECKING:
    from proveout.gates.scorecard import BreakEven, MonthlyImpact
    from proveout.loadtest.hosting import HostedLoad
    from proveout.reports.money import WasteLine

BASE, HEIGHT = 116.0, 92.0
NAMES = 168
"""Room for what stands left of a tornado's or a waste chart's bars."""


def month_chart(month: MonthlyImpact) -> Markup:
    """How the simulated months are spread: those that save in one tone, those that cost in another; below them the
    middle 90 % and the median."""
    edges, counts = month.edges, month.counts
    numbers = (*edges, month.p5, month.p50, month.p95)
    if len(edges) < 2 or len(counts) != len(edges) - 1 or not all(map(known, numbers)) or not max(counts) > 0:
        return NO_PICTURE
    axis = Axis(min(edges[0], 0.0), max(edges[-1], 0.0))
    if not axis.usable:
        return NO_PICTURE
    parts: list[Markup] = []
    for look in ("better", "worse"):
        path = [
            f"M{axis.at(low)} {BASE}V{BASE - count / max(counts) * HEIGHT:.1f}H{axis.at(high)}V{BASE}Z"
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
            if count > 0 and (low + high < 0) == (look == "better")
        ]
        parts.append(Markup('<path class="bin {}" d="{}"/>').format(look, "".join(path)))
    parts += [
        vertical("zero", axis.at(0.0), BASE - HEIGHT - 4, BASE + 22),
        words_at("note", axis.at(0.0), BASE - HEIGHT - 9, "as today", anchor(axis, 0.0)),
        interval_line("challenger", axis, month.p5, month.p50, month.p95, BASE + 12),
        *axis_ticks(axis, BASE + 24, change_of),
        words_at("aside", f"{EDGE}", BASE + 58, "← saves", "start"),
        words_at("aside", f"{WIDTH / 2}", BASE + 58, "change of the monthly bill", "middle"),
        words_at("aside", f"{WIDTH - EDGE}", BASE + 58, "costs more →", "end"),
    ]
    words = (
        f"Simulated months: the bill changes by {change_of(month.p50)} in the middle, "
        f"{spread_in_words(month.p5, month.p95)} in 90% of them; {chance(month.saves)} save."
    )
    return svg(WIDTH, BASE + 64, words, parts)


def tornado_chart(month: MonthlyImpact) -> Markup:
    """What the outcome depends on: how far it moves when one thing alone varies, the largest at the top."""
    drivers = [driver for driver in month.drivers[:8] if known(driver.low) and known(driver.high)]
    if not drivers or not known(month.middle):
        return NO_PICTURE
    ends = [month.middle, *(x for driver in drivers for x in (driver.low, driver.high))]
    axis = Axis(min(ends), max(ends), WIDTH - NAMES, 22)
    if not axis.usable:
        return NO_PICTURE

    ticks = axis.ticks(4)
    ticks = ticks[::2] if len(ticks) > 3 else ticks

    def at(value: float) -> float:
        return NAMES + float(axis.at(value))

    parts: list[Markup] = []
    for row, driver in enumerate(drivers):
        y = 22 + 30 * row
        parts += [
            words_at("note", f"{NAMES - 8}", y + 8, f"{phrase(driver.name, 24)} {part(driver.share)}", "end"),
            Markup('<rect class="bar" x="{:.1f}" y="{}" width="{:.1f}" height="18" rx="3"/>').format(
                at(driver.low), y - 5, max(at(driver.high) - at(driver.low), 1.0)
            ),
        ]
    bottom = 22 + 30 * len(drivers)
    parts += [
        vertical("zero", f"{at(month.middle):.1f}", 8, bottom - 8),
        Markup('<g transform="translate({} 0)">{}</g>').format(
            NAMES, Markup("").join(axis_ticks(axis, bottom - 8, change_of, ticks))
        ),
    ]
    shares = ", ".join(
        f"{phrase(driver.name, 24)} {change_of(driver.low)} to {change_of(driver.high)} ({part(driver.share)})"
        for driver in drivers
    )
    return svg(WIDTH, bottom + 18, f"What the month depends on, each varying alone: {shares}.", parts)


def waste_chart(lines: Sequence[WasteLine], names: tuple[str, str]) -> Markup:
    """Both bills as one bar each, divided by use."""
    rows: list[Markup] = []
    told: list[str] = []
    width = 900.0
    for arm, variant in enumerate(names):
        shares = [(line, share) for line in lines if known(share := line.percents[arm]) and share > 0]
        if not shares:
            continue
        y = 4 + 52 * len(told)
        rows.append(words_at("note", "0", y + 12, name(variant), "start"))
        x = 0.0
        for line, share in shares:
            span = min(share, 100.0 - x) / 100 * width
            left = x / 100 * width
            rows.append(
                Markup(
                    '<rect class="use {}" x="{:.1f}" y="{}" width="{:.1f}" height="24"><title>{}</title></rect>'
                ).format(line.look, left, y + 18, max(span - 1, 0.5), f"{line.label}: {share:.1f}%")
            )
            if span > 46:
                rows.append(words_at(f"inside {line.look}", f"{left + 7:.1f}", y + 34.5, f"{share:.1f}%", "start"))
            x += min(share, 100.0 - x)
        told.append(f"{name(variant)}: " + ", ".join(f"{line.label} {share:.1f}%" for line, share in shares))
    if not rows:
        return NO_PICTURE
    return svg(width, 52 * len(told), f"Where both bills go. {'. '.join(told)}.", rows, look="wide")


def staircase_chart(stairs: BreakEven) -> Markup:
    """What a month costs by its requests: own machines in steps, the API in a line; where own ones are cheaper is
    shaded."""
    steps = [step for step in stairs.steps if known(step.most_requests) and known(step.usd_per_month)]
    numbers = (stairs.api_usd_per_request, stairs.requests_per_month)
    if not steps or not all(map(known, numbers)):
        return NO_PICTURE
    reach = max(stairs.requests_per_month * 1.5, (stairs.first or 0.0) * 1.3)
    steps = [step for place, step in enumerate(steps) if place == 0 or steps[place - 1].most_requests < reach]
    right = min(reach, steps[-1].most_requests)
    top = max(stairs.api_usd_per_request * right, steps[-1].usd_per_month) * 1.08
    width, left, base, high = 900.0, 74.0, 208.0, 14.0
    if not right > 0 or not top > 0 or not known(top) or not known(right):
        return NO_PICTURE

    def across(requests: float) -> float:
        return left + min(max(requests / right, 0.0), 1.0) * (width - left - EDGE)

    def up(dollars: float) -> float:
        return base - min(max(dollars / top, 0.0), 1.0) * (base - high)

    parts: list[Markup] = []
    own = [f"M{left:.1f} {up(steps[0].usd_per_month):.1f}"]
    for place, step in enumerate(steps):
        start = steps[place - 1].most_requests if place else 0.0
        own.append(f"V{up(step.usd_per_month):.1f}H{across(step.most_requests):.1f}")
        span = step.cheaper
        if span is not None and known(span[0]) and known(span[1]) and span[0] < right:
            x0, x1 = across(max(span[0], start)), across(min(span[1], right))
            y0, y1 = (up(stairs.api_usd_per_request * min(max(x, start), right)) for x in span)
            flat = up(step.usd_per_month)
            parts.append(
                Markup('<path class="gain" d="M{:.1f} {:.1f}L{:.1f} {:.1f}V{:.1f}H{:.1f}Z"/>').format(
                    x0, y0, x1, y1, flat, x0
                )
            )
    parts.append(
        Markup('<path class="axis" d="M{l} {b}H{r}M{l} {b}V{t}"/>').format(l=left, b=base, r=width - EDGE, t=high)
    )
    parts += [
        words_at("tick", f"{across(tick):.1f}", base + 17, short(tick), "middle")
        for tick in Axis(0.0, right).ticks(6)
        if 0 <= tick <= right
    ]
    parts += [
        words_at("tick", f"{left - 8:.1f}", up(tick) + 4, usd(tick), "end")
        for tick in Axis(0.0, top).ticks(4)
        if 0 <= tick <= top
    ]
    parts += [
        Markup('<path class="line champion" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
            left, base, across(right), up(stairs.api_usd_per_request * right)
        ),
        Markup('<path class="line challenger" d="{}"/>').format("".join(own)),
        vertical("margin", f"{across(stairs.requests_per_month):.1f}", high, base),
        words_at("note", f"{across(stairs.requests_per_month) + 6:.1f}", high + 10, "declared traffic", "start"),
        words_at("aside", f"{(left + width) / 2:.1f}", base + 36, "requests a month", "middle"),
    ]
    words = f"Dollars a month by requests: {name(stairs.own)} in steps, {name(stairs.api)} in a line at " + (
        f"{usd(stairs.api_usd_per_request)} a request, to {requests_in_words(right)}. {break_even_in_words(stairs)}"
    )
    return svg(width, base + 42, words, parts, look="wide")


def short(count: float) -> str:
    """1,500,000 → 1.5 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= size:
            return f"{count / size:g}{unit}"
    return f"{count:g}"


def load_cost_chart(loads: Sequence[HostedLoad]) -> Markup:
    """Dollars a request by the good requests that share a replica; nothing for a single load."""
    points = sorted((load.goodput, load.usd_per_request) for load in loads)
    if len(points) < 2 or not all(known(x) and known(y) for x, y in points):
        return NO_PICTURE
    width, left, base, high = 900.0, 74.0, 208.0, 14.0
    right, top = points[-1][0] * 1.05, max(y for _, y in points) * 1.08
    if not right > 0 or not top > 0:
        return NO_PICTURE

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x / right * (width - left - EDGE), base - y / top * (base - high)

    places = [at(*point) for point in points]
    parts = [
        Markup('<path class="axis" d="M{l} {b}H{r}M{l} {b}V{t}"/>').format(l=left, b=base, r=width - EDGE, t=high),
        *(
            words_at("tick", f"{at(tick, 0)[0]:.1f}", base + 17, f"{tick:g}", "middle")
            for tick in Axis(0.0, right).ticks(6)
            if 0 <= tick <= right
        ),
        *(
            words_at("tick", f"{left - 8:.1f}", at(0, tick)[1] + 4, usd(tick), "end")
            for tick in Axis(0.0, top).ticks(4)
            if 0 <= tick <= top
        ),
        Markup('<path class="line challenger" d="M{}"/>').format("L".join(f"{x:.1f} {y:.1f}" for x, y in places)),
        *(Markup('<circle class="line challenger" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y) for x, y in places),
        words_at("aside", f"{(left + width) / 2:.1f}", base + 36, "good requests/s of one replica", "middle"),
    ]
    told = ", ".join(f"{usd(y)} at {x:.3g}/s" for x, y in points)
    return svg(width, base + 42, f"Dollars a request by good requests/s of one replica: {told}.", parts, look="wide")

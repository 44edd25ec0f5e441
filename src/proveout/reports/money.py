"""What a change makes of the month, where the money goes and what own machines take, in words that every report
shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proveout.reports.figures import known, percent, plain, usd
from proveout.reports.text import counted, phrase
from proveout.reports.words import name

if TYPE_CHECKING:
    from proveout.gates.scorecard import BreakEven, Hosted, MonthlyImpact, Payback, PricesUsed, Scorecard, WasteShare

USES: dict[str, tuple[str, str]] = {
    "useful": ("useful", "What the service asked for and used."),
    "syntax": ("JSON syntax", "Keys, punctuation and white space of JSON."),
    "unread": ("unread fields", "Values of JSON fields that the service does not read."),
    "talk": ("talk", "Text beside what post-processing uses."),
    "reasoning": (
        "needless reasoning",
        "Thought beyond what the other variant needed for an answer that was as right.",
    ),
    "truncated": ("cut answers", "Requests whose answer was cut at the token limit and is of no use."),
    "retried": ("paid retries", "Tries that were billed and brought no answer, with their input."),
    "repeated_prefix": (
        "uncached beginning",
        "The surcharge for sending an equal beginning at full price that the vendor's cache could have read.",
    ),
}
"""Each use of the money: its name, and what it is."""


def requests_in_words(requests: float) -> str:
    """`3,000,000 requests a month`."""
    return f"{plain(requests)} requests a month" if known(requests) and requests < 1e3 else _many(requests)


def _many(requests: float) -> str:
    return f"{requests:,.0f} requests a month" if known(requests) and requests < 1e15 else "unknown traffic"


def change_of(amount: float | None) -> str:
    """`−$1,512`, `+$340`, `$0`."""
    if not known(amount):
        return "unknown"
    return usd(amount) if amount <= 0 else f"+{usd(amount)}"


def spread_in_words(low: float, high: float) -> str:
    """`−$1,800 to −$1,200`."""
    return f"{change_of(low)} to {change_of(high)}"


def chance(share: float) -> str:
    """A share of simulated months: nothing is certain after some thousand of them."""
    if not known(share):
        return "unknown"
    if share >= 0.9995:
        return ">99.9%"
    return "<0.1%" if share < 0.0005 else percent(share)


def part(share: float) -> str:
    """A share of all doubt, without a decimal: `81%`, `<1%`, `>99%`."""
    if not known(share):
        return "unknown"
    if 0.995 <= share < 1:
        return ">99%"
    return "<1%" if share < 0.005 else f"{share:.0%}"


def depends_in_words(month: MonthlyImpact) -> str:
    """`traffic (81%), tokens (19%)`; empty where nothing is in doubt."""
    return ", ".join(f"{phrase(driver.name, 30)} ({part(driver.share)})" for driver in month.drivers[:5])


def bill_in_words(month: MonthlyImpact) -> str:
    """What the bill does, in one sentence."""
    at = f"At {requests_in_words(month.requests_per_month)} the bill"
    if month.p5 == month.p50 == month.p95 == 0:
        return f"{at} stays what it is today, {usd(month.champion_usd)}."
    return (
        f"{at} changes by {change_of(month.p50)} "
        f"({spread_in_words(month.p5, month.p95)} in 90% of simulated months); today it is {usd(month.champion_usd)}. "
        f"It saves with probability {chance(month.saves)}."
    )


def value_in_words(month: MonthlyImpact) -> str:
    """What a month gains with better answers counted; empty where the service doesn't say what one is worth."""
    value = month.value
    if value is None or not month.usd_per_success:
        return ""
    return (
        f"With {usd(month.usd_per_success)} for each more right answer a month gains {change_of(value.p50)} in all "
        f"({spread_in_words(value.p5, value.p95)})."
    )


def payback_in_words(payback: Payback | None) -> str:
    """When the effort of the change is paid; empty where none was declared."""
    if payback is None:
        return ""
    effort = f"Making the change takes {usd(payback.usd)}"
    if payback.months is None:
        return f"{effort}, which it does not pay back: the median month gains nothing."
    latest = "never" if payback.latest is None else months(payback.latest)
    return (
        f"{effort}, paid back after {months(payback.months)} ({_soonest(payback)}{latest}); within "
        f"{months(payback.within)} with probability {chance(payback.in_time)}."
    )


def _soonest(payback: Payback) -> str:
    text = months(payback.soonest)
    return f"{text if payback.latest is None else text.split(' ')[0]} to "


def months(count: float | None) -> str:
    """`2.1 months`."""
    if not known(count):
        return "unknown"
    text = f"{count:.1f}".removesuffix(".0") if count < 1000 else f"{count:,.0f}" if count < 1e9 else "endless"
    return f"{text} month" if text == "1" else f"{text} months"


def score_in_words(month: MonthlyImpact) -> str:
    """`Economic score 78 of 100`."""
    score = f"{month.score:.0f}" if known(month.score) else "unknown"
    return f"Economic score {score} of 100 (50 neither earns nor costs; doubt counts against it)."


def prices_in_words(prices: PricesUsed) -> str:
    """Which prices were used, with the book's date and hash."""
    text = f"Prices of {phrase(prices.on, 20)}"
    if prices.newest is not None:
        text += (
            f", from prices.yaml (newest from {phrase(prices.newest, 20)}, content {phrase(str(prices.content), 20)})"
        )
    if prices.published:
        text += f"; of {' and '.join(map(name, prices.published))} as published in {phrase(prices.publisher, 60)}"
    return f"{text}."


# --- waste


@dataclass(frozen=True, slots=True)
class WasteLine:
    """One use of the money in both variants; `look` is its class in the style sheet. Percents are None where a variant
    isn't paid by the token; money is per month where the traffic is known, else per 1,000 answers."""

    look: str
    label: str
    meaning: str
    percents: tuple[float | None, float | None]
    tokens: tuple[float | None, float | None]
    usd: tuple[float | None, float | None]


def waste_lines(scorecard: Scorecard) -> list[WasteLine]:
    """Every use that took something of either bill, in the scorecard's order."""
    shown = [share for share in scorecard.waste[:20] if share.champion or share.challenger]
    return [
        WasteLine(
            f"use-{share.kind if share.kind in USES else 'other'}",
            *USES.get(share.kind, (phrase(share.kind, 30), "")),
            (share.champion, share.challenger),
            (_each(share.champion_tokens, share.champion_n), _each(share.challenger_tokens, share.challenger_n)),
            _money(share, scorecard.impact),
        )
        for share in shown
    ]


def waste_unit(scorecard: Scorecard) -> str:
    """What the money of the waste lines is counted by."""
    return "a month" if scorecard.impact is not None else "per 1,000 answers"


def waste_arms(scorecard: Scorecard) -> list[tuple[int, str, str]]:
    """The variants whose bill is split: place (0 champion, 1 challenger), role and name."""
    arms = ((0, "champion", scorecard.champion), (1, "challenger", scorecard.challenger))
    return [
        (place, role, name(arm.variant))
        for place, role, arm in arms
        if any(getattr(share, role) is not None for share in scorecard.waste)
    ]


def waste_basis(scorecard: Scorecard) -> str:
    """From how many answers it is known: `From 400 answers of base and 398 of haiku; each bill adds up to 100%.`"""
    counts = [
        f"{getattr(scorecard.waste[0], f'{role}_n'):,}{' answers' if place == 0 else ''} of {variant}"
        for place, (_, role, variant) in enumerate(waste_arms(scorecard))
    ]
    hour = "" if len(counts) == 2 else "; machines that are paid by the hour have no price by the token"
    return f"From {' and '.join(counts)}; each bill adds up to 100%{hour}." if counts else ""


def waste_cells(line: WasteLine, place: int) -> tuple[str, str, str]:
    """A use in one variant: `12.3%`, tokens of a mean answer, dollars; a dash where it took nothing."""
    share, tokens, dollars = line.percents[place], line.tokens[place], line.usd[place]
    if not known(share) or share == 0:
        return "–", "", ""
    each = "" if not known(tokens) else f"{tokens:,.1f}" if abs(tokens) < 1e9 else plain(tokens)
    return percent(share / 100), each, usd(dollars) if known(dollars) else ""


def saved_in_words(scorecard: Scorecard) -> str:
    """How much of each bill could be saved at most: `Up to 31.2% of base's bill and 12% of cheap's could be saved.`"""
    parts: list[str] = []
    for _, role, variant in waste_arms(scorecard):
        useful = sum(getattr(share, role) or 0.0 for share in scorecard.waste if share.kind == "useful")
        lost = (100 - useful) / 100
        parts.append(f"{percent(lost) if known(lost) else 'an unknown part'} of {variant}'s bill")
    return f"Up to {' and '.join(parts)} could be saved." if parts else ""


def _each(total: float, answers: int) -> float | None:
    return total / answers if answers else None


def _money(share: WasteShare, month: MonthlyImpact | None) -> tuple[float | None, float | None]:
    if month is not None:
        return _part(share.champion, month.champion_usd), _part(share.challenger, month.challenger_usd)
    each = _each(share.champion_usd, share.champion_n), _each(share.challenger_usd, share.challenger_n)
    return tuple(None if one is None else one * 1000 for one in each)  # type: ignore[return-value]


def _part(share: float | None, whole: float) -> float | None:
    return None if share is None else share / 100 * whole


# --- machines


def hosted_in_words(own: Hosted) -> str:
    """What own machines take and cost, in two sentences."""
    interval = ""
    if known(own.goodput_low):
        interval = f" ({plain(own.goodput_low)} to {'?' if not known(own.goodput_high) else plain(own.goodput_high)})"
    machines = "" if own.machines == 1 else f" of {own.machines:,} machines"
    tokens = "" if not known(own.usd_per_million_tokens) else f", {usd(own.usd_per_million_tokens)} a million tokens"
    spare = f", {own.spare:,} of them spare" if own.spare else ""
    return (
        f"{name(own.variant)}: one replica{machines} on {name(own.host)} serves {plain(own.goodput)} requests/s within "
        f"its SLOs{interval}; {phrase(own.source, 60)}. A peak of {plain(own.peak_to_mean)} times the mean takes "
        f"{counted(own.replicas, 'replica')}{spare}, {percent(own.utilisation)} busy on average: "
        f"{usd(own.usd_per_month)} a month, {usd(own.usd_per_request)} a request{tokens}."
    )


def break_even_in_words(stairs: BreakEven) -> str:
    """From where on own machines are cheaper."""
    own, api = name(stairs.own), name(stairs.api)
    if stairs.first is None:
        reach = stairs.steps[-1].most_requests if stairs.steps else 0.0
        text = f"{own} is at no volume up to {requests_in_words(reach)} cheaper than {api}"
    elif stairs.always is not None and abs(stairs.always - stairs.first) <= 1e-6 * stairs.first:
        text = f"{own} is cheaper than {api} from {requests_in_words(stairs.first)} on"
    else:
        always = "" if stairs.always is None else f", and always from {requests_in_words(stairs.always)} on"
        text = f"{own} first gets cheaper than {api} at {requests_in_words(stairs.first)}{always}"
    busy = stairs.needed_utilisation
    needed = (
        f"Replicas must be {percent(busy)} busy to cost as little as"
        if known(busy) and busy <= 1
        else "Even fully busy replicas cost more than"
    )
    return f"{text}. {needed} {api}'s {usd(stairs.api_usd_per_request)} a request."

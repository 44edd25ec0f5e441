"""How figures are written, the same in every report: sensible digits, the metric's unit, and never a bare number."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeGuard

from proveout.reports.text import phrase

if TYPE_CHECKING:
    from proveout.gates.plan import Detectable
    from proveout.gates.scorecard import Difference, Figure, GateResult, Measure, Scorecard, Slice

NOT_MEASURED = "not measured"
MINUS = "\u2212"
Kind = Literal["share", "seconds", "usd", "plain"]

_TIMES = re.compile(r"^(ttft|itl|tpot|e2e|stall)(_|$)")
_NOT_A_SHARE = re.compile(r"alpha|kappa")
"""Agreement beyond chance lies within 0 and 1 more often than not, but is no share of anything."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How one metric is written.

    `kind` is a share of [0, 1] (shown in percent; differences in points), seconds, dollars, or a plain number with
    `unit`. `relative` says that the difference is a ratio - 1 (latency and cost), shown in percent.
    """

    kind: Kind
    relative: bool = False
    unit: str = ""

    def value(self, value: float | None) -> str:
        """One value: `56.3%`, `412 ms`, `$0.0042`, `12.7 requests/s`; `not measured` where it is null."""
        if not known(value):
            return NOT_MEASURED
        if self.kind == "share":
            return percent(value)
        if self.kind == "seconds":
            return seconds(value)
        if self.kind == "usd":
            return usd(value)
        return f"{plain(value)}{_unit(self.unit)}"

    def interval(self, low: float | None, high: float | None) -> str:
        """The interval of a value, its unit said once: `53.6–58.9%`, `395–433 ms`; empty where there is none."""
        if not known(low) or not known(high):
            return ""
        first, last = self.value(low), self.value(high)
        if low < 0:
            return f"{first} to {last}"
        return f"{without_unit(first, last)}–{last.removeprefix('$') if first.startswith('$') else last}"

    def figure(self, figure: Figure) -> str:
        """A figure in one line: `56.3% (53.6–58.9%, n = 1,319)`."""
        if not known(figure.value):
            return NOT_MEASURED
        return (
            f"{self.value(figure.value)} ({self.interval(figure.low, figure.high) or 'no interval'}, n = {figure.n:,})"
        )

    def difference(self, value: float | None) -> str:
        """A signed difference: `+21.5 points`, `−34%`, `+3 ms`."""
        if not known(value):
            return NOT_MEASURED
        size = abs(value)
        return _sign(value) + (points(size) if self._in_points else self._size(size))

    def difference_interval(self, low: float | None, high: float | None) -> str:
        """The interval of a difference, its unit said once: `+18.6 to +24.4 points`; empty where there is none."""
        if not known(low) or not known(high):
            return ""
        if self._in_points:
            return f"{_sign(low)}{point_digits(abs(low))} to {_sign(high)}{point_digits(abs(high))} points"
        first, last = self.difference(low), self.difference(high)
        return f"{without_unit(first, last)} to {last}"

    def margin(self, margin: float) -> str:
        """A margin in words: `2 points`, `10%`."""
        if not known(margin):
            return NOT_MEASURED
        size = abs(margin)
        if self.relative:
            return f"{_trimmed(size * 100)}%"
        return points(size).replace(".0 ", " ") if self._in_points else self._size(size)

    @property
    def _in_points(self) -> bool:
        return self.kind == "share" and not self.relative

    def _size(self, size: float) -> str:
        return percent(size) if self.relative else self.value(size)

    def tick(self, value: float, *, signed: bool) -> str:
        """A label on an axis of values, or (signed) of differences."""
        if not math.isfinite(value):
            return ""
        size = abs(value)
        sign = (_sign(value) if value else "") if signed else (MINUS if value < 0 else "")
        if (signed and self.relative) or (self.kind == "share" and not signed):
            return f"{sign}{_trimmed(size * 100)}%"
        if self.kind == "share":
            return f"{sign}{_trimmed(size * 100)}"
        if self.kind == "seconds":
            return sign + (f"{_trimmed(size)} s" if size >= 1 or size == 0 else f"{_trimmed(size * 1000)} ms")
        return sign + (usd(size) if self.kind == "usd" else plain(size))

    @property
    def difference_unit(self) -> str:
        """What an axis of differences is in."""
        if self.relative:
            return "relative to the champion"
        if self.kind == "share":
            return "points"
        return {"seconds": "time", "usd": "US dollars"}.get(self.kind, self.unit or "in the metric's own unit")


def known(value: float | None) -> TypeGuard[float]:
    """Is there a finite number?"""
    return value is not None and math.isfinite(value)


def gate_scale(gate: GateResult) -> Scale:
    """How a gate's metric is written."""
    relative = gate.objective in ("latency", "cost")
    return _scale(gate.metric, gate.unit, relative, gate.champion, gate.challenger)


def measure_scale(measure: Measure) -> Scale:
    """How a measure is written; its unit follows from its name."""
    relative = measure.objective in ("latency", "cost")
    return _scale(measure.metric, "", relative, measure.champion, measure.challenger)


def slice_scale(part: Slice, scorecard: Scorecard) -> Scale:
    """As the gate of the same metric, if there is one."""
    for gate in scorecard.gates:
        if gate.metric == part.metric:
            return gate_scale(gate)
    return _scale(part.metric, "", False, part.champion, part.challenger)


def plan_scale(line: Detectable) -> Scale:
    """Before anything is measured, only the name and the size of the margin tell."""
    relative = line.objective in ("latency", "cost")
    kind = "share" if abs(line.margin) <= 1 and not abs(line.smallest) > 1 else "plain"
    return Scale(kind, relative)


def _scale(metric: str, unit: str, relative: bool, *figures: Figure) -> Scale:
    if unit in ("s", "seconds") or (not unit and _TIMES.match(metric)):
        return Scale("seconds", relative)
    if unit in ("usd", "USD", "$") or (not unit and metric.startswith("usd_per_")):
        return Scale("usd", relative)
    if unit:
        return Scale("plain", relative, phrase(unit, 14))
    values = [x for figure in figures for x in (figure.value, figure.low, figure.high) if x is not None]
    share = all(-1e-9 <= x <= 1 + 1e-9 for x in values if math.isfinite(x)) and not _NOT_A_SHARE.search(metric)
    if metric == "goodput":
        return Scale("plain", relative, "requests/s")
    return Scale("share" if share else "plain", relative)


def percent(value: float) -> str:
    """0.5632 → 56.3%; small shares keep two digits, and nothing but all is 100%."""
    shown = value * 100
    if 99.95 <= shown < 100:
        return f"{math.floor(shown * 1000) / 1000:.3f}%" if shown < 99.999 else ">99.999%"
    if not math.isfinite(shown) or abs(shown) >= 1e6:
        return f"{_signless(value)}{_scientific(abs(value))}×"
    return f"{_signless(value)}{_trimmed(abs(shown)) if _small(shown) else _fixed(abs(shown))}%"


def points(size: float) -> str:
    """0.02 → 2 points."""
    digits = point_digits(size)
    return f"{digits} point" if digits == "1.0" else f"{digits} points"


def point_digits(size: float) -> str:
    """A share's hundredths without the word: `2.5` for 0.025."""
    shown = size * 100
    if not math.isfinite(shown) or shown >= 1e6:
        return _scientific(size)
    return _trimmed(shown) if _small(shown) else "0" if shown == 0 else f"{shown:,.1f}"


def seconds(value: float) -> str:
    """0.0412 → 41.2 ms; 1.234 → 1.23 s."""
    size = abs(value)
    if size >= 1e6:
        return f"{_signless(value)}{_scientific(size)} s"
    number, unit = (size * 1000, "ms") if size < 0.9995 else (size, "s")
    return f"{_signless(value)}{_three_digits(number)} {unit}"


def usd(value: float | None) -> str:
    """0.00421 → $0.00421; 1234.5 → $1,235; `unknown` where the price is."""
    if not known(value):
        return "unknown"
    size = abs(value)
    if size == 0:
        return "$0"
    if size < 1e-7 or size >= 1e12:
        return f"{_signless(value)}${_scientific(size)}"
    if size < 1:
        digits = max(2, 2 - math.floor(math.log10(size)))
        text = f"{size:.{digits}f}".rstrip("0")
        whole, _, cents = text.partition(".")
        return f"{_signless(value)}${whole}.{cents.ljust(2, '0')}"
    return f"{_signless(value)}${size:,.2f}" if size < 1000 else f"{_signless(value)}${size:,.0f}"


def plain(value: float) -> str:
    """Four significant digits with thousands separated."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-4 or size >= 1e9:
        return f"{_signless(value)}{_scientific(size)}"
    digits = max(0, 3 - math.floor(math.log10(size)))
    text = f"{size:,.{digits}f}"
    return _signless(value) + (text.rstrip("0").rstrip(".") if "." in text else text)


def duration(value: float | None) -> str:
    """12.3 → 12.3 s; 250 → 4 min 10 s; 7,500 → 2 h 5 min."""
    if not known(value):
        return "unknown"
    if value < 60:
        return f"{value:.1f} s".replace(".0 ", " ") if value >= 1 else f"{value:.2f} s"
    if value < 3600:
        return f"{int(value) // 60} min {int(value) % 60} s"
    if value < 48 * 3600:
        return f"{int(value) // 3600} h {int(value) % 3600 // 60} min"
    return f"{value / 86400:,.1f} days" if value < 1e12 else f"{_scientific(value)} s"


def p_value(value: float | None) -> str:
    """0.0314 → 0.031; below 0.0001 only that."""
    if not known(value):
        return NOT_MEASURED
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def p_is(value: float | None) -> str:
    """`p = 0.031`, or `p < 0.0001`."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def bounds(difference: Difference) -> tuple[float, float, float] | None:
    """Value, low and high of a difference when all are known."""
    low, value, high = difference.low, difference.value, difference.high
    return (value, low, high) if known(value) and known(low) and known(high) else None


def worth_n(champion: Figure, challenger: Figure) -> str:
    """How many paired units stand behind both figures: `1,319`, or `1,319 / 1,300` where they differ."""
    return f"{champion.n:,}" if champion.n == challenger.n else f"{champion.n:,} / {challenger.n:,}"


def without_unit(text: str, beside: str) -> str:
    """A written value or interval without its unit, where the one beside it ends in the same."""
    ending = _ending(beside)
    return text.removesuffix(ending) if ending else text


def _ending(text: str) -> str:
    """The unit that a written value ends in."""
    return "%" if text.endswith("%") else text[text.index(" ") :] if " " in text else ""


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def _sign(value: float) -> str:
    return "+" if value > 0 else MINUS if value < 0 else ""


def _signless(value: float) -> str:
    return MINUS if value < 0 else ""


def _small(shown: float) -> bool:
    return 0 < abs(shown) < 0.1


def _fixed(size: float) -> str:
    """One decimal, none for 0 and 100."""
    return f"{size:.0f}" if size in (0, 100) else f"{size:,.1f}"


def _trimmed(size: float) -> str:
    """Two significant digits below 1, else up to two decimals, without trailing zeros."""
    if size == 0:
        return "0"
    if size < 1e-4 or size >= 1e9:
        return _scientific(size)
    digits = 2 if size >= 1 else 1 - math.floor(math.log10(size))
    text = f"{size:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _three_digits(size: float) -> str:
    if size == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(size))) if size >= 1e-3 else 6
    return f"{size:,.{digits}f}"


def _scientific(size: float) -> str:
    return f"{size:.2g}"

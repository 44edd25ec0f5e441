"""Pictures of figures as SVG text, drawn here so that a page needs no script, no library and no request.

Colours come from the page's style sheet by class, so that light, dark and print all work. Every picture says in words
what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from proveout.reports.figures import Scale, bounds, gate_scale, known
from proveout.reports.text import phrase
from proveout.reports.words import name

if TYPE_CHECKING:
    from proveout.gates.scorecard import Figure, GateResult, Histogram, Scorecard, Slice

WIDTH = 420
EDGE = 14
"""Room left and right of the axis, for the labels at its ends."""

NO_PICTURE = Markup("")


class Axis:
    """Maps values to pixels over a range that is at least `low` to `high`."""

    def __init__(self, low: float, high: float, width: float = WIDTH, edge: float = EDGE) -> None:
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        self.low, self.high = low - room, high + room
        self.width, self.edge = width, edge
        self.usable = math.isfinite(self.high - self.low) and self.high > self.low

    def at(self, value: float) -> str:
        """The pixel of a value, one decimal; values outside stand at the edge."""
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return f"{self.edge + share * (self.width - 2 * self.edge):.1f}"

    def ticks(self, most: int = 6) -> list[float]:
        """At most `most` round values (1, 2 or 5 times a power of ten apart)."""
        raw = (self.high - self.low) / most
        if not raw > 0 or not math.isfinite(raw):
            return []
        power = 10.0 ** math.floor(math.log10(raw))
        step = next((power * factor for factor in (1, 2, 5) if power * factor >= raw), power * 10)
        if not step > 0 or not math.isfinite(step):
            return []
        first = math.ceil(self.low / step)
        found = [(first + index) * step for index in range(most + 2)]
        return [0.0 if abs(value) < step / 1e6 else value for value in found if value <= self.high]


def gate_chart(gate: GateResult) -> Markup:
    """The difference with its interval against zero and the margin; the side on which the claim holds is shaded."""
    interval = bounds(gate.difference)
    if interval is None or not known(gate.margin):
        return NO_PICTURE
    value, low, high = interval
    scale = gate_scale(gate)
    sign = 1.0 if gate.higher_is_better else -1.0
    line = 0.0 if gate.claim == "improves" else -sign * gate.margin
    axis = Axis(min(low, value, line, 0.0), max(high, value, line, 0.0))
    if not axis.usable:
        return NO_PICTURE
    start, end = (axis.at(line), axis.at(axis.high)) if gate.higher_is_better else (axis.at(axis.low), axis.at(line))
    words = (
        f"Difference {scale.difference(value)}, 95% interval {scale.difference_interval(low, high)}. "
        f"The claim holds {'above' if gate.higher_is_better else 'below'} {scale.difference(line)}. "
        f"Verdict: {gate.verdict}."
    )
    left, right = ("worse", "better") if gate.higher_is_better else ("better", "worse")
    parts = [
        Markup('<rect class="region" x="{}" y="20" width="{:.1f}" height="44"/>').format(
            start, float(end) - float(start)
        ),
        vertical("zero", axis.at(0.0), 20, 64),
        words_at("note", axis.at(0.0), 13, "no difference", anchor(axis, 0.0)) if line == 0.0 else Markup(""),
    ]
    if line != 0.0:
        parts += [
            vertical("margin", axis.at(line), 20, 64),
            words_at("note", axis.at(line), 13, f"margin {scale.margin(gate.margin)}", anchor(axis, line)),
        ]
    parts += [
        interval_line(gate.verdict, axis, low, value, high, 42),
        *axis_ticks(axis, 64, lambda tick: scale.tick(tick, signed=True)),
        words_at("aside", f"{EDGE}", 98, f"← {left}", "start"),
        words_at("aside", f"{WIDTH / 2}", 98, scale.difference_unit, "middle"),
        words_at("aside", f"{WIDTH - EDGE}", 98, f"{right} →", "end"),
    ]
    return svg(WIDTH, 104, words, parts)


def variants_chart(gate: GateResult, champion: str, challenger: str) -> Markup:
    """Both variants' values with their intervals on one axis."""
    scale = gate_scale(gate)
    rows = [
        (label, variant, figure)
        for label, variant, figure in (
            ("champion", champion, gate.champion),
            ("challenger", challenger, gate.challenger),
        )
        if _whole(figure)
    ]
    if not rows:
        return NO_PICTURE
    values = [float(x) for _, _, figure in rows for x in (figure.value, figure.low, figure.high) if known(x)]
    axis = Axis(min(values), max(values))
    if not axis.usable:
        return NO_PICTURE
    parts: list[Markup] = []
    for index, (label, variant, figure) in enumerate(rows):
        y = 26 + 30 * index
        parts += [
            interval_line(label, axis, figure.low or 0.0, figure.value or 0.0, figure.high or 0.0, y),
            words_at(
                "note",
                axis.at(figure.value or 0.0),
                y - 11,
                f"{name(variant)[:22]} {scale.value(figure.value)}",
                "middle",
            )
            if _central(axis, figure.value or 0.0)
            else words_at(
                "note",
                axis.at(figure.value or 0.0),
                y - 11,
                scale.value(figure.value),
                anchor(axis, figure.value or 0.0),
            ),
        ]
    words = ". ".join(f"{label} {name(variant)}: {scale.figure(figure)}" for label, variant, figure in rows)
    bottom = 10 + 30 * len(rows)
    return svg(
        WIDTH,
        bottom + 26,
        f"{words}.",
        [*parts, *axis_ticks(axis, bottom + 4, lambda tick: scale.tick(tick, signed=False))],
    )


class Forest:
    """Slices on one common axis: a row's picture each, and the axis below them."""

    width = 300

    def __init__(self, slices: Sequence[Slice], scorecard: Scorecard, scale: Scale) -> None:
        gate = next((gate for gate in scorecard.gates if slices and gate.metric == slices[0].metric), None)
        self._scale = scale
        self._higher = gate is None or gate.higher_is_better
        whole = [found for part in slices if (found := bounds(part.difference)) is not None]
        ends = [0.0, *(x for found in whole for x in found)]
        self._axis = Axis(min(ends), max(ends), self.width, 10)
        self.usable = bool(whole) and self._axis.usable

    def row(self, part: Slice) -> Markup:
        found = bounds(part.difference)
        if found is None or not self.usable:
            return NO_PICTURE
        value, low, high = found
        sign = 1.0 if self._higher else -1.0
        look = "worse" if max(sign * low, sign * high) < 0 else "better" if min(sign * low, sign * high) > 0 else "even"
        words = f"{self._scale.difference(value)}, 95% interval {self._scale.difference_interval(low, high)}"
        parts = [vertical("zero", self._axis.at(0.0), 0, 26), interval_line(look, self._axis, low, value, high, 13)]
        return svg(self.width, 26, words, parts)

    def axis(self) -> Markup:
        if not self.usable:
            return NO_PICTURE
        ticks = axis_ticks(self._axis, 2, lambda tick: self._scale.tick(tick, signed=True))
        return svg(self.width, 24, f"Axis in {self._scale.difference_unit}", ticks)


def histogram_chart(histogram: Histogram) -> Markup:
    """Both variants' distributions as outlines over the same bins, each as a share of its own answers."""
    edges = histogram.edges
    sides = [("champion", histogram.champion), ("challenger", histogram.challenger)]
    if len(edges) < 2 or not all(map(known, edges)) or any(len(counts) != len(edges) - 1 for _, counts in sides):
        return NO_PICTURE
    axis = Axis(edges[0], edges[-1])
    shares = [(label, [count / (sum(counts) or 1) for count in counts]) for label, counts in sides]
    top = max((share for _, values in shares for share in values), default=0.0)
    if not axis.usable or not top > 0:
        return NO_PICTURE
    base, height = 130.0, 112.0
    parts: list[Markup] = []
    for label, values in shares:
        path = [f"M{axis.at(edges[0])} {base:.1f}"]
        for index, share in enumerate(values):
            path.append(f"V{base - share / top * height:.1f}H{axis.at(edges[index + 1])}")
        path.append(f"V{base:.1f}Z")
        parts.append(Markup('<path class="{}" d="{}"/>').format(f"area {label}", "".join(path)))
    scale = Scale("seconds") if histogram.unit == "s" else Scale("plain")
    parts += axis_ticks(axis, base, lambda tick: scale.tick(tick, signed=False))
    middles = [_middle(edges, counts) for _, counts in sides]
    words = (
        f"Distribution of {phrase(histogram.name, 60)}: "
        f"middle of the champion's answers near {scale.value(middles[0])}, "
        f"of the challenger's near {scale.value(middles[1])}."
    )
    return svg(WIDTH, 154, words, parts)


def _middle(edges: Sequence[float], counts: Sequence[int]) -> float | None:
    """The middle of the bin that holds the median."""
    total, below = sum(counts), 0
    for index, count in enumerate(counts):
        below += count
        if total and below * 2 >= total:
            return (edges[index] + edges[index + 1]) / 2
    return None


def svg(width: float, height: float, words: str, parts: Sequence[Markup], look: str = "plain") -> Markup:
    """A picture of some parts; `words` say the same to whoever doesn't see it."""
    head = Markup('<svg class="{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">')
    title = Markup("<title>{}</title>").format(words)
    return head.format(look, width, height, width, height, words) + title + Markup("").join(parts) + Markup("</svg>")


def interval_line(look: str, axis: Axis, low: float, value: float, high: float, y: float) -> Markup:
    """A line with end caps and a dot: hollow and square for the champion, so that no colour is needed to tell."""
    x0, x, x1 = axis.at(low), axis.at(value), axis.at(high)
    line = Markup('<path class="span" d="M{x0} {y}H{x1}M{x0} {a}V{b}M{x1} {a}V{b}"/>').format(
        x0=x0, x1=x1, y=y, a=y - 6, b=y + 6
    )
    if look == "champion":
        dot = Markup('<rect class="dot" x="{:.1f}" y="{}" width="9" height="9"/>').format(float(x) - 4.5, y - 4.5)
    else:
        dot = Markup('<circle class="dot" cx="{}" cy="{}" r="5.5"/>').format(x, y)
    return Markup('<g class="{}">{}{}</g>').format(f"interval {look}", line, dot)


def axis_ticks(
    axis: Axis, y: float, label: Callable[[float], str], ticks: Sequence[float] | None = None
) -> list[Markup]:
    """An axis at height `y` with its marks; `ticks` in place of the axis's own."""
    parts = [Markup('<path class="axis" d="M{} {y}H{}"/>').format(axis.edge, axis.width - axis.edge, y=y)]
    for tick in axis.ticks() if ticks is None else ticks:
        parts += [
            Markup('<path class="axis" d="M{} {}v4"/>').format(axis.at(tick), y),
            words_at("tick", axis.at(tick), y + 16, label(tick), "middle"),
        ]
    return parts


def vertical(look: str, x: str, top: float, bottom: float) -> Markup:
    """A line from top to bottom, such as zero or a margin."""
    return Markup('<path class="{}" d="M{} {}V{}"/>').format(look, x, top, bottom)


def words_at(look: str, x: str, y: float, words: str, anchor: str) -> Markup:
    """Escaped words; `anchor` says which end of them stands at `x`."""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(look, x, y, anchor, words)


def anchor(axis: Axis, value: float) -> str:
    """Text near an edge grows away from it."""
    share = (float(axis.at(value)) - axis.edge) / (axis.width - 2 * axis.edge)
    return "start" if share < 0.2 else "end" if share > 0.8 else "middle"


def _central(axis: Axis, value: float) -> bool:
    return anchor(axis, value) == "middle"


def _whole(figure: Figure) -> bool:
    return known(figure.value) and known(figure.low) and known(figure.high)

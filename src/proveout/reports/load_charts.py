"""Pictures of a load test: latency against load, distributions, and what happened when. SVG text, as in `charts`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from proveout.reports.charts import EDGE, NO_PICTURE, WIDTH, Axis
from proveout.reports.figures import Scale
from proveout.reports.loadtest_text import sizes_in_words

if TYPE_CHECKING:
    from proveout.loadtest.figures import Run
    from proveout.loadtest.report import Series

LOOKS = ("champion", "challenger")
HEIGHT, TOP, LEFT = 190.0, 14.0, 58.0
GRID_WIDTH, GRID_LEFT, CELL = 600.0, 118.0, 28.0
_TIME = Scale("seconds")

Points = Sequence[tuple[float, float]]


def load_chart(runs: Sequence[Run], latency: str) -> Markup:
    """A latency's p50 and p95 against the load, one point a run."""
    lines: list[tuple[str, Points]] = []
    for name in ("p50", "p95"):
        points = [
            (load, value / 1000)
            for run in runs
            if (load := _load(run)) is not None and (value := getattr(run, f"{latency}_ms").get(name)) is not None
        ]
        lines.append((name, sorted(points)))
    unit = "requests at once" if any("concurrency" in run.schedule for run in runs) else "requests/s"
    words = f"{latency.upper()} at p50 and p95 against the load in {unit}."
    looks = [(f"line {look}", label, points) for look, (label, points) in zip(LOOKS, lines, strict=True)]
    return _plot(looks, words, unit, dots=True)


def distribution_chart(series: Sequence[Series], latency: str) -> Markup:
    """The cumulative distribution of a latency in each run: which share of requests was done by when."""
    curves: list[tuple[str, str, Points]] = []
    for look, one in zip(LOOKS if len(series) > 1 else LOOKS[1:], series, strict=False):
        values = one.distributions.get(latency, ())
        points = [
            (value / 1000, place / max(len(values) - 1, 1)) for place, value in enumerate(values) if value is not None
        ]
        curves.append((f"line {look}", one.variant, points))
    words = f"Distribution of {latency.upper()}: the share of requests that had it by then."
    return _plot(curves, words, "time", shares=True)


def timeline_chart(one: Series, look: str = "challenger") -> Markup:
    """Median and p95 TTFT over the run's time, with its longest stalls as ticks and errors as crosses."""
    lines: list[tuple[str, str, Points]] = []
    for kind, name in (("faint", "ttft_p95_ms"), ("", "ttft_p50_ms")):
        points = [(float(bin["at"] or 0), value / 1000) for bin in one.bins if (value := bin[name]) is not None]
        lines.append((f"line {look} {kind}".strip(), name.removesuffix("_ms").replace("_", " "), points))
    marks = [at for at, length in one.stalls if length >= 3 * _usual_stall(one)]
    errors = [float(bin["at"] or 0) for bin in one.bins if bin["errors"]]
    words = (
        f"TTFT over the time of the run: p50 and p95. {len(marks)} long stalls and {len(errors)} stretches with errors "
        "are marked."
    )
    return _plot(lines, words, "seconds from the start", stalls=marks, errors=errors)


def heat_map(runs: Sequence[Run], kind: str, words: str) -> Markup:
    """A figure of every run of a grid: a row for each pair of sizes, a column for each load, the darker the more.

    Args:
        runs: of one variant.
        kind: a latency quantile such as `ttft_p95`, or `output_tokens_per_s`. Where the figure breaks its SLO the cell
            is framed; where the client was the bottleneck its number is in brackets.
        words: what the figure is, for those who can't see the picture.
    """
    rows = list(dict.fromkeys(sizes_in_words(run.workload) for run in runs))
    columns = sorted({load for run in runs if (load := _load(run)) is not None})
    values = [_figure(run, kind) for run in runs]
    if len(rows) < 2 or not columns or not any(values):
        return NO_PICTURE
    known = [math.log(value) for value in values if value]
    least, most = (min(known), max(known)) if known else (0.0, 0.0)
    width = max(46.0, min(72.0, (GRID_WIDTH - GRID_LEFT) / len(columns)))
    parts: list[Markup] = []
    for place, load in enumerate(columns):
        parts.append(_words("tick", f"{GRID_LEFT + (place + 0.5) * width:.1f}", "14", f"{load:g}", "middle"))
    for place, row in enumerate(rows):
        parts.append(
            _words("tick", f"{GRID_LEFT - 8:.1f}", f"{22 + (place + 0.64) * CELL:.1f}", row or "examples", "end")
        )
    for run, value in zip(runs, values, strict=True):
        load = _load(run)
        if load is None:
            continue
        x, y = GRID_LEFT + columns.index(load) * width, 22 + rows.index(sizes_in_words(run.workload)) * CELL
        share = (math.log(value) - least) / (most - least) if value and most > least else 0.0
        broken = any(line.metric == kind and line.state == "broken" for line in run.slo)
        look = "cell broken" if broken else "cell"
        told = _cell(run, kind, value)
        parts.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.2f}"/>'
            ).format(look, x + 1.5, y + 1.5, width - 3, CELL - 3, 0.06 + 0.54 * share if value else 0.0)
        )
        parts.append(_words("figure", f"{x + width / 2:.1f}", f"{y + 0.64 * CELL:.1f}", told, "middle"))
    across, down = GRID_LEFT + len(columns) * width + 2, 22 + len(rows) * CELL + 4
    head = Markup(
        '<svg class="grid" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>'
    )
    size = (f"{across:.0f}", f"{down:.0f}")
    return head.format(*size, *size, words, words) + Markup("").join(parts) + Markup("</svg>")


def _figure(run: Run, kind: str) -> float | None:
    """The figure of a run: seconds for a latency."""
    if kind == "output_tokens_per_s":
        return run.output_tokens_per_s
    latency, quantile = kind.split("_")
    value = getattr(run, f"{latency}_ms").get(quantile)
    return None if value is None else value / 1000


def _cell(run: Run, kind: str, value: float | None) -> str:
    if value is None:
        return "never" if kind in run.beyond else "–"
    told = f"{value:,.3g}" if kind == "output_tokens_per_s" else _TIME.value(value)
    return told if run.valid else f"({told})"


def _usual_stall(one: Series) -> float:
    stalls = one.distributions.get("stall", ())
    middle = stalls[len(stalls) // 2] if stalls else None
    return middle or 0.0


def _load(run: Run) -> float | None:
    load = run.schedule.get("concurrency", run.schedule.get("rate"))
    return float(load) if load is not None else None


def _plot(
    lines: Sequence[tuple[str, str, Points]],
    words: str,
    unit: str,
    *,
    dots: bool = False,
    shares: bool = False,
    stalls: Sequence[float] = (),
    errors: Sequence[float] = (),
) -> Markup:
    everything = [point for _, _, points in lines for point in points]
    if len(everything) < 2:
        return NO_PICTURE
    across = Axis(min(x for x, _ in everything), max(x for x, _ in everything), edge=EDGE)
    highest = 1.0 if shares else max(y for _, y in everything)
    if not across.usable or not highest > 0:
        return NO_PICTURE
    base = HEIGHT - 34

    def at(x: float) -> str:
        return f"{LEFT + (float(across.at(x)) - EDGE) * (WIDTH - LEFT - EDGE) / (WIDTH - 2 * EDGE):.1f}"

    def up(y: float) -> str:
        return f"{base - min(y / highest, 1.0) * (base - TOP):.1f}"

    parts = [Markup('<path class="axis" d="M{} {b}H{}M{} {b}V{}"/>').format(LEFT, WIDTH - EDGE, LEFT, TOP, b=base)]
    for tick in across.ticks(5):
        label = _TIME.tick(tick, signed=False) if shares else f"{tick:g}"
        parts.append(_words("tick", at(tick), f"{base + 15:.1f}", label, "middle"))
    for share in (0.0, 0.5, 1.0):
        label = f"{share:.0%}" if shares else _TIME.value(share * highest) if share else "0"
        parts.append(_words("tick", f"{LEFT - 6:.1f}", f"{float(up(share * highest)) + 4:.1f}", label, "end"))
    parts.append(_words("aside", f"{(LEFT + WIDTH) / 2:.1f}", f"{HEIGHT - 2:.1f}", unit, "middle"))
    parts += [Markup('<path class="stall" d="M{} {:.1f}v10"/>').format(at(x), TOP) for x in stalls]
    parts += [Markup('<path class="fault" d="M{} {:.1f}l7 7m-7 0l7 -7"/>').format(at(x), base - 9) for x in errors]
    for look, label, points in lines:
        if not points:
            continue
        path = "M" + "L".join(f"{at(x)} {up(y)}" for x, y in points)
        parts.append(Markup('<path class="{}" d="{}"><title>{}</title></path>').format(look, path, label))
        if dots:
            parts += [
                Markup('<circle class="{}" cx="{}" cy="{}" r="3.5"/>').format(look, at(x), up(y)) for x, y in points
            ]
    head = Markup('<svg viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"><title>{}</title>')
    return head.format(WIDTH, HEIGHT, WIDTH, HEIGHT, words, words) + Markup("").join(parts) + Markup("</svg>")


def _words(look: str, x: str, y: str, words: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(look, x, y, anchor, words)

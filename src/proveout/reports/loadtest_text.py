"""A load test on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proveout.reports.figures import Scale
from proveout.reports.load_costs import costs_in_words
from proveout.reports.text import counted, phrase

if TYPE_CHECKING:
    from proveout.loadtest.figures import Run
    from proveout.loadtest.report import Comparison, Report

_TIME = Scale("seconds")
_RATIO = Scale("seconds", relative=True)
_SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "error": "!"}
_LATENCIES = ("ttft", "itl", "tpot", "e2e", "stall")


def loadtest_in_words(report: Report) -> str:
    """Every run's figures, then what they add up to. Ends without a line break."""
    lines: list[str] = []
    for run in report.runs:
        lines += [*_run(run), ""]
    if report.scaling is not None:
        lines.append(report.scaling.words)
    if report.saturation is not None:
        lines += [f"Capacity of {phrase(report.saturation.variant, 60)}: {report.saturation.words}"]
    if report.comparison is not None:
        lines += _comparison(report.comparison)
    lines += costs_in_words(report)
    if report.calibration is not None:
        lines.append(report.calibration.words)
    if report.interrupted:
        lines.append("Stopped before its end: the figures are of what was measured until then.")
    return "\n".join(lines).rstrip()


def schedule_in_words(schedule: dict[str, Any]) -> str:
    """A schedule in a few words: `closed, 8 at once`, `poisson, 25 requests/s`."""
    kind = phrase(str(schedule.get("kind", "")), 30)
    if "concurrency" in schedule:
        return f"{kind}, {schedule['concurrency']} at once"
    parts = [kind]
    if "rate" in schedule:
        parts.append(f"{schedule['rate']:.4g} requests/s")
    for stage in schedule.get("stages", ()):
        rate = f"{stage['start']:g}" if stage["start"] == stage["end"] else f"{stage['start']:g}..{stage['end']:g}"
        parts.append(f"{rate}/s for {stage['seconds']:g} s")
    if "trace" in schedule:
        parts.append(f"{phrase(str(schedule['trace']), 60)} at {schedule['time_scale']:g} times its speed")
    if "max_concurrency" in schedule:
        parts.append(f"at most {schedule['max_concurrency']} at once")
    return ", ".join(parts)


def _run(run: Run) -> list[str]:
    head = f"{phrase(run.variant, 60)}: {schedule_in_words(run.schedule)}, {counted(run.requests, 'request')}"
    if run.errors:
        head += f", {counted(run.errors, 'error')}"
    lines = [head]
    if not run.valid:
        lines.append(f"  ! invalid: {'; '.join(run.invalid)}. These figures are partly the client's own.")
    lines.append(f"  {'':6}{'p50':>12}{'p90':>12}{'p95':>12}{'p99':>12}   95% interval of p50 and p95")
    for latency in _LATENCIES:
        quantiles = getattr(run, f"{latency}_ms")
        if all(value is None for value in quantiles.values()) and not run.requests:
            continue
        cells = "".join(f"{_quantile(run, latency, name):>12}" for name in ("p50", "p90", "p95", "p99"))
        spans = [_span(run, latency, name) for name in ("p50", "p95")]
        lines.append(f"  {latency:6}{cells}   {', '.join(span for span in spans if span)}")
    rates = [
        f"{value:.4g} {unit}"
        for value, unit in (
            (run.requests_per_s, "requests/s"),
            (run.output_tokens_per_s, "output tokens/s"),
            (run.goodput, "good requests/s"),
        )
        if value is not None
    ]
    lines.append("  " + ", ".join(rates))
    lines += [f"  SLO {line.metric} ≤ {_TIME.value(line.limit_ms / 1000)}: {line.state}" for line in run.slo]
    lines += [
        f"  {failed['count']} × {failed['kind']}: {phrase(failed['message'], 120)}" for failed in run.failures[:5]
    ]
    lines += [f"  note: {note}" for note in run.notes]
    if run.ended:
        lines.append(f"  ended early: {phrase(run.ended, 160)}")
    return lines


def _quantile(run: Run, latency: str, name: str) -> str:
    value = getattr(run, f"{latency}_ms").get(name)
    if value is not None:
        return _TIME.value(value / 1000)
    return "never" if f"{latency}_{name}" in run.beyond else "–"


def _span(run: Run, latency: str, name: str) -> str:
    found = run.intervals.get(f"{latency}_ms", {}).get(name)
    if found is None or found[0] is None:
        return ""
    return f"{_TIME.value(found[0] / 1000)}–{'∞' if found[1] is None else _TIME.value(found[1] / 1000)}"


def _comparison(comparison: Comparison) -> list[str]:
    how = (
        f"{comparison.pairs} pairs of blocks in turns (ABBA)"
        if comparison.interleave == "blocks"
        else "request by request"
    )
    lines = [
        f"{_SIGNS[comparison.verdict]} {phrase(comparison.challenger, 60)} against {phrase(comparison.champion, 60)}: "
        f"{comparison.verdict} ({schedule_in_words(comparison.schedule)}, {comparison.requests:,} requests each, {how})"
    ]
    for metric in comparison.metrics:
        difference = metric.difference
        told = "not compared"
        if difference.value is not None:
            told = _RATIO.difference(difference.value)
            span = _RATIO.difference_interval(difference.low, difference.high)
            told += f" ({span})" if span else ""
        lines.append(f"  {_SIGNS[metric.verdict]} {metric.metric:10} {told}. {metric.reason}")
    return lines

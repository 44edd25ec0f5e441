"""A load test on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proveout.reports.figures import Scale
from proveout.reports.load_costs import costs_in_words
from proveout.reports.text import counted, phrase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proveout.loadtest.figures import Run
    from proveout.loadtest.report import Comparison, Report

_TIME = Scale("seconds")
_RATIO = Scale("seconds", relative=True)
_SIGNS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "error": "!"}
_COLUMNS = (("ttft", "p50"), ("ttft", "p95"), ("tpot", "p50"), ("e2e", "p50"), ("e2e", "p95"))
MOST_IN_FULL = 2
"""Runs that are told in full; more become a table."""
_LATENCIES = ("ttft", "itl", "tpot", "e2e", "stall")


def loadtest_in_words(report: Report) -> str:
    """Every run's figures, then what they add up to. Ends without a line break."""
    lines: list[str] = []
    if len(report.runs) > MOST_IN_FULL and not report.comparisons:
        lines += [*_table(report.runs), ""]
    else:
        for run in report.runs:
            lines += [*_run(run), ""]
    if report.scaling is not None:
        lines.append(report.scaling.words)
    if report.saturation is not None:
        lines += [f"Capacity of {phrase(report.saturation.variant, 60)}: {report.saturation.words}"]
    for comparison in report.comparisons:
        lines += _comparison(comparison)
    if report.comparison is not None and not report.valid:
        lines.append("No verdict: the client was the bottleneck, so that this says nothing about the variants.")
    elif len(report.comparisons) > 1 and report.comparison is not None:
        lines.append(f"Verdict: {report.comparison.verdict}, by {_deciding(report)}.")
    lines += costs_in_words(report)
    if report.calibration is not None:
        lines.append(report.calibration.words)
    if report.interrupted:
        lines.append("Stopped before its end: the figures are of what was measured until then.")
    return "\n".join(lines).rstrip()


def _deciding(report: Report) -> str:
    count = sum(one.decides for one in report.comparisons)
    return "the first of them" if count == 1 else f"the first {count} of them, of which all must pass"


def sizes_in_words(workload: dict[str, Any]) -> str:
    """The sizes of a run's requests: `128 in, 32 out`; empty for the service's own examples."""
    sizes = [workload.get(f"{side}_tokens") for side in ("input", "output")]
    told = [size.get("mean") if isinstance(size, dict) else size for size in sizes]
    return ", ".join(f"{size:,.4g} {word}" for size, word in zip(told, ("in", "out"), strict=True) if size is not None)


def load_in_words(schedule: dict[str, Any]) -> str:
    """How hard a run pressed, shortly: `8 at once`, `25/s`."""
    if "concurrency" in schedule:
        return f"{schedule['concurrency']} at once"
    return f"{schedule['rate']:.4g}/s" if "rate" in schedule else phrase(str(schedule.get("kind", "")), 20)


def _table(runs: Sequence[Run]) -> list[str]:
    """One line a run. What a run of a sweep has to say beyond that is in the JSON and on the page."""
    sized = any(sizes_in_words(run.workload) for run in runs)
    heads = ["load", "requests", "TTFT p50", "p95", "TPOT p50", "E2E p50", "p95", "requests/s", "tokens/s", "SLOs"]
    rows = [[*(["tokens"] if sized else []), *heads]]
    for run in runs:
        cells = [
            load_in_words(run.schedule),
            f"{run.requests:,}" + (f" ({run.errors:,} failed)" if run.errors else ""),
            *(_quantile(run, *name) for name in _COLUMNS),
            "–" if run.requests_per_s is None else f"{run.requests_per_s:.4g}",
            "–" if run.output_tokens_per_s is None else f"{run.output_tokens_per_s:.4g}",
            slos_in_words(run) if run.valid else "invalid",
        ]
        rows.append([*([sizes_in_words(run.workload)] if sized else []), *cells])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"! {load_in_words(run.schedule)}: invalid: {'; '.join(run.invalid)}" for run in runs if not run.valid][
        :3
    ]
    return lines


def slos_in_words(run: Run) -> str:
    """What becomes of the SLOs in a run: the worst state, and which it is of."""
    for state in ("broken", "unresolved"):
        found = [line.metric for line in run.slo if line.state == state]
        if found:
            return f"{state}: {', '.join(found)}"
    return "kept" if run.slo else ""


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
    sizes = sizes_in_words(run.workload)
    head = f"{phrase(run.variant, 60)}: {schedule_in_words(run.schedule)}, {counted(run.requests, 'request')}"
    head += f", {sizes} tokens" if sizes else ""
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


def heading(comparison: Comparison) -> str:
    """Under which load a comparison was made, and whether it decides: `at 25 requests/s (the mean traffic)`."""
    schedule = comparison.schedule
    at = f"{schedule['rate']:.3g} requests/s" if "rate" in schedule else schedule_in_words(schedule)
    sizes = sizes_in_words(comparison.workload)
    words = f"at {at}" + (f", {sizes} tokens" if sizes else "")
    if not comparison.decides:
        return f"{words} ({comparison.load:g} times the rate; decides nothing)"
    return words + (f" ({comparison.rate_from})" if comparison.rate_from else "")


def _comparison(comparison: Comparison) -> list[str]:
    how = (
        f"{comparison.pairs} pairs of blocks in turns (ABBA)"
        if comparison.interleave == "blocks"
        else "request by request"
    )
    lines = [
        f"{_SIGNS[comparison.verdict]} {phrase(comparison.challenger, 60)} against {phrase(comparison.champion, 60)} "
        f"{heading(comparison)}: {comparison.verdict}",
        f"  {comparison.requests:,} requests each, {how}",
    ]
    for metric in comparison.metrics:
        difference = metric.difference
        told = "not compared"
        if difference.value is not None:
            told = _RATIO.difference(difference.value)
            span = _RATIO.difference_interval(difference.low, difference.high)
            told += f" ({span})" if span else ""
        lines.append(f"  {_SIGNS[metric.verdict]} {metric.metric:10} {told}. {metric.reason}")
    return [*lines, ""]

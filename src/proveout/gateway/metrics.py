"""Metrics in Prometheus' text format: few labels, base units, and cheap enough for every request."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

METRICS: Mapping[str, tuple[Kind, str]] = {
    "proveout_gateway_requests_total": ("counter", "Answered requests by the variant that was chosen."),
    "proveout_gateway_errors_total": ("counter", "Requests that failed, by what went wrong."),
    "proveout_gateway_request_duration_seconds": ("histogram", "From a request's last byte in to its answer's last."),
    "proveout_gateway_time_to_first_token_seconds": ("histogram", "Until a streamed answer's first content."),
    "proveout_gateway_tokens_total": ("counter", "Tokens that endpoints counted."),
    "proveout_gateway_cost_usd_total": ("counter", "US dollars by the price book."),
    "proveout_gateway_attempts_total": ("counter", "Calls made to upstreams, further tries included."),
    "proveout_gateway_fallbacks_total": ("counter", "Requests that another variant than the chosen one answered."),
    "proveout_gateway_cache_hits_total": ("counter", "Requests answered from the cache."),
    "proveout_gateway_shadow_requests_total": ("counter", "Copies sent to shadow variants."),
    "proveout_gateway_shadow_skipped_total": ("counter", "Copies left out because the shadow's budget was used up."),
    "proveout_gateway_rejected_total": ("counter", "Requests refused before any upstream was asked, by why."),
    "proveout_gateway_guard_results_total": ("counter", "What guards said, by guard and result."),
    "proveout_gateway_feedback_total": ("counter", "Scores kept."),
    "proveout_gateway_in_flight_requests": ("gauge", "Requests being answered now."),
    "proveout_gateway_weight_ratio": ("gauge", "Share of units that a variant serves."),
    "proveout_gateway_release_epoch": ("gauge", "Epoch of the release that is served."),
    "proveout_gateway_breaker_open": ("gauge", "Endpoints of a variant that are left alone after failures."),
    "proveout_gateway_store_up": ("gauge", "1 while the store takes what is written."),
    "proveout_gateway_spooled_bytes": ("gauge", "Bytes that wait on disk for the store."),
    "proveout_gateway_traces_dropped_total": ("counter", "Traces lost because the spool was full."),
    "proveout_gateway_spans_dropped_total": ("counter", "Spans that the collector did not take."),
    "proveout_gateway_redis_up": ("gauge", "1 while limits and cache are shared through Redis."),
    "proveout_gateway_reload_failures_total": ("counter", "Changes of files or releases that could not be served."),
}
"""Every metric that there is."""


class Count:
    """A counter or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Histogram:
    """Seconds in buckets."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds


class Sample(msgspec.Struct, array_like=True):
    """One series at one moment: a value, or a histogram's counts with their total as the value."""

    name: str
    labels: list[tuple[str, str]]
    value: float
    counts: list[int] | None = None


class Metrics:
    """The series of one process. Ask once for each, and keep what you get."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Labels], Count] = {}
        self._histograms: dict[tuple[str, Labels], Histogram] = {}

    def count(self, name: str, **labels: str) -> Count:
        key = (name, tuple(labels.items()))
        found = self._counts.get(key)
        if found is None:
            assert METRICS[name][0] != "histogram"
            found = self._counts[key] = Count()
        return found

    def histogram(self, name: str, **labels: str) -> Histogram:
        key = (name, tuple(labels.items()))
        found = self._histograms.get(key)
        if found is None:
            assert METRICS[name][0] == "histogram"
            found = self._histograms[key] = Histogram()
        return found

    def forget(self, name: str) -> None:
        """Drop all series of a gauge, before they are set anew."""
        for key in [key for key in self._counts if key[0] == name]:
            del self._counts[key]

    def samples(self) -> list[Sample]:
        plain = [Sample(name, list(labels), count.value) for (name, labels), count in self._counts.items()]
        return plain + [
            Sample(name, list(labels), histogram.total, list(histogram.counts))
            for (name, labels), histogram in self._histograms.items()
        ]


def merged(processes: Iterable[Iterable[Sample]]) -> list[Sample]:
    """The samples of several processes as one: all are summed, but for those that every process says alike."""
    found: dict[tuple[str, Labels], Sample] = {}
    for samples in processes:
        for sample in samples:
            key = (sample.name, tuple((name, value) for name, value in sample.labels))
            known = found.get(key)
            if known is None:
                found[key] = Sample(sample.name, sample.labels, sample.value, sample.counts)
            elif sample.name in _SAID_ALIKE:
                known.value = _SAID_ALIKE[sample.name](known.value, sample.value)
            else:
                known.value += sample.value
                if known.counts is not None and sample.counts is not None:
                    known.counts = [a + b for a, b in zip(known.counts, sample.counts, strict=True)]
    return list(found.values())


_SAID_ALIKE: Mapping[str, Any] = {
    "proveout_gateway_weight_ratio": max,
    "proveout_gateway_release_epoch": max,
    "proveout_gateway_store_up": min,
    "proveout_gateway_redis_up": min,
}


def rendered(samples: Iterable[Sample]) -> bytes:
    """Samples in the text format, version 0.0.4."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for name, (kind, help_text) in METRICS.items():
        found = by_name.get(name)
        if not found:
            continue
        lines += (f"# HELP {name} {help_text}", f"# TYPE {name} {kind}")
        for sample in found:
            if sample.counts is None:
                lines.append(f"{name}{_braces(sample.labels)} {sample.value:.17g}")
            else:
                lines += _histogram_lines(name, sample)
    return ("\n".join(lines) + "\n").encode()


def _histogram_lines(name: str, sample: Sample) -> Iterable[str]:
    running = 0
    for bound, count in zip((*map(str, SECONDS), "+Inf"), sample.counts or (), strict=True):
        running += count
        yield f"{name}_bucket{_braces([*sample.labels, ('le', bound)])} {running}"
    yield f"{name}_sum{_braces(sample.labels)} {sample.value:.17g}"
    yield f"{name}_count{_braces(sample.labels)} {running}"


def _braces(labels: Iterable[tuple[str, str]]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

"""How busy an engine of one's own is: its `/metrics` page (vLLM's names, in Prometheus' text format), and its GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proveout.wire import Client

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{.*\})?\s+(\S+)(?:\s+-?\d+)?$")

_NAMES = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "cache_used": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    "input_tokens": ("vllm:prompt_tokens_total",),
    "output_tokens": ("vllm:generation_tokens_total",),
    "prefix_queries": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    "prefix_hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    "finished": ("vllm:request_success_total",),
    "preempted": ("vllm:num_preemptions_total",),
}
"""Today's name first, then older ones."""


class EngineUnread(Exception):
    """The engine's metrics could not be had; the message says why."""


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """One look at an engine: requests now and the share of its KV cache in use (0 to 1), and what it has counted since
    it started. None where it does not say. Several models or ranks of one page are added up (the cache: the fullest).
    """

    running: float | None = None
    waiting: float | None = None
    cache_used: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    prefix_queries: float | None = None
    prefix_hits: float | None = None
    finished: float | None = None
    preempted: float | None = None


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine did between two looks. None where it does not say, or started anew in between."""

    input_tokens_per_s: float | None
    output_tokens_per_s: float | None
    requests_per_s: float | None
    prefix_hit_rate: float | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU now: shares of time busy and of memory used (0 to 1), and its power in watts (None where it can't
    tell)."""

    name: str
    busy: float
    memory_used: float
    watts: float | None


def engine_metrics(page: str) -> EngineMetrics:
    """Read a page in Prometheus' text format; lines that are no samples are passed over."""
    samples: dict[str, list[float]] = {}
    for line in page.splitlines():
        match = _SAMPLE.match(line.strip())
        if match:
            try:
                samples.setdefault(match[1], []).append(float(match[2]))
            except ValueError:
                continue
    found: dict[str, float] = {}
    for field, names in _NAMES.items():
        values = next((samples[name] for name in names if name in samples), None)
        if values:
            found[field] = max(values) if field == "cache_used" else sum(values)
    return EngineMetrics(**found)


def engine_load(first: EngineMetrics, second: EngineMetrics, seconds: float) -> EngineLoad:
    """Rates between two looks, `seconds` apart (above 0)."""
    hits, queries = (_grown(first, second, name) for name in ("prefix_hits", "prefix_queries"))
    rates = [_grown(first, second, name) for name in ("input_tokens", "output_tokens", "finished")]
    per_second = [None if grown is None else grown / seconds for grown in rates]
    return EngineLoad(*per_second, prefix_hit_rate=hits / queries if hits is not None and queries else None)


async def read_engine(client: Client, url: str) -> EngineMetrics:
    """One look at an engine's `/metrics` page.

    Raises:
        EngineUnread: it did not answer, or not with its metrics.
    """
    from proveout.wire import WireError

    try:
        response = await client.send("GET", url)
    except WireError as error:
        raise EngineUnread(f"{url} gave no metrics: {error}") from None
    if response.status != 200:
        raise EngineUnread(f"{url} answered {response.status} instead of its metrics")
    return engine_metrics(response.body.decode("utf-8", "replace"))


def gpus() -> tuple[Gpu, ...]:
    """This machine's NVIDIA GPUs (extra `gpu`); none where there is no driver.

    Raises:
        EngineUnread: the extra is not installed.
    """
    try:
        import pynvml  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise EngineUnread("GPU figures need `pip install proveout[gpu]`") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(_gpu(pynvml, handle) for handle in handles)
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: object, handle: object) -> Gpu:
    from typing import Any, cast

    api = cast(Any, nvml)
    memory = api.nvmlDeviceGetMemoryInfo(handle)
    try:
        watts = api.nvmlDeviceGetPowerUsage(handle) / 1000
    except api.NVMLError:
        watts = None
    name = api.nvmlDeviceGetName(handle)
    return Gpu(
        name=name.decode() if isinstance(name, bytes) else name,
        busy=api.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        memory_used=memory.used / memory.total,
        watts=watts,
    )


def _grown(first: EngineMetrics, second: EngineMetrics, name: str) -> float | None:
    before, after = getattr(first, name), getattr(second, name)
    return None if before is None or after is None or after < before else after - before

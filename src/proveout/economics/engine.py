"""How busy an engine of one's own is: its `/metrics` page (Prometheus' text format, with the names of vLLM, SGLang or
TGI), and its GPUs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from proveout.project.records import Variant
    from proveout.wire import Client

_SAMPLE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{.*\})?\s+(\S+)(?:\s+-?\d+)?$")

_NAMES = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs", "tgi_batch_current_size"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "tgi_queue_size"),
    "cache_used": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"),
    "input_tokens": ("vllm:prompt_tokens_total", "sglang:prompt_tokens_total", "tgi_request_input_length_sum"),
    "output_tokens": (
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        "tgi_request_generated_tokens_sum",
    ),
    "prefix_queries": ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    "prefix_hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    "finished": ("vllm:request_success_total", "sglang:num_requests_total", "tgi_request_success"),
    "preempted": ("vllm:num_preemptions_total",),
}
"""The names of vLLM (today's first, then older ones), SGLang and Text Generation Inference."""

_ENGINES = ("vllm", "sglang", "tgi")
"""Providers whose metrics page stands beside their API."""


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


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """What an engine did over a measurement, from looks at its page: rates and shares as in `EngineLoad`, the mean and
    the most requests at once, the longest queue, the fullest its KV cache was, and the mean share of time that GPUs of
    this machine were busy. None where that was not told."""

    looks: int
    seconds: float
    load: EngineLoad
    running: float | None
    most_running: float | None
    most_waiting: float | None
    cache_used: float | None
    gpu_busy: float | None


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an engine, `at` seconds on a clock that only goes forward."""

    at: float
    metrics: EngineMetrics
    gpu_busy: float | None = None


def engine_seen(looks: Sequence[Look]) -> EngineSeen | None:
    """What looks in the order of time add up to; None for fewer than two."""
    if len(looks) < 2:
        return None
    first, last = looks[0], looks[-1]
    running, waiting, cache, busy = (
        [value for look in looks if (value := read(look)) is not None]
        for read in (
            lambda look: look.metrics.running,
            lambda look: look.metrics.waiting,
            lambda look: look.metrics.cache_used,
            lambda look: look.gpu_busy,
        )
    )
    seconds = max(last.at - first.at, 1e-9)
    return EngineSeen(
        looks=len(looks),
        seconds=seconds,
        load=engine_load(first.metrics, last.metrics, seconds),
        running=sum(running) / len(running) if running else None,
        most_running=max(running, default=None),
        most_waiting=max(waiting, default=None),
        cache_used=max(cache, default=None),
        gpu_busy=sum(busy) / len(busy) if busy else None,
    )


def metrics_address(variant: Variant) -> str | None:
    """Where a variant's engine shows its metrics: as declared, else beside the API of an engine that has such a page;
    None where neither is known."""
    if variant.machine is not None and variant.machine.metrics is not None:
        return variant.machine.metrics
    url = variant.model.url
    if url is None or variant.model.provider not in _ENGINES:
        return None
    return f"{url.rstrip('/').removesuffix('/v1')}/metrics"


async def watch_engine(
    client: Client, url: str, until: asyncio.Event, *, every_s: float = 1.0, with_gpus: bool = False
) -> EngineSeen | None:
    """Look at an engine again and again until the event is set, and once more then.

    Looks that fail are left out; None where fewer than two were had. `with_gpus` asks this machine's GPUs too.
    """
    import asyncio
    import time

    looks: list[Look] = []
    while True:
        last = until.is_set()
        try:
            metrics = await read_engine(client, url)
            looks.append(Look(time.perf_counter(), metrics, _busy() if with_gpus else None))
        except EngineUnread:
            pass
        if last:
            return engine_seen(looks)
        try:
            await asyncio.wait_for(until.wait(), every_s)
        except TimeoutError:
            continue


def _busy() -> float | None:
    """The mean share of time that this machine's GPUs are busy; None without any, or without the extra."""
    try:
        found = gpus()
    except EngineUnread:
        return None
    return sum(gpu.busy for gpu in found) / len(found) if found else None


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

"""Other tools' results in our words. The same name often means another figure there, so names are translated, never
trusted:

- guidellm's `time_per_output_token` is (end - start) / n and holds the TTFT: it is no TPOT of ours, and is left out;
  its `inter_token_latency` is a mean per request, which is our TPOT.
- aiperf's `inter_token_latency` is a mean per request (our TPOT); its `inter_chunk_latency` has the true gaps.
- vLLM's and inference-perf's ITL pool all gaps (our ITL), and their TPOT is ours, but inference-perf counts tokens with
  a tokenizer of its own, also where the endpoint says how many there were.

None of them says when requests were due, so that waits under a concurrency cap are missing from their TTFT and E2E.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from proveout.loadtest.figures import Run

_QUANTILES = ("p50", "p90", "p95", "p99")
_STAMPED = "latencies start when the tool sent, not when the schedule wanted it"


class ImportProblem(Exception):
    """A file is no result of a tool that is known here."""


def import_results(path: Path) -> tuple[str, tuple[Run, ...]]:
    """The runs in a JSON result of guidellm, aiperf, inference-perf or `vllm bench serve`, and the tool's name. Figures
    that the tool does not have are null; validity of the client is not known there and taken for granted.

    Raises:
        ImportProblem: the file can't be read, or is none of these.
    """
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ImportProblem(f"{path} can't be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ImportProblem(f"{path} is no JSON: {error}") from None
    if isinstance(data, Mapping):
        for name, known, read in _TOOLS:
            if known(data):
                try:
                    runs = tuple(read(data))
                except (KeyError, TypeError, AttributeError, ValueError) as error:
                    raise ImportProblem(f"{path} looks like {name}'s, but can't be read: {error!r}") from None
                if runs:
                    return name, runs
    tools = ", ".join(name for name, _, _ in _TOOLS)
    raise ImportProblem(f"{path} is no result of {tools}; give the JSON file that one of them wrote")


def _guidellm(data: Mapping[str, Any]) -> Sequence[Run]:
    runs: list[Run] = []
    for benchmark in data["benchmarks"]:
        metrics = benchmark["metrics"]
        totals = metrics.get("request_totals") or benchmark.get("request_totals") or {}
        config = benchmark.get("config") or benchmark.get("args") or {}
        strategy = dict(config.get("strategy") or {})
        kind = str(strategy.get("type_") or strategy.get("type") or config.get("profile") or "unknown")
        schedule: dict[str, Any] = {"kind": {"concurrent": "closed", "synchronous": "closed"}.get(kind, kind)}
        if schedule["kind"] == "closed":
            schedule["concurrency"] = int(strategy.get("streams") or strategy.get("max_concurrency") or 1)
        elif strategy.get("rate"):
            schedule["rate"] = float(strategy["rate"])
        runs.append(
            _run(
                schedule,
                requests=int(totals.get("successful", 0)) + int(totals.get("errored", 0)),
                errors=int(totals.get("errored", 0)),
                quantiles={
                    "ttft": _percentiles(_successful(metrics.get("time_to_first_token_ms"))),
                    "tpot": _percentiles(_successful(metrics.get("inter_token_latency_ms"))),
                    "e2e": _percentiles(_successful(metrics.get("request_latency")), 1000.0),
                },
                requests_per_s=_mean(_successful(metrics.get("requests_per_second"))),
                tokens_per_s=_mean(_successful(metrics.get("output_tokens_per_second"))),
            )
        )
    return runs


def _successful(metric: Any) -> Mapping[str, Any]:
    return (metric or {}).get("successful") or {}


def _percentiles(summary: Mapping[str, Any], factor: float = 1.0) -> dict[str, float | None]:
    found = summary.get("percentiles") or {}
    return {name: _scaled(found.get(name), factor) for name in _QUANTILES}


def _mean(summary: Mapping[str, Any]) -> float | None:
    return _scaled(summary.get("mean"), 1.0)


def _aiperf(data: Mapping[str, Any]) -> Sequence[Run]:
    records = data.get("records") if isinstance(data.get("records"), Mapping) else data
    assert isinstance(records, Mapping)
    config = data.get("input_config") or {}
    models = (config.get("models") or {}).get("items") or ()
    errors = int(_average(records.get("error_request_count")) or 0)
    return [
        _run(
            _aiperf_schedule(config),
            requests=int(_average(records.get("request_count")) or 0) + errors,
            errors=errors,
            quantiles={
                "ttft": _flat(records.get("time_to_first_token") or records.get("ttft")),
                "itl": _flat(records.get("inter_chunk_latency")),
                "tpot": _flat(records.get("inter_token_latency")),
                "e2e": _flat(records.get("request_latency")),
            },
            requests_per_s=_average(records.get("request_throughput")),
            tokens_per_s=_average(records.get("output_token_throughput")),
            goodput=_average(records.get("goodput")),
            seconds=_average(records.get("benchmark_duration")) or 0.0,
            name=str(models[0].get("name") or "") if len(models) == 1 else "",
        )
    ]


def _aiperf_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """What 0.13 has in its phases, and versions before it had under `loadgen`."""
    load = config.get("loadgen") or {}
    phases = [phase for phase in config.get("phases") or () if phase.get("kind") == "profiling"]
    phase = phases[0] if len(phases) == 1 else {}
    concurrency = load.get("concurrency") or phase.get("concurrency")
    rate = load.get("request_rate") or phase.get("rate")
    if isinstance(rate, int | float):
        kind = str(load.get("request_rate_mode") or phase.get("type") or "poisson")
        cap = {"max_concurrency": int(concurrency)} if concurrency else {}
        return {"kind": "bursts" if kind == "gamma" else kind, "rate": float(rate), **cap}
    return {"kind": "closed", "concurrency": int(concurrency)} if concurrency else {"kind": "unknown"}


def _flat(metric: Any) -> dict[str, float | None]:
    factor = {"sec": 1000.0, "s": 1000.0, "us": 1e-3, "ns": 1e-6}.get(str((metric or {}).get("unit")), 1.0)
    return {name: _scaled((metric or {}).get(name), factor) for name in _QUANTILES}


def _average(metric: Any) -> float | None:
    return _scaled((metric or {}).get("avg"), 1.0)


def _inference_perf(data: Mapping[str, Any]) -> Sequence[Run]:
    successes, failures = data["successes"], data.get("failures") or {}
    latency = successes["latency"]
    throughput = successes.get("throughput") or {}
    load = data.get("load_summary") or {}
    schedule: dict[str, Any] = {"kind": "unknown"}
    if load.get("concurrency"):
        schedule = {"kind": "closed", "concurrency": int(load["concurrency"])}
    elif load.get("requested_rate"):
        schedule = {"kind": "open", "rate": float(load["requested_rate"])}
    errors = int(failures.get("count") or 0)
    return [
        _run(
            schedule,
            requests=int(successes["count"]) + errors,
            errors=errors,
            quantiles={
                "ttft": _summary(latency.get("time_to_first_token")),
                "itl": _summary(latency.get("inter_token_latency")),
                "tpot": _summary(latency.get("time_per_output_token")),
                "e2e": _summary(latency.get("request_latency")),
            },
            requests_per_s=_scaled(throughput.get("requests_per_sec"), 1.0),
            tokens_per_s=_scaled(throughput.get("output_tokens_per_sec"), 1.0),
            seconds=_scaled(data.get("benchmark_time_seconds"), 1.0) or 0.0,
        )
    ]


def _summary(metric: Any) -> dict[str, float | None]:
    found = metric or {}
    names = {"p50": ("median", "p50"), "p90": ("p90",), "p95": ("p95",), "p99": ("p99",)}
    return {
        name: next((_scaled(found[other], 1000.0) for other in others if other in found), None)
        for name, others in names.items()
    }


def _vllm(data: Mapping[str, Any]) -> Sequence[Run]:
    errors = int(data.get("failed") or 0)
    rate, cap = data.get("request_rate"), data.get("max_concurrency")
    if isinstance(rate, int | float):
        schedule: dict[str, Any] = {"kind": "poisson", "rate": float(rate)}
        if data.get("burstiness") not in (None, 1, 1.0):
            schedule = {"kind": "bursts", "rate": float(rate), "burstiness": 1 / float(data["burstiness"])}
    else:
        schedule = {"kind": "closed", "concurrency": int(cap)} if cap else {"kind": "all_at_once"}
    return [
        _run(
            schedule | ({"max_concurrency": cap} if cap and "rate" in schedule else {}),
            requests=int(data["completed"]) + errors,
            errors=errors,
            quantiles={
                name: {
                    "p50": _scaled(data.get(f"median_{other}_ms"), 1.0),
                    **{q: _scaled(data.get(f"{q}_{other}_ms"), 1.0) for q in _QUANTILES[1:]},
                }
                for name, other in (("ttft", "ttft"), ("itl", "itl"), ("tpot", "tpot"), ("e2e", "e2el"))
            },
            requests_per_s=_scaled(data.get("request_throughput"), 1.0),
            tokens_per_s=_scaled(data.get("output_throughput"), 1.0),
            goodput=_scaled(data.get("request_goodput"), 1.0),
            seconds=_scaled(data.get("duration"), 1.0) or 0.0,
            name=str(data.get("model_id") or ""),
        )
    ]


def _run(
    schedule: dict[str, Any],
    *,
    requests: int,
    errors: int,
    quantiles: Mapping[str, dict[str, float | None]],
    requests_per_s: float | None,
    tokens_per_s: float | None,
    goodput: float | None = None,
    seconds: float = 0.0,
    name: str = "",
) -> Run:
    nothing: dict[str, float | None] = dict.fromkeys(_QUANTILES)
    return Run(
        variant=name or "imported",
        schedule=schedule,
        requests=requests,
        errors=errors,
        valid=True,
        client={},
        ttft_ms=quantiles.get("ttft", nothing),
        itl_ms=quantiles.get("itl", nothing),
        tpot_ms=quantiles.get("tpot", nothing),
        e2e_ms=quantiles.get("e2e", nothing),
        stall_ms=nothing,
        requests_per_s=requests_per_s,
        output_tokens_per_s=tokens_per_s,
        goodput=goodput,
        seconds=seconds,
        notes=("imported: whether the client kept up is not known", _STAMPED),
    )


def _scaled(value: Any, factor: float) -> float | None:
    return round(float(value) * factor, 6) if isinstance(value, int | float) and not isinstance(value, bool) else None


_TOOLS = (
    ("guidellm", lambda data: isinstance(data.get("benchmarks"), list), _guidellm),
    (
        "inference-perf",
        lambda data: "successes" in data and "latency" in (data.get("successes") or {}),
        _inference_perf,
    ),
    ("vLLM", lambda data: "completed" in data and ("mean_ttft_ms" in data or "median_ttft_ms" in data), _vllm),
    (
        "aiperf",
        lambda data: any(
            isinstance(part, Mapping) and ("request_latency" in part or "request_throughput" in part)
            for part in (data, data.get("records"))
        ),
        _aiperf,
    ),
)

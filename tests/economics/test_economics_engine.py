"""An engine's own figures: vLLM's metrics page over real HTTP, and GPUs where there are any."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proveout.economics import EngineUnread, engine_load, engine_metrics, gpus, read_engine
from proveout.economics.engine import EngineMetrics, Look, engine_seen, metrics_address
from proveout.project import Lineage, Machine, ModelSpec, Variant
from proveout.project.prompts import Prompt
from proveout.wire import Client, serve

PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="llama \\"8b\\" {x}"} 3.0
vllm:num_requests_running{engine="1",model_name="llama"} 2.0
vllm:num_requests_waiting{engine="0"} 1
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
vllm:prompt_tokens_total{engine="0"} 1.5e+06
vllm:generation_tokens_total{engine="0"} 200000.0 1790000000000
vllm:prefix_cache_queries_total{engine="0"} 1000.0
vllm:prefix_cache_hits_total{engine="0"} 600.0
vllm:request_success_total{engine="0",finished_reason="stop"} 90.0
vllm:request_success_total{engine="0",finished_reason="length"} 10.0
this is no sample
vllm:num_preemptions_total{engine="0"} not-a-number
"""


def test_a_page_is_read_and_ranks_are_added_up() -> None:
    found = engine_metrics(PAGE)
    assert (found.running, found.waiting, found.cache_used) == (5.0, 1.0, 0.75)
    assert (found.input_tokens, found.output_tokens, found.finished) == (1_500_000.0, 200_000.0, 100.0)
    assert found.preempted is None


def test_older_names_are_known() -> None:
    assert engine_metrics("vllm:gpu_cache_usage_perc 0.5\n").cache_used == 0.5


def test_load_between_two_looks() -> None:
    later = PAGE.replace("1.5e+06", "1.8e+06").replace("200000.0", "203000.0").replace("600.0", "850.0")
    later = later.replace("1000.0", "1500.0").replace("90.0", "120.0")
    load = engine_load(engine_metrics(PAGE), engine_metrics(later), seconds=30)
    assert (load.input_tokens_per_s, load.output_tokens_per_s, load.requests_per_s) == (10_000, 100, 1)
    assert load.prefix_hit_rate == 0.5


def test_an_engine_that_started_anew_has_no_load() -> None:
    load = engine_load(engine_metrics(PAGE), engine_metrics("vllm:prompt_tokens_total 5\n"), seconds=30)
    assert load.input_tokens_per_s is None
    assert load.prefix_hit_rate is None


def test_the_page_is_read_from_a_server_and_its_absence_is_told() -> None:
    def app(request: Any, responder: Any) -> None:
        if request.path == "/metrics":
            responder.reply(200, {"content-type": "text/plain"}, PAGE.encode())
        else:
            responder.reply(404)

    async def look() -> None:
        server = await serve(app)
        address = f"http://127.0.0.1:{server.port}"
        async with Client() as client:
            assert (await read_engine(client, f"{address}/metrics")).running == 5.0
            with pytest.raises(EngineUnread, match="404"):
                await read_engine(client, f"{address}/nothing")
            await server.close()
            with pytest.raises(EngineUnread, match="gave no metrics"):
                await read_engine(client, f"{address}/metrics")

    asyncio.run(look())


def test_without_a_driver_there_are_no_gpus() -> None:
    pytest.importorskip("pynvml")
    for gpu in gpus():
        assert 0 <= gpu.busy <= 1
        assert 0 <= gpu.memory_used <= 1


@pytest.mark.parametrize(
    "page",
    [
        "sglang:num_running_reqs 4\nsglang:num_queue_reqs 2\nsglang:prompt_tokens_total 10\n"
        "sglang:generation_tokens_total 20\nsglang:num_requests_total 3\n",
        "tgi_batch_current_size 4\ntgi_queue_size 2\ntgi_request_input_length_sum 10\n"
        'tgi_request_generated_tokens_sum 20\ntgi_request_success{method="batch"} 3\n',
    ],
)
def test_other_engines_are_read_by_their_own_names(page: str) -> None:
    found = engine_metrics(page)
    assert (found.running, found.waiting) == (4, 2)
    assert (found.input_tokens, found.output_tokens, found.finished) == (10, 20, 3)


def test_many_looks_add_up() -> None:
    def look(at: float, running: float, tokens: float, busy: float | None = None) -> Look:
        return Look(at, EngineMetrics(running=running, cache_used=running / 10, output_tokens=tokens), busy)

    assert engine_seen([look(0, 1, 0)]) is None
    seen = engine_seen([look(0, 1, 0), look(5, 4, 700), look(10, 1, 1_000, 0.5)])
    assert seen is not None
    assert (seen.running, seen.most_running, seen.cache_used, seen.gpu_busy) == (2, 4, 0.4, 0.5)
    assert (seen.load.output_tokens_per_s, seen.most_waiting) == (100, None)


@pytest.mark.parametrize(
    ("provider", "url", "declared", "address"),
    [
        ("vllm", "http://h:8000/v1", None, "http://h:8000/metrics"),
        ("tgi", "http://h:8080/", None, "http://h:8080/metrics"),
        ("openai-compatible", "http://h:8000/v1", None, None),
        ("openai-compatible", "http://h:8000/v1", "http://h:9000/metrics", "http://h:9000/metrics"),
    ],
)
def test_where_an_engine_shows_its_metrics(provider: str, url: str, declared: str | None, address: str | None) -> None:
    machine = None if declared is None else Machine("h", metrics=declared)
    model = ModelSpec(provider, "m", url)
    variant = Variant("v", model, {}, Prompt(""), (), (), Lineage(), "f", Path(), machine=machine)
    assert metrics_address(variant) == address

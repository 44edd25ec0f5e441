"""Other tools' names are translated: the same word is often another figure there."""

import json
from pathlib import Path

import pytest

from proveout.loadtest.imports import ImportProblem, import_results

P = {"p50": 1.0, "p90": 2.0, "p95": 3.0, "p99": 4.0}
GUIDELLM = {
    "metadata": {"version": 1},
    "benchmarks": [
        {
            "config": {"strategy": {"type_": "concurrent", "streams": 8}},
            "metrics": {
                "request_totals": {"successful": 90, "errored": 10, "incomplete": 3, "total": 103},
                "time_to_first_token_ms": {"successful": {"mean": 9.0, "percentiles": P}},
                "time_per_output_token_ms": {"successful": {"mean": 21.9, "percentiles": {"p50": 21.9}}},
                "inter_token_latency_ms": {"successful": {"percentiles": {"p50": 19.3}}},
                "request_latency": {"successful": {"percentiles": {"p50": 1.25}}},
                "requests_per_second": {"successful": {"mean": 6.5}},
                "output_tokens_per_second": {"successful": {"mean": 410.0}},
            },
        }
    ],
}
AIPERF = {
    "request_throughput": {"unit": "requests/sec", "avg": 12.0},
    "request_latency": {"unit": "ms", "avg": 500.0, "p50": 480.0, "p99": 900.0},
    "time_to_first_token": {"unit": "ms", **P},
    "inter_token_latency": {"unit": "ms", "p50": 8.4},
    "inter_chunk_latency": {"unit": "ms", "p50": 8.0, "p99": 31.0},
    "request_count": {"unit": "requests", "avg": 100.0},
    "error_request_count": {"unit": "requests", "avg": 4.0},
    "input_config": {"loadgen": {"request_rate": 25.0, "request_rate_mode": "poisson"}},
}
INFERENCE_PERF = {
    "load_summary": {"count": 50, "requested_rate": 10.0},
    "successes": {
        "count": 48,
        "latency": {
            "request_latency": {"mean": 0.6, "median": 0.5, "p90": 0.9},
            "time_to_first_token": {"median": 0.05, "p99": 0.2},
            "time_per_output_token": {"median": 0.009},
            "inter_token_latency": {"median": 0.008, "p99": 0.03},
        },
        "throughput": {"requests_per_sec": 9.7, "output_tokens_per_sec": 600.0},
    },
    "failures": {"count": 2},
}
VLLM = {
    "model_id": "llama",
    "request_rate": 5.0,
    "burstiness": 0.5,
    "max_concurrency": 16,
    "completed": 100,
    "failed": 1,
    "duration": 20.0,
    "request_throughput": 5.0,
    "output_throughput": 320.0,
    "request_goodput": 4.5,
    "mean_ttft_ms": 50.0,
    "median_ttft_ms": 48.0,
    "p99_ttft_ms": 120.0,
    "median_tpot_ms": 9.0,
    "median_itl_ms": 8.0,
    "p99_itl_ms": 30.0,
    "median_e2el_ms": 600.0,
}


def read(tmp_path, data):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(data))
    name, (run, *_) = import_results(path)
    return name, run


def test_guidellm(tmp_path):
    name, run = read(tmp_path, GUIDELLM)
    assert (name, run.schedule, run.requests, run.errors) == ("guidellm", {"kind": "closed", "concurrency": 8}, 100, 10)
    assert run.ttft_ms == P
    assert run.tpot_ms["p50"] == 19.3  # Its "inter token latency" is a mean per request: our TPOT.
    assert run.itl_ms["p50"] is None  # It keeps no gaps.
    assert run.e2e_ms["p50"] == 1250
    assert (run.requests_per_s, run.output_tokens_per_s) == (6.5, 410)


def test_aiperf(tmp_path):
    name, run = read(tmp_path, AIPERF)
    assert (name, run.schedule, run.requests, run.errors) == ("aiperf", {"kind": "poisson", "rate": 25.0}, 104, 4)
    assert (run.itl_ms["p99"], run.tpot_ms["p50"], run.e2e_ms["p99"]) == (31.0, 8.4, 900.0)


WRITTEN = Path(__file__).parent / "peers"
"""What peers wrote of runs against the simulated server: 60 requests, 8 at once; in one, a fifth was refused."""


def test_a_file_that_aiperf_wrote():
    name, (run,) = import_results(WRITTEN / "aiperf-0.13.0.json")
    assert (name, run.variant) == ("aiperf", "sim")
    assert run.schedule == {"kind": "closed", "concurrency": 8}
    assert (run.requests, run.errors) == (60, 0)
    assert run.ttft_ms == {"p50": 85.794661, "p90": 120.832042, "p95": 133.804173, "p99": 168.176948}
    assert run.tpot_ms["p50"] == 8.67423
    assert run.itl_ms["p99"] == 62.003533
    assert run.seconds == pytest.approx(5.588, abs=0.001)


def test_a_file_that_aiperf_wrote_of_an_open_run_with_failures():
    _, (run,) = import_results(WRITTEN / "aiperf-0.13.0-refused.json")
    assert run.schedule == {"kind": "poisson", "rate": 15.0}
    assert (run.requests, run.errors) == (60, 9)


@pytest.mark.parametrize(
    ("part", "schedule"), [("stage_0", {"kind": "closed", "concurrency": 8}), ("summary", {"kind": "unknown"})]
)
def test_files_that_inference_perf_wrote(part, schedule):
    name, (run,) = import_results(WRITTEN / f"inference-perf-0.7.0-{part}.json")
    assert name == "inference-perf"
    assert run.schedule == schedule
    assert (run.requests, run.errors) == (60, 0)
    assert run.ttft_ms["p50"] == 58.69447
    assert run.seconds == pytest.approx(4.904, abs=0.001)


def test_inference_perf(tmp_path):
    name, run = read(tmp_path, INFERENCE_PERF)
    assert (name, run.requests, run.errors) == ("inference-perf", 50, 2)
    assert (run.ttft_ms["p50"], run.itl_ms["p99"], run.tpot_ms["p50"], run.e2e_ms["p90"]) == (50, 30, 9, 900)


def test_vllm(tmp_path):
    name, run = read(tmp_path, VLLM)
    assert (name, run.variant, run.goodput) == ("vLLM", "llama", 4.5)
    assert run.schedule == {"kind": "bursts", "rate": 5.0, "burstiness": 2.0, "max_concurrency": 16}
    assert (run.ttft_ms["p50"], run.ttft_ms["p90"], run.itl_ms["p99"], run.e2e_ms["p50"]) == (48, None, 30, 600)


@pytest.mark.parametrize("data", [{}, [], {"benchmarks": []}, {"successes": {}}, {"benchmarks": [{"metrics": 3}]}])
def test_anything_else_is_refused(tmp_path, data):
    with pytest.raises(ImportProblem, match=r"no result of|can't be read"):
        read(tmp_path, data)


def test_a_file_that_is_no_json_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(ImportProblem, match="no JSON"):
        import_results(path)
    with pytest.raises(ImportProblem, match="No such file"):
        import_results(tmp_path / "none.json")

"""`proveout loadtest` as a user runs it: against a simulated server, through the built command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from proveout.testing.simulated_engine import Behaviour
from proveout.testing.simulated_server import simulated_server


@pytest.fixture(scope="module")
def server():
    with simulated_server(Behaviour(answer_tokens=8)) as running:
        yield running


@pytest.fixture
def project(tmp_path, server):
    server.become(Behaviour(answer_tokens=8))
    root = tmp_path / "services" / "answers"
    for name in ("datasets", "variants", "changes", "prompts"):
        (root / name).mkdir(parents=True)
    (tmp_path / "proveout.yaml").write_text(json.dumps({"project": "tested"}))
    (root / "prompts" / "ask.md").write_text("{{ question }}\n")
    rows = [
        {"id": str(number), "input": {"question": f"how much is {number}"}, "expected": "x"} for number in range(30)
    ]
    (root / "datasets" / "golden.jsonl").write_text("\n".join(map(json.dumps, rows)))
    service = {
        "service": "answers",
        "input": ["question"],
        "datasets": {"golden": "datasets/golden.jsonl"},
        "scorers": ["exact_match"],
        "champion": "base",
        "objectives": {"latency": {"slo": {"ttft_p95": "2s", "e2e_p95": "5s"}, "margin": "50%"}},
    }
    (root / "service.yaml").write_text(json.dumps(service))
    for name, most in (("base", 16), ("other", 16)):
        variant = {
            "variant": name,
            "model": {"provider": "openai-compatible", "name": name, "url": server.url},
            "parameters": {"max_tokens": most},
            "prompt": "prompts/ask.md",
        }
        (root / "variants" / f"{name}.yaml").write_text(json.dumps(variant))
    change = {"change": "other", "service": "answers", "challenger": "other", "improves": [], "hypothesis": "As quick."}
    (root / "changes" / "other.yaml").write_text(json.dumps(change))
    return tmp_path


def proveout(project, *arguments: str, timeout: float = 100) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "proveout", *arguments, "-C", str(project)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def loadtest(project, *arguments: str):
    """The command's exit code and its JSON."""
    path = project / "out.json"
    done = proveout(project, "loadtest", *arguments, "--json", str(path))
    assert path.exists(), done.stderr
    return done, json.loads(path.read_text())


def measured(report) -> tuple[int, ...]:
    """The exit codes that a run without a verdict may have: on a busy machine the client may be the bottleneck."""
    return (0,) if all(run["valid"] for run in report["runs"]) else (4,)


def test_one_closed_run_writes_the_contract(project):
    done, report = loadtest(project, "answers", "--concurrency", "4", "--requests", "60")
    assert report["schema"] == "proveout.loadtest/v1"
    (run,) = report["runs"]
    assert (run["variant"], run["schedule"], run["requests"], run["errors"]) == (
        "base",
        {"kind": "closed", "concurrency": 4},
        60,
        0,
    )
    assert run["ttft_ms"]["p50"] > 10
    assert run["ttft_ms"]["p99"] is None
    assert set(run["itl_ms"]) == set(run["stall_ms"]) == {"p50", "p90", "p95", "p99"}
    assert run["client"]["cpu_fraction"] > 0
    assert run["client"]["send_lag_p99_ms"] >= 0
    assert run["goodput"] > 0
    assert run["requests_per_s"] > 0
    assert run["output_tokens_per_s"] > 0
    assert set(run["processing_ms"]) == {"preprocessing", "postprocessing"}
    assert done.returncode in measured(report)


def test_a_sweep_by_sizes_is_measured_and_told(project):
    done, report = loadtest(
        project, "answers", "--rate", "40", "--requests", "20", "--input-tokens", "32,256", "--output-tokens", "4,16"
    )
    cells = [(run["workload"]["input_tokens"], run["workload"]["output_tokens"]) for run in report["runs"]]
    assert cells == [(32, 4), (32, 16), (256, 4), (256, 16)]
    for run in report["runs"]:
        assert run["checks"]["input_mismatch"] < 0.2
        assert run["checks"]["output_mismatch"] == 0
    assert done.returncode in measured(report)


def test_a_comparison_takes_turns_at_the_rate_and_at_one_and_a_half_times_it(project, server):
    server.become(Behaviour(first_s=0.01, step_s=0.002, answer_tokens=6))
    done, report = loadtest(project, "answers", "base", "other", "--requests", "60", "--rate", "30")
    first, second = report["comparisons"]
    assert report["comparison"] == first
    assert (first["interleave"], first["pairs"]) == ("blocks", 20)
    assert [(one["load"], one["schedule"]["rate"]) for one in (first, second)] == [(1.0, 30.0), (1.5, 45.0)]
    assert [run["variant"] for run in report["runs"]] == ["base", "other"] * 2
    assert [metric["metric"] for metric in first["metrics"]] == ["ttft_p95", "e2e_p95"]
    assert first["verdict"] in ("pass", "inconclusive", "fail")
    expected = {"pass": 0, "fail": 1, "inconclusive": 3}[first["verdict"]]
    assert done.returncode == (expected if measured(report) == (0,) else 4)
    assert "at 30 requests/s: " in done.stdout
    assert "at 45 requests/s (1.5 times the rate; decides nothing): " in done.stdout


def test_without_a_rate_the_services_own_traffic_is_compared_at(project, server):
    server.become(Behaviour(first_s=0.01, step_s=0.002, answer_tokens=6))
    declared = project / "services" / "answers" / "service.yaml"
    service = json.loads(declared.read_text())
    service["traffic"] = {"requests_per_month": 50 * 2_628_000, "peak_to_mean": 1.2}
    declared.write_text(json.dumps(service))
    _, report = loadtest(project, "answers", "base", "other", "--requests", "30", "--surge", "1")
    (comparison,) = report["comparisons"]
    assert comparison["schedule"] == {"kind": "poisson", "rate": 60.0}
    assert comparison["rate_from"] == "the service's peak traffic, 1.2 times its mean"


def test_a_grid_of_sizes_and_loads_is_one_table_and_one_picture(project, server):
    server.become(Behaviour(first_s=0.002, step_s=0.001, token_s=0.0))
    page = project / "grid.html"
    sizes = ("--input-tokens", "short,16", "--output-tokens", "4,short")
    done, report = loadtest(project, "answers", *sizes, "--concurrency", "2,8", "--requests", "12", "--html", str(page))
    runs = [
        (run["workload"]["input_tokens"], run["workload"]["output_tokens"], run["schedule"]["concurrency"])
        for run in report["runs"]
    ]
    assert runs == [(asked, answered, level) for asked in (128, 16) for answered in (4, 32) for level in (2, 8)]
    table = [line for line in done.stdout.splitlines() if " at once " in line]
    assert len(table) == 8
    html = page.read_text()
    assert html.count('class="grid"') == 2  # The p95 needs more requests.
    assert html.count("<details") == 8


def test_a_trace_is_replayed(project):
    trace = project / "trace.csv"
    lines = [f"{0.05 * number:.3f},{32 + number},{4}" for number in range(30)]
    trace.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]))
    _, report = loadtest(project, "answers", "--trace", str(trace), "--time-scale", "2")
    (run,) = report["runs"]
    assert run["schedule"] == {"kind": "trace", "trace": "trace.csv", "time_scale": 2.0, "requests": 30}
    assert run["requests"] == 30
    assert run["checks"]["output_mismatch"] == 0


def test_the_page_shows_the_runs_and_runs_no_foreign_code(project):
    page = project / "out.html"
    proveout(
        project,
        "loadtest",
        "answers",
        "base",
        "other",
        "--requests",
        "20",
        "--rate",
        "40",
        "--surge",
        "1",
        "--html",
        str(page),
    )
    html = page.read_text()
    assert html.count("<svg") >= 4
    assert "default-src 'none'" in html
    assert "<script" not in html


def test_ctrl_c_still_writes_what_was_measured(project):
    path = project / "stopped.json"
    command = [sys.executable, "-m", "proveout", "loadtest", "answers", "-C", str(project), "--json", str(path)]
    process = subprocess.Popen(
        [*command, "--concurrency", "2", "--duration", "90"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    line = process.stderr.readline()
    assert "closed" in line
    time.sleep(3)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    report = json.loads(path.read_text())
    (run,) = report["runs"]
    assert report["interrupted"]
    assert run["ended"] == "stopped"
    assert run["requests"] > 3
    assert run["errors"] == 0
    assert process.returncode in (130, 4)


def test_a_dead_endpoint_is_could_not_measure(project, server):
    server.become(Behaviour(refuse=1.0))
    done, report = loadtest(project, "answers", "--concurrency", "2", "--requests", "300")
    assert done.returncode == 4
    assert report["runs"][0]["errors"] >= 50
    assert report["runs"][0]["ended"]


def test_capacity_is_searched_for_as_far_as_the_calls_reach(project, server):
    server.become(Behaviour(first_s=0.004, step_s=0.003, slots=1, answer_tokens=6, answer_spread=0.0))  # 52 a second.
    declared = project / "services" / "answers" / "service.yaml"
    service = json.loads(declared.read_text())
    service["objectives"]["latency"]["slo"] = {"ttft_p95": "200ms"}
    declared.write_text(json.dumps(service))
    done, report = loadtest(project, "answers", "--saturation", "--requests", "12", "--max-calls", "700")
    found = report["saturation"]
    assert found["probes"][0]["state"] in ("kept", "unresolved")
    assert 10 < found["rate"] < 60
    assert len(found["probes"]) <= 10
    assert done.returncode in measured(report)


def test_calibration_needs_no_project(tmp_path):
    path = tmp_path / "floor.json"
    done = proveout(tmp_path, "loadtest", "--calibrate", "--concurrency", "4", "--requests", "40", "--json", str(path))
    floor = json.loads(path.read_text())["calibration"]
    assert floor["chunks_per_s"] > 10
    assert floor["ttft_error_p50_ms"] > -5
    assert done.returncode == (0 if floor["usable"] else 4)


def test_imported_results_are_shown_without_a_project(tmp_path):
    result = tmp_path / "vllm.json"
    result.write_text(json.dumps({"completed": 10, "median_ttft_ms": 5.0, "request_rate": "inf", "max_concurrency": 4}))
    done = proveout(tmp_path, "loadtest", "--import", str(result), "--json", "-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["runs"][0]["schedule"] == {"kind": "closed", "concurrency": 4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "no service 'nothing'"),
        (["answers", "none"], "no variant 'none'"),
        (["answers", "--rate", "quick"], "write 25, 5..50"),
        (["answers", "--concurrency", "2", "--rate", "5"], "a cap is --max-concurrency"),
        (["answers", "--rate", "inf"], "rates that are numbers"),
        (["answers", "--rate", "5", "--trace", "arrivals.csv"], "says when requests are due"),
        (["answers", "--saturation", "--rate", "5"], "--saturation finds the rates itself"),
        (["answers", "--time-scale", "2"], "--time-scale is of a --trace"),
        (["answers", "--arrivals", "bursts"], "requests of a --rate"),
        (["answers", "--shared-prefix", "9", "--rate", "5"], "no part of the service’s own prompts"),
        (["answers", "--shared-prefix", "9", "--input-tokens", "8", "--rate", "5"], "no part of 8 tokens"),
        (["answers", "--rate", "5", "--input-tokens", "huge"], "--input-tokens huge"),
        (["answers", "--concurrency", "two"], "--concurrency two: write a number of requests at once"),
        (["answers", "--saturation", "--input-tokens", "8,16", "--output-tokens", "4"], "takes one size"),
        (["answers", "--trace", "none.csv"], "none.csv can't be read"),
        (["answers", "base", "other", "base"], "one variant to measure, or two"),
        ([], "name the service"),
    ],
)
def test_bad_input_is_told_and_exits_2(project, arguments, said):
    done = proveout(project, "loadtest", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_max_calls_is_kept(project, server):
    done = proveout(project, "loadtest", "answers", "--concurrency", "2", "--requests", "60", "--max-calls", "20")
    assert done.returncode == 4
    assert "--max-calls 20" in done.stderr
    assert len(server.truth()) == 0


def test_the_latency_gate_of_a_run_has_its_own_load_phase(project, server):
    server.become(Behaviour(first_s=0.01, step_s=0.002, answer_tokens=6))
    path = project / "card.json"
    done = proveout(project, "run", "other", "--gates", "latency", "--yes", "--json", str(path))
    card = json.loads(path.read_text())
    assert [gate["metric"] for gate in card["gates"]] == ["ttft_p95", "e2e_p95"]
    assert card["calls"]["made"] >= 240
    for gate in card["gates"]:
        assert gate["objective"] == "latency"
        assert gate["unit"] == "s"
        assert "block bootstrap" in gate["method"] or "client was the bottleneck" in gate["reason"]
    assert done.returncode in (0, 1, 3, 4)
    assert "goodput" in {measure["metric"] for measure in card["measures"]}
    busy = any("client was the bottleneck" in gate["reason"] for gate in card["gates"])
    assert busy or "At 1.5 times that rate: " in path.read_text()


def test_the_gate_leaves_the_surge_out_where_the_calls_do_not_reach(project, server):
    server.become(Behaviour(first_s=0.005, step_s=0.001, answer_tokens=4))
    path = project / "card.json"
    done = proveout(project, "run", "other", "--gates", "latency", "--yes", "--max-calls", "330", "--json", str(path))
    card = json.loads(path.read_text())
    assert [gate["metric"] for gate in card["gates"]] == ["ttft_p95", "e2e_p95"]
    assert not [measure for measure in card["measures"] if "1.5x" in measure["metric"]]
    assert card["calls"]["made"] <= 330
    assert done.returncode in (0, 1, 3, 4)


def test_the_gate_keeps_max_calls_by_measuring_nothing(project, server):
    path = project / "card.json"
    done = proveout(project, "run", "other", "--gates", "latency", "--yes", "--max-calls", "40", "--json", str(path))
    assert done.returncode == 4
    assert "--max-calls leaves 40 calls" in json.loads(path.read_text())["gates"][0]["reason"]
    assert len(server.truth()) == 0

"""What a load test tells of machines of one's own: prices worked by hand, the engine's page, and the way to the cost
gate."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec
import pytest

from proveout.cli.load_costs import with_costs
from proveout.economics import PriceBook
from proveout.economics.capacity import kept_goodput
from proveout.loadtest import Report
from proveout.loadtest.figures import Run
from proveout.loadtest.hosting import hosted_loads
from proveout.loadtest.report import Capacity
from proveout.project import Host, load_project
from proveout.reports.load_costs import costs_in_words
from proveout.reports.loadtest_html import loadtest_html
from proveout.reports.loadtest_text import loadtest_in_words
from proveout.storage import open_store
from proveout.testing.endpoints import ScriptedEndpoint
from proveout.testing.faults import Answer, Received
from proveout.testing.projects import replay_project
from proveout.testing.simulated_engine import Behaviour
from proveout.testing.simulated_server import simulated_server

HOST = {"name": "h100-x1", "since": "2026-01-01", "usd_per_hour": 3.6}
BOOK = PriceBook(hosts=(Host(**HOST),))
DAY = date(2026, 11, 24)
NONE = {"p50": None, "p90": None, "p95": None, "p99": None}


def run(goodput: float, concurrency: int, variant: str = "own") -> Run:
    return Run(
        variant=variant,
        schedule={"kind": "closed", "concurrency": concurrency},
        requests=100,
        errors=0,
        valid=True,
        client={"send_lag_p99_ms": 0.1, "cpu_fraction": 0.1},
        ttft_ms=NONE,
        itl_ms=NONE,
        tpot_ms=NONE,
        e2e_ms=NONE,
        stall_ms=NONE,
        output_tokens_per_s=goodput * 50,
        requests_per_s=goodput,
        goodput=goodput,
    )


def capacity(rate: float) -> Capacity:
    return Capacity(
        variant="own",
        rate=rate,
        interval=(0.9 * rate, 1.1 * rate),
        low=0.9 * rate,
        high=1.1 * rate,
        bracketed=True,
        probes=(),
        words="",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    golden = [{"id": "a", "input": {"question": "?"}, "expected": "x"}]
    return replay_project(
        tmp_path,
        golden,
        {"api": {"a": "x"}, "own": {"a": "x"}},
        prices=[],
        hosts=[HOST],
        machines={"own": {"host": "h100-x1", "count": 2, "spare": 1}},
        service={
            "traffic": {"requests_per_month": 2_628_000, "peak_to_mean": 4},
            "objectives": {"latency": {"margin": "10%", "slo": {"ttft_p95": "1s"}}},
        },
    )


def test_a_load_costs_its_share_of_a_replicas_hour(folder: Path) -> None:
    """Two machines are $7.20 an hour, $0.002 a second: a thousandth of a dollar at 2 requests/s, of 50 tokens each."""
    service = load_project(folder).services["answers"]
    slow, quick = hosted_loads([run(2, 1), run(8, 8)], None, [service.variants["own"]], service.traffic, BOOK, DAY)
    assert (slow.usd_per_hour, slow.run, quick.run) == (7.2, 0, 1)
    assert slow.usd_per_request == pytest.approx(0.001)
    assert quick.usd_per_request == pytest.approx(0.00025)
    assert slow.usd_per_million_output_tokens == pytest.approx(20)
    assert slow.month is None


def test_a_capacity_says_what_the_month_takes(folder: Path) -> None:
    """1 request/s and 4 at peak, of which a replica bears 0.8 x 2: three and a spare, 4 x $7.20 x 730."""
    service = load_project(folder).services["answers"]
    (found,) = hosted_loads([run(2, 8)], capacity(2), [service.variants["own"]], service.traffic, BOOK, DAY)
    assert found.usd_per_request == pytest.approx(0.002 / 1.6)
    month = found.month
    assert month is not None
    assert (month.replicas, month.usd_per_month, month.utilisation) == (4, pytest.approx(21_024), pytest.approx(0.125))
    assert month.usd_per_request == pytest.approx(21_024 / 2_628_000)


def test_a_variant_without_priced_machines_costs_nothing_known(folder: Path) -> None:
    service = load_project(folder).services["answers"]
    both = [service.variants["api"], service.variants["own"]]
    assert hosted_loads([run(2, 1, "api")], None, both, service.traffic, BOOK, DAY) == ()
    assert hosted_loads([run(2, 1)], None, both, service.traffic, PriceBook(), DAY) == ()
    assert hosted_loads([run(2, 1)], None, both, service.traffic, BOOK, date(2025, 1, 1)) == ()


def test_a_capacity_is_kept_for_the_cost_gate_unless_the_client_was_the_bottleneck(folder: Path) -> None:
    project = load_project(folder)
    service = project.services["answers"]
    own = service.variants["own"]
    lost = Report(runs=(msgspec.structs.replace(run(2, 8), valid=False),), saturation=capacity(5))
    good = Report(runs=(run(2, 8),), saturation=capacity(2), started="2026-11-24T10:00:00")
    stopped = msgspec.structs.replace(good, saturation=capacity(9), interrupted=True)
    found = [with_costs(project, service, [own], report).hosting for report in (lost, good, stopped)]
    assert [[load.run for load in loads] for loads in found] == [[], [None], [0]]
    with open_store(project.store_url) as store:
        kept = kept_goodput(store, own.fingerprint, {"ttft_p95": 1.0})
        assert kept is not None
        assert (kept.rate, kept.low, kept.high, kept.measured) == (2, 1.8, 2.2, "2026-11-24T10:00:00")
        assert kept.doubt == pytest.approx(0.1 / 1.96, rel=0.001)
        assert kept_goodput(store, own.fingerprint, {"ttft_p95": 0.5}) is None, "it was measured under other SLOs"


def test_a_store_that_can_not_be_written_loses_no_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".proveout").write_text("in the way")
    project = load_project(folder)
    service = project.services["answers"]
    told = with_costs(project, service, [service.variants["own"]], Report(runs=(run(2, 8),), saturation=capacity(2)))
    assert told.hosting[0].month is not None
    assert "The capacity could not be kept for the cost gate: " in capsys.readouterr().err


def test_reports_tell_what_a_load_costs(folder: Path) -> None:
    project = load_project(folder)
    service = project.services["answers"]
    swept = with_costs(project, service, [service.variants["own"]], Report(runs=(run(2, 1), run(8, 8))))
    text = loadtest_in_words(swept)
    assert (
        "own, a replica on 2 × h100-x1 for $7.20 an hour: a request costs $0.001 at 2 good requests/s, $0.00025 at 8; "
        "a million output tokens $20.00 to $5.00." in text
    )
    assert "from prices.yaml (newest from 2026-01-01, content " in text
    page = loadtest_html(swept)
    assert "Dollars a request by good requests/s of one replica: $0.001 at 2/s, $0.00025 at 8/s." in page
    found = with_costs(project, service, [service.variants["own"]], Report(runs=(), saturation=capacity(2)))
    assert any("takes 4 replicas, 1 of them spare, 12.5% busy on average" in line for line in costs_in_words(found))


class EnginePage:
    """A page in SGLang's names whose counters grow by 100 requests a look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, _: Received) -> Answer:
        self.looks += 1
        page = (
            f"sglang:num_requests_total{{model_name='m'}} {100 * self.looks}\n"
            f"sglang:generation_tokens_total 5e{self.looks}\n"
            f"sglang:num_running_reqs {self.looks}\nsglang:token_usage 0.25\n"
        )
        return Answer(body=page.encode(), headers=[("content-type", "text/plain")])


def test_the_command_prices_a_run_and_reads_the_engine(folder: Path) -> None:
    path = folder / "services/answers/variants/own.yaml"
    declared = json.loads(path.read_text())
    with simulated_server(Behaviour(answer_tokens=8)) as server, ScriptedEndpoint(EnginePage()) as engine_page:
        declared["model"] = {"provider": "openai-compatible", "name": "own", "url": server.url}
        declared["machine"]["metrics"] = f"{engine_page.url}/metrics"
        path.write_text(json.dumps(declared))
        out = folder / "load.json"
        command = [sys.executable, "-m", "proveout", "loadtest", "answers", "own", "--concurrency", "4"]
        command += ["--requests", "60", "-C", str(folder), "--json", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert out.exists(), done.stderr
    report = json.loads(out.read_text())
    (measured,), (engine,) = report["runs"], report["engines"]
    priced = [load["usd_per_request"] for load in report["hosting"]]
    assert priced == ([pytest.approx(7.2 / 3600 / measured["goodput"])] if measured["valid"] else [])
    assert (engine["variant"], engine["cache_used"]) == ("own", 0.25)
    assert engine["requests_per_s"] * engine["seconds"] == pytest.approx(100 * (engine["looks"] - 1), rel=0.01)
    assert "own's engine says" in done.stdout

"""The latency gate: from recorded timings and from load phases to verdicts."""

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loadtest_cases import records_of
from msgspec import structs

from proveout.gates._base import Evidence, Occasion
from proveout.gates.latency import LatencyGate, LoadEvidence
from proveout.gates.verdicts import judge
from proveout.project import load_project
from proveout.project.records import ObjectiveSpec, OutputContract, Service
from proveout.testing.projects import RecordedRow, replay_project

SERVICE = Service("s", Path("s/service.yaml"), ("question",), OutputContract(), {}, (), "base", {}, {}, {})
GATE = LatencyGate()


def spec(margin: float = 0.1, **slo: float) -> ObjectiveSpec:
    return ObjectiveSpec("latency", margin, None, {"slo": slo} if slo else {})


def evidence(load: object) -> Evidence:
    return Evidence(SERVICE, None, collected={"latency": load})  # type: ignore[arg-type]


def load_of(ratio: float, *, each: int = 400, spread: float = 0.2, failed: int = 0) -> LoadEvidence:
    """Both arms over 20 pairs of blocks; the challenger takes `ratio` times as long, and some of its requests fail."""
    random = np.random.default_rng(1)
    arm = np.repeat([0, 1], each)
    ttft = random.lognormal(np.log(0.1), spread, 2 * each) * np.where(arm == 1, ratio, 1.0)
    block = np.tile(np.arange(each) * 20 // each, 2)
    error = ["timeout" if place >= 2 * each - failed else "" for place in range(2 * each)]
    return LoadEvidence(records_of(ttft, arm=arm, block=block, error=error, e2e=ttft + 0.05), None, "", each / 20, 10.0)


def verdicts(load: LoadEvidence, wanted: ObjectiveSpec, claim: str = "holds"):
    findings = GATE.measure(evidence(load), wanted, claim)  # type: ignore[arg-type]
    return [judge(finding) for finding in findings.findings]


def test_a_faster_challenger_improves():
    (ttft,) = verdicts(load_of(0.7), spec(ttft_p95=1.0), "improves")
    assert ttft.verdict == "pass"
    assert ttft.difference.value == pytest.approx(-0.3, abs=0.08)
    assert ttft.champion.value == pytest.approx(0.139, rel=0.1)


def test_one_as_fast_holds_but_does_not_improve():
    (held,) = verdicts(load_of(1.0), spec(0.15, ttft_p50=1.0))
    (claimed,) = verdicts(load_of(1.0), spec(ttft_p50=1.0), "improves")
    assert held.verdict == "pass"
    assert claimed.verdict != "pass"


def test_a_surge_is_shown_beside_the_gates_and_decides_nothing():
    calm, slow = load_of(1.0), load_of(3.0)
    wanted = spec(0.15, ttft_p50=1.0)
    findings = GATE.measure(evidence(replace(calm, surge=slow.records)), wanted, "holds")
    (held,) = [judge(finding) for finding in findings.findings]
    (beside,) = [measure for measure in findings.measures if measure.metric == "ttft_p50_at_1.5x"]
    assert held.verdict == "pass"
    assert beside.challenger.value == pytest.approx(0.3, rel=0.1)
    assert beside.champion.value == pytest.approx(0.1, rel=0.1)


def test_a_slower_one_fails():
    (ttft,) = verdicts(load_of(1.5), spec(ttft_p95=1.0))
    assert ttft.verdict == "fail"


def test_one_that_breaks_the_slo_fails_however_it_compares():
    (ttft,) = verdicts(load_of(0.8), spec(ttft_p95=0.05))
    assert ttft.verdict == "fail"
    assert "Shown to break the SLO of 50 ms" in ttft.reason


def test_an_slo_that_is_not_resolved_does_not_pass():
    load = load_of(0.7)
    records = load.records
    assert records is not None
    limit = float(np.quantile(records.ttft[records.arm == 1], 0.955))
    (ttft,) = verdicts(load, spec(ttft_p95=limit))
    assert ttft.verdict == "inconclusive"


def test_a_quantile_with_too_few_requests_is_inconclusive_with_how_many_it_needs():
    (ttft,) = verdicts(load_of(1.0, each=120), spec(ttft_p99=1.0))
    assert ttft.verdict == "inconclusive"
    assert ttft.needs.examples == 299


def test_too_many_failures_measure_nothing():
    (ttft,) = verdicts(load_of(1.0, failed=40), spec(ttft_p95=1.0))
    assert ttft.verdict == "error"
    assert "40 of 400 requests of the challenger failed" in ttft.reason


def test_a_client_that_was_the_bottleneck_measures_nothing():
    load = replace(load_of(0.7), problem="the client was the bottleneck: it was slow")
    (ttft,) = verdicts(load, spec(ttft_p95=1.0))
    assert ttft.verdict == "error"
    assert "bottleneck" in ttft.reason


def test_without_an_slo_the_usual_metrics_decide():
    assert [result.metric for result in verdicts(load_of(1.0), spec())] == ["ttft_p95", "e2e_p95"]


def test_goodput_and_medians_stand_beside():
    measures = GATE.measure(evidence(load_of(1.0)), spec(ttft_p95=1.0), "holds").measures
    found = {measure.metric: measure for measure in measures}
    assert {"ttft_p50", "e2e_p50", "itl_p50", "stall_p50", "goodput"} <= set(found)
    assert found["goodput"].champion.value == pytest.approx(10.0)


def test_it_plans_for_its_own_calls():
    assert GATE.demand(spec(ttft_p95=1.0)).load >= 120
    assert GATE.demand(spec(ttft_p99=1.0)).load >= 299


# Recordings


def recorded(ttft: float, seed: int, *, timed: bool = True) -> dict:
    random = np.random.default_rng(seed)
    rows = {}
    for number in range(120):
        first = float(random.lognormal(math.log(ttft), 0.2))
        timings = {"ttft": first, "e2e": first + 0.06, "gaps": [0.02, 0.02, 0.02]}
        rows[str(number)] = RecordedRow(output="x", **({"timings": timings} if timed else {}))
    return rows


def scorecard(folder: Path, variants: dict) -> dict:
    golden = [{"id": str(number), "input": {"question": f"q{number}"}, "expected": "x"} for number in range(120)]
    objectives = {"latency": {"slo": {"ttft_p95": "1s"}, "margin": "10%"}}
    change = {"later": {"challenger": "later", "improves": []}}
    replay_project(folder, golden, variants, changes=change, service={"objectives": objectives})
    from proveout.cli.running import declared
    from proveout.gates import RunOptions, prepare, prove
    from proveout.storage import open_store

    comparison = declared(folder, "later", "dev")
    with open_store(f"sqlite:///{folder}/store.db") as store:
        prepared = prepare(comparison, RunOptions(gates=("latency",)), store)
        return json.loads(asyncio.run(prove(prepared, store)).to_json())


def test_recordings_are_compared_by_their_recorded_timings(tmp_path):
    card = scorecard(tmp_path, {"base": recorded(0.2, 1), "later": recorded(0.12, 2)})
    (gate,) = card["gates"]
    assert gate["verdict"] == "pass"
    assert gate["difference"]["value"] == pytest.approx(-0.4, abs=0.12)
    assert "recorded timings" in card["notices"][0]["message"]


def test_recordings_without_timings_are_an_error_that_says_so(tmp_path):
    card = scorecard(tmp_path, {"base": recorded(0.2, 1), "later": recorded(0.2, 2, timed=False)})
    assert card["gates"][0]["verdict"] == "error"
    assert "the recording of later holds no timings" in card["gates"][0]["reason"]


def test_a_recording_and_an_endpoint_cannot_be_compared(tmp_path):
    scorecard(tmp_path, {"base": recorded(0.2, 1), "later": recorded(0.2, 2)})
    project = load_project(tmp_path)
    service = project.services["answers"]
    later = service.variants["later"]
    live = structs.replace(later, model=structs.replace(later.model, provider="vllm"))
    occasion = Occasion(project, service, (service.variants["base"], live), lambda: iter(()), 0)
    collected = asyncio.run(GATE.collect(occasion, spec()))
    assert isinstance(collected.evidence, LoadEvidence)
    assert "can't be compared" in str(collected.evidence.problem)

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from loadtest_cases import records_of

from proveout.loadtest.client_watch import ClientLoad, reasons_invalid
from proveout.loadtest.figures import figures
from proveout.loadtest.plan import Failed
from proveout.loadtest.recorder import Recorded
from proveout.loadtest.records import Records
from proveout.loadtest.report import Comparison, Report, decisive
from proveout.loadtest.slo import attained, slo_test

CALM = ClientLoad(0.1, 1.0, np.zeros(100), 1.0)
SLO = {"ttft_p95": 0.2, "e2e_p95": 1.0}


def run_of(records: Records, client: ClientLoad = CALM, slo: dict[str, float] = SLO, ended: str = ""):
    return figures(
        Recorded(records, client, (Failed("timeout", 1, "late"),), 10.0, ended),
        variant="base",
        schedule={"kind": "closed", "concurrency": 1},
        slo=slo,
    )


def test_figures_are_in_milliseconds_and_by_the_fields_words():
    run = run_of(records_of([0.1] * 60, gap=0.02))
    assert run.ttft_ms["p50"] == pytest.approx(100)
    assert run.itl_ms["p50"] == pytest.approx(20)
    assert run.tpot_ms["p50"] == pytest.approx(20)
    assert run.e2e_ms["p50"] == pytest.approx(140)
    assert run.stall_ms["p50"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("count", "known"), [(5, []), (6, ["p50"]), (29, ["p50", "p90"]), (299, ["p50", "p90", "p95", "p99"])]
)
def test_a_quantile_that_the_number_of_requests_cannot_support_is_null(count, known):
    run = run_of(records_of(np.linspace(0.1, 0.2, count)))
    assert [name for name, value in run.ttft_ms.items() if value is not None] == known
    assert [name for name, span in run.intervals["ttft_ms"].items() if span is not None] == known


def test_failures_count_as_never():
    error = ["timeout" if index % 4 == 0 else "" for index in range(400)]
    run = run_of(records_of([0.1] * 400, error=error))
    assert run.errors == 100
    assert run.error_rate[0] == 0.25
    assert run.ttft_ms["p50"] == pytest.approx(100)
    assert run.ttft_ms["p90"] is None
    assert "ttft_p90" in run.beyond
    assert run.attainment[0] == 0.75
    assert {line.state for line in run.slo} == {"broken"}


def test_what_was_under_way_when_the_test_stopped_is_in_no_figure():
    run = run_of(records_of([0.1] * 40, error=["stopped"] * 10 + [""] * 30), ended="stopped")
    assert (run.requests, run.errors, run.unfinished) == (30, 0, 10)


def test_a_request_is_good_only_if_it_meets_every_limit():
    records = records_of([0.1, 0.3, 0.1, 0.1], e2e=[0.5, 0.5, 1.5, 0.5], error=["", "", "", "cut"])
    assert attained(records, SLO).tolist() == [True, False, False, False]


def test_a_limit_on_gaps_looks_at_the_requests_own_gaps():
    records = records_of([0.1] * 2, tokens=11)
    records.stamps[11 + 5 :] += 0.5
    assert attained(records, {"itl_p90": 0.05}).tolist() == [True, True]
    assert attained(records, {"itl_p99": 0.05}).tolist() == [True, False]


def test_an_slo_is_kept_broken_or_unresolved_by_its_interval():
    near = [0.1] * 95 + [0.3] * 5
    assert slo_test(records_of([0.1] * 100), "ttft_p95", 0.2).state == "kept"
    assert slo_test(records_of(near), "ttft_p95", 0.2).state == "unresolved"
    assert slo_test(records_of([0.1, 0.1, 0.1, 0.1, 0.3] * 20), "ttft_p95", 0.2).state == "broken"
    assert slo_test(records_of([0.1] * 20), "ttft_p95", 0.2).state == "unresolved"


def test_a_wait_under_a_cap_counts_and_the_clients_own_lag_does_not():
    records = records_of([0.5])
    waited = Records(**{**records.__dict__, "ready": records.due + 0.3, "asked": records.due + 0.34})
    assert waited.ttft[0] == pytest.approx(0.46)
    assert waited.lag[0] == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (ClientLoad(0.95, 9.0, np.zeros(100), 1.0), "95% of a core"),
        (ClientLoad(0.1, 1.0, np.full(100, 0.05), 1.0), "event loop came up to 50.0 ms late"),
    ],
)
def test_a_run_in_which_the_client_was_the_bottleneck_is_invalid(client, said):
    run = run_of(records_of([0.1] * 40), client)
    assert not run.valid
    assert said in run.invalid[0]


def test_late_requests_make_a_run_invalid():
    records = records_of([0.1] * 40)
    late = Records(**{**records.__dict__, "asked": records.asked + 0.03})
    run = run_of(late)
    assert not run.valid
    assert "requests left up to 30.0 ms late" in run.invalid[0]


def test_what_lag_is_allowed_grows_with_the_latency_that_is_measured():
    assert reasons_invalid(0.03, 0.0, 0.1, 0.1)
    assert not reasons_invalid(0.03, 0.0, 0.1, 1.0)
    assert not reasons_invalid(0.003, 0.003, 0.1, math.nan)


def test_a_run_without_an_slo_has_no_goodput():
    assert run_of(records_of([0.1] * 40), slo={}).goodput is None


def test_littles_law_compares_what_was_recorded_with_what_was_seen():
    records = records_of([0.1] * 40, e2e=[0.25] * 40)
    assert run_of(records).checks.littles_law == pytest.approx(1.0)


def test_records_of_workers_join_in_the_order_of_their_due_times():
    one, two = records_of([0.1, 0.2], due=[0, 2]), records_of([0.3, 0.4], due=[1, 3])
    whole = Records.joined([one, two])
    assert whole.ttft == pytest.approx([0.1, 0.3, 0.2, 0.4])
    assert whole.where(np.array([False, True, True, False])).ttft == pytest.approx([0.3, 0.2])
    assert len(whole.gaps[0]) == 8


def a_comparison(load: float, verdict: str, runs: tuple[int, int]) -> Comparison:
    schedule = {"kind": "poisson", "rate": 10 * load}
    return Comparison(
        champion="a",
        challenger="b",
        interleave="blocks",
        pairs=20,
        requests=60,
        schedule=schedule,
        metrics=(),
        verdict=verdict,
        load=load,
        runs=runs,
    )


@pytest.mark.parametrize(
    ("verdicts", "decides", "code"),
    [
        ([(1.0, "pass"), (1.5, "fail")], "pass", 0),
        ([(1.0, "pass"), (1.0, "inconclusive"), (1.5, "pass")], "inconclusive", 3),
        ([(1.0, "inconclusive"), (1.0, "fail")], "fail", 1),
    ],
)
def test_the_expected_rate_decides_over_all_sizes_and_a_surge_decides_nothing(verdicts, decides, code):
    comparisons = tuple(
        a_comparison(load, verdict, (2 * place, 2 * place + 1)) for place, (load, verdict) in enumerate(verdicts)
    )
    report = Report(comparison=decisive(comparisons), comparisons=comparisons)
    assert report.comparison.verdict == decides
    assert report.exit_code == code


def test_a_busy_client_spoils_a_comparison_but_not_by_a_surge_that_decides_nothing():
    run = run_of(records_of([0.1] * 60))
    busy = msgspec.structs.replace(run, valid=False)
    comparisons = (a_comparison(1.0, "pass", (0, 1)), a_comparison(1.5, "pass", (2, 3)))

    def code(*runs) -> int:
        return Report(runs=runs, comparison=comparisons[0], comparisons=comparisons).exit_code

    assert code(run, run, busy, run) == 0
    assert code(busy, run, run, run) == 4


def test_sizes_that_came_out_otherwise_are_noted():
    records = replace(records_of([0.1] * 60), wanted_output=np.full(60, 8.0))
    run = run_of(records)
    assert run.output_tokens == 3.0
    assert run.notes == ("100% of the answers were of another size than asked for: 3 tokens on average, 8 wanted",)

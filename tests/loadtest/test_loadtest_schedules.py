import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.loadtest.pacing import Load, Pace, expected_rate, practical_rate
from proveout.loadtest.schedules import (
    Closed,
    Open,
    Stage,
    Trace,
    bursts,
    constant,
    parsed_rate,
    piecewise,
    poisson,
    ramp,
)
from proveout.loadtest.traces import TraceError, read_trace

AZURE = Path(__file__).parents[2] / "../shared/data/azure-llm-trace/conv.csv"


def test_constant_arrivals_are_even():
    assert constant(10).times(requests=5) == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_poisson_gaps_have_the_mean_and_spread_of_an_exponential():
    gaps = np.diff(poisson(20).times(requests=20_000, seed=1))
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 20, rel=0.03)


def test_bursts_keep_the_mean_rate_and_spread_the_gaps():
    gaps = np.diff(bursts(20, 4).times(requests=50_000, seed=1))
    assert gaps.mean() == pytest.approx(1 / 20, rel=0.05)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(4, rel=0.1)


def test_a_ramp_has_the_arrivals_that_its_area_says_and_more_of_them_later():
    times = ramp(2, 18, 100).times(duration=100, seed=3)
    assert len(times) == pytest.approx(1000, rel=0.1)
    assert (times > 50).sum() / len(times) == pytest.approx(0.7, abs=0.04)


def test_pieces_follow_their_own_rates():
    times = piecewise([(5, 40), (50, 40)]).times(duration=80, seed=1)
    assert ((times < 40).sum(), (times >= 40).sum()) == (pytest.approx(200, rel=0.2), pytest.approx(2000, rel=0.1))


def test_the_last_rate_goes_on_for_as_long_as_requests_are_asked_for():
    assert np.diff(ramp(1, 10, 10, burstiness=0).times(requests=500)[-50:]) == pytest.approx(0.1)


@given(
    stages=st.lists(st.tuples(st.floats(0.1, 20), st.floats(0, 50), st.floats(0, 50)), min_size=1, max_size=4).filter(
        lambda stages: stages[-1][2] > 0.5
    ),
    burstiness=st.sampled_from([0.0, 0.3, 1.0, 5.0]),
    count=st.integers(1, 300),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_any_schedule_is_ascending_seeded_and_as_long_as_asked(stages, burstiness, count, seed):
    schedule = Open(tuple(Stage(*stage) for stage in stages), burstiness)
    times = schedule.times(requests=count, seed=seed)
    assert len(times) == count
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times == pytest.approx(schedule.times(requests=count, seed=seed))
    assert (schedule.times(requests=count, duration=3.0, seed=seed) < 3.0).all()


def test_a_schedule_describes_itself_in_the_reports_words():
    assert Closed(8).describe() == {"kind": "closed", "concurrency": 8}
    assert poisson(25).describe() == {"kind": "poisson", "rate": 25}


@pytest.mark.parametrize(
    ("text", "kind"), [("25", "poisson"), ("5..50", "ramp"), ("10@30s,40@30s", "piecewise"), ("0.5", "poisson")]
)
def test_rates_are_read_as_people_write_them(text, kind):
    assert parsed_rate(text, duration=60).kind == kind


@pytest.mark.parametrize("text", ["fast", "5..", "10@", "-1", "0", "@3s"])
def test_other_rates_are_refused_with_what_to_write(text):
    with pytest.raises(ValueError, match=r"write 25|rate above 0|0 or more"):
        parsed_rate(text, duration=60)


def test_an_endless_schedule_needs_an_end():
    with pytest.raises(ValueError, match="number of requests or a duration"):
        poisson(5).times()


@pytest.mark.skipif(not AZURE.exists(), reason="the shared data is not here")
def test_azures_trace_keeps_its_gaps_and_sizes():
    trace = read_trace(AZURE, limit=1000)
    assert trace.input_tokens[:3] == (374, 396, 879)
    assert trace.offsets[:2] == pytest.approx((0.0, 4.314579))
    assert read_trace(AZURE, limit=1000, time_scale=10).times()[-1] == pytest.approx(trace.offsets[-1] / 10)


def test_mooncakes_trace_counts_in_milliseconds(tmp_path):
    rows = [{"timestamp": at, "input_length": 6, "output_length": 5, "hash_ids": [1]} for at in (27482, 30535, 27000)]
    path = tmp_path / "mooncake.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_trace(path).offsets == pytest.approx((0, 0.482, 3.535))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "when,what\n1,2\n", ":1: no column of times"),
        ("t.csv", "TIMESTAMP,ContextTokens\nsoon,3\n", ":2: 'soon' is no time"),
        ("t.csv", "TIMESTAMP,ContextTokens\n1,2.5\n", ":2: contexttokens is '2.5'"),
        ("t.csv", "TIMESTAMP\n", "holds no requests"),
        ("t.jsonl", '{"timestamp": 1}\n[]\n', ":2: no time"),
        ("t.parquet", "", "a trace is a .csv or .jsonl"),
    ],
)
def test_a_bad_trace_is_named_by_file_and_line(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(TraceError, match=said):
        read_trace(path)


def test_faster_is_the_same_shape_at_a_higher_rate():
    assert poisson(10).faster(1.5) == poisson(15)
    assert ramp(2, 10, 5).faster(2) == ramp(4, 20, 5)
    trace = Trace((0.0, 3.0), (1, 1), (1, 1), 2.0).faster(1.5)
    assert list(trace.times()) == [0.0, 1.0]


def test_the_expected_rate_is_the_declared_traffic_with_its_peak():
    assert expected_rate({}) is None
    mean = expected_rate({"requests_per_month": 2_628_000})
    assert (mean.rate, mean.words) == (1.0, "the service's mean traffic")
    assert expected_rate({"requests_per_month": 2_628_000, "peak_to_mean": 3}).rate == 3.0


def test_a_comparison_is_made_at_the_expected_rate_or_says_why_at_a_higher_one():
    pace = Pace(answer_s=0.1, rate=5.0)
    busy = Load(40.0, "the service's mean traffic")
    assert practical_rate(busy, pace, 120, local=True) is busy
    quiet = practical_rate(Load(0.1, "the service's mean traffic"), pace, 120, local=True)
    assert quiet.rate == 5.0
    assert "more than the service's mean traffic of 0.1/s" in quiet.words
    assert "declares no traffic" in practical_rate(None, pace, 120, local=True).words

"""The simulated server is the yardstick of the load tests, so it is measured itself."""

import math

import numpy as np
import pytest

from proveout.loadtest.schedules import poisson
from proveout.testing.simulated_engine import Behaviour, Engine, virtual_run

STEADY = Behaviour(jitter=0, first_jitter=0)


def test_one_request_takes_what_the_behaviour_says():
    (job,) = virtual_run(STEADY, [0.0], input_tokens=200, output_tokens=5)
    assert job.tokens == pytest.approx([0.05 + 0.008 * step for step in range(5)])
    assert job.finish == "stop" or len(job.tokens) == 5


def test_steps_are_slower_the_more_requests_are_under_way():
    alone = virtual_run(STEADY, [0.0], output_tokens=50)[0]
    crowd = virtual_run(STEADY, [0.0] * 41, output_tokens=50)[0]
    assert np.diff(crowd.tokens)[-5:].mean() == pytest.approx(1.4 * np.diff(alone.tokens).mean(), rel=0.05)


def test_more_requests_than_slots_wait_in_the_order_of_coming():
    jobs = virtual_run(Behaviour(slots=2, jitter=0, first_jitter=0), [0.0, 0.01, 0.02, 0.03], output_tokens=20)
    firsts = [job.tokens[0] for job in jobs]
    assert firsts == sorted(firsts)
    assert firsts[2] > min(jobs[0].tokens[-1], jobs[1].tokens[-1])


def test_the_same_seed_gives_the_same_timings():
    arrivals = poisson(20).times(requests=100, seed=1)
    one, two = (virtual_run(Behaviour(seed=3), arrivals) for _ in range(2))
    assert [job.tokens for job in one] == [job.tokens for job in two]


def test_answers_end_by_themselves_or_at_their_limit():
    jobs = [Engine(Behaviour(answer_tokens=30, seed=seed)).submit(0, 10, 30) for seed in range(200)]
    lengths = {job.length for job in jobs}
    assert max(lengths) == 30
    assert len(lengths) > 5
    assert {job.finish for job in jobs} == {"stop", "length"}


def test_nothing_happens_while_it_is_frozen():
    jobs = virtual_run(Behaviour(freeze_at_s=1, freeze_s=2), poisson(20).times(duration=5, seed=1), output_tokens=20)
    stamps = np.concatenate([job.tokens for job in jobs])
    began = jobs[0].came
    assert not ((stamps > began + 1.001) & (stamps < began + 3)).any()
    assert all(not math.isnan(job.joined) for job in jobs)


def test_drift_makes_all_times_swing():
    arrivals = np.arange(0, 120, 1.0)
    jobs = virtual_run(Behaviour(drift=0.3, jitter=0, first_jitter=0), arrivals, output_tokens=30)
    took = np.array([job.tokens[-1] - job.came for job in jobs])
    assert took[20:40].mean() == pytest.approx(1.27 * took[0], rel=0.05)
    assert took[80:100].mean() == pytest.approx(0.73 * took[0], rel=0.05)


def test_a_prompt_that_was_seen_before_is_read_quicker_where_there_is_a_cache():
    engine = Engine(Behaviour(cached_factor=0.1, jitter=0, first_jitter=0))
    first = engine.submit(0.0, 1000, 1, prompt=7)
    list(engine.advance(1.0))
    again = engine.submit(1.0, 1000, 1, prompt=7)
    list(engine.advance(2.0))
    assert again.tokens[0] - 1.0 == pytest.approx(0.1 * first.tokens[0])

import asyncio

import numpy as np
import pytest

from proveout.loadtest.compare import compared, comparison_plan, turns
from proveout.loadtest.recorder import CannotLoad
from proveout.loadtest.schedules import poisson
from proveout.loadtest.workloads import Counting, SizedPrompts, learn_counting, service_requests
from proveout.project.records import ModelSpec
from proveout.testing.simulated_engine import Behaviour
from proveout.testing.simulated_server import PROMPT_EXTRA, WORDS_PER_TOKEN, simulated_server

from loadtest_cases import records_of  # isort: skip

COUNTING = Counting(1.25, 7.0, ignores_end=True, measured=True)


def text(prompts: SizedPrompts, index: int, arm: int = 0) -> str:
    return prompts.request(arm, index).messages[0].content


@pytest.mark.parametrize("tokens", [32, 128, 1024])
def test_prompts_have_the_wanted_size_by_the_endpoints_own_count(tokens):
    prompts = SizedPrompts((tokens,), (64,), (COUNTING,))
    counted = len(text(prompts, 3).split()) * WORDS_PER_TOKEN + PROMPT_EXTRA
    assert counted == pytest.approx(tokens, abs=1.5)


def test_no_two_prompts_begin_alike_not_even_of_two_tests_or_arms():
    prompts = SizedPrompts((64,), (8,), (COUNTING, COUNTING))
    again = SizedPrompts((64,), (8,), (COUNTING, COUNTING))
    firsts = [text(one, index, arm).split()[0] for one in (prompts, again) for index in range(20) for arm in (0, 1)]
    assert len(set(firsts)) == len(firsts)


def test_a_declared_prefix_is_shared_and_the_rest_is_not():
    prompts = SizedPrompts((128,), (8,), (COUNTING,), shared_prefix=60)
    one, two = text(prompts, 1).split(), text(prompts, 2).split()
    same = next(place for place, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
    assert same == COUNTING.words(60)


def test_the_length_of_answers_is_asked_for_as_the_endpoint_can():
    prompts = SizedPrompts((64,), (8, 32), (COUNTING, Counting()), ({"temperature": 0, "max_completion_tokens": 5}, {}))
    assert prompts.request(0, 1).parameters == {"temperature": 0, "max_tokens": 32, "ignore_eos": True}
    assert prompts.request(1, 0).parameters == {"max_tokens": 8}
    assert prompts.wanted(1) == (64, 32)


def test_how_an_endpoint_counts_is_learnt_from_a_few_probes():
    with simulated_server(Behaviour()) as server:
        spec = ModelSpec("openai-compatible", "sim", server.url)
        counting = asyncio.run(learn_counting(spec, {}, timeout_s=10))
    assert counting.measured
    assert counting.ignores_end
    assert counting.per_word == pytest.approx(WORDS_PER_TOKEN, abs=0.03)
    assert counting.extra == pytest.approx(PROMPT_EXTRA, abs=1)


def test_an_endpoint_that_answers_no_probe_is_told():
    with pytest.raises(CannotLoad, match="answers none of the probes"):
        asyncio.run(learn_counting(ModelSpec("openai-compatible", "m", "http://127.0.0.1:1/v1"), {}, timeout_s=2))


def test_a_service_without_examples_is_told():
    with pytest.raises(CannotLoad, match="--input-tokens"):
        service_requests((), [])


# Taking turns


def plan_of(how: str, requests: int = 60):
    taking = turns(requests, how, in_flight=2, answer_s=0.5)
    target = ModelSpec("openai-compatible", "m", "http://127.0.0.1:1/v1")
    prompts = SizedPrompts((64,), (8,), (COUNTING, COUNTING))
    return taking, comparison_plan((target, target), prompts, poisson(20), taking, seed=1)


def test_blocks_go_abba_with_the_same_arrivals_and_prompts_for_both():
    taking, plan = plan_of("blocks")
    blocks = [plan.arm[place] for place in range(0, len(plan), taking.requests + taking.wash)]
    assert blocks[:8] == [0, 1, 1, 0, 0, 1, 1, 0]
    for pair in range(taking.pairs):
        mine = [(plan.block == pair) & (plan.arm == arm) for arm in (0, 1)]
        assert (plan.prompt[mine[0]] == plan.prompt[mine[1]]).all()
        offsets = [plan.due[rows] - plan.due[rows][0] for rows in mine]
        assert offsets[0] == pytest.approx(offsets[1])
    assert (np.diff(plan.due) >= 0).all()


def test_each_block_starts_with_a_wash_out_that_does_not_count():
    taking, plan = plan_of("blocks")
    assert taking.wash == 2
    assert plan.counted.sum() == 2 * taking.pairs * taking.requests >= 120
    assert not plan.counted[: taking.wash].any()


def test_by_request_both_are_asked_at_the_same_time():
    _, plan = plan_of("requests")
    first, second = (plan.due[plan.arm == arm] for arm in (0, 1))
    assert first == pytest.approx(second, abs=1e-5)
    assert plan.counted.all()


def test_a_comparison_is_of_ratios_with_the_slo_beside():
    random = np.random.default_rng(1)
    blocks = np.tile(np.repeat(np.arange(20), 10), 2)
    arm = np.repeat([0, 1], 200)
    ttft = random.lognormal(np.log(0.1), 0.2, 400) * np.where(arm == 1, 1.5, 1.0)
    rows = compared(
        records_of(ttft, arm=arm, block=blocks), ["ttft_p50", "ttft_p99", "goodput"], {"ttft_p50": 0.12}, margin=0.1
    )
    median, tail, goodput = rows
    assert median.test.difference.value == pytest.approx(0.5, abs=0.15)
    assert median.test.p_worse < 0.01
    assert median.slo.state == "broken"
    assert tail.test is None
    assert tail.too_few == 299
    assert goodput.test.difference.value < -0.3

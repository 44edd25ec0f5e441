from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from proveout.models.tiny.sampling import Sampler, Sampling, choose

LOGITS = np.array([2.0, 1.0, 0.0, -1.0, -8.0], dtype=np.float32)


def draws(count: int, **settings) -> list[int]:
    samplers = [Sampler(Sampling(seed=number, **settings)) for number in range(count)]
    return [chosen.token for chosen in choose(np.tile(LOGITS, (count, 1)), samplers)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_at_the_temperature(temperature: float):
    count = 20_000
    expected = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    found = np.bincount(draws(count, temperature=temperature), minlength=5) / count
    assert np.abs(found - expected).max() < 4.5 * np.sqrt(0.25 / count)


def test_zero_temperature_is_greedy():
    assert set(draws(50, temperature=0.0)) == {0}


def test_top_p_keeps_the_smallest_set_that_holds_the_share():
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum()
    assert probabilities[0] < 0.8 < probabilities[:2].sum()
    counts = Counter(draws(5000, top_p=0.8))
    assert set(counts) == {0, 1}
    assert counts[0] / 5000 == pytest.approx(probabilities[0] / probabilities[:2].sum(), abs=0.03)
    assert set(draws(500, top_p=0.0)) == {0}


def test_a_seed_repeats_its_draws_whoever_is_beside_it():
    alone = Sampler(Sampling(seed=5))
    among = [Sampler(Sampling(seed=seed)) for seed in (1, 5, 2)]
    first = [choose(LOGITS[None], [alone])[0].token for _ in range(50)]
    second = [choose(np.tile(LOGITS, (3, 1)), among)[1].token for _ in range(50)]
    assert first == second
    assert len(set(first)) > 1


def test_greedy_and_drawn_sequences_mix_in_one_batch():
    samplers = [Sampler(Sampling(temperature=0.0)), Sampler(Sampling(seed=3)), Sampler(Sampling(temperature=0.0))]
    chosen = choose(np.stack([LOGITS, LOGITS, LOGITS[::-1]]), samplers)
    assert chosen[0].token == 0
    assert chosen[2].token == 4


def test_logprobs_are_those_of_the_plain_model():
    chosen = choose(LOGITS[None], [Sampler(Sampling(temperature=2.0, seed=1, alternatives=3))])[0]
    expected = LOGITS - np.log(np.exp(LOGITS).sum())
    assert chosen.logprob == pytest.approx(expected[chosen.token], abs=1e-5)
    assert [token for token, _ in chosen.alternatives] == [0, 1, 2]
    assert [logprob for _, logprob in chosen.alternatives] == pytest.approx(expected[:3], abs=1e-5)
    assert choose(LOGITS[None], [Sampler(Sampling())])[0].logprob is None


def test_a_seed_gives_different_prompts_different_draws():
    samplers = [Sampler(Sampling(seed=1), [number]) for number in range(200)]
    tokens = [chosen.token for chosen in choose(np.tile(LOGITS, (200, 1)), samplers)]
    assert len(set(tokens)) > 2
    again = [Sampler(Sampling(seed=1), [number]) for number in range(200)]
    assert [chosen.token for chosen in choose(np.tile(LOGITS, (200, 1)), again)] == tokens

"""A bandit serves well, notices change, and declares only what inverse-propensity weighting shows."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from proveout.statistics import Batch, arm_difference, bandit_winner, thompson_shares

REQUESTS = 100


def serve(random, means, *, floor=0.05, discount=0.95):
    """Batches of 100 requests of arms with these means (batches x arms), each known one batch later."""
    batches: list[Batch] = []
    arms = means.shape[1]
    for row in means:
        shares = thompson_shares(batches[:-1], arms, floor=floor, discount=discount)
        requests = random.multinomial(REQUESTS, shares)
        rewards = tuple(float(x) for x in random.binomial(requests, row))
        batches.append(Batch(tuple(int(x) for x in requests), rewards, rewards, tuple(float(x) for x in shares)))
    return batches


def regret(batches, means):
    return sum(float((row.max() - row) @ np.array(batch.requests)) for batch, row in zip(batches, means, strict=True))


def constant(batches, *means):
    return np.tile(np.array(means), (batches, 1))


def ever_declared(batches):
    return any(bandit_winner(batches[:size]) is not None for size in range(5, len(batches) + 1, 3))


@pytest.mark.parametrize("drift", [0.0, 0.1])
def test_equal_arms_get_no_winner_also_under_drift_that_they_share(drift):
    random = np.random.default_rng(1)
    hours = 0.8 + drift * np.sin(np.arange(30) / 30 * 4 * np.pi)
    declared = [ever_declared(serve(random, np.stack([hours, hours], axis=1))) for _ in range(40)]
    assert np.mean(declared) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 40)


def test_the_better_arm_is_declared_and_the_confidence_sequence_holds_the_truth():
    random = np.random.default_rng(2)
    winners, held = [], []
    for _ in range(10):
        batches = serve(random, constant(60, 0.6, 0.8))
        winners.append(bandit_winner(batches))
        found = arm_difference(batches, 1, 0)
        held.append(found.low <= 0.2 <= found.high)
    assert set(winners) <= {1, None}
    assert winners.count(1) >= 9
    assert np.mean(held) >= 0.9


def test_after_a_drop_of_the_best_arm_forgetting_saves_most_of_what_plain_sampling_loses():
    means = constant(80, 0.80, 0.85)
    means[40:, 1] = 0.70
    random = np.random.default_rng(3)
    late = {
        discount: np.mean(
            [regret(serve(random, means, floor=floor, discount=discount)[40:], means[40:]) for _ in range(12)]
        )
        for discount, floor in ((0.95, 0.05), (1.0, 0.0))
    }
    assert late[0.95] < 0.75 * late[1.0]


def test_shares_are_the_chances_of_being_best_above_the_floor():
    random = np.random.default_rng(4)
    batch = Batch((50, 50, 50), (40.0, 35.0, 20.0), (40.0, 35.0, 20.0), (0.4, 0.3, 0.3))
    draws = random.beta([41, 36, 21], [11, 16, 31], (200_000, 3)).argmax(axis=1)
    best = np.bincount(draws, minlength=3) / 200_000
    found = thompson_shares([batch], 3, floor=0.05)
    assert found == pytest.approx(0.05 + 0.85 * best, abs=0.005)
    assert found.sum() == pytest.approx(1)
    assert list(thompson_shares([], 4)) == pytest.approx([0.25] * 4)


def test_millions_of_requests_still_give_shares():
    many = (4_000_000.0, 4_001_000.0)
    found = thompson_shares([Batch((5_000_000, 5_000_000), many, many, (0.5, 0.5))], 2)
    chance = NormalDist().cdf(1000 / math.sqrt(2 * 5_000_000 * 0.8 * 0.2))
    assert found[1] == pytest.approx(0.05 + 0.9 * chance, abs=0.002)


def test_too_few_batches_declare_nothing():
    batches = [Batch((50, 50), (0.0, 50.0), (0.0, 50.0), (0.5, 0.5))] * 4
    assert math.isnan(arm_difference(batches, 1, 0).low)
    assert bandit_winner(batches) is None
    assert bandit_winner([]) is None


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="floor"):
        thompson_shares([], 4, floor=0.25)
    with pytest.raises(ValueError, match="above 0"):
        Batch((1, 0), (1.0, 0.0), (1.0, 0.0), (1.0, 0.0))
    with pytest.raises(ValueError, match="every arm"):
        Batch((1,), (1.0, 0.0), (1.0, 0.0), (0.5, 0.5))

"""The promise of the whole gate, measured: with clusters, repeats, a guard and the ledger, a false pass is rare, and a
real improvement is seen as often as planned.

The answers are simulated call by call and go through the same score table, gates and decision as a run's. Larger
simulations are in benchmarks/gates/error_rates.py.
"""

import math

import numpy as np
import pytest
from gate_simulation import World, passes, share_passed

ALPHA = 0.05


def at_most(rate: float, runs: int) -> float:
    """What a true rate may show in so many runs: three standard errors more."""
    return rate + 3 * math.sqrt(rate * (1 - rate) / runs)


@pytest.mark.parametrize(
    ("world", "runs"),
    [
        (World(clusters=40), 80),
        (World(clusters=45, unequal=True), 80),
        (World(clusters=50, examples=2, repeats=3, unequal=True), 20),
        (World(clusters=60, base=0.95), 80),
        (World(clusters=12), 80),
    ],
    ids=["clusters", "unequal clusters", "repeats", "rare errors", "few clusters"],
)
def test_a_claim_that_is_not_true_seldom_passes(world: World, runs: int):
    assert share_passed(world, claims=("accuracy",), margin=0.05, runs=runs, seed=11) <= at_most(ALPHA, runs)


@pytest.mark.parametrize("base", [0.7, 0.95])
def test_a_loss_of_exactly_the_margin_seldom_holds(base: float):
    world = World(clusters=150, base=base, effect=-0.05)
    assert share_passed(world, claims=(), margin=0.05, runs=80, seed=12, stability=False) <= at_most(ALPHA, 80)


def test_a_real_improvement_passes():
    world = World(clusters=200, base=0.7, effect=0.12)
    assert share_passed(world, claims=("accuracy",), margin=0.05, runs=30, seed=13, stability=False) >= 0.9


def test_a_guard_that_does_not_hold_stops_a_better_challenger():
    """It is right more often, and answers the same question differently each time."""
    world = World(clusters=150, examples=2, repeats=3, base=0.7, effect=0.15, shaky=0.35)
    assert share_passed(world, claims=("accuracy",), margin=0.05, runs=15, seed=14) == 0.0


def test_the_best_of_many_equal_challengers_seldom_passes():
    """Ten tries against one dataset share one error budget, also if the team stops at the first pass."""
    runs = 20
    world = World(clusters=40)
    random = np.random.default_rng(15)
    false = 0
    for _ in range(runs):
        levels: list[tuple[float, bool]] = []
        false += any(passes(world, random, levels) for _ in range(10))
    assert false / runs <= at_most(ALPHA, runs)

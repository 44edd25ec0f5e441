"""Verdicts are pure: from a finding and a level to pass, fail, inconclusive or error."""

import math

import numpy as np
import pytest

from proveout.gates._base import NOTHING, Finding
from proveout.gates.scorecard import GateResult, decide
from proveout.gates.verdicts import examples_needed, judge
from proveout.statistics import Estimate, PairedTest, paired_test


def finding(champion, challenger, *, claim="holds", margin=0.02, **more) -> Finding:
    champion, challenger = np.asarray(champion, float), np.asarray(challenger, float)
    test = paired_test(champion, challenger, margin=0.0 if claim == "improves" else margin)
    estimates = [Estimate(float(arm.mean()), math.nan, math.nan, len(arm)) for arm in (champion, challenger)]
    return Finding("accuracy", "exact_match", claim, margin, True, *estimates, test, **more)


def scores(right: int, wrong: int) -> list[float]:
    return [1.0] * right + [0.0] * wrong


def test_a_clear_improvement_passes_its_claim():
    result = judge(finding(scores(300, 700), scores(500, 500), claim="improves"), alpha=0.025)
    assert result.verdict == "pass"
    assert result.alpha == 0.025
    assert result.needs.examples == 0


def test_a_clear_loss_fails_to_hold():
    assert judge(finding(scores(500, 500), scores(300, 700))).verdict == "fail"


def test_a_clear_loss_fails_a_claim():
    assert judge(finding(scores(500, 500), scores(300, 700), claim="improves")).verdict == "fail"


def test_equal_variants_never_pass_a_claim():
    assert judge(finding(scores(500, 500), scores(500, 500), claim="improves")).verdict != "pass"


def test_too_few_examples_are_inconclusive_and_say_how_many_would_do():
    rng = np.random.default_rng(1)
    champion = (rng.random(60) < 0.7).astype(float)
    challenger = (rng.random(60) < 0.75).astype(float)
    result = judge(finding(champion, challenger))
    assert result.verdict == "inconclusive"
    assert result.needs.examples > 60
    assert f"{result.needs.examples:,}" in result.reason


def test_what_could_not_be_measured_is_an_error_and_never_a_pass():
    result = judge(
        Finding("accuracy", "m", "holds", 0.02, True, NOTHING, NOTHING, None, problem="12 % of calls failed")
    )
    assert result.verdict == "error"
    assert "12 % of calls failed" in result.reason
    assert result.champion.value is None


def test_a_blocked_pass_is_inconclusive():
    result = judge(finding(scores(300, 700), scores(500, 500), claim="improves", blocked="the judge is not calibrated"))
    assert result.verdict == "inconclusive"
    assert "not calibrated" in result.reason


def test_a_pass_must_survive_failed_calls_held_against_the_challenger():
    better = finding(scores(400, 600), scores(450, 550), claim="improves")
    worse = finding(scores(450, 550), scores(400, 600), claim="improves")
    spoiled = Finding(**{name: getattr(better, name) for name in better.__slots__} | {"pessimistic": worse.test})
    assert judge(better).verdict == "pass"
    assert judge(spoiled).verdict == "inconclusive"


def test_what_must_hold_is_tested_at_five_percent_whatever_the_ledger_gives_claims():
    assert judge(finding(scores(500, 500), scores(500, 500)), alpha=0.001).alpha == 0.05


def test_no_number_of_examples_would_decide_when_nothing_differs():
    test = PairedTest(Estimate(0.0, 0.0, 0.0, 100), 0.0, 1.0, 1.0, 0.0, "paired t")
    nothing = Finding("accuracy", "m", "improves", 0.0, True, NOTHING, NOTHING, test)
    assert examples_needed(nothing, test, 0.05) == 0


def test_too_few_examples_without_any_difference_are_told_how_many_would_rule_out_a_rare_loss():
    result = judge(finding(scores(90, 10), scores(90, 10)))
    assert result.verdict == "inconclusive"
    assert 149 <= result.needs.examples <= 300
    assert judge(finding(scores(140, 10), scores(140, 10))).verdict == "pass"


@pytest.mark.parametrize("examples", [8, 20])
def test_as_many_examples_as_were_asked_for_decide(examples):
    """Equal variants that differ on a fifth of the examples: when a few do not decide, what they ask for does."""
    rng = np.random.default_rng(examples)

    def look(size: int) -> GateResult:
        place = rng.random(size)
        right = rng.random(size) < 0.8
        champion, challenger = (np.where(place < 0.2, alone, right) for alone in (place < 0.1, place >= 0.1))
        return judge(finding(champion, challenger, margin=0.1))

    asked = [found.needs.examples for found in (look(examples) for _ in range(15)) if found.verdict == "inconclusive"]
    decided = [look(size).verdict != "inconclusive" for size in asked if 0 < size < 1000]
    assert len(decided) > 5
    assert sum(decided) / len(decided) >= 0.6


def test_equal_variants_at_a_margin_of_0_are_told_to_give_one():
    result = judge(finding(scores(90, 10), scores(90, 10), margin=0.0))
    assert result.verdict == "inconclusive"
    assert "give one above 0" in result.reason


@pytest.mark.parametrize(
    ("verdicts", "decision"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["inconclusive", "error"], "error"),
        (["error", "fail", "pass"], "fail"),
        ([], "error"),
    ],
)
def test_the_decision_is_the_worst_of_the_verdicts(verdicts, decision):
    passing = judge(finding(scores(300, 700), scores(500, 500)))
    gates = [
        GateResult(**{f: getattr(passing, f) for f in passing.__struct_fields__} | {"verdict": v}) for v in verdicts
    ]
    assert decide(tuple(gates)) == decision

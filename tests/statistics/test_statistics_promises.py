"""The error rates that verdicts promise, measured by seeded simulation (at large in benchmarks/statistics/simulate.py).

A measured rate may lie two standard errors above 5 %; the seeds are fixed, so nothing here is left to luck.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from proveout.statistics import (
    clusters_needed,
    holm_levels,
    krippendorff_alpha,
    mean_interval,
    minimal_detectable_difference,
    online_level,
    paired_test,
    power_of_test,
    prediction_powered_mean,
    prediction_powered_test,
)

RUNS = 200
LEVEL = 0.05


def at_most(rate: float, runs: int = RUNS) -> float:
    return rate + 2 * math.sqrt(rate * (1 - rate) / runs)


def simulate(scenario, clusters, margin=0.0, runs=RUNS, higher=True, seed=1):
    random = np.random.default_rng(seed)
    return [paired_test(*scenario.draw(random, clusters), margin=margin, higher_is_better=higher) for _ in range(runs)]


def share(hits) -> float:
    return sum(map(bool, hits)) / len(hits)


CASES = [  # accuracy, more about the scenario, clusters, margin
    (0.9, {}, 60, 0.0),
    (0.9, {}, 60, 0.02),
    (0.99, {}, 200, 0.01),
    (0.9, {"unequal": True, "repeats": 1}, 60, 0.05),
    (0.95, {"examples": 1, "wording": 0.0}, 200, 0.02),
    (0.9, {"levels": 0, "examples": 2, "repeats": 2}, 60, 0.05),
    (0.6, {"levels": 0, "examples": 1, "repeats": 1}, 20, 0.0),
]


@pytest.mark.parametrize(("accuracy", "more", "clusters", "margin"), CASES)
def test_a_challenger_as_bad_as_the_margin_neither_passes_nor_fails(paired_scenarios, accuracy, more, clusters, margin):
    scenario = paired_scenarios.Answers(accuracy, -margin, **more)
    tests = simulate(scenario, clusters, margin)
    passed = [test.p_value <= LEVEL for test in tests]
    failed = [test.p_worse <= LEVEL for test in tests]
    covered = [test.difference.low <= -margin <= test.difference.high for test in tests]
    assert share(passed) <= at_most(LEVEL)
    assert share(failed) <= at_most(LEVEL)
    assert share(covered) >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / RUNS)


@pytest.mark.parametrize("ratio", [1.0, 1.1])
def test_long_tailed_costs_keep_the_promise_where_less_is_better(paired_scenarios, ratio):
    tests = simulate(paired_scenarios.Costs(ratio), 100, ratio - 1.0, higher=False)
    assert share([test.p_value <= LEVEL for test in tests]) <= at_most(LEVEL)
    assert share([test.p_worse <= LEVEL for test in tests]) <= at_most(LEVEL)


LOSSES = [  # clusters, margin, noise of the other clusters
    (60, 0.02, 0.0),
    (150, 0.02, 0.0),
    (14, 0.1, 0.05),
    (20, 0.1, 0.2),
    (30, 0.1, 0.05),
    (60, 0.05, 0.2),
    (100, 0.03, 0.2),
]


@pytest.mark.parametrize(("clusters", "margin", "noise"), LOSSES)
def test_total_losses_on_few_clusters_are_not_missed_whatever_the_others_do(paired_scenarios, clusters, margin, noise):
    tests = simulate(paired_scenarios.RareLosses.losing(margin, noise), clusters, margin)
    assert share([test.p_value <= LEVEL for test in tests]) <= at_most(LEVEL)


FEW = [(60, 0.1, 0.05), (150, 0.05, 0.02), (300, 0.03, 0.02)]  # clusters, margin, noise of the other clusters


@pytest.mark.parametrize(("clusters", "margin", "noise"), FEW)
def test_few_lost_clusters_among_equal_ones_pass_where_they_cost_less_than_the_margin(
    paired_scenarios, clusters, margin, noise
):
    """Student's t alone shows a fifth to a half of these."""
    tests = simulate(paired_scenarios.RareLosses(0.005, noise), clusters, margin)
    assert share([test.p_value <= LEVEL for test in tests]) >= 0.9
    tests = simulate(paired_scenarios.RareLosses.losing(margin, noise), clusters, margin)
    assert share([test.p_value <= LEVEL for test in tests]) <= at_most(LEVEL)


@pytest.mark.parametrize("clusters", [20, 60])
def test_a_small_gain_that_rare_total_losses_undo_is_no_improvement(paired_scenarios, clusters):
    tests = simulate(paired_scenarios.RareLosses.losing(0.0, 0.1, gain=0.05), clusters)
    assert share([test.p_value <= LEVEL for test in tests]) <= at_most(LEVEL)


def test_ignoring_clusters_would_break_the_promise(paired_scenarios):
    """The same experiments, with rows taken for independent: what the unit of analysis is for."""
    random = np.random.default_rng(2)
    scenario = paired_scenarios.Answers(0.7, examples=10, repeats=1, taste=1.2)
    naive = []
    for _ in range(RUNS):
        champion, challenger = scenario.draw(random, 40)
        rows = [np.repeat(arm, 10) + random.normal(0, 0.3, 400) for arm in (champion, challenger)]
        naive.append(paired_test(rows[0], rows[1]).p_value <= LEVEL)
    assert share(naive) > 0.15


@pytest.mark.parametrize(
    ("accuracy", "more", "clusters"),
    [(0.7, {"unequal": True, "repeats": 1}, 100), (0.7, {"levels": 0, "examples": 2}, 60)],
)
def test_power_is_what_the_plan_predicts(paired_scenarios, accuracy, more, clusters):
    scenario = paired_scenarios.Answers(accuracy, **more)
    first, second = scenario.draw(np.random.default_rng(3), 50_000)
    sd = float(np.std(second - first, ddof=1))
    distance = minimal_detectable_difference(sd, clusters)
    runs = 300
    tests = simulate(replace(scenario, difference=distance), clusters, runs=runs)
    error = math.sqrt(0.8 * 0.2 / runs)
    assert share([test.p_value <= LEVEL for test in tests]) == pytest.approx(0.8, abs=0.03 + 2 * error)


@pytest.mark.parametrize(("clusters", "margin"), [(20, 0.187), (60, 0.096)])
def test_the_plan_knows_that_few_differing_answers_are_a_matter_of_luck(paired_scenarios, clusters, margin):
    """Single answers, 95 % right: 8 % of them differ. The spread alone would plan with 80 to 83 %."""
    scenario = paired_scenarios.Answers(0.95, examples=1, repeats=1)
    first, second = scenario.draw(np.random.default_rng(3), 50_000)
    planned = power_of_test(margin, float(np.std(second - first)), clusters, reach=1 - margin, jump=1.0)
    tests = simulate(scenario, clusters, margin, runs=300)
    assert planned < 0.75
    assert share([test.p_value <= LEVEL for test in tests]) == pytest.approx(planned, abs=0.03 + 2 * 0.027)
    assert tests[0].jump in (0.0, 1.0)


def test_the_clusters_that_the_plan_asks_for_suffice():
    clusters = clusters_needed(0.45, 0.15)
    random = np.random.default_rng(4)
    shown = [paired_test(np.zeros(clusters), random.normal(0.15, 0.45, clusters)).p_value <= LEVEL for _ in range(300)]
    assert power_of_test(0.15, 0.45, clusters) >= 0.8
    assert share(shown) == pytest.approx(0.8, abs=0.03 + 2 * 0.023)


@pytest.mark.parametrize("accuracy", [0.6, 0.95])
def test_the_interval_of_one_variants_mean_covers_it(paired_scenarios, accuracy):
    random = np.random.default_rng(5)
    scenario = paired_scenarios.Answers(accuracy)
    found = [mean_interval(scenario.draw(random, 60)[0]) for _ in range(RUNS)]
    assert share([each.low <= accuracy <= each.high for each in found]) >= 0.95 - 2 * math.sqrt(0.0475 / RUNS)


# ------------------------------------------------------------------ agreement


@pytest.mark.parametrize(("clusters", "repeats"), [(30, 3), (100, 5)])
def test_agreement_that_is_lower_by_the_margin_neither_passes_nor_fails(agreement_scenarios, clusters, repeats):
    random = np.random.default_rng(12)
    scenario = agreement_scenarios.Repeats(loss=0.1, repeats=repeats)
    tests = [paired_test(*scenario.draw(random, clusters), margin=0.1) for _ in range(RUNS)]
    assert share([test.p_value <= LEVEL for test in tests]) <= at_most(LEVEL)
    assert share([test.p_worse <= LEVEL for test in tests]) <= at_most(LEVEL)


@pytest.mark.parametrize("clusters", [30, 100])
def test_the_intervals_of_agreement_cover_it(agreement_scenarios, clusters):
    random = np.random.default_rng(13)
    repeats, groups = agreement_scenarios.Repeats(), agreement_scenarios.Groups(kept=0.9)
    pairwise = [mean_interval(repeats.draw(random, clusters)[0]) for _ in range(RUNS)]
    alpha = [krippendorff_alpha(groups.draw(random, clusters)) for _ in range(RUNS)]
    least = 0.95 - 2 * math.sqrt(0.0475 / RUNS)
    assert share([each.low <= repeats.agreement <= each.high for each in pairwise]) >= least
    assert share([each.low <= groups.alpha <= each.high for each in alpha]) >= least


# ------------------------------------------------------------------ several candidates


def candidates(random, clusters, count):
    """Candidates no better than the champion, on the same examples."""
    logits = 1.4 + 1.5 * random.standard_normal(clusters)
    scores = (random.random((count + 1, clusters)) < 1 / (1 + np.exp(-logits))).astype(float)
    return scores[0], scores[1:]


def test_the_best_of_five_passes_by_luck_without_holm_and_does_not_with_it():
    random = np.random.default_rng(6)
    raw, corrected = [], []
    for _ in range(RUNS):
        champion, others = candidates(random, 200, 5)
        p_values = [paired_test(champion, other).p_value for other in others]
        raw.append(min(p_values) <= LEVEL)
        corrected.append(any(map(float.__le__, p_values, holm_levels(p_values, LEVEL))))
    assert share(raw) > 0.08
    assert share(corrected) <= at_most(LEVEL)


def test_trying_until_something_wins_does_not_work_with_the_ledger():
    """Twelve tries, each keeping most answers of the best so far."""
    random = np.random.default_rng(7)
    raw, shown = [], []
    for _ in range(60):
        champion, others = candidates(random, 200, 12)
        history, uncorrected = [], False
        best = champion
        for fresh in others:
            challenger = np.where(random.random(200) < 0.7, best, fresh)
            p_value = paired_test(champion, challenger).p_value
            level = online_level(history)
            history.append((level, p_value <= level))
            uncorrected |= p_value <= LEVEL
            best = challenger if challenger.mean() > best.mean() else best
        raw.append(uncorrected)
        shown.append(any(won for _, won in history))
    assert share(raw) > 0.15
    assert share(shown) <= at_most(LEVEL, 60)


# ------------------------------------------------------------------ people's labels and a judge


@pytest.mark.parametrize(("accuracy", "size", "people", "margin"), [(0.6, 1, 200, 0.0), (0.7, 10, 60, 0.05)])
def test_a_judge_that_flatters_the_challenger_passes_alone_but_not_when_corrected(
    paired_scenarios, accuracy, size, people, margin
):
    random = np.random.default_rng(9)
    alone, corrected, covered, widths = [], [], [], []
    for _ in range(RUNS):
        labelled, predicted, extra = paired_scenarios.human_and_judge(
            random, people=people, judged=10 * people, accuracy=accuracy, flatters=(0.1, 0.22), loss=margin, size=size
        )
        alone.append(paired_test(np.zeros(len(extra)), extra, margin=margin).p_value <= LEVEL)
        test = prediction_powered_test(labelled, predicted, extra, margin=margin)
        corrected.append(test.p_value <= LEVEL)
        covered.append(test.difference.low <= -margin <= test.difference.high)
        human = paired_test(np.zeros(people), labelled).difference
        widths.append((test.difference.high - test.difference.low) / (human.high - human.low))
    assert share(alone) > 0.5
    assert share(corrected) <= at_most(LEVEL)
    assert share(covered) >= 0.95 - 2 * math.sqrt(0.0475 / RUNS)
    assert np.median(widths) < 0.95


@pytest.mark.parametrize(("right", "people"), [(0.6, 30), (0.9, 30), (0.97, 60)])
def test_the_corrected_figure_of_one_variant_covers_the_truth_also_where_no_labelled_answer_is_wrong(
    paired_scenarios, right, people
):
    random = np.random.default_rng(14)
    found = [prediction_powered_mean(*paired_scenarios.judged_answers(random, people, right)) for _ in range(RUNS)]
    assert share([each.low <= right <= each.high for each in found]) >= 0.95 - 2 * math.sqrt(0.0475 / RUNS)
    assert all(0 <= each.low <= each.value <= each.high for each in found)


def test_predictions_that_know_nothing_do_not_widen_the_interval():
    random = np.random.default_rng(10)
    labels, noise, extra = random.normal(0, 1, 100), random.normal(0, 5, 100), random.normal(0, 5, 1000)
    alone = mean_interval(labels)
    powered = prediction_powered_mean(labels, noise, extra)
    assert powered.high - powered.low < 1.05 * (alone.high - alone.low)

"""Intervals, planning, corrections, agreement and prediction-powered means agree with the field's libraries."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.statistics import (
    clusters_needed,
    fewest_clusters,
    holm_levels,
    krippendorff_alpha,
    mean_interval,
    minimal_detectable_difference,
    online_level,
    pairwise_agreement,
    power_of_test,
    prediction_powered_mean,
    prediction_powered_test,
    proportion_interval,
    total_agreement,
    upper_spread,
)
from proveout.statistics.distributions import binomial_pmf
from proveout.statistics.paired_counts import PairedCounts

scipy_stats = pytest.importorskip("scipy.stats")

# ------------------------------------------------------------------ intervals


@pytest.mark.parametrize("method", ["clopper-pearson", "wilson", "jeffreys"])
@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (1, 20), (13, 20), (458, 1319), (1319, 1319), (3, 100_000)])
def test_intervals_of_a_proportion_are_those_of_statsmodels(method, successes, trials):
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    name = {"clopper-pearson": "beta"}.get(method, method)
    low, high = proportion.proportion_confint(successes, trials, method=name)
    found = proportion_interval(successes, trials, method=method)
    assert found.value == successes / trials
    if successes > 0:
        assert found.low == pytest.approx(low, rel=1e-7)
    if successes < trials:
        assert found.high == pytest.approx(high, rel=1e-7)


@pytest.mark.parametrize("trials", [10, 80])
def test_clopper_and_pearsons_interval_covers_every_share(trials):
    found = [proportion_interval(k, trials) for k in range(trials + 1)]
    low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
    shares = np.linspace(0.001, 0.999, 200)[:, None]
    covered = np.sum(binomial_pmf(np.arange(trials + 1), trials, shares) * ((low <= shares) & (shares <= high)), axis=1)
    assert covered.min() >= 0.95


def test_a_proportion_without_trials_is_unknown_and_wrong_counts_are_refused():
    assert math.isnan(proportion_interval(0, 0).value)
    for successes, trials in ((-1, 5), (6, 5)):
        with pytest.raises(ValueError, match="successes of 5 trials"):
            proportion_interval(successes, trials)


def test_the_interval_of_the_mean_of_many_symmetric_values_is_nearly_students():
    half = np.random.default_rng(0).normal(0, 0.1, 250)
    values = 0.5 + np.concatenate([half, -half])
    low, high = scipy_stats.t.interval(0.95, 499, values.mean(), values.std(ddof=1) / math.sqrt(500))
    found = mean_interval(values)
    assert high - low < found.high - found.low < 1.03 * (high - low)


def test_the_mean_of_yes_or_no_scores_gets_the_exact_interval():
    assert mean_interval([1, 1, 0, 1]) == proportion_interval(3, 4)


def test_no_spread_is_not_no_doubt():
    found = mean_interval([0.75] * 30)
    assert found.low < 0.70
    assert found.high > 0.76
    assert mean_interval([1.0] * 30).low == pytest.approx(0.025 ** (1 / 30))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=60))
def test_the_interval_of_a_mean_holds_it_and_stays_within_the_bounds(values):
    found = mean_interval(values)
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1


def test_means_of_too_little_or_wrong_input():
    assert math.isnan(mean_interval([]).value)
    assert math.isnan(mean_interval([0.4]).low)
    with pytest.raises(ValueError, match=r"values\[1\] is nan"):
        mean_interval([0.4, math.nan])
    with pytest.raises(ValueError, match="beyond the bounds"):
        mean_interval([0.4, 3.0], bounds=(0.0, 1.0))


@pytest.mark.parametrize(("discordance", "difference"), [(0.1, 0.0), (0.3, -0.1), (0.05, 0.05)])
@pytest.mark.parametrize("examples", [25, 80])
def test_the_interval_of_a_paired_difference_of_yes_or_no_scores_covers_it(examples, discordance, difference):
    """Every outcome's chance, added up: no simulation."""
    win, loss = (discordance + difference) / 2, (discordance - difference) / 2
    covered = 0.0
    for wins in range(examples + 1):
        chance = float(binomial_pmf(wins, examples, win))
        for losses in range(examples - wins + 1):
            both = chance * float(scipy_stats.binom.pmf(losses, examples - wins, loss / (1 - win)))
            if both < 1e-5:
                continue
            pair = PairedCounts(wins, losses, examples)
            inside = pair.lower(0.025) - 1e-12 <= difference <= -pair.swapped().lower(0.025) + 1e-12
            covered += both if inside else 0.0
    assert covered >= 0.93


# ------------------------------------------------------------------ planning


@pytest.mark.parametrize(("clusters", "room"), [(20, 0.09), (200, 0.025), (5000, 0.003)])
@pytest.mark.parametrize("effect", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_power_is_that_of_statsmodels_less_what_caution_costs(clusters, room, effect, alpha):
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    expected = power.power(effect, clusters, alpha, alternative="larger")
    assert expected - room <= power_of_test(effect * 0.3, 0.3, clusters, alpha=alpha) <= expected + 1e-4


@pytest.mark.parametrize(("clusters", "room"), [(8, 1.3), (60, 1.05), (1000, 1.005)])
def test_the_smallest_detectable_difference_is_that_of_statsmodels_and_a_little_more(clusters, room):
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    expected = 0.45 * power.solve_power(nobs=clusters, alpha=0.05, power=0.8, alternative="larger")
    assert expected <= minimal_detectable_difference(0.45, clusters) <= expected * room


@pytest.mark.parametrize("distance", [0.3, 0.05, 0.011])
@pytest.mark.parametrize("reach", [0.0, 0.98])
def test_the_clusters_needed_are_the_fewest_that_do(distance, reach):
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    expected = power.solve_power(distance / 0.45, alpha=0.05, power=0.8, alternative="larger")
    found = clusters_needed(0.45, distance, reach=reach)
    assert expected <= found <= 5 + 1.05 * expected
    fewer = power_of_test(distance, 0.45, found - 1, reach=reach)
    assert power_of_test(distance, 0.45, found, reach=reach) >= 0.8 > fewer


def test_scores_that_hardly_vary_need_the_clusters_that_would_show_a_rare_total_loss():
    assert clusters_needed(0.02, 0.05) < 10
    assert 0.9 * fewest_clusters(0.05) <= clusters_needed(0.02, 0.05, reach=0.95) < 1.4 * fewest_clusters(0.05)


@pytest.mark.parametrize("clusters", [4, 20, 200])
def test_the_spread_of_few_clusters_is_planned_with_at_its_upper_limit(clusters):
    expected = math.sqrt((clusters - 1) / scipy_stats.chi2.ppf(0.2, clusters - 1))
    assert upper_spread(clusters) == pytest.approx(expected, rel=0.02)


def test_what_cannot_be_planned_is_refused_or_infinite():
    assert minimal_detectable_difference(0.45, 1) == math.inf
    assert power_of_test(0.1, 0.45, 1) == 0.0
    with pytest.raises(ValueError, match="cannot be shown"):
        clusters_needed(0.45, 0.0)
    with pytest.raises(ValueError, match="sd is 0"):
        clusters_needed(0.0, 0.1)


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_below_the_fewest_clusters_nothing_passes_and_from_there_on_a_perfect_run_does(margin):
    fewest = fewest_clusters(margin)
    assert PairedCounts(0, 0, fewest - 1).p_value(-margin) > 0.05
    assert PairedCounts(0, 0, fewest + 1).p_value(-margin) <= 0.05
    with pytest.raises(ValueError, match="margin is 0"):
        fewest_clusters(0.0)


# ------------------------------------------------------------------ several tests


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holms_levels_reject_what_statsmodels_rejects(p_values, alpha):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    levels = holm_levels(p_values, alpha)
    rejected = multitest.multipletests(p_values, alpha, method="holm")[0]
    assert [p <= level for p, level in zip(p_values, levels, strict=True)] == rejected.tolist()
    assert alpha / len(p_values) <= min(levels) <= max(levels) <= alpha


def test_p_values_outside_0_and_1_are_refused():
    for wrong in (1.2, -0.1, math.nan):
        with pytest.raises(ValueError, match="within 0 and 1"):
            holm_levels([0.2, wrong], 0.05)


def test_all_levels_that_will_ever_be_given_out_add_up_to_alpha():
    history = []
    for _ in range(2000):
        history.append((online_level(history), False))
    assert sum(level for level, _ in history) == pytest.approx(0.05 * (1 - 1 / 2001))
    assert history[0][0] == pytest.approx(0.025)


def test_an_attempt_that_was_shown_hands_its_level_on():
    assert online_level([(0.025, True)]) == pytest.approx(0.025 + 0.05 / 6)
    assert online_level([(0.025, True), (0.03, False)]) == pytest.approx(0.05 / 12)


# ------------------------------------------------------------------ agreement


@pytest.mark.parametrize("repeats", [2, 3, 5, 20])
def test_pairwise_agreement_does_not_depend_on_the_number_of_repeats(repeats):
    """Three answers with chances .6, .3, .1: two repeats agree with probability .46."""
    random = np.random.default_rng(repeats)
    found = [pairwise_agreement(row) for row in random.choice(3, (4000, repeats), p=[0.6, 0.3, 0.1]).tolist()]
    assert np.mean(found) == pytest.approx(0.46, abs=3 * np.std(found) / math.sqrt(4000))


def test_total_agreement_falls_as_the_repeats_grow():
    random = np.random.default_rng(0)
    answers = random.choice(2, (4000, 5), p=[0.9, 0.1]).tolist()
    for repeats in (2, 3, 5):
        found = total_agreement([row[:repeats] for row in answers])
        assert found == pytest.approx(0.9**repeats + 0.1**repeats, abs=0.025)


def test_agreement_leaves_failed_repeats_out():
    assert pairwise_agreement(["a", None, "a", "b"]) == pytest.approx(1 / 3)
    assert math.isnan(pairwise_agreement(["a", None]))
    assert total_agreement([["a", "a", None], ["b", "c"], ["d", None]]) == 0.5
    assert math.isnan(total_agreement([["a"], []]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from([0, 1, 2, None]), min_size=4, max_size=4), min_size=2, max_size=25))
def test_krippendorffs_alpha_is_that_of_the_krippendorff_package_with_missing_answers(units):
    krippendorff = pytest.importorskip("krippendorff")
    found = krippendorff_alpha(units).value
    pairable = [unit for unit in units if sum(answer is not None for answer in unit) > 1]
    if len(pairable) < 2 or len({answer for unit in pairable for answer in unit if answer is not None}) < 2:
        assert math.isnan(found)
        return
    data = np.array([[np.nan if answer is None else float(answer) for answer in unit] for unit in pairable]).T
    assert found == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal"), abs=1e-9)


def test_the_interval_of_krippendorffs_alpha_covers_it():
    """Units of three answers, each kept with probability .8 from the unit's true class, else drawn at random."""
    inside = 0
    random = np.random.default_rng(2)
    truth = 0.8**2
    for _ in range(200):
        classes = random.integers(0, 3, (80, 1))
        kept = random.random((80, 3)) < 0.8
        answers = np.where(kept, classes, random.integers(0, 3, (80, 3)))
        found = krippendorff_alpha(answers.tolist())
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / 200 <= 0.99


def test_full_agreement_leaves_room_for_doubt():
    found = krippendorff_alpha([["a", "a"]] * 15 + [["b", "b"]] * 15)
    assert found.value == 1.0
    assert found.low < 0.85


# ------------------------------------------------------------------ prediction-powered inference


def test_without_power_tuning_the_mean_is_that_of_ppi_python():
    ppi = pytest.importorskip("ppi_py")
    random = np.random.default_rng(3)
    labels = random.normal(0.5, 1, 4000)
    predictions = labels + random.normal(0.3, 0.5, 4000)
    extra = random.normal(0.8, 1.1, 40_000)
    for tuned, lam in ((False, 1), (True, None)):
        found = prediction_powered_mean(labels, predictions, extra, power_tuning=tuned)
        low, high = ppi.ppi_mean_ci(labels, predictions, extra, alpha=0.05, lam=lam)
        assert found.low == pytest.approx(np.squeeze(low), abs=2e-3)
        assert found.high == pytest.approx(np.squeeze(high), abs=2e-3)


def test_the_prediction_powered_interval_agrees_with_its_tests():
    random = np.random.default_rng(4)
    for margin in (0.0, 0.05):
        for shift in np.linspace(-0.15, 0.15, 9):
            labels = random.normal(shift, 0.3, 60)
            test = prediction_powered_test(
                labels, labels + random.normal(0, 0.2, 60), random.normal(shift, 0.4, 600), margin=margin
            )
            assert (test.difference.low > -margin) == (test.p_value < 0.025)
            assert (test.difference.high < -margin) == (test.p_worse < 0.025)


def test_prediction_powered_figures_mirror_where_less_is_better():
    random = np.random.default_rng(5)
    arrays = random.normal(0.1, 0.3, 50), random.normal(0.1, 0.3, 50), random.normal(0.1, 0.3, 500)
    more = prediction_powered_test(*arrays, margin=0.02)
    less = prediction_powered_test(*(-each for each in arrays), margin=0.02, higher_is_better=False)
    assert (less.p_value, less.p_worse) == pytest.approx((more.p_value, more.p_worse))
    assert less.difference.low == pytest.approx(-more.difference.high)


def test_prediction_powered_figures_refuse_or_decline():
    assert math.isnan(prediction_powered_test([0.1], [0.1], [0.1, 0.2]).p_value)
    with pytest.raises(ValueError, match="2 labels and 3 predictions"):
        prediction_powered_mean([0, 1], [0, 1, 1], [0, 1])
    with pytest.raises(ValueError, match=r"predicted\[0\] is nan"):
        prediction_powered_mean([0, 1], [math.nan, 1], [0, 1])
    with pytest.raises(ValueError, match="margin"):
        prediction_powered_test([0, 1], [0, 1], [0, 1], margin=-1)

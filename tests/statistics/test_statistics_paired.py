"""The paired test agrees with the field's libraries where they compute the same, and with itself everywhere."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.statistics import Estimate, paired_test
from proveout.statistics.bounded_mean import BoundedMean
from proveout.statistics.mean_limits import CautiousMean, SignFlips, StudentMean, UnmetLosses
from proveout.statistics.paired_counts import NUISANCE_ERROR, PairedCounts, region_chances

scipy_stats = pytest.importorskip("scipy.stats")


def pairs(wins: int, losses: int, examples: int):
    """Single yes-or-no scores of both variants with these counts."""
    champion, challenger = np.zeros(examples), np.zeros(examples)
    challenger[:wins] = 1
    champion[wins : wins + losses] = 1
    return champion, challenger


def symmetric(size: int, centre: float, seed: int = 0):
    """Values without any skewness, so that the plain t test applies."""
    half = np.random.default_rng(seed).normal(0, 0.3, size // 2)
    return centre + np.concatenate([half, -half])


# ------------------------------------------------------------------ Student's t


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.1])
def test_without_skewness_the_t_test_is_that_of_scipy_and_statsmodels(margin):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    champion = np.random.default_rng(1).normal(5, 1, 100)
    challenger = champion + symmetric(100, 0.03)
    better = scipy_stats.ttest_rel(challenger + margin, champion, alternative="greater").pvalue
    assert StudentMean(challenger - champion).p_value(-margin) == pytest.approx(better, rel=1e-9)
    if margin:
        _, (_, equivalent, _), _ = weightstats.ttost_paired(challenger, champion, -margin, margin)
        assert better == pytest.approx(equivalent, rel=1e-9)


@pytest.mark.parametrize(("size", "wider"), [(60, 1.08), (1000, 1.01)])
def test_symmetric_differences_get_nearly_scipys_interval(size, wider):
    champion = np.random.default_rng(1).normal(0.5, 0.01, size)
    challenger = champion + symmetric(size, 0.0)
    expected = scipy_stats.ttest_rel(challenger, champion).confidence_interval(0.95)
    found = paired_test(champion, challenger).difference
    assert 1 <= (found.high - found.low) / (expected.high - expected.low) <= wider


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(41, 200), st.floats(0, 0.2))
def test_the_correction_for_skewness_only_ever_makes_a_pass_harder(seed, size, margin):
    random = np.random.default_rng(seed)
    champion, challenger = random.exponential(1, size), random.exponential(1, size)
    naive = scipy_stats.ttest_rel(challenger + margin, champion, alternative="greater").pvalue
    assert paired_test(champion, challenger, margin=margin).p_value >= naive - 1e-9


# ------------------------------------------------------------------ losses not met


@pytest.mark.parametrize("size", [20, 60, 149, 300])
def test_without_any_spread_losses_not_met_get_clopper_and_pearsons_limit(size):
    """The rule of three: none of K clusters lost, so up to 1 - alpha^(1/K) of all may be."""
    limits = UnmetLosses(np.zeros(size), -1.0)
    expected = scipy_stats.binomtest(0, size).proportion_ci(0.9).high
    assert -limits.lower(0.05) == pytest.approx(expected, rel=1e-9)
    assert limits.p_value(-0.02) == pytest.approx(0.98**size)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(10, 300), st.floats(0.01, 0.5), st.floats(0.005, 0.2))
def test_the_limit_for_losses_not_met_agrees_with_its_p_value_and_is_no_bolder_than_t(seed, size, sd, alpha):
    values = np.random.default_rng(seed).uniform(-sd, sd, size)
    limits = UnmetLosses(values, -1.0)
    lower = limits.lower(alpha)
    assert limits.p_value(lower) == pytest.approx(alpha, rel=0.1)
    assert lower <= StudentMean(values).lower(alpha) + 0.01 * sd


def test_where_clusters_are_many_or_vary_much_losses_not_met_cost_nothing():
    values = np.random.default_rng(2).normal(0, 0.3, 400)
    assert UnmetLosses(values, -1.0).lower(0.05) == pytest.approx(StudentMean(values).lower(0.05), abs=1e-4)


# ------------------------------------------------------------------ bounded values


@pytest.mark.parametrize(("bad", "size"), [(0, 60), (1, 20), (3, 60), (40, 200), (59, 60)])
@pytest.mark.parametrize("alpha", [0.025, 0.1])
def test_of_values_that_are_0_or_1_gaffkes_limit_is_clopper_and_pearsons(bad, size, alpha):
    values = np.concatenate([np.zeros(bad), np.ones(size - bad)])
    expected = scipy_stats.beta.ppf(alpha, size - bad, bad + 1)
    assert 1 - BoundedMean(values, 0.0).lower(alpha) == pytest.approx(1 - expected, rel=0.01)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(3, 60), st.floats(0.01, 0.4), st.integers(0, 2), st.floats(-0.2, 0.2))
def test_the_chance_of_random_weights_is_that_of_drawing_them(seed, size, sd, lost, theta):
    random = np.random.default_rng(seed)
    values = np.maximum(random.normal(0, sd, size), -1)
    values[:lost] = -1
    weights = random.exponential(size=(20_000, size + 1))
    drawn = float(np.mean(weights @ (np.append(values, -1.0) - theta) <= 0))
    assert BoundedMean(values, -1.0).p_value(theta) == pytest.approx(drawn, abs=0.012)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=60), st.sampled_from([0.005, 0.025, 0.2, 0.5]))
def test_the_bounded_limit_agrees_with_its_p_value_and_never_passes_the_values(values, alpha):
    limits = BoundedMean(np.array(values), -1.0)
    lower = limits.lower(alpha)
    assert -1 <= lower <= max(values)
    if max(values) - lower > 1e-6 and lower + 1 > 1e-6:
        assert limits.p_value(lower) == pytest.approx(alpha, rel=0.01)


@pytest.mark.parametrize(("lost", "passes"), [(0, True), (2, True), (3, True), (4, False), (8, False)])
def test_a_few_lost_clusters_among_equal_ones_count_as_the_exact_test_of_their_share_counts_them(lost, passes):
    """150 clusters, hardly any noise, 5 % allowed: up to 3 may be lost (Clopper and Pearson's limit at 5.1 %)."""
    champion, noise = 0.9 + 0.01 * np.random.default_rng(1).uniform(-1, 1, (2, 150))
    challenger = np.where(np.arange(150) < lost, 0.0, noise)
    exact = scipy_stats.beta.ppf(0.95, lost + 1, 150 - lost) * 0.9
    found = paired_test(champion, challenger, margin=0.05)
    assert found.p_value <= 0.05 if passes else found.p_value > 0.05
    assert (exact <= 0.05) == passes


# ------------------------------------------------------------------ sign flips


@pytest.mark.parametrize("size", [2, 5, 9, 13])
def test_sign_flips_are_those_of_scipys_exact_permutation_test(size):
    values = np.random.default_rng(size).normal(0.3, 1, size)
    expected = scipy_stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
    ).pvalue
    assert SignFlips.of(values, 0).p_value(0.0) == pytest.approx(expected)


def test_random_sign_flips_are_close_to_scipys():
    values = np.random.default_rng(3).normal(0.15, 1, 30)
    expected = scipy_stats.permutation_test(
        (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=40_000, rng=1
    ).pvalue
    assert SignFlips.of(values, 0).p_value(0.0) == pytest.approx(expected, abs=0.012)


def test_below_40_clusters_the_more_careful_of_t_and_sign_flips_counts():
    values = np.random.default_rng(4).normal(0.2, 0.5, 12)
    expected = max(CautiousMean(values).p_value(0.0), SignFlips.of(values, 0).p_value(0.0))
    assert paired_test(np.zeros(12), values).p_value == pytest.approx(expected)


def test_the_same_seed_gives_the_same_answer_and_order_does_not_matter():
    random = np.random.default_rng(5)
    champion, challenger = random.normal(0, 1, (2, 30))
    order = random.permutation(30)
    assert paired_test(champion, challenger, seed=9) == paired_test(champion, challenger, seed=9)
    shuffled = paired_test(champion[order], challenger[order])
    assert shuffled.p_value == pytest.approx(paired_test(champion, challenger).p_value)


# ------------------------------------------------------------------ single yes-or-no scores


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_exact_test_is_scipys_binomial_test(wins, losses):
    p_value = paired_test(*pairs(wins, losses, 200)).p_value
    expected = scipy_stats.binomtest(wins, wins + losses, 0.5, alternative="greater").pvalue if wins + losses else 1.0
    assert p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("wins", "losses"), [(12, 3), (3, 12), (40, 20), (7, 7)])
def test_mcnemars_two_sided_test_is_that_of_statsmodels(wins, losses):
    mcnemar = pytest.importorskip("statsmodels.stats.contingency_tables").mcnemar
    test = paired_test(*pairs(wins, losses, 100))
    expected = mcnemar([[50, wins], [losses, 20]], exact=True).pvalue
    assert min(1.0, 2 * min(test.p_value, test.p_worse)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("wins", "losses", "examples", "margin"),
    [(150, 180, 3000, 0.02), (900, 940, 5000, 0.02), (300, 310, 10_000, 0.005)],
)
def test_with_many_examples_the_exact_test_at_a_margin_comes_near_the_score_test(wins, losses, examples, margin):
    """Tango's asymptotic score test, from the restricted estimate by numerical maximisation."""
    rates = np.linspace(1e-6, (1 - margin) / 2, 200_001)
    logs = wins * np.log(rates) + losses * np.log(rates + margin)
    logs += (examples - wins - losses) * np.log(1 - 2 * rates - margin + 1e-300)
    rate = rates[logs.argmax()]
    error = math.sqrt((2 * rate + margin - margin**2) / examples)
    asymptotic = scipy_stats.norm.sf(((wins - losses) / examples + margin) / error)
    assert paired_test(*pairs(wins, losses, examples), margin=margin).p_value == pytest.approx(asymptotic, rel=0.12)


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("examples", [20, 60, 150])
def test_single_yes_or_no_scores_pass_falsely_in_at_most_5_percent_at_any_rates(paired_scenarios, examples, margin):
    """Every outcome's chance, added up over 1,000 true rates of winning: exact, no simulation."""
    won, lost = paired_scenarios.binary_region(examples, margin, 0.05, 0.5 if examples > 100 else 1.0)
    rates = np.linspace(0, min((1 - margin) / 2, 0.3 if examples > 100 else 1.0), 1000)[:, None]
    assert region_chances(won, lost, examples, rates, rates + margin).max() <= 0.05


def test_losses_too_rare_to_be_met_do_not_pass():
    """99 % right, 100 examples, none differs: a challenger that loses 2 % shows no loss in 13 % of samples."""
    assert paired_test(*pairs(0, 0, 100), margin=0.02).p_value == pytest.approx(0.98**100, abs=2 * NUISANCE_ERROR)
    assert paired_test(*pairs(0, 0, 148), margin=0.02).p_value > 0.05
    assert paired_test(*pairs(0, 0, 150), margin=0.02).p_value < 0.05


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([0.0, 0.01, 0.05]))
def test_one_more_win_never_raises_the_p_value_and_one_more_loss_never_lowers_it(wins, losses, margin):
    p_value = PairedCounts(wins, losses, 120).p_value(-margin)
    assert PairedCounts(wins + 1, losses, 120).p_value(-margin) <= p_value + 1e-9
    assert PairedCounts(wins, losses + 1, 120).p_value(-margin) >= p_value - 1e-9


# ------------------------------------------------------------------ coherence

scores_of_any_kind = st.one_of(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=60).map(
        lambda rows: [(a / 4, b / 4) for a, b in rows]
    ),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=60),
    st.lists(st.tuples(st.floats(-50, 900), st.floats(-50, 900)), min_size=2, max_size=50),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(scores_of_any_kind, st.sampled_from([0.0, 0.02, 0.1]))
def test_the_interval_excludes_the_margin_exactly_where_the_test_does(rows, margin):
    champion, challenger = np.array(rows, float).T
    test = paired_test(champion, challenger, margin=margin)
    found = test.difference
    if test.p_value <= 0.025:
        assert found.low >= -margin
    else:
        assert found.low <= -margin
    if test.p_worse <= 0.025:
        assert found.high <= -margin
    else:
        assert found.high >= -margin
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert 0 <= test.p_value <= 1
    assert 0 <= test.p_worse <= 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(scores_of_any_kind, st.sampled_from([0.0, 0.02, 0.1]))
def test_lower_is_better_mirrors_everything_but_the_difference(rows, margin):
    """Of scores within 0 and 1 the best is 0, and a lost cluster has 1."""
    champion, challenger = np.array(rows, float).T
    test = paired_test(champion, challenger, margin=margin, higher_is_better=False)
    best = 1.0 if (np.array(rows) >= 0).all() and (np.array(rows) <= 1).all() else 0.0
    mirrored = paired_test(best - champion, best - challenger, margin=margin)
    assert test.p_value == pytest.approx(mirrored.p_value, rel=1e-9)
    assert test.p_worse == pytest.approx(mirrored.p_worse, rel=1e-9)
    assert test.difference.value == pytest.approx(-mirrored.difference.value)
    assert test.difference.low == pytest.approx(-mirrored.difference.high)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(scores_of_any_kind)
def test_what_passes_at_a_margin_passes_at_every_wider_one(rows):
    champion, challenger = np.array(rows, float).T
    passed = [paired_test(champion, challenger, margin=margin).p_value <= 0.05 for margin in (0.0, 0.02, 0.1)]
    assert passed == sorted(passed)


@pytest.mark.parametrize("examples", [10, 20, 40])
def test_single_yes_or_no_scores_that_pass_at_a_margin_pass_at_every_wider_one(paired_scenarios, examples):
    allowed = [paired_scenarios.binary_region(examples, margin, 0.05)[1] for margin in (0, 0.01, 0.05, 0.1, 0.2)]
    assert all((wider >= narrower).all() for narrower, wider in pairwise(allowed))


def test_never_both_better_and_worse():
    random = np.random.default_rng(6)
    for size in (2, 6, 25, 80):
        test = paired_test(random.random(size), random.random(size))
        assert test.p_value + test.p_worse >= 1 - 1e-9


# ------------------------------------------------------------------ the edges


@pytest.mark.parametrize("size", [2, 12, 30, 500])
def test_variants_that_score_the_same_are_neither_better_nor_worse(size):
    scores = np.linspace(0.1, 0.9, size)
    test = paired_test(scores, scores)
    assert (test.p_value, test.p_worse, test.difference.value) == (1.0, 1.0, 0.0)
    assert test.difference.low < 0 < test.difference.high


def test_the_same_gain_everywhere_is_as_sure_as_its_signs_and_as_the_total_losses_that_would_undo_it():
    for size in (2, 10, 60):
        scores = np.linspace(0.1, 0.8, size)
        assert paired_test(scores, scores + 0.1).p_value == pytest.approx(0.9**size, rel=1e-6 if size > 2 else 2e-3)
        assert paired_test(scores * 100, scores * 100 + 10).p_value == pytest.approx(0.5**size, rel=1e-6)


def test_a_loss_of_exactly_the_margin_everywhere_does_not_pass():
    for size in (2, 10, 60):
        scores = np.linspace(0.1, 0.9, size)
        assert paired_test(scores, scores - 0.05, margin=0.05).p_value > 0.05


def test_two_clusters_can_never_pass():
    assert paired_test([0.0, 0.1], [1.0, 0.9]).p_value >= 0.25
    assert paired_test([0.0, 0.0], [1.0, 1.0]).p_value == pytest.approx(0.25)


@pytest.mark.parametrize(("scores", "value"), [([], math.nan), ([0.25], 0.5)])
def test_fewer_than_two_clusters_give_no_test(scores, value):
    test = paired_test(scores, np.array(scores) + 0.5)
    assert test.difference.value == pytest.approx(value, nan_ok=True)
    assert all(map(math.isnan, (test.p_value, test.p_worse, test.sd, test.difference.low, test.difference.high)))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_was_not_measured_is_refused_and_named(wrong):
    with pytest.raises(ValueError, match=r"challenger\[1\] is (nan|inf|-inf)"):
        paired_test([0.0, 1.0, 0.0], [0.0, wrong, 1.0])


def test_other_wrong_input_is_refused():
    with pytest.raises(ValueError, match="3 clusters and challenger 2"):
        paired_test([0, 1, 0], [0, 1])
    with pytest.raises(ValueError, match="shape"):
        paired_test([[0, 1]], [[0, 1]])
    for margin in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="margin"):
            paired_test([0, 1], [0, 1], margin=margin)


def test_noise_of_floating_point_is_no_difference():
    champion = np.array([0.1 + 0.2, 0.3, 0.7] * 20)
    challenger = np.array([0.3, 0.1 + 0.2, 0.7] * 20)
    assert paired_test(champion, challenger).p_value == 1.0


def test_the_estimate_counts_clusters():
    assert paired_test([0.5, 0.25, 0.5], [0.5, 0.5, 0.75]).difference.n == 3
    assert isinstance(paired_test([0, 1], [1, 1]).difference, Estimate)

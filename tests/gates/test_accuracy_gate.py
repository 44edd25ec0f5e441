"""The accuracy gate: which examples decide, what is missing, who labelled, and what a judge may not do alone."""

import numpy as np
import pytest
from gate_cases import Table, bits, spec

from proveout.gates.accuracy import AccuracyGate
from proveout.gates.verdicts import judge

NAN = float("nan")


def verdict(table: Table, claim: str = "holds", *, judged=None, lower=frozenset(), **settings) -> str:
    (finding,) = AccuracyGate().measure(table.evidence(judged, lower), spec("accuracy", **settings), claim).findings
    return judge(finding).verdict


def finding(table: Table, claim: str = "holds", *, judged=None, **settings):
    return AccuracyGate().measure(table.evidence(judged), spec("accuracy", **settings), claim).findings[0]


def test_figures_are_means_of_the_metric_with_n_of_clusters():
    found = finding(Table().scored(bits(60, 40), bits(70, 30)))
    assert (found.champion.value, found.champion.n) == (0.6, 100)
    assert found.challenger.value == pytest.approx(0.7)
    assert found.champion.low < 0.6 < found.champion.high
    assert found.test.difference.value == pytest.approx(0.1)


def test_a_metric_that_finds_nothing_right_asks_whether_it_fits():
    def kinds(table: Table, **more) -> list[str]:
        return [
            notice.kind for notice in AccuracyGate().measure(table.evidence(**more), spec("accuracy"), "holds").notices
        ]

    assert kinds(Table().scored(bits(0, 60), bits(0, 60))) == ["always_zero"]
    assert kinds(Table().scored(bits(0, 60), bits(1, 59))) == []


def test_a_claim_about_equal_answers_does_not_ask_for_more_examples():
    found = judge(finding(Table().scored(bits(30, 30), bits(30, 30)), "improves"))
    assert (found.verdict, found.needs.examples) == ("inconclusive", 0)
    assert "nothing differs so far" in found.reason


def test_the_unit_is_the_cluster_so_copies_of_one_example_add_no_evidence():
    table = Table()
    for copy in range(50):
        row = table.example(f"copy{copy}", cluster="one")
        table.call(row, 0, [0.0])
        table.call(row, 1, [1.0])
    for number in range(5):
        row = table.example(f"other{number}")
        table.call(row, 0, [1.0])
        table.call(row, 1, [1.0])
    assert finding(table, "improves").champion.n == 6
    assert verdict(table, "improves") == "inconclusive"


def test_repeats_are_averaged_before_examples_are_compared():
    table = Table()
    row = table.example("a")
    for repeat, score in enumerate([1.0, 0.0, 0.0, 0.0]):
        table.call(row, 0, [score], repeat=repeat)
        table.call(row, 1, [1.0], repeat=repeat)
    table.scored([0.0], [0.0])
    assert finding(table).champion.value == pytest.approx(0.125)


def test_a_metric_where_less_is_better_is_judged_that_way():
    table = Table().scored(list(np.linspace(0.5, 1, 100)), list(np.linspace(0, 0.5, 100)))
    assert verdict(table, "improves", lower=frozenset({"exact_match"})) == "pass"
    assert verdict(table, "improves") == "fail"


def test_production_failures_never_decide():
    """They are there because the champion failed on them: any challenger would look better."""
    table = Table().scored(bits(50, 50), bits(50, 50)).scored([0.0] * 300, [1.0] * 300, source="failures")
    found = finding(table, "improves")
    assert found.champion.n == 100
    assert verdict(table, "improves") != "pass"


@pytest.mark.parametrize("missing", ["failed", "unscored"])
def test_too_many_missing_scores_are_an_error_not_wrong_answers(missing):
    table = Table()
    for number in range(100):
        row = table.example(f"e{number}")
        table.call(row, 0, [1.0])
        lost = number < 10
        table.call(row, 1, [NAN if lost else 1.0], failed=lost and missing == "failed")
    found = finding(table)
    assert judge(found).verdict == "error"
    assert "10.0% of the challenger's calls" in found.problem
    assert verdict(table, max_failures=0.2) in ("pass", "inconclusive")


def test_a_pass_must_survive_holding_failed_calls_against_the_challenger():
    champion, challenger = bits(500, 500), bits(530, 470)
    lossless = Table().scored(champion, challenger)
    assert verdict(lossless, "improves") == "pass"
    lossy = Table().scored(champion, [NAN if n < 40 else score for n, score in enumerate(challenger)])
    assert verdict(lossy, "improves") == "inconclusive"
    assert "failed calls" in judge(finding(lossy, "improves")).reason


def test_silver_alone_never_passes_unless_the_service_trusts_it():
    table = Table().scored(bits(100, 200), bits(200, 100), source="silver")
    assert verdict(table, "improves") == "inconclusive"
    assert "golden" in judge(finding(table, "improves")).reason
    assert verdict(table, "improves", trust_silver=True) == "pass"


def test_silver_stretches_golden_by_prediction_powered_inference():
    random = np.random.default_rng(5)
    table = Table()
    for number in range(1200):
        truth = (random.random() < 0.6, random.random() < 0.68)
        noisy = [outcome if random.random() < 0.93 else not outcome for outcome in truth]
        if number < 200:
            row = table.example(f"e{number}")
            for arm in (0, 1):
                table.call(row, arm, [float(truth[arm])])
        row = table.example(f"e{number}", source="silver")
        for arm in (0, 1):
            table.call(row, arm, [float(noisy[arm])])
    stretched = finding(table, "improves")
    alone = finding(golden_only(table), "improves")
    assert "prediction-powered" in stretched.test.method
    width = stretched.test.difference.high - stretched.test.difference.low
    assert width < 0.9 * (alone.test.difference.high - alone.test.difference.low)


def golden_only(table: Table) -> Table:
    kept = Table()
    for row, name in enumerate(table.table.examples.ids):
        if table.table.examples.sources[row] == "golden":
            new = kept.example(name)
            for call in range(len(table.table)):
                if table.table.example[call] == row:
                    kept.call(new, table.table.arm[call], [table.table.scores[0][call]])
    return kept


def judged_table(labelled: int) -> Table:
    table = Table("helpful", "helpful:human")
    for number in range(300):
        row = table.example(f"e{number}")
        for arm in (0, 1):
            opinion = float(number % 3 != 0 or arm == 1)
            table.call(row, arm, [opinion, opinion if number < labelled else NAN])
    return table


def test_an_uncalibrated_judge_can_not_pass_a_claim():
    table = judged_table(labelled=0)
    assert verdict(table, "improves", judged={"helpful": False}, metric="helpful") == "inconclusive"


def test_a_calibrated_judge_of_answers_that_nobody_labelled_can_not_pass_either():
    table = judged_table(labelled=0)
    found = finding(table, "improves", judged={"helpful": True}, metric="helpful")
    assert judge(found).verdict == "inconclusive"
    assert "nobody has labelled" in judge(found).reason


def test_a_calibrated_judge_stretches_what_people_labelled():
    found = finding(judged_table(labelled=60), "improves", judged={"helpful": True}, metric="helpful")
    assert "prediction-powered" in found.test.method
    assert judge(found).verdict == "pass"


def test_a_service_may_trust_its_judge():
    table = judged_table(labelled=0)
    assert verdict(table, "improves", judged={"helpful": True}, metric="helpful", trust_silver=True) == "pass"


def test_one_cluster_decides_nothing_and_says_how_many_could():
    found = judge(finding(Table().scored([1.0], [0.0])))
    assert found.verdict == "inconclusive"
    assert found.needs.examples > 1


def test_other_scorers_stand_beside_the_gate_and_decide_nothing():
    table = Table("exact_match", "polite")
    for number in range(200):
        row = table.example(f"e{number}")
        table.call(row, 0, [1.0, 1.0])
        table.call(row, 1, [1.0, 0.0])
    found = AccuracyGate().measure(table.evidence(), spec("accuracy", metric="exact_match"), "holds")
    assert [measure.metric for measure in found.measures] == ["polite"]
    assert found.measures[0].challenger.value == 0.0
    assert judge(found.findings[0]).verdict == "pass"


@pytest.mark.parametrize(("clusters", "verdict"), [(40, "inconclusive"), (400, "pass")])
def test_graded_scores_need_the_clusters_that_would_show_a_rare_total_loss(clusters, verdict):
    """Equal but for a little noise: 40 clusters are likely to miss a loss of everything on one in 50."""
    random = np.random.default_rng(1)
    table = Table().scored(list(random.uniform(0.8, 0.82, clusters)), list(random.uniform(0.8, 0.82, clusters)))
    result = judge(AccuracyGate().measure(table.evidence(), spec("accuracy", margin=0.02), "holds").findings[0])
    assert result.verdict == verdict
    assert result.needs.examples == 0 or 140 <= result.needs.examples <= 400

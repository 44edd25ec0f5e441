"""The stability gate: agreement over repeats of one input, and over similar inputs."""

import pytest
from gate_cases import Table, spec

from proveout.gates.stability import StabilityGate
from proveout.gates.verdicts import judge


def repeated(champion: list[str], challenger: list[str], examples: int = 100, **of_example) -> Table:
    """Every example answered with these letters, one a repeat."""
    table = Table()
    for number in range(examples):
        row = table.example(f"e{number}", **of_example)
        for arm, answers in enumerate((champion, challenger)):
            for repeat, answer in enumerate(answers):
                table.call(row, arm, [1.0], repeat=repeat, answer=answer)
    return table


def measure(table: Table, claim="holds", **settings):
    return StabilityGate().measure(table.evidence(), spec("stability", **settings), claim)


def test_agreement_is_the_share_of_equal_pairs_of_repeats():
    found = measure(repeated(list("aab"), list("aaa"))).findings[0]
    assert found.metric == "agreement"
    assert found.champion.value == pytest.approx(1 / 3)
    assert found.challenger.value == 1.0
    assert judge(found).verdict == "pass"


def test_less_stable_by_more_than_the_margin_fails():
    assert judge(measure(repeated(list("aaaa"), list("aabb"))).findings[0]).verdict == "fail"


def test_total_agreement_stands_beside_it_at_equal_numbers_of_repeats():
    table = repeated(list("aaab"), list("aaa"))
    measures = {measure.metric: measure for measure in measure(table).measures}
    assert measures["tar_answer"].champion.value == 1.0
    assert measures["tar_answer"].champion.n == 100
    assert set(measures) >= {"tar_raw", "tar_answer"}


def test_without_repeats_it_could_not_be_measured():
    found = measure(repeated(["a"], ["a"])).findings[0]
    assert judge(found).verdict == "error"
    assert "--repeats 5" in found.problem


def test_failed_calls_are_no_disagreement():
    table = Table()
    for number in range(100):
        row = table.example(f"e{number}")
        for arm in (0, 1):
            for repeat in range(3):
                lost = arm == 1 and repeat == 2 and number < 10
                table.call(row, arm, [1.0], repeat=repeat, answer="" if lost else "a", failed=lost)
    assert measure(table).findings[0].challenger.value == 1.0


def test_too_many_failed_calls_are_an_error():
    table = Table()
    for number in range(50):
        row = table.example(f"e{number}")
        for arm in (0, 1):
            for repeat in range(2):
                table.call(row, arm, [1.0], repeat=repeat, answer="a", failed=arm == 1)
    found = measure(table).findings[0]
    assert judge(found).verdict == "error"
    assert "challenger" in found.problem


def clustered(answers: tuple[str, str], expected: tuple[str, str] = ("x", "x")) -> Table:
    """Two hundred clusters of two inputs; the champion answers both alike."""
    table = Table()
    for number in range(200):
        for member in (0, 1):
            row = table.example(f"e{number}.{member}", cluster=f"c{number}", expected=expected[member])
            for repeat in (0, 1):
                table.call(row, 0, [1.0], repeat=repeat, answer="a")
                table.call(row, 1, [1.0], repeat=repeat, answer=answers[member])
    return table


def test_similar_inputs_should_get_the_same_answer():
    found = measure(clustered(("a", "b")))
    gate = next(finding for finding in found.findings if finding.metric == "cluster_agreement")
    assert (gate.champion.value, gate.challenger.value) == (1.0, 0.0)
    assert judge(gate).verdict == "fail"
    assert judge(found.findings[0]).verdict == "pass"
    measures = {measure.metric: measure for measure in found.measures}
    assert measures["cluster_unanimous"].challenger.value == 0.0
    assert measures["cluster_unanimous"].champion.n == 200
    assert "cluster_alpha" in measures


def test_clusters_that_expect_different_answers_are_left_out_and_told():
    found = measure(clustered(("a", "b"), expected=("x", "y")))
    assert [finding.metric for finding in found.findings] == ["agreement"]
    assert [notice.kind for notice in found.notices] == ["no_clusters"]


def test_production_failures_do_not_count():
    table = repeated(list("aa"), list("aa"))
    for number in range(100):
        row = table.example(f"f{number}", source="failures")
        for arm in (0, 1):
            for repeat in (0, 1):
                table.call(row, arm, [1.0], repeat=repeat, answer=str(repeat * arm))
    assert measure(table).findings[0].challenger.value == 1.0


def test_silver_rows_beside_golden_ones_do_not_count():
    table = repeated(list("aa"), list("aa"))
    for number in range(100):
        row = table.example(f"s{number}", source="silver", cluster=f"c{number // 2}")
        for arm in (0, 1):
            for repeat in (0, 1):
                table.call(row, arm, [1.0], repeat=repeat, answer=f"{row} {repeat * arm}")
    found = measure(table)
    assert [(finding.metric, finding.challenger.value) for finding in found.findings] == [("agreement", 1.0)]

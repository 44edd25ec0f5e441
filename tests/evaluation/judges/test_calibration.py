"""People's labels, and how far a judge agrees with them."""

import asyncio
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_cases import JUDGE, ScriptedModels, attempt, down, prompt
from statsmodels.stats.inter_rater import cohens_kappa

from proveout.evaluation.judges import LabelBook, LabelledOutput, LabelsError, calibrate, read_labels, summarise
from proveout.evaluation.judges.calibration import kappa
from proveout.evaluation.scorers.llm_judge import LLMJudge
from proveout.project.records import Example

JUDGE_PASS = LLMJudge(JUDGE, "Good?", tries=1)


def labels_of(good: int, bad: int, **fields) -> list[LabelledOutput]:
    return [
        LabelledOutput(
            output=f"output {number} {'good' if number < good else 'bad'}", label=float(number < good), **fields
        )
        for number in range(good + bad)
    ]


def by_word(request):
    """A judge that is right about all but every output whose number ends in 7."""
    answer = prompt(request).rpartition("--- answer")[2]
    number = int(answer.split("output ")[1].split()[0])
    return json.dumps({"reason": "so", "pass": ("good" in answer.split("---")[1]) != (number % 10 == 7)})


def test_a_judge_that_agrees_with_people_is_calibrated():
    found = asyncio.run(calibrate(JUDGE_PASS, labels_of(60, 40), ScriptedModels(by_word)))
    assert found.calibrated, found.reason
    assert (found.n, found.good, found.failed) == (100, 60, 0)
    assert found.agreement.value == pytest.approx(0.9)
    assert found.sensitivity.value == pytest.approx(54 / 60)
    assert found.specificity.value == pytest.approx(36 / 40)
    assert found.balanced_accuracy.value == pytest.approx(0.9)
    for estimate in (found.agreement, found.kappa, found.sensitivity, found.specificity, found.balanced_accuracy):
        assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize(
    ("labels", "answer", "reason"),
    [
        (labels_of(30, 19), by_word, "49 labels are too few; at least 50 are needed"),
        (labels_of(55, 9), by_word, "55 good and 9 bad outputs are labelled; at least 10 of each are needed"),
        (labels_of(50, 50), lambda request: '{"reason": "fine", "pass": true}', "not shown to be better than chance"),
        (
            labels_of(50, 50),
            lambda request: down() if "7 " in prompt(request) else by_word(request),
            "the judge failed on",
        ),
    ],
)
def test_a_judge_is_not_calibrated_until_shown(labels, answer, reason):
    found = asyncio.run(calibrate(JUDGE_PASS, labels, ScriptedModels(answer)))
    assert not found.calibrated
    assert reason in found.reason


def test_a_coin_is_rarely_calibrated():
    import random

    coin = random.Random(1)
    labels = labels_of(50, 50)
    passed = sum(summarise([(label, float(coin.random() < 0.7)) for label in labels]).calibrated for _ in range(400))
    assert passed / 400 <= 0.05


def test_failed_judgements_count_nowhere_else():
    pairs = [(label, None if number < 3 else label.label) for number, label in enumerate(labels_of(40, 40))]
    found = summarise(pairs)
    assert (found.n, found.failed, found.agreement.value, found.agreement.n) == (77, 3, 1, 77)


def test_no_judgement_at_all():
    found = summarise([(label, None) for label in labels_of(40, 40)])
    assert not found.calibrated
    assert (found.n, found.failed) == (0, 80)
    assert math.isnan(found.kappa.value)


def test_the_judge_s_bias_for_each_variant():
    pairs = [(label, label.label) for label in labels_of(30, 30, variant="base")]
    pairs += [(label, 1.0) for label in labels_of(30, 30, variant="mini")]
    base, mini = summarise(pairs).by_variant
    assert (base.variant, base.human, base.judge, base.bias.value) == ("base", 0.5, 0.5, 0)
    assert (mini.variant, mini.human, mini.judge, mini.bias.value) == ("mini", 0.5, 1, 0.5)
    assert mini.bias.low > 0.3


def test_what_a_label_does_not_say_comes_from_its_example():
    models = ScriptedModels('{"reason": "", "pass": true}')
    example = Example(id="q7", input={"message": "Where?"}, expected="There.", cluster="q7")
    asyncio.run(calibrate(JUDGE_PASS, [LabelledOutput("Here.", 1.0, id="q7")], models, examples={"q7": example}))
    told = prompt(models.requests[0])
    assert "Where?" in told
    assert "There." in told
    assert "Here." in told


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=5, max_size=80))
def test_kappa_is_statsmodels(verdicts):
    table = [[verdicts.count((first, second)) for second in (True, False)] for first in (True, False)]
    ours = kappa(verdicts)
    by_chance = (
        sum(sum(a == side for a, _ in verdicts) * sum(b == side for _, b in verdicts) for side in (True, False))
        / len(verdicts) ** 2
    )
    if by_chance == 1:
        assert math.isnan(ours.value)
        return
    theirs = cohens_kappa(table)
    assert ours.value == pytest.approx(theirs.kappa, abs=1e-9)
    if ours.low > -1:
        assert ours.value - ours.low == pytest.approx(1.959964 * math.sqrt(max(0, theirs.var_kappa)), abs=1e-5)


# --- label files


def test_a_file_of_labels(tmp_path):
    path = tmp_path / "labels.jsonl"
    rows = [
        {"id": 7, "output": "Here.", "label": True, "variant": "base"},
        {"input": {"message": "Where?"}, "output": {"place": "here"}, "label": False, "expected": "there"},
        {"input": "Where?", "output": "Here.", "label": 0.5},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    first, second, third = read_labels(path)
    assert (first.id, first.label, first.variant, first.line) == ("7", 1.0, "base", 1)
    assert (second.output, second.label, second.expected) == ({"place": "here"}, 0.0, "there")
    assert (third.input, third.label) == ({"input": "Where?"}, 0.5)


def test_labels_may_use_the_judge_s_scale(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text('{"output": "a", "label": 4}\n{"output": "b", "label": true}')
    judge = LLMJudge(JUDGE, "Good?", scale="1-5")
    assert [label.label for label in read_labels(path, *judge.bounds)] == [0.75, 1.0]


def test_every_bad_row_is_named(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text(
        '{"output": "a", "label": 1}\n{"label": 1}\n{"output": "a", "label": "good"}\n'
        '{"output": "a", "label": 2}\nx\n[1]'
    )
    with pytest.raises(LabelsError) as error:
        read_labels(path)
    lines = str(error.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"labels.jsonl:{number}" for number in (2, 3, 4, 5, 6)]
    assert "Write true, false, or a number from 0 to 1" in lines[1]


def test_files_without_labels(tmp_path):
    with pytest.raises(LabelsError, match="can't be read"):
        read_labels(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(LabelsError, match="holds no label"):
        read_labels(tmp_path / "empty.jsonl")


def test_many_bad_rows_are_counted(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("x\n" * 100)
    with pytest.raises(LabelsError, match="and 80 more"):
        read_labels(path)


# --- labels and answers


def test_labels_find_the_answers_that_they_belong_to():
    book = LabelBook(
        [
            LabelledOutput("On Monday.", 1.0, id="e1"),
            LabelledOutput("On Sunday.", 0.0, id="other"),
            LabelledOutput("On Friday.", 0.25, input={"message": "Where is my card?"}),
            LabelledOutput("I don't know.", 0.0),
            LabelledOutput({"day": "Monday", "n": 1}, 0.75, id="e1"),
        ]
    )
    assert book.label(attempt(" On Monday.\n")) == 1
    assert book.label(attempt("On Sunday.")) is None
    assert book.label(attempt("On Friday.")) == 0.25
    assert book.label(attempt("On Friday.", message="Another question")) is None
    assert book.label(attempt("I don't know.", message="Whatever")) == 0
    assert book.label(attempt({"n": 1, "day": "Monday"})) == 0.75
    assert book.label(attempt("On Tuesday.")) is None


def test_several_people_s_labels_are_averaged():
    book = LabelBook(
        [LabelledOutput("x", 1.0, id="e1"), LabelledOutput("x", 0.0, id="e1"), LabelledOutput("x", 1.0, id="e1")]
    )
    assert book.label(attempt("x")) == pytest.approx(2 / 3)

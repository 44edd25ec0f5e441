"""Numbers as people and models write them, and the tolerance around the expected one."""

import math
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scorer_cases import attempt, build, score

from proveout.evaluation.scorers import ScorerFailed
from proveout.evaluation.scorers.numbers import first_number, last_number

GSM8K = Path(__file__).parents[4] / "shared/data/gsm8k-solutions/175b.jsonl"

NUMBERS = [
    ("18", 18),
    ("It is 18.", 18),
    ("-3", -3),
    ("\u22123", -3),
    ("- 3 apples", 3),
    ("3 - 5", 5),
    ("3-5", 5),
    ("x=-5", -5),
    ("(-5)", -5),
    ("1,234", 1234),
    ("1,234,567.89", 1234567.89),
    ("1, 2, 3", 3),
    ("1,23", 23),
    ("12,345,67", 67),
    ("$1,000", 1000),
    ("-$5", -5),
    ("$-5", -5),
    ("US$ 7.50", 7.5),
    ("€ 20", 20),
    ("20€", 20),
    ("£3.5m", 3.5),
    ("50%", 50),
    ("50 %", 50),
    ("60\\%", 60),
    (".5", 0.5),
    ("1/4", 0.25),
    ("8/4", 2),
    ("2 1/2", 2.5),
    ("-2 1/2", -2.5),
    ("½", 0.5),
    ("2½", 2.5),
    ("1/0", None),
    ("3 -5", -5),
    ("6.02e23", 6.02e23),
    ("1E-3", 0.001),
    ("1e5000", None),
    ("5em wide", 5),
    ("\\boxed{42}", 42),
    ("so \\boxed{\\frac{3}{4}} as 1 + 1 = 2", 0.75),
    ("\\boxed{\\$1{,}000} of 5", 1000),
    ("\\boxed{1{,}000}", 1000),
    ("\\boxed{12 \\text{ cm}^2}", 12),
    ("\\boxed{12\\text{ m}^{-1}}", 12),
    ("$\\frac12$", 0.5),
    ("it fell to \u20133", -3),
    ("pages 5\u20137", 7),
    ("1\u00a0234\u202f567", 1234567),
    ("12\u00a03456", 3456),
    ("\\boxed{7", 7),
    ("\\boxed{}", None),
    ("\\frac{1}{2}", 0.5),
    ("１２", 12),
    ("٣", 3),
    ("no number", None),
    ("", None),
    ("2024-01-02", 2),
    ("v1.2.3", 3),
    ("GPT-4", 4),
    ("12 apples and 7", 7),
    ("9" * 30, int("9" * 30)),
    ("9" * 5000, None),
    ("1" + ",000" * 60, 10**180),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_the_last_number_of_a_text(text, value):
    assert last_number(text) == value


def test_the_first_number_of_a_text():
    assert first_number(" $1,200.50 for 3 nights") == 1200.5


@pytest.mark.parametrize(
    ("text", "value"), [("1.234,5", 1234.5), ("3,5", 3.5), ("1.234.567", 1234567), ("-0,5 %", -0.5)]
)
def test_numbers_with_a_decimal_comma(text, value):
    assert last_number(text, mark=",") == value


def test_per_cent_can_be_divided():
    assert last_number("50%", percent="divided") == 0.5
    assert last_number("50", percent="divided") == 50


@settings(deadline=None, derandomize=True)
@given(st.integers(-(10**12), 10**12))
def test_every_whole_number_is_read_back_from_a_sentence(number):
    assert last_number(f"The answer is {number:,}.") == number


@settings(deadline=None, derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back_from_its_repr(number):
    assert last_number(f"x: {number!r}") == number


SCORES = [
    ("18", 18, {}, 1, False),
    ("about 18.4", 18, {}, 0, False),
    ("about 18.4", 18, {"tolerance": 0.5}, 1, False),
    ("about 18.4", 18, {"tolerance": 0.4}, 1, False),
    ("105", 100, {"relative": 0.05}, 1, False),
    ("-105", -100, {"relative": 0.05}, 1, False),
    ("105.1", 100, {"relative": 0.05}, 0, False),
    ("0.001", 0, {"relative": 0.5}, 0, False),
    ("0.001", 0, {"relative": 0.5, "tolerance": 0.01}, 1, False),
    ("first 5, then 7.\nA: 9 apples of 3", 9, {"after": "A:"}, 1, False),
    ("A: 1\nA: 2", 2, {"after": "A:"}, 1, False),
    ("the answer is 9", 9, {"after": "A:"}, 0, True),
    ("A: none", 9, {"after": "A:"}, 0, True),
    ("A: 9", "steps with 3\nA: 9", {"after": "A:"}, 1, False),
    ("A: 9", "9", {"after": "A:"}, 1, False),
    ("nine", 9, {}, 0, True),
    ("9", [8, 9], {}, 1, False),
    (9, 9, {}, 1, False),
    (9.0, "9", {}, 1, False),
    (math.nan, 9, {}, 0, True),
    (math.inf, 9, {}, 0, True),
    (True, 1, {}, 0, True),
    ("50%", 0.5, {"percent": "divided"}, 1, False),
    ("50%", 0.5, {}, 0, False),
    ("1.000,5", 1000.5, {"decimal_mark": ","}, 1, False),
    ("9007199254740993", 9007199254740992, {}, 0, False),
    ("1" * 290, 1.5, {"tolerance": 1}, 0, False),
]


@pytest.mark.parametrize(("answer", "expected", "parameters", "value", "unread"), SCORES)
def test_numeric(answer, expected, parameters, value, unread):
    found = score("numeric", answer, expected, **parameters)
    assert (found.value, found.parse_failed) == (value, unread)


@pytest.mark.parametrize("expected", ["many", True, {"a": 1}, [None]])
def test_an_expected_answer_without_a_number_is_not_measured(expected):
    with pytest.raises(ScorerFailed, match="which is no number"):
        score("numeric", "18", expected)


@pytest.mark.skipif(not GSM8K.exists(), reason="needs ../shared/data")
def test_real_answers_to_gsm8k_are_scored_as_they_were_recorded():
    scorer = build("numeric", after="A:")
    right = {"175b_finetuning": 0, "175b_verification": 0}
    rows = [orjson.loads(line) for line in GSM8K.read_bytes().splitlines()]
    for row in rows:
        for model in right:
            found = scorer.score(attempt(row[model]["solution"], row["ground_truth"]))
            assert (found.value == 1) is row[model]["is_correct"], (row["id"], model, found)
            right[model] += int(found.value)
    assert (len(rows), *right.values()) == (1319, 458, 742)

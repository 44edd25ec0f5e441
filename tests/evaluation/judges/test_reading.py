"""What an expert would notice in answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_cases import attempt

from proveout.evaluation.reading import AnswerReader, is_refusal, read_answers, signs
from proveout.evaluation.records import Attempt
from proveout.project.records import Answer, Example

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m really sorry, but I cannot assist with this request.",
    "I cannot provide medical advice.",
    "I can't fulfill that request.",
    "Sorry, I am unable to help.",
    "I'm not able to discuss that topic.",
    "As an AI language model, I do not have personal opinions.",
    "This request violates our usage policies.",
    "I must respectfully decline.",
]
ANSWERS = [
    "card_arrival",
    "I'm sorry to hear that your card is late. It arrives on Monday.",
    "You cannot withdraw more than 300 euros a day.",
    "The customer says that they can't log in.",
    "I can help with that: open the app.",
    "I can't wait to see you!",
    "As an airline, we do not refund.",
    "",
    "x" * 400 + " I'm sorry, but I can't help with that.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(text):
    assert is_refusal(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_that_are_no_refusals(text):
    assert not is_refusal(text)


def answer(text, name="e1", problem=None, **fields):
    example = Example(id=name, input={}, expected=None, cluster=name)
    return Attempt(example=example, text=text, answer=Answer(text, problem), **fields)


def test_the_signs_of_one_answer():
    assert signs(answer("fine")) == ()
    assert signs(answer("half a sen", finish_reason="length")) == ("truncated",)
    assert signs(answer(" \n")) == ("empty",)
    assert signs(answer("", tool_calls=({"name": "f"},))) == ()
    assert signs(answer("x", problem="no JSON")) == ("parse_failed",)
    assert signs(answer("", finish_reason="content_filter")) == ("empty", "refusal")


def test_signs_are_counted_with_examples():
    found = read_answers(
        answer("", f"e{number}", finish_reason="length" if number == 3 else "stop") for number in range(9)
    )
    assert [(reading.sign, reading.count, reading.n) for reading in found] == [("empty", 9, 9), ("truncated", 1, 9)]
    assert found[0].examples == ("e0", "e1", "e2", "e3", "e4")
    assert (
        found[1].message
        == "1 of 9 answers were cut at their longest allowed length, so their end is missing (raise max_tokens)."
    )


SAME = "Thank you for contacting us. An agent will reply soon."


def test_one_text_for_many_inputs_is_suspicious():
    (found,) = read_answers(
        answer(SAME if number % 3 == 0 else f"{SAME} {number}", f"e{number}") for number in range(30)
    )
    assert (found.sign, found.count, found.n, found.examples) == ("duplicate", 10, 30, ("e0", "e3", "e6", "e9", "e12"))


def test_labels_repeats_and_rare_copies_are_not():
    assert read_answers(answer("card_arrival", f"e{number}") for number in range(30)) == ()
    assert read_answers(answer(SAME, "e1") for _ in range(30)) == ()
    assert read_answers(answer(SAME if number < 5 else f"{SAME} {number}", f"e{number}") for number in range(30)) == ()


def test_memory_is_bounded():
    reader = AnswerReader()
    for number in range(20_500):
        reader.add(answer(f"{SAME} {number}", f"e{number}"))
    assert len(reader._copies) == 20_000


@settings(deadline=None, derandomize=True)
@given(st.text())
def test_any_text_can_be_read(text):
    assert set(signs(attempt(text))) <= {"empty", "refusal"}


def test_reading_stays_linear():
    import time

    began = time.process_time()
    for unit in ("i am sorry ", "as an ai ", "i can't ", "\n"):
        is_refusal(unit * 100_000)
    assert time.process_time() - began < 0.5

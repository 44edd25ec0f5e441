"""Steps on inputs and outputs: what each does, and that nothing that a model says makes one raise or hang."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proveout.project import Answer, OutputContract, StepFailed, postprocess, preprocess
from proveout.project.json_text import first_object, parse_json
from proveout.project.processing import MAX_TEXT, STEPS, normalised_steps

TEXT = OutputContract()
INTENTS = OutputContract(choices=("card_arrival", "lost_card", "C++", "C"))
PERSON = OutputContract(
    schema={
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "pattern": "^(a+)+$"}, "age": {"type": "integer"}},
    }
)


def after(steps: list[Any], text: str, output: OutputContract = TEXT) -> Answer:
    return postprocess(normalised_steps(steps), output, text)


@pytest.mark.parametrize(
    ("steps", "text", "value"),
    [
        (["strip"], "  a \n", "a"),
        (["lower"], "AbC", "abc"),
        (["upper"], "AbC", "ABC"),
        (["first_line"], "\n  \n one \n two", "one"),
        (["last_line"], "one\n two \n\n", "two"),
        ([{"after": "A:"}], "A: 1 because A: 2", " 2"),
        ([{"before": "\n"}], "one\ntwo\nthree", "one"),
        ([{"replace": {"old": "a", "new": "b"}}], "aca", "bcb"),
        ([{"replace": {"old": "a"}}], "aca", "c"),
        ([{"truncate": 2}], "abc", "ab"),
        (["json"], 'Sure: [1, {"a": 2}] ok?', [1, {"a": 2}]),
        (["json"], "3", 3),
        (["json"], '```\n{"a": 1}\n```', {"a": 1}),
        ([{"json_field": "intent"}], '{"intent": "x"}', "x"),
        ([{"json_field": "a.b.1"}], 'so {"a": {"b": [1, 2]}} and {"a": 3}', 2),
        ([{"json_field": "intent"}], 'I think {this} is it:\n```json\n{"intent": "x"}\n```\n{"intent": "y"}', "x"),
        ([{"json_field": "intent"}], '[{"intent": "x"}]', "x"),
        (["json", {"json_field": "a"}], '{"a": null}', None),
        ([{"regex": "Intent: (\\w+)"}], "Intent: card, I think", "card"),
        ([{"regex": "\\d+"}], "room 12", "12"),
        ([{"regex": {"pattern": "(a)(?P<last>b)", "group": "last"}}], "ab", "b"),
        ([{"regex": {"pattern": "(a)(b)", "group": 0}}], "ab", "ab"),
        (["number"], "Of 1,234 or 12 it is $3,450.50.", 3450.5),
        (["number"], "A: 18", 18),
        (["number"], "between 3-4", 4),
        (["number"], "it fell to -5", -5),
        (["number"], "1e3", 1000),
        (["number"], "about .5", 0.5),
        (["number"], "in 1234567", 1234567),
        ([{"json_field": "n"}, "number"], '{"n": 2.5}', 2.5),
    ],
)
def test_what_each_step_does(steps: list[Any], text: str, value: Any) -> None:
    answer = after(steps, text)
    assert answer == Answer(value)
    assert type(answer.value) is type(value)


@pytest.mark.parametrize(
    ("steps", "text", "problem"),
    [
        ([{"after": "A:"}], "none", "after: there is no 'A:' in the text"),
        ([{"before": "A:"}], "none", "before: there is no 'A:' in the text"),
        (["json"], "none {", "json: there is no JSON in the text"),
        ([{"json_field": "a"}], "[1]", "json_field: there is no JSON object in the text"),
        ([{"json_field": "a.b"}], '{"a": 1}', "json_field: the JSON has no field a.b"),
        ([{"json_field": "a.9"}], '{"a": [1]}', "json_field: the JSON has no field a.9"),
        ([{"regex": "x"}], "none", "regex: the pattern does not match"),
        ([{"regex": "(x)?none"}], "none", "regex: the pattern's group takes no part in the match"),
        (["number"], "none", "number: there is no number in the text"),
        (["number"], "1e999", "number: the number is too large"),
        (["json", "strip"], "[1]", "strip: needs text, but has a JSON list"),
        (["json", "lower"], "true", "lower: needs text, but has true or false"),
    ],
)
def test_a_step_that_cannot_be_applied_is_a_problem(steps: list[Any], text: str, problem: str) -> None:
    assert after(steps, text) == Answer(None, problem)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lost_card", "lost_card"),
        (" Lost_Card.\n", "lost_card"),
        ('"LOST_CARD"', "lost_card"),
        ("**card_arrival**", "card_arrival"),
        ("C++", "C++"),
        ("c", "C"),
        ("`c++`", None),
        ("lost card", None),
        ("lost_card and card_arrival", None),
        ("", None),
        ("...", None),
    ],
)
def test_choices_are_compared_without_case_and_edges(text: str, value: str | None) -> None:
    answer = after([], text, INTENTS)
    assert answer.value == value
    assert (answer.problem is None) == (value is not None)


@pytest.mark.parametrize("text", ["Lost card", "lost-card!", "LOSTCARD", " lost_card "])
def test_the_choice_step_is_more_lenient(text: str) -> None:
    assert after(["choice"], text, INTENTS) == Answer("lost_card")


def test_choices_that_become_alike_are_never_guessed() -> None:
    alike = OutputContract(choices=("a+", "a-"))
    assert after([], "A+", alike).value == "a+"
    assert after([], "a", alike).value is None
    assert after(["choice"], "a*", alike).value is None


def test_a_schema_is_met_or_the_answer_says_where_not() -> None:
    assert after([], 'Here: {"name": "a", "age": 3}', PERSON) == Answer({"name": "a", "age": 3})
    problem = after([], '{"name": "a", "age": "old"}', PERSON).problem
    assert problem == "the JSON does not meet the schema at age: 'old' is not of type 'integer'"
    assert after([], "no JSON", PERSON).problem == "there is no JSON in the text"
    assert after([{"json_field": "people.0"}], '{"people": [{"name": "a"}]}', PERSON) == Answer({"name": "a"})
    assert after([], "plain", OutputContract(schema={"type": "string", "maxLength": 9})) == Answer("plain")


def test_numbers_and_texts_that_other_readers_cannot_hold_are_no_json() -> None:
    for text in ('{"a": NaN}', '{"a": Infinity}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 10_000 + "]" * 10_000):
        with pytest.raises(ValueError):
            parse_json(text)
        assert after(["json"], text).problem is not None
    assert parse_json("123456789012345678901234567890") == 1.2345678901234568e29
    assert parse_json('"\\ud83d\\ude00"') == "😀"


STEP_EXAMPLES: dict[str, list[Any]] = {
    "after": [{"after": "a"}],
    "before": [{"before": "a"}],
    "replace": [{"replace": {"old": "a", "new": "bb"}}],
    "truncate": [{"truncate": 3}],
    "json_field": [{"json_field": "a.0.b"}],
    "regex": [{"regex": "(a|b)+c?"}, {"regex": {"pattern": "(x)|y", "group": 1}}],
    "python": [],
}
steps_strategy = st.lists(
    st.sampled_from([step for name in STEPS for step in STEP_EXAMPLES.get(name, [name])]), max_size=4
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
answers = (
    st.text()
    | json_values.map(json.dumps)
    | st.builds(lambda before, value, after: before + json.dumps(value) + after, st.text(), json_values, st.text())
    | st.text(alphabet='{}[]":,\\\nab01.-+`', max_size=200)
)


@given(steps_strategy, answers, st.sampled_from([TEXT, INTENTS, PERSON]))
@example(["json"], "[" * 5000, TEXT)
@example([], '{"a":' * 5000, PERSON)
@example([], '{"name": ' + "[" * 900 + "]" * 900 + "}", PERSON)
@example(["number"], "9" * 10_000, TEXT)
@example(["number"], "1," * 5000, TEXT)
@example([{"json_field": "a"}], '{"a": ' + "9" * 5000 + "}", TEXT)
@example([], "\ud800", INTENTS)
def test_nothing_that_a_model_says_raises(steps: list[Any], text: str, output: OutputContract) -> None:
    answer = postprocess(normalised_steps(steps), output, text)
    assert isinstance(answer, Answer)
    assert answer.problem is None or answer.value is None
    if answer.problem is None and output.choices is not None:
        assert answer.value in output.choices
    if steps and answer.problem is None and not isinstance(answer.value, str):
        json.dumps(answer.value, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("steps", "text", "output"),
    [
        ([{"regex": "(a+)+b"}], "a" * 2000, TEXT),
        ([{"regex": "(\\w+\\s?)*:$"}], "word " * 50_000, TEXT),
        ([{"regex": "^(a|aa)+$"}], "a" * 5000 + "!", TEXT),
        ([], json.dumps({"name": "a" * 2000 + "!"}), PERSON),
        (["json"], "{" * (MAX_TEXT - 1), TEXT),
        (["json"], '{"a": "' * 100_000, TEXT),
        ([{"json_field": "a"}], '{"' * 400_000, TEXT),
        (["number"], "1," * 400_000, TEXT),
        (["number"], "-" * MAX_TEXT, TEXT),
        (["choice"], "x" * MAX_TEXT, INTENTS),
        (
            [{"replace": {"old": "a", "new": "b" * 1000}}, {"replace": {"old": "b", "new": "c" * 1000}}],
            "a" * 10_000,
            TEXT,
        ),
    ],
)
def test_no_text_holds_the_process_for_long(steps: list[Any], text: str, output: OutputContract) -> None:
    started = time.perf_counter()
    assert isinstance(after(steps, text, output), Answer)
    assert time.perf_counter() - started < 5


def test_a_text_beyond_the_limit_is_a_problem() -> None:
    assert after([], "a" * (MAX_TEXT + 1)).problem == "the text is longer than 1,000,000 characters"


@given(st.text(), st.text(min_size=1, max_size=3))
def test_after_and_before_say_what_stands_around_a_marker(text: str, marker: str) -> None:
    head, tail = after([{"before": marker}], text), after([{"after": marker}], text)
    if marker in text:
        assert head.value == text[: text.index(marker)]
        assert tail.value == text[text.rindex(marker) + len(marker) :]
    else:
        assert head.problem
        assert tail.problem


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.text(alphabet=' abc:`"\n', max_size=20))
def test_an_object_is_found_among_words(value: dict[str, Any], words: str) -> None:
    text = f"{words}{json.dumps(value, allow_nan=True)}"
    plain = json.dumps(value)
    if "NaN" in plain or "Infinity" in plain or "\\ud" in plain.lower():
        return
    assert first_object(text)[0]


# --- inputs


def test_text_steps_apply_to_every_text_of_an_input() -> None:
    steps = normalised_steps(["strip", {"truncate": 3}, {"replace": {"old": "b", "new": "-"}}])
    given_input = {"message": " abcd ", "name": "bob", "count": 5, "tags": [" x "]}
    assert preprocess(steps, given_input) == {"message": "a-c", "name": "-o-", "count": 5, "tags": [" x "]}
    assert given_input["message"] == " abcd "


def test_the_teams_own_functions(tmp_path: Any) -> None:
    path = tmp_path / "team.py"
    path.write_text(
        "def shout(value): return value.upper() + '!'\n"
        "def whole(fields): return {**fields, 'length': len(fields['message'])}\n"
        "def broken(value): raise RuntimeError('secret detail')\n"
        "def odd(value): return object()\n"
        "def nothing(fields): return None\n"
    )
    assert after([{"python": f"{path}:shout"}], "hi") == Answer("HI!")
    assert after([{"python": f"{path}:broken"}], "hi").problem == "python: broken failed (RuntimeError)"
    assert after([{"python": f"{path}:odd"}], "hi").problem == "python: odd failed (TypeError)"
    assert after([{"python": f"{path}:gone"}], "hi").problem == "python: gone failed (AttributeError)"
    steps = normalised_steps([{"python": f"{path}:whole"}, "upper"])
    assert preprocess(steps, {"message": "hi"}) == {"message": "HI", "length": 2}
    for name in ("broken", "nothing"):
        with pytest.raises(StepFailed, match=name):
            preprocess(normalised_steps([{"python": f"{path}:{name}"}]), {"message": "hi"})

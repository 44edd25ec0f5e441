"""Whatever a model writes, no scorer raises; and what post-processing could not parse scores 0 and is counted apart."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scorer_cases import attempt, build

from proveout.evaluation.scorers import ScorerFailed

PURE = [
    build("exact_match", ignore_case=True, ignore_punctuation=True, unicode="nfkc"),
    build("choice", choices=["card", "refund", "B"]),
    build("numeric"),
    build("numeric", after="A", percent="divided", decimal_mark=",", relative=0.1),
    build("contains", all=["a"], none=["b"]),
    build("regex", pattern=r"A(\d+)?", group=1),
    build("json_valid"),
    build("json_schema", schema={"type": "object"}),
    build("json_fields"),
    build("token_f1"),
    build("rouge_l", stemmer=True),
    build("bleu"),
    build("tool_call"),
]
EXPECTED = {"choice": "card", "numeric": "A7", "json_fields": {"a": 1}, "tool_call": {"name": "f"}}

NASTY = st.one_of(
    st.text(),
    st.text(alphabet='0123456789.,-+eE/%$€½\u2212 A\\{}boxedfrac\n"[]:'),
    st.sampled_from(["\ud800", "\x00", "\u202e123", "{" * 3000, "9" * 9000, "\\boxed{" * 500, "1/" * 2000, "-" * 3000]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "function", "arguments"]), inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("scorer", PURE, ids=lambda scorer: type(scorer).__name__)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(answer=NASTY | JSON)
def test_no_scorer_raises_on_any_answer(scorer, answer):
    found = scorer.score(attempt(answer, EXPECTED.get(scorer.name, "card")))
    assert 0 <= found.value <= 1
    assert math.isfinite(found.value)
    assert len(found.reason) < 2000
    if scorer.binary:
        assert found.value in (0, 1)


@pytest.mark.parametrize("scorer", PURE, ids=lambda scorer: type(scorer).__name__)
@pytest.mark.parametrize("depth", [200, 990, 1020])
def test_deep_nesting_is_no_trouble(scorer, depth):
    import orjson

    value = orjson.loads("[" * depth + "]" * depth)
    for expected in (EXPECTED.get(scorer.name, "card"), value):
        try:
            assert 0 <= scorer.score(attempt(value, expected)).value <= 1
        except ScorerFailed:
            assert expected is value


@settings(max_examples=60, deadline=None, derandomize=True)
@given(calls=st.lists(JSON, max_size=3))
def test_no_tool_call_is_too_odd_to_score(calls):
    found = build("tool_call").score(attempt("", {"name": "f"}, tool_calls=tuple(calls)))
    assert found.value in (0, 1)


@pytest.mark.parametrize("scorer", PURE, ids=lambda scorer: type(scorer).__name__)
def test_what_could_not_be_parsed_scores_0_and_says_so(scorer):
    found = scorer.score(attempt("card", EXPECTED.get(scorer.name, "card"), problem="no JSON object in the text"))
    assert (found.value, found.parse_failed, found.reason) == (0, True, "no JSON object in the text")


@pytest.mark.parametrize("size", [1_000, 100_000])
@pytest.mark.parametrize("unit", ["1,", "9", "1/", "-$", "{", "\\boxed{", "1 ", "answer is ", "½", " ", "e5"])
def test_reading_numbers_and_choices_stays_linear(unit, size):
    import time

    text = (unit * size)[:size]
    began = time.process_time()
    build("numeric").score(attempt(text, 1))
    build("choice", choices=["yes", "no"]).score(attempt(text, "yes"))
    assert time.process_time() - began < 1.0

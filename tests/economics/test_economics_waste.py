"""What becomes of every token: characters of answers, and bills that add up."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.economics import AnswerParts, Spent, Tokens, answer_parts, cost_usd, repeated_prefix, split_bill
from proveout.project.records import Price

PRICE = Price("openai", "m", "2026-01-01", 1.0, 4.0, 0.1)


def test_a_field_that_is_read_among_others() -> None:
    text = '{"intent": "card_lost", "confidence": 0.93}'
    parts = answer_parts(text, "card_lost", ["intent"])
    assert parts == AnswerParts(useful=len("card_lost"), syntax=30, unread=len("0.93"))
    assert parts.total == len(text)


def test_talk_around_json_is_talk() -> None:
    text = 'Sure! Here it is:\n```json\n{"intent": "x"}\n```'
    parts = answer_parts(text, "x", ["intent"])
    assert (parts.useful, parts.talk) == (1, len(text) - len('{"intent": "x"}'))


def test_a_container_that_is_read_is_read_whole() -> None:
    parts = answer_parts('{"a":{"b":[1,2]},"c":"no"}', None, ["a"])
    assert (parts.useful, parts.unread) == (2, 2)


def test_the_answer_inside_a_text() -> None:
    text = "Let me think. 6 x 7 is 42. A: 42"
    assert answer_parts(text, "42") == AnswerParts(useful=2, talk=len(text) - 2)
    assert answer_parts("card_lost", "card_lost") == AnswerParts(useful=9)
    assert answer_parts("I can't say", None) == AnswerParts(talk=11)
    assert answer_parts("", None) == AnswerParts()


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@settings(deadline=None, derandomize=True)
@given(values, st.text(), st.text(), st.none() | st.lists(st.text(), max_size=3), st.sampled_from([None, 2]))
def test_every_character_has_one_use(value: Any, before: str, after: str, reads: Any, indent: int | None) -> None:
    text = before + json.dumps(value, indent=indent) + after
    assert answer_parts(text, value, reads).total == len(text)


def test_a_bill_split_by_hand() -> None:
    """100 output tokens, 40 of them needless thought; the visible 60 are half syntax, a quarter each useful and unread.
    1,500 of 2,000 input tokens are a beginning that was sent at full price, which a cache reads for a tenth."""
    spent = Spent(
        Tokens(2_000, 100, reasoning_tokens=40),
        AnswerParts(useful=10, syntax=20, unread=10),
        needless_reasoning=40,
        prefix_tokens=1_500,
    )
    found = split_bill([spent], PRICE)
    tokens = {line.kind: line.tokens for line in found.lines if line.tokens}
    assert tokens == {"useful": 515, "syntax": 30, "unread": 15, "reasoning": 40, "repeated_prefix": 1_500}
    dollars = {line.kind: line.usd * 1e6 for line in found.lines if line.tokens}
    assert dollars == pytest.approx(
        {"useful": 2_400 - 1_690, "syntax": 120, "unread": 60, "reasoning": 160, "repeated_prefix": 1_350}
    )
    assert found.usd == pytest.approx(0.0024)


def test_cut_answers_and_retries_are_lost() -> None:
    lost = Spent(Tokens(100, 50), AnswerParts(useful=5), lost=True)
    retried = Spent(Tokens(100, 50), AnswerParts(useful=5), billed_retries=2)
    found = split_bill([lost, retried], PRICE)
    assert (found.line("truncated").tokens, found.line("retried").tokens) == (150, 200)
    assert found.usd == pytest.approx((300 + 300 + 200) / 1e6)
    assert found.wasted_usd == pytest.approx(500 / 1e6)


amounts = st.integers(0, 5_000)
requests = st.builds(
    Spent,
    st.builds(Tokens, amounts, amounts, amounts, st.just(0), amounts).filter(
        lambda t: t.cached_tokens <= t.input_tokens
    ),
    st.builds(AnswerParts, amounts, amounts, amounts, amounts),
    amounts,
    st.booleans(),
    st.integers(0, 3),
    amounts,
    st.booleans(),
)


@settings(deadline=None, derandomize=True)
@given(st.lists(requests, min_size=1, max_size=20), st.sampled_from([1.0, 0.5]))
def test_all_lines_add_up_to_the_bill(spent: list[Spent], factor: float) -> None:
    found = split_bill(spent, PRICE, factor)
    billed = math.fsum(
        (cost_usd(PRICE, one.tokens, factor) if one.answered else 0.0)
        + one.billed_retries * cost_usd(PRICE, Tokens(one.tokens.input_tokens, 0, one.tokens.cached_tokens), factor)
        for one in spent
    )
    assert found.usd == pytest.approx(billed, abs=1e-12)
    assert sum(line.tokens for line in found.lines) == found.tokens
    assert round(math.fsum(line.percent for line in found.lines), 9) == 100.0
    assert all(line.tokens >= 0 and line.usd >= -1e-12 for line in found.lines)


def test_the_beginning_that_all_prompts_share() -> None:
    assert repeated_prefix(["You are helpful. A", "You are helpful. B", "You are kind."]) == len("You are ")
    assert repeated_prefix(["only one"]) == 0
    assert repeated_prefix(["same", "same"]) == 4

"""Invoices worked by hand, to the cent; the dated book; and published prices that are never fetched."""

from __future__ import annotations

import socket
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.economics import PriceBook, TokenColumns, Tokens, cost_usd, costs_usd, public_price, tier_factor
from proveout.economics.prices import most_usd, priced_name
from proveout.project.records import LongContext, ModelSpec, Price

DAY = date(2026, 11, 1)
GPT_4O = Price("openai", "gpt-4o", "2026-01-01", 2.5, 10.0, 1.25, tiers={"batch": 0.5})
HAIKU = Price("anthropic", "claude-haiku-4-5", "2026-01-01", 1.0, 5.0, 0.1, cache_write=1.25)
SONNET = Price(
    "anthropic",
    "claude-sonnet-4-5",
    "2026-01-01",
    3.0,
    15.0,
    0.3,
    cache_write=3.75,
    long_context=LongContext(200_000, 6.0, 22.5, 0.6, 7.5),
)
THINKER = Price("openai-compatible", "thinker", "2026-01-01", 1.0, 4.0, reasoning=2.0, per_request=0.003)

INVOICES = [
    # half of a million input tokens cached: 0.5 x 2.50 + 0.5 x 1.25 + 0.1 x 10.00
    (GPT_4O, Tokens(1_000_000, 100_000, cached_tokens=500_000), None, "2.875"),
    # the same as a batch job
    (GPT_4O, Tokens(1_000_000, 100_000, cached_tokens=500_000), "batch", "1.4375"),
    # a prompt of 9,000 tokens written to the cache, 1,000 fresh ones, 400 out: 0.001 + 0.01125 + 0.002
    (HAIKU, Tokens(10_000, 400, cache_write_tokens=9_000), None, "0.01425"),
    # and read back: 0.001 + 0.0009 + 0.002
    (HAIKU, Tokens(10_000, 400, cached_tokens=9_000), None, "0.0039"),
    # at the limit the listed price holds: 200,000 x 3.00 + 1,000 x 15.00
    (SONNET, Tokens(200_000, 1_000), None, "0.615"),
    # one token more and all of them cost more: 200,001 x 6.00 + 1,000 x 22.50
    (SONNET, Tokens(200_001, 1_000), None, "1.222506"),
    # reasoning and a fee: 2,000 x 1.00 + 100 x 4.00 + 900 x 2.00 + $0.003
    (THINKER, Tokens(2_000, 1_000, reasoning_tokens=900), None, "0.0072"),
]


@pytest.mark.parametrize(("price", "tokens", "tier", "dollars"), INVOICES)
def test_an_invoice_worked_by_hand(price: Price, tokens: Tokens, tier: str | None, dollars: str) -> None:
    factor = tier_factor(price, tier)
    assert factor is not None
    assert cost_usd(price, tokens, factor) == pytest.approx(float(dollars), abs=1e-12)


def test_a_month_of_requests_adds_up_to_the_cent() -> None:
    """100,000 requests of 812 input (640 cached) and 57 output tokens: 172 x 2.50 + 640 x 1.25 + 57 x 10.00 each."""
    columns = TokenColumns(*(np.full(100_000, count) for count in (812, 57, 640)))
    assert round(float(costs_usd(GPT_4O, columns).sum()), 2) == 180.00


counts = st.integers(0, 2_000_000)
rates = st.decimals(0, 100, places=3)


@settings(deadline=None, derandomize=True)
@given(counts, counts, counts, counts, counts, rates, rates, rates, rates, rates)
def test_exact_decimals_agree(
    sent: int,
    said: int,
    cached: int,
    written: int,
    thought: int,
    a: Decimal,
    b: Decimal,
    c: Decimal,
    d: Decimal,
    e: Decimal,
) -> None:
    price = Price("openai", "m", "2026-01-01", *map(float, (a, b, c)), cache_write=float(d), reasoning=float(e))
    cached, thought = min(cached, sent), min(thought, said)
    written = min(written, sent - cached)
    exact = (sent - cached - written) * a + (said - thought) * b + cached * c + written * d + thought * e
    found = cost_usd(price, Tokens(sent, said, cached, written, thought))
    assert found == pytest.approx(float(exact / 1_000_000), rel=1e-12, abs=1e-15)


@settings(deadline=None, derandomize=True)
@given(
    st.sampled_from([GPT_4O, HAIKU, SONNET, THINKER]),
    st.lists(st.tuples(counts, counts, counts, counts, counts), min_size=1, max_size=20),
)
def test_columns_cost_what_their_rows_cost(price: Price, rows: list[tuple[int, int, int, int, int]]) -> None:
    together = costs_usd(price, TokenColumns(*np.array(rows).T), 0.5)
    assert together.tolist() == pytest.approx([cost_usd(price, Tokens(*row), 0.5) for row in rows], rel=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from([GPT_4O, HAIKU, SONNET, THINKER]), st.builds(Tokens, counts, counts, counts, counts, counts))
def test_no_request_costs_more_than_the_most(price: Price, tokens: Tokens) -> None:
    most = most_usd(price, tokens.input_tokens, tokens.output_tokens)
    assert cost_usd(price, tokens) <= most * (1 + 1e-12)


@settings(deadline=None, derandomize=True)
@given(counts, counts, counts)
def test_more_tokens_never_cost_less(sent: int, said: int, more: int) -> None:
    for price in (GPT_4O, SONNET):
        assert cost_usd(price, Tokens(sent + more, said)) >= cost_usd(price, Tokens(sent, said))


def test_unknown_token_counts_cost_an_unknown_amount() -> None:
    found = costs_usd(HAIKU, TokenColumns(np.array([100, np.nan]), np.array([10, 10])))
    assert np.isnan(found).tolist() == [False, True]


def test_an_unknown_tier_has_no_price() -> None:
    assert tier_factor(GPT_4O, "flex") is None
    assert tier_factor(GPT_4O, "default") == tier_factor(GPT_4O, None) == 1.0


def test_a_price_holds_from_its_day_on() -> None:
    later = Price("openai", "gpt-4o", "2026-10-15", 2.0, 8.0)
    book = PriceBook((later, GPT_4O))
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 10, 14), date(2026, 10, 15)]
    assert [book.price("openai", "gpt-4o", day) for day in days] == [None, GPT_4O, GPT_4O, later]
    assert [book.dated(day) for day in days] == [None, "2026-01-01", "2026-01-01", "2026-10-15"]


def test_the_digest_tells_contents_apart_and_nothing_else() -> None:
    assert PriceBook((GPT_4O, HAIKU)).digest == PriceBook((HAIKU, GPT_4O)).digest
    assert PriceBook((GPT_4O,)).digest != PriceBook((HAIKU,)).digest
    assert len(PriceBook().digest) == 12


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (ModelSpec("openai", "gpt-4o"), "gpt-4o"),
        (ModelSpec("azure", options={"deployment": "triage-mini"}), "triage-mini"),
        (ModelSpec("tiny", options={"build": "int8"}), "int8"),
        (ModelSpec("replay", options={"path": "/project/recorded/base.jsonl"}), "base"),
        (ModelSpec("replay", "gpt-4o", options={"path": "/project/recorded/base.jsonl"}), "gpt-4o"),
    ],
)
def test_every_model_has_a_name_to_be_priced_by(spec: ModelSpec, name: str) -> None:
    assert priced_name(spec) == name


def test_the_teams_price_comes_before_the_published_one() -> None:
    book = PriceBook((GPT_4O,), fallback=lambda provider, model, at: HAIKU)
    assert book.price("openai", "gpt-4o", DAY) is GPT_4O
    assert book.price("openai", "other", DAY) is HAIKU
    assert (book.holds(GPT_4O), book.holds(HAIKU)) == (True, False)


class TestPublishedPrices:
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("genai_prices")
        public_price.cache_clear()

        def refuse(*_: object) -> None:
            raise AssertionError("published prices must not be fetched")

        monkeypatch.setattr(socket.socket, "connect", refuse)

    def test_they_agree_with_the_packages_own_sums(self) -> None:
        from genai_prices import Usage, calc_price

        for model in ("gpt-4o", "claude-sonnet-4-5", "gpt-5-mini"):
            provider = "anthropic" if model.startswith("claude") else "openai"
            price = public_price(provider, model, DAY)
            assert price is not None
            for sent in (1_000, 300_000):
                usage = Usage(input_tokens=sent, output_tokens=500, cache_read_tokens=400)
                theirs = calc_price(usage, model, provider_id=provider).total_price
                assert cost_usd(price, Tokens(sent, 500, 400)) == pytest.approx(float(theirs), rel=1e-9)

    def test_an_older_day_has_its_older_price(self) -> None:
        before, after = (public_price("openai", "o3", day) for day in (date(2025, 6, 1), DAY))
        assert before is not None
        assert after is not None
        assert before.input > after.input

    @pytest.mark.parametrize(
        ("provider", "model"), [("openai", "no-such-model"), ("vllm", "gpt-4o"), ("replay", "gpt-4o"), ("openai", "")]
    )
    def test_what_they_do_not_know_is_unknown(self, provider: str, model: str) -> None:
        assert public_price(provider, model, DAY) is None

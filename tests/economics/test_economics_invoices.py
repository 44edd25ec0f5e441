"""Months of requests at prices as vendors publish them, worked by hand to the cent: cached writes, batch, tiers, long
prompts, fees. The prices stand in `published_prices.yaml`, and are read as a team's own would be."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from proveout.economics import PriceBook, TokenColumns, Tokens, cost_usd, costs_usd, tier_factor
from proveout.project import load_project
from proveout.testing.projects import replay_project

DAY = date(2026, 11, 25)
PUBLISHED = Path(__file__).parent / "published_prices.yaml"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    folder = replay_project(
        tmp_path_factory.mktemp("project"),
        [{"id": "a", "input": {"question": "?"}, "expected": "x"}],
        {"base": {"a": "x"}},
    )
    (folder / "prices.yaml").write_text(PUBLISHED.read_text())
    return PriceBook(load_project(folder).prices)


INVOICES = [
    # 20,000 requests of 9,000 tokens that are written to the cache, 500 fresh ones and 300 of answer:
    # 10 M x 1.00 + 180 M x 1.25 + 6 M x 5.00
    ("anthropic", "claude-haiku-4-5", 20_000, Tokens(9_500, 300, cache_write_tokens=9_000), None, "265.00"),
    # the same kept for an hour: 10 M x 1.00 + 180 M x 2.00 + 6 M x 5.00
    ("anthropic", "claude-haiku-4-5-1h-cache", 20_000, Tokens(9_500, 300, cache_write_tokens=9_000), None, "400.00"),
    # read back instead: 10 M x 1.00 + 180 M x 0.10 + 6 M x 5.00
    ("anthropic", "claude-haiku-4-5", 20_000, Tokens(9_500, 300, cached_tokens=9_000), None, "58.00"),
    # as a batch, half of it
    ("anthropic", "claude-haiku-4-5", 20_000, Tokens(9_500, 300, cached_tokens=9_000), "batch", "29.00"),
    # some read, some written: 1,000 x (500 x 1.00 + 6,000 x 0.10 + 3,000 x 1.25 + 300 x 5.00) / 1 M
    ("anthropic", "claude-haiku-4-5", 1_000, Tokens(9_500, 300, 6_000, 3_000), None, "6.35"),
    # 100,000 tokens are the last at the low price: 1,000 x (100,000 x 0.10 + 1,000 x 0.50) / 1 M
    ("anthropic", "claude-haiku-5-5", 1_000, Tokens(100_000, 1_000), None, "10.50"),
    # one more, counted with those from the cache, and the whole request is dear:
    # 1,000 x (10,001 x 0.50 + 90,000 x 0.05 + 1,000 x 2.50) / 1 M = 12.0005
    ("anthropic", "claude-haiku-5-5", 1_000, Tokens(100_001, 1_000, cached_tokens=90_000), None, "12.00"),
    # 1 M requests of 812 tokens, 640 of them cached, and 57 of answer, 40 of them thought:
    # 172 M x 0.25 + 640 M x 0.025 + 57 M x 2.00
    ("openai", "gpt-5-mini", 1_000_000, Tokens(812, 57, 640, reasoning_tokens=40), None, "173.00"),
    # with priority at 0.45, 0.045 and 3.60; flex and batch at half
    ("openai", "gpt-5-mini", 1_000_000, Tokens(812, 57, 640, reasoning_tokens=40), "priority", "311.40"),
    ("openai", "gpt-5-mini", 1_000_000, Tokens(812, 57, 640, reasoning_tokens=40), "flex", "86.50"),
    # 100,000 x (1,000 x 3.50 + 500 x 0.875 + 200 x 14.00) / 1 M
    ("openai", "gpt-4.1", 100_000, Tokens(1_500, 200, 500), "priority", "673.75"),
    # 50,000 x (80 + 420) x 1.00 / 1 M and 50,000 fees of half a cent
    ("openai-compatible", "sonar", 50_000, Tokens(80, 420), None, "275.00"),
]


@pytest.mark.parametrize(("provider", "model", "requests", "tokens", "tier", "dollars"), INVOICES)
def test_a_months_invoice_to_the_cent(
    book: PriceBook, provider: str, model: str, requests: int, tokens: Tokens, tier: str | None, dollars: str
) -> None:
    price = book.price(provider, model, DAY)
    assert price is not None
    factor = tier_factor(price, tier)
    assert factor is not None
    assert f"{requests * cost_usd(price, tokens, factor):.2f}" == dollars
    columns = TokenColumns(
        *(
            np.full(requests, count)
            for count in (
                tokens.input_tokens,
                tokens.output_tokens,
                tokens.cached_tokens,
                tokens.cache_write_tokens,
                tokens.reasoning_tokens,
            )
        )
    )
    assert f"{float(costs_usd(price, columns, factor).sum()):.2f}" == dollars


def test_published_factors_are_the_published_prices(book: PriceBook) -> None:
    """Priority prices are listed by kind of token; one factor gives all of them."""
    mini, large = (book.price("openai", model, DAY) for model in ("gpt-5-mini", "gpt-4.1"))
    assert mini is not None
    assert large is not None
    for price, listed in ((mini, (0.45, 0.045, 3.60)), (large, (3.50, 0.875, 14.00))):
        factor = tier_factor(price, "priority")
        assert factor is not None
        rates = (price.input, price.cached_input or 0.0, price.output)
        assert tuple(rate * factor for rate in rates) == pytest.approx(listed)


@pytest.mark.parametrize(("model", "tier"), [("gpt-4.1", "flex"), ("gpt-5-mini", "scale")])
def test_a_tier_that_is_not_published_has_no_price(book: PriceBook, model: str, tier: str) -> None:
    price = book.price("openai", model, DAY)
    assert price is not None
    assert tier_factor(price, tier) is None


def test_what_is_priced_later_has_no_price_today(book: PriceBook) -> None:
    assert book.price("openai", "gpt-5-mini", date(2026, 11, 24)) is None

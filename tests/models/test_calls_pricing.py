"""A price book is dated, and an unknown price is unknown."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.models import PriceBook, Usage
from proveout.models.pricing import ceiling_usd, cost_usd
from proveout.project.records import ModelSpec, Price

OLD = Price(provider="openai", model="m", since="2025-01-01", input=2.0, output=8.0)
NEW = Price(provider="openai", model="m", since="2026-01-01", input=1.0, output=4.0, cached_input=0.1, per_request=0.01)
SPEC = ModelSpec(provider="openai", name="m")


@pytest.mark.parametrize(
    ("day", "price"),
    [("2024-12-31", None), ("2025-01-01", OLD), ("2025-12-31", OLD), ("2026-01-01", NEW), ("2030-01-01", NEW)],
)
def test_the_latest_price_that_has_begun_holds(day: str, price: Price | None) -> None:
    assert PriceBook([NEW, OLD], on=date.fromisoformat(day)).price(SPEC) is price


def test_another_provider_of_the_same_model_has_its_own_price() -> None:
    assert PriceBook([OLD], on=date(2026, 1, 1)).price(ModelSpec(provider="azure", name="m")) is None


def test_an_azure_deployment_is_priced_by_its_name() -> None:
    price = Price(provider="azure", model="triage-mini", since="2025-01-01", input=1, output=1)
    spec = ModelSpec(provider="azure", options={"deployment": "triage-mini"})
    assert PriceBook([price], on=date(2026, 1, 1)).price(spec) is price


@pytest.mark.parametrize("provider", ["replay", "tiny"])
def test_recorded_and_built_in_models_are_free_even_without_usage(provider: str) -> None:
    assert cost_usd(PriceBook().price(ModelSpec(provider=provider)), None) == 0.0


def test_unknown_prices_and_unknown_usage_cost_an_unknown_amount() -> None:
    assert cost_usd(None, Usage(input_tokens=1, output_tokens=1)) is None
    assert cost_usd(NEW, None) is None


def test_cached_written_and_plain_tokens_are_priced_apart() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=500_000, cached_tokens=600_000, cache_write_tokens=100_000)
    assert cost_usd(NEW, usage) == pytest.approx(0.3 * 1 + 0.6 * 0.1 + 0.1 * 1.25 + 0.5 * 4 + 0.01)


counts = st.integers(0, 10**6)
amounts = st.floats(0, 100)


@given(counts, counts, counts, counts, amounts, amounts, st.none() | amounts, amounts)
def test_no_call_costs_more_than_its_ceiling(
    plain: int, cached: int, written: int, out: int, input: float, output: float, cached_input: float | None, fee: float
) -> None:
    price = Price("p", "m", "2026-01-01", input, output, cached_input, fee)
    whole = plain + cached + written
    usage = Usage(input_tokens=whole, output_tokens=out, cached_tokens=cached, cache_write_tokens=written)
    cost = cost_usd(price, usage)
    assert cost is not None
    assert 0 <= cost <= ceiling_usd(price, whole, out) * (1 + 1e-12)

"""What a call costs, by a project's dated price book."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from proveout.models._base import Usage
from proveout.project.records import ModelSpec, Price

FREE_PROVIDERS = frozenset({"replay", "tiny"})
"""Providers whose calls cost nothing by nature."""

CACHE_WRITE_SURCHARGE = 1.25
"""What writing to a prompt cache costs against plain input, where an endpoint counts it (Anthropic's five-minute cache)."""

_FREE = Price(provider="", model="", since="", input=0.0, output=0.0)


class PriceBook:
    """The prices that hold on one day. A run opens one, so that all of its calls are priced alike, also past midnight."""

    def __init__(self, prices: Iterable[Price] = (), on: date | None = None) -> None:
        """`on`: today (UTC) unless given. A price holds from its own day until a later one of the same model begins."""
        day = (on or datetime.now(UTC).date()).isoformat()
        self._prices: dict[tuple[str, str], Price] = {}
        for price in sorted(prices, key=lambda price: price.since):
            if price.since <= day:
                self._prices[price.provider, price.model] = price

    def price(self, spec: ModelSpec) -> Price | None:
        """The price of a model; None where it is unknown, which is never the same as free."""
        if spec.provider in FREE_PROVIDERS:
            return _FREE
        name = spec.name or str(spec.options.get("deployment", ""))
        return self._prices.get((spec.provider, name))


def cost_usd(price: Price | None, usage: Usage | None) -> float | None:
    """Dollars for one answer; None where its price or its usage is unknown."""
    if price is None:
        return None
    if price is _FREE:
        return 0.0
    if usage is None:
        return None
    cached_price = price.input if price.cached_input is None else price.cached_input
    plain = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    millionths = (
        plain * price.input
        + usage.cached_tokens * cached_price
        + usage.cache_write_tokens * price.input * CACHE_WRITE_SURCHARGE
        + usage.output_tokens * price.output
    )
    return millionths / 1e6 + price.per_request


def ceiling_usd(price: Price, input_tokens: int, output_tokens: int) -> float:
    """Dollars that a call with at most so many tokens can cost."""
    dearest = max(price.input * CACHE_WRITE_SURCHARGE, price.cached_input or 0.0)
    return (input_tokens * dearest + output_tokens * price.output) / 1e6 + price.per_request

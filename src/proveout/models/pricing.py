"""What a call costs a run, by a project's dated price book (the arithmetic is `economics.prices`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from proveout.economics import prices as book
from proveout.economics.public_prices import public_price
from proveout.models._base import Usage
from proveout.project.records import ModelSpec, Price

FREE_PROVIDERS = frozenset({"replay", "tiny"})
"""Providers whose calls cost nothing by nature."""

_FREE = Price(provider="", model="", since="", input=0.0, output=0.0)


class PriceBook:
    """The prices that hold on one day. A run opens one, so that all its calls are priced alike, also past midnight."""

    def __init__(self, prices: Iterable[Price] = (), on: date | None = None) -> None:
        """`on`: today (UTC) unless given. A price holds from its own day until a later one of the same model begins."""
        self._day = on or datetime.now(UTC).date()
        self._book = book.PriceBook(tuple(prices), fallback=public_price)

    def price(self, spec: ModelSpec) -> Price | None:
        """The price of a model; None where it is unknown, which is never the same as free."""
        return _FREE if spec.provider in FREE_PROVIDERS else self._book.price_of(spec, self._day)


def cost_usd(price: Price | None, usage: Usage | None) -> float | None:
    """Dollars for one answer; None where its price or its usage is unknown."""
    if price is None:
        return None
    if price is _FREE:
        return 0.0
    return None if usage is None else book.cost_usd(price, usage)


def ceiling_usd(price: Price, input_tokens: int, output_tokens: int) -> float:
    """Dollars that a call with at most so many tokens can cost."""
    return book.most_usd(price, input_tokens, output_tokens)

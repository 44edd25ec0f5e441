"""What a request costs: a dated price book, and the arithmetic of an invoice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import to_builtins

from proveout.project.records import Host, LongContext, ModelSpec, Price

if TYPE_CHECKING:
    from numpy.typing import NDArray

STANDARD_TIERS = frozenset({"", "standard", "standard_only", "default", "auto", "on_demand"})
"""Names of service tiers that are billed at the listed prices."""

CACHE_WRITE_SURCHARGE = 1.25
"""What a million tokens written to a prompt cache cost against plain input, where the book does not say: only vendors
that bill writes count them, and this is their rate for the shortest time to live (Anthropic's, also on Bedrock)."""


class TokenCounts(Protocol):
    """The tokens of one answer, as `models.Usage` holds them: cached and written ones are among the input tokens,
    reasoning ones among the output tokens."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def cache_write_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...


class Tokens(msgspec.Struct, frozen=True):
    """Token counts of one answer."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


PriceSource = Callable[[str, str, date], Price | None]
"""Another place to look up the price of a provider's model on a day; None where it does not know."""


@dataclass(frozen=True)
class PriceBook:
    """A team's dated prices, and where to look next; and those of machines. What neither knows has no price, which is
    never 0."""

    prices: tuple[Price, ...] = ()
    fallback: PriceSource | None = None
    hosts: tuple[Host, ...] = ()

    def price(self, provider: str, model: str, at: date) -> Price | None:
        """The price of a model on a day: the team's latest one that has begun, else the fallback's, else None."""
        day = at.isoformat()
        begun = [price for price in self._by_model.get((provider, model), ()) if price.since <= day]
        if begun:
            return max(begun, key=lambda price: price.since)
        return self.fallback(provider, model, at) if self.fallback is not None else None

    def price_of(self, spec: ModelSpec, at: date) -> Price | None:
        """The price of a declared model on a day."""
        return self.price(spec.provider, priced_name(spec), at)

    def host(self, name: str, at: date) -> Host | None:
        """What a machine costs on a day: the latest price of it that has begun, or None."""
        begun = [host for host in self.hosts if host.name == name and host.since <= at.isoformat()]
        return max(begun, key=lambda host: host.since) if begun else None

    def holds(self, price: Price) -> bool:
        """Whether a price stands in the team's own book."""
        return price in self._by_model.get((price.provider, price.model), ())

    def dated(self, at: date) -> str | None:
        """The day on which the book's newest price that has begun began; None for a book without one."""
        entries = (*self.prices, *self.hosts)
        return max((entry.since for entry in entries if entry.since <= at.isoformat()), default=None)

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that are the same exactly for the same prices, in whatever order they stand."""
        entries = sorted(repr(sorted(to_builtins(entry).items(), key=str)) for entry in (*self.prices, *self.hosts))
        return hashlib.blake2b("\n".join(entries).encode(), digest_size=6).hexdigest()

    @cached_property
    def _by_model(self) -> dict[tuple[str, str], tuple[Price, ...]]:
        found: dict[tuple[str, str], tuple[Price, ...]] = {}
        for price in self.prices:
            key = price.provider, price.model
            found[key] = (*found.get(key, ()), price)
        return found


def priced_name(spec: ModelSpec) -> str:
    """The name under which a price book lists a declared model: its own; else its deployment, its build (tiny), or the
    name of its file (replay)."""
    if spec.name:
        return spec.name
    options = spec.options
    if options.get("path"):
        return str(options["path"]).replace("\\", "/").rpartition("/")[2].partition(".")[0]
    return str(options.get("deployment") or options.get("build") or "")


def tier_factor(price: Price, tier: str | None) -> float | None:
    """The factor of a service tier on token prices; None where the book does not say, since that is not the listed
    price."""
    if tier is None or tier.lower() in STANDARD_TIERS:
        return 1.0
    return price.tiers.get(tier.lower())


def cost_usd(price: Price, tokens: TokenCounts, factor: float = 1.0) -> float:
    """Dollars for one request.

    Args:
        price: what the model costs.
        tokens: what the endpoint counted. Counts that contradict each other (more cached than input tokens) are cut to
            what is possible.
        factor: of the service tier, on all but the fee for each request; see `tier_factor`.
    """
    cached = min(tokens.cached_tokens, tokens.input_tokens)
    written = min(tokens.cache_write_tokens, tokens.input_tokens - cached)
    reasoning = min(tokens.reasoning_tokens, tokens.output_tokens)
    long = price.long_context
    rates = long if long is not None and tokens.input_tokens > long.above else price
    return (
        _sum(rates, tokens.input_tokens, cached, written, tokens.output_tokens, reasoning) * factor + price.per_request
    )


def most_usd(price: Price, input_tokens: int, output_tokens: int) -> float:
    """The most dollars that a request of at most so many tokens can cost, in whatever tier it is answered."""
    dearest = 0.0
    for rates in (price, price.long_context):
        if rates is not None:
            written = rates.input * CACHE_WRITE_SURCHARGE if rates.cache_write is None else rates.cache_write
            read = max(rates.input, rates.cached_input or 0.0, written)
            said = max(rates.output, rates.reasoning or 0.0)
            dearest = max(dearest, (input_tokens * read + output_tokens * said) / 1e6)
    return dearest * max((1.0, *price.tiers.values())) + price.per_request


def costs_usd(price: Price, tokens: TokenColumns, factor: float = 1.0) -> NDArray[Any]:
    """Dollars for each of many requests, shape (N,): `cost_usd` of every row. NaN where a count is NaN."""
    import numpy as np

    inputs, outputs = np.asarray(tokens.input_tokens, dtype=float), np.asarray(tokens.output_tokens, dtype=float)
    cached = np.minimum(tokens.cached_tokens, inputs)
    written = np.minimum(tokens.cache_write_tokens, inputs - cached)
    reasoning = np.minimum(tokens.reasoning_tokens, outputs)
    total = _sum(price, inputs, cached, written, outputs, reasoning)
    long = price.long_context
    if long is not None:
        total = np.where(inputs > long.above, _sum(long, inputs, cached, written, outputs, reasoning), total)
    return total * factor + price.per_request


class TokenColumns(msgspec.Struct, frozen=True):
    """Token counts of many answers, each of shape (N,), in the meaning of `TokenCounts`. NaN where unknown."""

    input_tokens: NDArray[Any]
    output_tokens: NDArray[Any]
    cached_tokens: NDArray[Any] | float = 0.0
    cache_write_tokens: NDArray[Any] | float = 0.0
    reasoning_tokens: NDArray[Any] | float = 0.0


def _sum(rates: Price | LongContext, inputs: Any, cached: Any, written: Any, outputs: Any, reasoning: Any) -> Any:
    """Numbers or arrays alike."""
    read_rate = rates.input if rates.cached_input is None else rates.cached_input
    write_rate = rates.input * CACHE_WRITE_SURCHARGE if rates.cache_write is None else rates.cache_write
    thought_rate = rates.output if rates.reasoning is None else rates.reasoning
    dollars = (
        (inputs - cached - written) * rates.input
        + cached * read_rate
        + written * write_rate
        + (outputs - reasoning) * rates.output
        + reasoning * thought_rate
    )
    return dollars / 1e6

"""Prices that vendors publish, from the data that ships inside the `genai-prices` package (extra `prices`). It is never
asked to update itself, so nothing is fetched."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from proveout.project.records import LongContext, Price

_PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "azure": "azure",
    "bedrock": "aws",
    "vertex": "google",
    "together": "together",
    "fireworks": "fireworks",
    "groq": "groq",
    "mistral": "mistral",
    "openrouter": "openrouter",
}

_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}


@lru_cache(maxsize=256)
def public_price(provider: str, model: str, at: date) -> Price | None:
    """The published price of a model on a day, as a `Price` whose `since` is empty (the data hold little history).

    None where the package is not installed, does not know the model, or prices it in a way that a `Price` can't hold
    (by the time of day, or in more than two steps of input length). A tier is taken over only where one factor says all
    of its prices.
    """
    if provider not in _PROVIDERS or not model:
        return None
    try:
        from genai_prices import data_snapshot
    except ImportError:
        return None
    try:
        _, found = data_snapshot.get_snapshot().find_provider_model(model, None, _PROVIDERS[provider], None)
    except LookupError:
        return None
    when = datetime(at.year, at.month, at.day, tzinfo=UTC)
    if isinstance(found.prices, list) and any(_by_time_of_day(one.constraint) for one in found.prices):
        return None
    listed = found.get_prices(when)
    rates = _rates(listed)
    if rates is None:
        return None
    base, long = rates
    fee = getattr(listed, "requests_kcount", None)
    return Price(
        provider=provider,
        model=model,
        since="",
        input=base["input"],
        output=base["output"],
        cached_input=base.get("cached_input"),
        cache_write=base.get("cache_write"),
        reasoning=base.get("reasoning"),
        per_request=float(fee) / 1000 if fee is not None else 0.0,
        tiers=_tiers(found, when, base),
        long_context=long,
    )


def public_source() -> str | None:
    """The package and its version, for reports; None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"genai-prices {version('genai-prices')}"
    except PackageNotFoundError:
        return None


def _by_time_of_day(constraint: Any) -> bool:
    return constraint is not None and not hasattr(constraint, "start_date")


def _rates(listed: Any) -> tuple[dict[str, float], LongContext | None] | None:
    """Rates by our names, and those of long inputs; None where they can't be held."""
    base: dict[str, float] = {}
    long: dict[str, float] = {}
    starts: set[int] = set()
    for ours, theirs in _RATES.items():
        rate = getattr(listed, theirs, None)
        if rate is None:
            continue
        steps = getattr(rate, "tiers", ())
        if len(steps) > 1:
            return None
        base[ours] = float(rate.base if hasattr(rate, "base") else rate)
        long[ours] = float(steps[0].price) if steps else base[ours]
        starts.update(step.start for step in steps)
    if "input" not in base or "output" not in base or len(starts) > 1:
        return None
    return base, LongContext(above=starts.pop(), **long) if starts else None


def _tiers(found: Any, when: datetime, base: dict[str, float]) -> dict[str, float]:
    """Factors of `batch` and of service tiers, where all prices of a tier are the same multiple of the listed ones."""
    factors: dict[str, float] = {}
    for variant in found.price_variants or ():
        name = variant.when.get("processing") or variant.when.get("service_tier")
        if not name or len(variant.when) != 1 or (variant.constraint and not variant.constraint.active(when)):
            continue
        ratios: set[float | None] = set()
        for ours, rate in base.items():
            special: Any = getattr(variant.prices, _RATES[ours], None)
            if special is None or hasattr(special, "tiers") or rate <= 0:
                ratios.add(None)
            else:
                ratios.add(round(float(special) / rate, 9))
        factor = ratios.pop() if len(ratios) == 1 else None
        if factor is not None:
            factors.setdefault(name, factor)
    return factors

"""Money: a dated price book, what requests cost, what of that was wasted, what machines of one's own cost, and what a
change is worth in a month. Names are loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.economics.answers import AnswerParts, answer_parts
    from proveout.economics.engine import EngineUnread, engine_load, engine_metrics, gpus, read_engine
    from proveout.economics.impact import Impact, Traffic, Worth, economic_score, monthly_impact
    from proveout.economics.ledger import Anomalies, Distribution, Ledger
    from proveout.economics.machines import BreakEven, Hosting, Serving, break_even, hosting, token_seconds
    from proveout.economics.prices import PriceBook, TokenColumns, TokenCounts, Tokens, cost_usd, costs_usd, tier_factor
    from proveout.economics.public_prices import public_price
    from proveout.economics.waste import Spent, Waste, repeated_prefix, split_bill

__all__ = [
    "Anomalies",
    "AnswerParts",
    "BreakEven",
    "Distribution",
    "EngineUnread",
    "Hosting",
    "Impact",
    "Ledger",
    "PriceBook",
    "Serving",
    "Spent",
    "TokenColumns",
    "TokenCounts",
    "Tokens",
    "Traffic",
    "Waste",
    "Worth",
    "answer_parts",
    "break_even",
    "cost_usd",
    "costs_usd",
    "economic_score",
    "engine_load",
    "engine_metrics",
    "gpus",
    "hosting",
    "monthly_impact",
    "public_price",
    "read_engine",
    "repeated_prefix",
    "split_bill",
    "tier_factor",
    "token_seconds",
]

__getattr__ = lazy_names(
    __name__,
    {
        "answers": ("AnswerParts", "answer_parts"),
        "engine": ("EngineUnread", "engine_load", "engine_metrics", "gpus", "read_engine"),
        "impact": ("Impact", "Traffic", "Worth", "economic_score", "monthly_impact"),
        "ledger": ("Anomalies", "Distribution", "Ledger"),
        "machines": ("BreakEven", "Hosting", "Serving", "break_even", "hosting", "token_seconds"),
        "prices": ("PriceBook", "TokenColumns", "TokenCounts", "Tokens", "cost_usd", "costs_usd", "tier_factor"),
        "public_prices": ("public_price",),
        "waste": ("Spent", "Waste", "repeated_prefix", "split_bill"),
    },
)

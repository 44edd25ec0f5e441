"""Calling models: one protocol, `Model`, that providers, recordings, the built-in engine and every wrapper share.

A `ModelPool` opens the models of a run behind one cache, one budget and one limiter for each endpoint. Names are loaded
when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.models._base import (
        BudgetExceeded,
        CallCache,
        FinishReason,
        Generation,
        Model,
        ModelError,
        Request,
        Timings,
        Usage,
    )
    from proveout.models.budget import Budget
    from proveout.models.cache import request_key
    from proveout.models.pool import ModelPool
    from proveout.models.pricing import FREE_PROVIDERS, PriceBook

_HOMES = {
    "_base": (
        "BudgetExceeded",
        "CallCache",
        "FinishReason",
        "Generation",
        "Model",
        "ModelError",
        "Request",
        "Timings",
        "Usage",
    ),
    "budget": ("Budget",),
    "cache": ("request_key",),
    "pool": ("ModelPool",),
    "pricing": ("FREE_PROVIDERS", "PriceBook"),
}

__all__ = [
    "FREE_PROVIDERS",
    "Budget",
    "BudgetExceeded",
    "CallCache",
    "FinishReason",
    "Generation",
    "Model",
    "ModelError",
    "ModelPool",
    "PriceBook",
    "Request",
    "Timings",
    "Usage",
    "request_key",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

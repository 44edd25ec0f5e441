"""Calling models: one protocol, `Model`, that providers, recordings, the built-in engine and every wrapper share.

A `ModelPool` opens the models of a run behind one cache, one budget and one limiter for each endpoint. Names are loaded
when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    {
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
    },
)

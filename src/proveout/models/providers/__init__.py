"""One single-attempt model for every wire format, and the table of providers that speak it.

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.models.providers._draft import Draft
    from proveout.models.providers._endpoint import Endpoint, Tape
    from proveout.models.providers.embeddings import Embedder, EmbeddingResult
    from proveout.models.providers.opening import PROVIDERS, open_embeddings, open_endpoint

_HOMES = {
    "_draft": ("Draft",),
    "_endpoint": ("Endpoint", "Tape"),
    "embeddings": ("Embedder", "EmbeddingResult"),
    "opening": ("PROVIDERS", "open_embeddings", "open_endpoint"),
}

__all__ = ["PROVIDERS", "Draft", "Embedder", "EmbeddingResult", "Endpoint", "Tape", "open_embeddings", "open_endpoint"]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

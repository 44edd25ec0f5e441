"""One single-attempt model for every wire format, and the table of providers that speak it.

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.models.providers._draft import Draft
    from proveout.models.providers._endpoint import Endpoint, Tape
    from proveout.models.providers.embeddings import Embedder, EmbeddingResult
    from proveout.models.providers.opening import PROVIDERS, open_embeddings, open_endpoint

__all__ = ["PROVIDERS", "Draft", "Embedder", "EmbeddingResult", "Endpoint", "Tape", "open_embeddings", "open_endpoint"]

__getattr__ = lazy_names(
    __name__,
    {
        "_draft": ("Draft",),
        "_endpoint": ("Endpoint", "Tape"),
        "embeddings": ("Embedder", "EmbeddingResult"),
        "opening": ("PROVIDERS", "open_embeddings", "open_endpoint"),
    },
)

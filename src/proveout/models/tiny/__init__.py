"""The built-in model: a toy Llama of 0.6 million parameters that sorts support tickets, run by numpy alone.

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.models.tiny.model import TinyModel
    from proveout.models.tiny.server import run_server, tiny_app
    from proveout.models.tiny.weights import BUILDS, Build, lineage, manifest

__all__ = ["BUILDS", "Build", "TinyModel", "lineage", "manifest", "run_server", "tiny_app"]

__getattr__ = lazy_names(
    __name__,
    {
        "model": ("TinyModel",),
        "server": ("run_server", "tiny_app"),
        "weights": ("BUILDS", "Build", "lineage", "manifest"),
    },
)

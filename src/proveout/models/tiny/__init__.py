"""The built-in model: a toy Llama of 0.6 million parameters that sorts support tickets, run by numpy alone.

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.models.tiny.model import TinyModel
    from proveout.models.tiny.server import run_server, tiny_app
    from proveout.models.tiny.weights import BUILDS, Build, lineage, manifest

_HOMES = {
    "model": ("TinyModel",),
    "server": ("run_server", "tiny_app"),
    "weights": ("BUILDS", "Build", "lineage", "manifest"),
}

__all__ = ["BUILDS", "Build", "TinyModel", "lineage", "manifest", "run_server", "tiny_app"]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

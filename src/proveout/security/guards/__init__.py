"""Guards: checks of a request at a checkpoint, declared in service.yaml. One small protocol, one file for each kind."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.security.guards._base import Guard, Said
    from proveout.security.guards.checkpoint import Checked, Checkpoint
    from proveout.security.guards.registry import open_guard

_HOMES = {
    "Checked": "checkpoint",
    "Checkpoint": "checkpoint",
    "Guard": "_base",
    "Said": "_base",
    "open_guard": "registry",
}

__all__ = ["Checked", "Checkpoint", "Guard", "Said", "open_guard"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

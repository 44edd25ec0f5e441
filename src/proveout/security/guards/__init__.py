"""Guards: checks of a request at a checkpoint, declared in service.yaml. One small protocol, one file for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.security.guards._base import Guard, Said
    from proveout.security.guards.checkpoint import Checked, Checkpoint, Given
    from proveout.security.guards.registry import open_guard

__all__ = ["Checked", "Checkpoint", "Given", "Guard", "Said", "open_guard"]

__getattr__ = lazy_names(
    __name__,
    {
        "_base": ("Guard", "Said"),
        "checkpoint": ("Checked", "Checkpoint", "Given"),
        "registry": ("open_guard",),
    },
)

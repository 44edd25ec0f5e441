"""The gateway: an OpenAI-compatible data plane that serves a project's releases and records what it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.gateway.app import Gateway
    from proveout.gateway.assignment import Draw
    from proveout.gateway.keys import new_key
    from proveout.gateway.process import run_gateway
    from proveout.gateway.releases import declared_releases, effective_releases
    from proveout.gateway.settings import GatewaySettings, read_settings

__all__ = [
    "Draw",
    "Gateway",
    "GatewaySettings",
    "declared_releases",
    "effective_releases",
    "new_key",
    "read_settings",
    "run_gateway",
]

__getattr__ = lazy_names(
    __name__,
    {
        "app": ("Gateway",),
        "assignment": ("Draw",),
        "keys": ("new_key",),
        "process": ("run_gateway",),
        "releases": ("declared_releases", "effective_releases"),
        "settings": ("GatewaySettings", "read_settings"),
    },
)

"""The gateway: an OpenAI-compatible data plane that serves a project's releases and records what it serves."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proveout.gateway.app import Gateway
    from proveout.gateway.assignment import Draw
    from proveout.gateway.keys import new_key
    from proveout.gateway.process import run_gateway
    from proveout.gateway.releases import declared_releases, effective_releases
    from proveout.gateway.settings import GatewaySettings, read_settings

_HOMES = {
    "Draw": "assignment",
    "Gateway": "app",
    "GatewaySettings": "settings",
    "declared_releases": "releases",
    "effective_releases": "releases",
    "new_key": "keys",
    "read_settings": "settings",
    "run_gateway": "process",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

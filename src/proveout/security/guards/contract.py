from __future__ import annotations

from dataclasses import dataclass

from proveout.security.guards._base import Said


@dataclass(frozen=True, slots=True)
class Contract:
    """Against answers that don't meet the service's output contract."""

    def hit(self, said: Said) -> bool:
        return not said.valid()

from __future__ import annotations

from dataclasses import dataclass

from proveout.security.guards._base import Said


@dataclass(frozen=True, slots=True)
class MaxChars:
    """Against texts of more characters than these."""

    most: int

    def hit(self, said: Said) -> bool:
        return len(said.text) > self.most

from __future__ import annotations

import json
from dataclasses import dataclass

from proveout.security.guards._base import Said


@dataclass(frozen=True, slots=True)
class JsonValid:
    """Against answers that are no JSON."""

    def hit(self, said: Said) -> bool:
        try:
            json.loads(said.text)
        except (ValueError, RecursionError):
            return True
        return False

from __future__ import annotations

import re
from dataclasses import dataclass

from proveout.security.guards._base import Said


@dataclass(frozen=True, slots=True)
class DenyPattern:
    """Against texts in which a regular expression is found."""

    pattern: re.Pattern[str]

    def hit(self, said: Said) -> bool:
        return self.pattern.search(said.text, said.start) is not None

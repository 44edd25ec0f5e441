from __future__ import annotations

from dataclasses import dataclass

from proveout.project.sensitive import looks_like_a_secret
from proveout.security.guards._base import Said


@dataclass(frozen=True, slots=True)
class NoSecrets:
    """Against keys, tokens and passwords in the forms that are widely used."""

    def hit(self, said: Said) -> bool:
        return looks_like_a_secret(said.text[said.start :] if said.start else said.text)

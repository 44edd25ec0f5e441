"""What looks like a secret, so that none is shown."""

from __future__ import annotations

import re

_SHAPES_OF_SECRETS = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bglpat-[A-Za-z0-9_-]{16,}"
    r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{30,}"
    r"|\bhf_[A-Za-z0-9]{20,}"
    r"|\bgsk_[A-Za-z0-9]{20,}"
    r"|\bBearer\s+[A-Za-z0-9._~+/-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\."
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_NAMES_OF_SECRETS = re.compile(
    r"(?:^|[^a-z])(?:auth|authorization|api[-_]?key|apikey|key|secret|token|password|passwd|credential|credentials|cookie)(?:$|[^a-z])",
    re.IGNORECASE,
)
_PASSWORD_IN_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")


def looks_like_a_secret(text: str) -> bool:
    """Whether text holds something in the form of a known kind of key, or an address with a password."""
    return bool(_SHAPES_OF_SECRETS.search(text) or _PASSWORD_IN_ADDRESS.search(text))


def names_a_secret(name: str) -> bool:
    """Whether a header or field of this name usually holds a secret."""
    return bool(_NAMES_OF_SECRETS.search(name))


def redacted(text: str) -> str:
    """Text with everything that looks like a secret left out."""
    return _PASSWORD_IN_ADDRESS.sub("://...@", _SHAPES_OF_SECRETS.sub("...", text))

"""Who agreed to what, by the audit trail alone."""

from __future__ import annotations

from collections.abc import Iterable

from proveout.delivery.evidence import Agreed
from proveout.storage.records import AuditEntry

APPROVE, REJECT = "approve", "reject"


def agreed(entries: Iterable[AuditEntry], fingerprint: str) -> tuple[Agreed, ...]:
    """Standing approvals of a fingerprint, each person's newest one. A rejection by anybody ends all before it."""
    found: dict[str, Agreed] = {}
    for entry in entries:
        if entry.body.get("fingerprint") != fingerprint:
            continue
        if entry.action == APPROVE:
            found[entry.actor] = Agreed(entry.actor, entry.time)
        elif entry.action == REJECT:
            found.clear()
    return tuple(found.values())

"""Who agreed to what, by the audit trail alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from proveout.delivery.evidence import Agreed
from proveout.storage.records import AuditEntry

if TYPE_CHECKING:
    from proveout.storage.store import Store

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


def proved_run(store: Store, service: str, change: str, fingerprint: str) -> str:
    """The newest finished run of a change about this fingerprint; empty where there is none."""
    runs = store.runs.latest(50, service=service, change=change)
    return next((run.id for run in runs if run.challenger == fingerprint and run.state == "finished"), "")

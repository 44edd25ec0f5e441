"""The store: calls, runs, outcomes, the ledger, events, releases, traces and feedback, in SQLite or PostgreSQL.

`open_store(url)` is the way in. Names are loaded when first used, because SQLAlchemy takes a fifth of a second to
import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout._lazy import lazy_names

if TYPE_CHECKING:
    from proveout.storage.errors import StoreError, WriterFull
    from proveout.storage.records import (
        AuditEntry,
        Claim,
        Errand,
        Event,
        Failure,
        Feedback,
        Incident,
        LedgerEntry,
        Outcome,
        Release,
        RolloutRow,
        Run,
        RunState,
        Trace,
    )
    from proveout.storage.store import Store, open_store

__all__ = [
    "AuditEntry",
    "Claim",
    "Errand",
    "Event",
    "Failure",
    "Feedback",
    "Incident",
    "LedgerEntry",
    "Outcome",
    "Release",
    "RolloutRow",
    "Run",
    "RunState",
    "Store",
    "StoreError",
    "Trace",
    "WriterFull",
    "open_store",
]

__getattr__ = lazy_names(
    __name__,
    {
        "errors": ("StoreError", "WriterFull"),
        "records": (
            "AuditEntry",
            "Claim",
            "Errand",
            "Event",
            "Failure",
            "Feedback",
            "Incident",
            "LedgerEntry",
            "Outcome",
            "Release",
            "RolloutRow",
            "Run",
            "RunState",
            "Trace",
        ),
        "store": ("Store", "open_store"),
    },
)

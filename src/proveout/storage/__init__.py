"""The store: calls, runs, outcomes, the ledger, events, releases, traces and feedback, in SQLite or PostgreSQL.

`open_store(url)` is the way in. Names are loaded when first used, because SQLAlchemy takes a fifth of a second to
import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

_HOMES = {"errors": ("StoreError", "WriterFull"), "store": ("Store", "open_store")}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    home = next((home for home, names in _HOMES.items() if name in names), "records")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)

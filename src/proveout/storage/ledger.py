"""The ledger: every variant ever tried against a dataset version, and the share of the error budget that each try
got.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from proveout.storage.driver import Driver, Row, Transaction, columns_sql, insert_sql
from proveout.storage.records import Claim, LedgerEntry

Level = Callable[[Sequence[LedgerEntry]], float]
"""From the earlier entries, in order of attempt, to the level of the next one. Pure: it may be called while a lock is
held.
"""

_COLUMNS = LedgerEntry.__struct_fields__
_SELECT = f"SELECT {columns_sql(_COLUMNS)} FROM ledger WHERE dataset_version = ?"  # noqa: S608
_INSERT = insert_sql("ledger", _COLUMNS)
_TRY = ("dataset_version", "objective", "champion", "challenger", "evidence")


class Ledger:
    """Claims of levels, one after the other for each dataset version and objective, also among concurrent runs."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def claim(self, claim: Claim, level: Level) -> LedgerEntry:
        """The entry of a try: a new one, at the level that `level` gives it, or the one that this same evidence has
        already.

        Judging the same evidence again is the same try: it gets the same attempt number and the same level.
        """
        with self._driver.transaction(lock=f"ledger {claim.dataset_version} {claim.objective}") as transaction:
            earlier = _entries(transaction, claim.dataset_version, claim.objective)
            for entry in earlier:
                if all(getattr(entry, name) == getattr(claim, name) for name in _TRY):
                    return entry
            entry = LedgerEntry(
                dataset_version=claim.dataset_version,
                service=claim.service,
                objective=claim.objective,
                metric=claim.metric,
                champion=claim.champion,
                challenger=claim.challenger,
                evidence=claim.evidence,
                attempt=len(earlier) + 1,
                level=level(earlier),
                p_value=claim.p_value,
                rejected=None,
                run=claim.run,
                created=time.time(),
            )
            transaction.execute(_INSERT, msgspec.structs.astuple(entry))
        return entry

    def settle(self, entry: LedgerEntry, *, p_value: float | None, rejected: bool | None) -> None:
        """Record how an entry's test came out. `rejected`: the null hypothesis was, so the claim holds; None: not
        measured.
        """
        with self._driver.transaction() as transaction:
            transaction.execute(
                "UPDATE ledger SET p_value = ?, rejected = ? "
                "WHERE dataset_version = ? AND objective = ? AND attempt = ?",
                (p_value, rejected, entry.dataset_version, entry.objective, entry.attempt),
            )

    def entries(self, dataset_version: str, objective: str | None = None) -> list[LedgerEntry]:
        """The tries on a dataset version, by objective and attempt."""
        return _entries(self._driver, dataset_version, objective)


def _entries(source: Driver | Transaction, dataset_version: str, objective: str | None) -> list[LedgerEntry]:
    if objective is None:
        rows = source.query(f"{_SELECT} ORDER BY objective, attempt", (dataset_version,))
    else:
        rows = source.query(f"{_SELECT} AND objective = ? ORDER BY attempt", (dataset_version, objective))
    return [_entry(row) for row in rows]


def _entry(row: Row) -> LedgerEntry:
    """SQLite has no booleans: it gives back numbers."""
    fields = dict(zip(_COLUMNS, row, strict=True))
    rejected = fields["rejected"]
    return LedgerEntry(**{**fields, "rejected": None if rejected is None else bool(rejected)})

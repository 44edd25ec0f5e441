"""The ledger: every variant ever tried against a dataset version, and the share of the error budget that each try
got.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select, update

from proveout.storage import tables
from proveout.storage.database import Database
from proveout.storage.records import Claim, LedgerEntry

Level = Callable[[Sequence[LedgerEntry]], float]
"""From the earlier entries, in order of attempt, to the level of the next one. Pure: it may be called while a lock is
held.
"""

_columns = tables.ledger.c
_TRY = ("dataset_version", "objective", "champion", "challenger", "evidence")


class Ledger:
    """Claims of levels, one after the other for each dataset version and objective, also among concurrent runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, claim: Claim, level: Level) -> LedgerEntry:
        """The entry of a try: a new one, at the level that `level` gives it, or the one that this same evidence has
        already.

        Judging the same evidence again is the same try: it gets the same attempt number and the same level.
        """
        with self._database.transaction(lock=f"ledger {claim.dataset_version} {claim.objective}") as connection:
            earlier = _entries(connection, claim.dataset_version, claim.objective)
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
            values = {column.name: getattr(entry, column.name) for column in _columns}
            connection.execute(tables.ledger.insert().values(values))
        return entry

    def settle(self, entry: LedgerEntry, *, p_value: float | None, rejected: bool | None) -> None:
        """Record how an entry's test came out. `rejected`: the null hypothesis was, so the claim holds; None: not
        measured.
        """
        this = (_columns.dataset_version == entry.dataset_version) & (_columns.objective == entry.objective)
        with self._database.transaction() as connection:
            connection.execute(
                update(tables.ledger)
                .where(this & (_columns.attempt == entry.attempt))
                .values(p_value=p_value, rejected=rejected)
            )

    def entries(self, dataset_version: str, objective: str | None = None) -> list[LedgerEntry]:
        """The tries on a dataset version, by objective and attempt."""
        with self._database.reading() as connection:
            return _entries(connection, dataset_version, objective)


def _entries(connection: Connection, dataset_version: str, objective: str | None) -> list[LedgerEntry]:
    query = select(tables.ledger).where(_columns.dataset_version == dataset_version)
    if objective is not None:
        query = query.where(_columns.objective == objective)
    query = query.order_by(_columns.objective, _columns.attempt)
    return [LedgerEntry(**row) for row in connection.execute(query).mappings()]

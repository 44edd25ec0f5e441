"""Rollouts and everything that a decision about one writes: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, select, update

from proveout.storage import tables
from proveout.storage.audit import append_entry, read_entries
from proveout.storage.database import Database
from proveout.storage.errors import StoreError
from proveout.storage.records import AuditEntry, Errand, Failure, Incident, Release, RolloutRow
from proveout.storage.releases import release_values

_rollouts = tables.rollouts.c
_releases = tables.releases.c
_errands = tables.errands.c
_incidents = tables.incidents.c


class Decision:
    """One transaction about one service in one environment; nobody else decides about it meanwhile."""

    def __init__(self, connection: Connection, database: Database, environment: str, service: str) -> None:
        self._connection = connection
        self._database = database
        self.environment = environment
        self.service = service

    def latest(self) -> RolloutRow | None:
        """The newest rollout."""
        return _latest(self._connection, self.environment, self.service)

    def next_epoch(self) -> int:
        """The epoch that `publish` will use."""
        query = select(func.max(_releases.epoch)).where(
            (_releases.environment == self.environment) & (_releases.service == self.service)
        )
        return (self._connection.execute(query).scalar() or 0) + 1

    def served(self) -> set[str]:
        """Fingerprints that were ever told to serve here."""
        query = select(_releases.weights).where(
            (_releases.environment == self.environment) & (_releases.service == self.service)
        )
        weights = [msgspec.json.decode(text) for text in self._connection.execute(query).scalars()]
        return {fingerprint for one in weights for fingerprint, weight in one.items() if weight > 0}

    def publish(self, release: Release) -> None:
        """Make a release, of the next epoch, the current one."""
        self._connection.execute(tables.releases.insert().values(release_values(release)))

    def record(self, *, time: float, actor: str, action: str, subject: str, body: Any) -> str:
        """Append to the audit trail; returns the entry's hash."""
        return append_entry(
            self._connection,
            self._database.is_sqlite,
            time=time,
            actor=actor,
            action=action,
            subject=subject,
            body=body,
        )

    def entries(self, subject: str, actions: Sequence[str] = ()) -> list[AuditEntry]:
        """The audit trail's entries about something, oldest first."""
        return read_entries(self._connection, subject=subject, actions=actions, limit=10_000)

    def save(self, row: RolloutRow, *, replaces: int | None) -> None:
        """Keep a rollout: a new one (`replaces` is None), or the next version of one.

        Raises:
            StoreError: another version is kept by now.
        """
        values = msgspec.structs.asdict(row)
        if replaces is None:
            self._connection.execute(tables.rollouts.insert().values(values))
            return
        kept = (_rollouts.id == row.id) & (_rollouts.version == replaces)
        if not self._connection.execute(update(tables.rollouts).where(kept).values(values)).rowcount:
            what = f"rollout {row.id} was changed by somebody else"
            raise StoreError("row", self._database.name, what, "Look at its status, and try again.")

    def positions(self) -> tuple[int, int]:
        """Where the traces and the feedback end by now."""
        newest = [
            self._connection.execute(select(func.max(table.c.position))).scalar() or 0
            for table in (tables.traces, tables.feedback)
        ]
        return newest[0], newest[1]

    def give(self, errand: Errand) -> None:
        """Have something done once this is committed. An errand whose id is there already is not given again."""
        values = {**msgspec.structs.asdict(errand), "body": msgspec.json.encode(errand.body).decode()}
        _insert_new(self._connection, self._database, tables.errands, [values])

    def open(self, incident: Incident) -> None:
        """Keep an incident."""
        values = {**msgspec.structs.asdict(incident), "evidence": msgspec.json.encode(incident.evidence).decode()}
        _insert_new(self._connection, self._database, tables.incidents, [values])

    def keep(self, failures: Iterable[Failure]) -> None:
        """Keep traces as bad cases; those that are kept already stay as they are."""
        rows = [msgspec.structs.asdict(failure) for failure in failures]
        for start in range(0, len(rows), 100):
            _insert_new(self._connection, self._database, tables.failures, rows[start : start + 100])


class Deliveries:
    """Rollouts, errands, incidents and failures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def deciding(self, environment: str, service: str) -> Iterator[Decision]:
        """A transaction in which to decide. What raises inside leaves nothing behind."""
        with self._database.transaction(lock=f"release {environment} {service}") as connection:
            yield Decision(connection, self._database, environment, service)

    def latest(self, environment: str, service: str) -> RolloutRow | None:
        """The newest rollout of a service."""
        with self._database.reading() as connection:
            return _latest(connection, environment, service)

    def history(self, environment: str, service: str) -> list[RolloutRow]:
        """All rollouts of a service, newest first."""
        with self._database.reading() as connection:
            return [RolloutRow(**row) for row in connection.execute(_newest(environment, service)).mappings()]

    def due_errands(self, now: float, limit: int = 20) -> list[Errand]:
        """What is to be done by now, oldest first."""
        query = select(tables.errands).where(_errands.done.is_(None) & (_errands.due <= now))
        return self._errands(query.order_by(_errands.created, _errands.id).limit(limit))

    def errands(self, limit: int = 100) -> list[Errand]:
        """Errands, newest first."""
        return self._errands(select(tables.errands).order_by(_errands.created.desc(), _errands.id).limit(limit))

    def finish_errand(self, id: str, now: float, result: str) -> None:
        """An errand is done."""
        self._update(tables.errands, _errands.id == id, done=now, result=result)

    def postpone_errand(self, id: str, due: float, problem: str) -> None:
        """An errand failed, and will be tried again at `due`."""
        self._update(tables.errands, _errands.id == id, due=due, result=problem, attempts=_errands.attempts + 1)

    def incidents(self, environment: str | None = None, service: str | None = None, limit: int = 100) -> list[Incident]:
        """Incidents, newest first."""
        query = select(tables.incidents).order_by(_incidents.opened.desc(), _incidents.id).limit(limit)
        for column, value in ((_incidents.environment, environment), (_incidents.service, service)):
            if value is not None:
                query = query.where(column == value)
        with self._database.reading() as connection:
            return [
                Incident(**{**row, "evidence": msgspec.json.decode(row["evidence"])})
                for row in connection.execute(query).mappings()
            ]

    def failures(self, service: str | None = None, limit: int = 1_000) -> list[Failure]:
        """Kept bad cases, newest first."""
        columns = tables.failures.c
        query = select(tables.failures).order_by(columns.created.desc(), columns.trace).limit(limit)
        if service is not None:
            query = query.where(columns.service == service)
        with self._database.reading() as connection:
            return [Failure(**row) for row in connection.execute(query).mappings()]

    def _errands(self, query: Any) -> list[Errand]:
        with self._database.reading() as connection:
            return [
                Errand(**{**row, "body": msgspec.json.decode(row["body"])})
                for row in connection.execute(query).mappings()
            ]

    def _update(self, table: Table, where: Any, **values: Any) -> None:
        with self._database.transaction() as connection:
            connection.execute(update(table).where(where).values(**values))


class Leases:
    """Who may do something now, where several processes could. A lease that is not renewed runs out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, owner: str, now: float, seconds: float) -> bool:
        """Take a lease, or renew one's own; whether it is the owner's until `now + seconds`."""
        columns = tables.leases.c
        with self._database.transaction(lock=f"lease {name}") as connection:
            found = connection.execute(select(tables.leases).where(columns.name == name)).first()
            if found is None:
                connection.execute(tables.leases.insert().values(name=name, owner=owner, until=now + seconds))
                return True
            if found.owner != owner and found.until > now:
                return False
            connection.execute(
                update(tables.leases).where(columns.name == name).values(owner=owner, until=now + seconds)
            )
            return True

    def give_back(self, name: str, owner: str) -> None:
        """End a lease of one's own."""
        columns = tables.leases.c
        with self._database.transaction(lock=f"lease {name}") as connection:
            connection.execute(tables.leases.delete().where((columns.name == name) & (columns.owner == owner)))


def _newest(environment: str, service: str) -> Any:
    where = (_rollouts.environment == environment) & (_rollouts.service == service)
    return select(tables.rollouts).where(where).order_by(_rollouts.id.desc())


def _latest(connection: Connection, environment: str, service: str) -> RolloutRow | None:
    row = connection.execute(_newest(environment, service).limit(1)).mappings().first()
    return None if row is None else RolloutRow(**row)


def _insert_new(connection: Connection, database: Database, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows but for those whose key is there."""
    if not rows:
        return
    if database.is_sqlite:
        from sqlalchemy.dialects.sqlite import insert
    else:
        from sqlalchemy.dialects.postgresql import insert
    connection.execute(insert(table).values(rows).on_conflict_do_nothing())

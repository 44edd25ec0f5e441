"""Releases: what gateways are told to serve, epoch by epoch."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sqlalchemy import func, select

from proveout.storage import tables
from proveout.storage.database import Database
from proveout.storage.records import Release

_columns = tables.releases.c
_JSON = ("weights", "shadow", "fallback")


class Releases:
    """Every release that was ever decided. The newest epoch of a service in an environment is the one to serve."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(self, release: Release) -> Release:
        """Make a release the current one, under the next epoch; returns it as it stands."""
        with self._database.transaction(lock=f"release {release.environment} {release.service}") as connection:
            newest = connection.execute(
                select(func.max(_columns.epoch)).where(
                    (_columns.environment == release.environment) & (_columns.service == release.service)
                )
            ).scalar()
            release = msgspec.structs.replace(release, epoch=(newest or 0) + 1, created=time.time())
            connection.execute(tables.releases.insert().values(release_values(release)))
        return release

    def current(self, environment: str) -> dict[str, Release]:
        """The newest release of each service."""
        newest = (
            select(_columns.service, func.max(_columns.epoch).label("epoch"))
            .where(_columns.environment == environment)
            .group_by(_columns.service)
            .subquery()
        )
        query = select(tables.releases).join(
            newest, (_columns.service == newest.c.service) & (_columns.epoch == newest.c.epoch)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.where(_columns.environment == environment)).mappings()
            return {row["service"]: _release(row) for row in rows}

    def history(self, environment: str, service: str) -> list[Release]:
        """All releases of a service, oldest first."""
        query = (
            select(tables.releases)
            .where((_columns.environment == environment) & (_columns.service == service))
            .order_by(_columns.epoch)
        )
        with self._database.reading() as connection:
            return [_release(row) for row in connection.execute(query).mappings()]


def release_values(release: Release) -> dict[str, Any]:
    """A release as values of its table's columns."""
    return {
        name: msgspec.json.encode(value).decode() if name in _JSON else value
        for name, value in msgspec.structs.asdict(release).items()
    }


def _release(row: Any) -> Release:
    fields = {name: row[name] for name in Release.__struct_fields__}
    return msgspec.convert({**fields, **{name: msgspec.json.decode(fields[name]) for name in _JSON}}, Release)

"""Releases: what gateways are told to serve, epoch by epoch."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from proveout.storage.driver import Driver, Row, columns_sql, insert_sql
from proveout.storage.records import Release

_COLUMNS = Release.__struct_fields__
_SELECT = f"SELECT {columns_sql(_COLUMNS)} FROM releases WHERE environment = ?"  # noqa: S608
_INSERT = insert_sql("releases", _COLUMNS)
_JSON = ("weights", "shadow", "fallback")


class Releases:
    """Every release that was ever decided. The newest epoch of a service in an environment is the one to serve."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def publish(self, release: Release) -> Release:
        """Make a release the current one, under the next epoch; returns it as it stands."""
        with self._driver.transaction(lock=f"release {release.environment} {release.service}") as transaction:
            ((newest,),) = transaction.query(
                "SELECT max(epoch) FROM releases WHERE environment = ? AND service = ?",
                (release.environment, release.service),
            )
            release = msgspec.structs.replace(release, epoch=(newest or 0) + 1, created=time.time())
            transaction.execute(_INSERT, tuple(release_values(release).values()))
        return release

    def current(self, environment: str) -> dict[str, Release]:
        """The newest release of each service."""
        newest = "(SELECT service, max(epoch) FROM releases WHERE environment = ? GROUP BY service)"
        rows = self._driver.query(f"{_SELECT} AND (service, epoch) IN {newest}", (environment, environment))
        return {release.service: release for release in map(_release, rows)}

    def history(self, environment: str, service: str) -> list[Release]:
        """All releases of a service, oldest first."""
        rows = self._driver.query(f"{_SELECT} AND service = ? ORDER BY epoch", (environment, service))
        return [_release(row) for row in rows]


def release_values(release: Release) -> dict[str, Any]:
    """A release as values of its table's columns, in their order."""
    return {
        name: msgspec.json.encode(value).decode() if name in _JSON else value
        for name, value in msgspec.structs.asdict(release).items()
    }


def _release(row: Row) -> Release:
    fields = dict(zip(_COLUMNS, row, strict=True))
    return msgspec.convert({**fields, **{name: msgspec.json.decode(fields[name]) for name in _JSON}}, Release)

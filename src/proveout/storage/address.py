"""A store's URL, read: which database it is, and what its options say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from proveout.storage.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import URL

DEFAULT_TIMEOUT_S = 30.0
_EXAMPLES = "Write sqlite:///path/to/store.db or postgresql://user:password@host/database."


class Address(msgspec.Struct, frozen=True):
    """Where a store is. `name` is its URL without the password; `url` is SQLAlchemy's, None for SQLite: the path is all
    there is, and SQLAlchemy takes long to import.
    """

    name: str
    timeout_s: float
    path: Path
    synchronous: str = "NORMAL"
    url: URL | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.url is None

    @classmethod
    def read(cls, url: str) -> Address:
        """
        Raises:
            StoreError: it is no URL of a database that can be used.
        """
        scheme, separator, rest = url.partition("://")
        return _sqlite(url, rest) if separator and scheme in ("sqlite", "sqlite+pysqlite") else _server(url)


def _sqlite(url: str, rest: str) -> Address:
    place, _, query = rest.partition("?")
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    shown = "&".join(f"{key}={'***' if 'password' in key else value}" for key, value in options.items())
    name = f"sqlite://{place}{'?' if shown else ''}{shown}"
    host, _, path = place.partition("/")
    if host:
        raise StoreError("url", name, "a SQLite store is a file, not a host; a path takes three slashes", _EXAMPLES)
    if path in ("", ":memory:"):
        raise StoreError("url", name, "a store in memory can't be shared or kept", _EXAMPLES)
    timeout_s = _seconds(options.pop("timeout", DEFAULT_TIMEOUT_S), name)
    synchronous = _synchronous(options.pop("synchronous", "NORMAL"), name)
    if options:
        known = "known ones are timeout and synchronous"
        raise StoreError("url", name, f"unknown option {sorted(options)[0]!r}; {known}", _EXAMPLES)
    return Address(name, timeout_s, Path(path), synchronous)


def _server(url: str) -> Address:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("url", _shortened(url), "this is no database URL", _EXAMPLES) from None
    name = _without_password(parsed)
    if parsed.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise StoreError("url", name, f"{parsed.drivername} is not supported", _EXAMPLES)
    try:
        import psycopg  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise StoreError(
            "driver", name, "PostgreSQL's driver is not installed", "pip install 'proveout[postgres]'."
        ) from None
    options = dict(parsed.query)
    timeout_s = _seconds(options.pop("timeout", DEFAULT_TIMEOUT_S), name)
    return Address(name, timeout_s, Path(), url=parsed.set(drivername="postgresql+psycopg", query=options))


def _without_password(url: URL) -> str:
    hidden = {name: "***" if "password" in name else value for name, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True)


def _shortened(url: str) -> str:
    """What can be shown of a text that could not be read as a URL, and might hold a password anywhere."""
    scheme, separator, _ = url.partition("://")
    return f"{scheme}://..." if separator else "(unreadable)"


def _seconds(value: Any, name: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 < seconds < 86_400:
        raise StoreError("url", name, f"timeout={value} is no number of seconds", "Write for instance ?timeout=30.")
    return seconds


def _synchronous(value: Any, name: str) -> str:
    choices = ("OFF", "NORMAL", "FULL", "EXTRA")
    if str(value).upper() not in choices:
        raise StoreError("url", name, f"synchronous={value} is unknown", f"Write one of {', '.join(choices)}.")
    return str(value).upper()

"""What can go wrong with a store, in one error that says what happened, where, and what to do."""

from __future__ import annotations

from typing import Any, Literal

Trouble = Literal[
    "url",
    "driver",
    "missing",
    "unreachable",
    "locked",
    "full",
    "disk",
    "read_only",
    "corrupt",
    "schema",
    "row",
    "closed",
    "other",
]


class StoreError(Exception):
    """The store could not do what was asked. Nothing that it acknowledged before is affected.

    `trouble` is a short stable word, `url` the store without its password, `what` happened, and `fix` says what to do.
    """

    def __init__(self, trouble: Trouble, url: str, what: str, fix: str) -> None:
        super().__init__(f"store {url}: {what}. {fix}")
        self.trouble: Trouble = trouble
        self.url = url
        self.what = what
        self.fix = fix


class WriterFull(StoreError):
    """The writer's queue is full and the caller would not wait."""

    def __init__(self, url: str, capacity: int) -> None:
        super().__init__(
            "other",
            url,
            f"{capacity} rows are waiting to be written",
            "Await put() instead, or send fewer rows a second.",
        )


def explain(error: BaseException, url: str) -> StoreError:
    """The StoreError for whatever a database driver (or SQLAlchemy around it) raised."""
    if isinstance(error, StoreError):
        return error
    cause: Any = getattr(error, "orig", None) or error
    sqlite_name = getattr(cause, "sqlite_errorname", None)
    sql_state = getattr(cause, "sqlstate", None)
    if sqlite_name:
        trouble = _sqlite_trouble(sqlite_name)
    elif type(cause).__module__.startswith("psycopg"):
        trouble = _postgres_trouble(cause, sql_state)
    else:
        trouble = "other"
    what, fix = _SENTENCES[trouble]
    detail = sqlite_name or sql_state
    first_line = str(cause).strip().partition("\n")[0]
    found = StoreError(trouble, url, f"{what} ({f'{detail}: ' if detail else ''}{first_line})", fix)
    found.__cause__ = cause
    return found


_SENTENCES: dict[Trouble, tuple[str, str]] = {
    "unreachable": (
        "the database server can't be reached",
        "Check that it runs and that the URL names the right host, port and user; then run the same command again.",
    ),
    "locked": (
        "another process held its lock for too long",
        "Wait for that process or end it, then run the same command again; ?timeout=SECONDS in the URL waits longer.",
    ),
    "full": (
        "there is no room left to write",
        "Free disk space, then run the same command again: what was finished is kept.",
    ),
    "disk": (
        "the disk refused to read or write",
        "Check the disk and its free space, then run the same command again: what was finished is kept.",
    ),
    "read_only": (
        "it can't be written",
        "Give this user write permission on the database and on its folder, or name another store.",
    ),
    "corrupt": (
        "the file is damaged or is no SQLite database",
        "Restore it from a backup, or move it away to begin an empty store.",
    ),
    "row": ("a row was refused", "Correct the row; the other rows of its batch were written."),
    "missing": (
        "it can't be opened",
        "Check that the path or database exists and that this user may use it.",
    ),
    "closed": ("it was closed", "Open the store again."),
    "other": ("the database refused", "See the cause; run the same command again once it is gone."),
}

_SQLITE_TROUBLES: dict[str, Trouble] = {
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_PROTOCOL": "locked",
    "SQLITE_FULL": "full",
    "SQLITE_IOERR": "disk",
    "SQLITE_READONLY": "read_only",
    "SQLITE_PERM": "read_only",
    "SQLITE_AUTH": "read_only",
    "SQLITE_CORRUPT": "corrupt",
    "SQLITE_NOTADB": "corrupt",
    "SQLITE_CANTOPEN": "missing",
    "SQLITE_CONSTRAINT": "row",
    "SQLITE_MISMATCH": "row",
    "SQLITE_TOOBIG": "row",
}


def _sqlite_trouble(name: str) -> Trouble:
    """Extended names such as SQLITE_IOERR_WRITE count as their primary one."""
    for primary, trouble in _SQLITE_TROUBLES.items():
        if name == primary or name.startswith(primary + "_"):
            return trouble
    return "other"


_POSTGRES_TROUBLES: dict[str, Trouble] = {
    "08": "unreachable",
    "22": "row",
    "23": "row",
    "25006": "read_only",
    "28": "unreachable",
    "3D": "missing",
    "42501": "read_only",
    "53100": "full",
    "55P03": "locked",
    "57": "unreachable",
    "53300": "unreachable",
    "58": "disk",
}


def _postgres_trouble(error: Any, sql_state: str | None) -> Trouble:
    """By SQLSTATE (PostgreSQL manual, appendix A); an operational error without one is a lost or refused connection."""
    if sql_state:
        for code in (sql_state, sql_state[:2]):
            if code in _POSTGRES_TROUBLES:
                return _POSTGRES_TROUBLES[code]
        return "other"
    if type(error).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout"):
        return "unreachable"
    return "row" if type(error).__name__ == "DataError" else "other"

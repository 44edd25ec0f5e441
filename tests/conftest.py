"""What all tests share: no proxy stands between them and their own servers, and property tests draw the same cases
every time.

Tests that take `url` or `store` run against SQLite and against a PostgreSQL server started for them.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

from proveout.cli import main
from proveout.storage import Store, open_store
from proveout.testing.servers import PostgresServer, ServerUnavailable, postgres_server

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("proveout", deadline=None, derandomize=True)
settings.load_profile("proveout")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxies this machine has, the tests' servers are reached directly."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def proveout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `proveout WORD ...` in this process, as a user would from a shell: its exit code and what it wrote."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["proveout", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the session (with pytest-xdist: for each worker)."""
    try:
        with postgres_server() as server:
            yield server
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kept/store.db"
    return request.getfixturevalue("postgres").create_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened

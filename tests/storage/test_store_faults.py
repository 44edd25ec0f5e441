"""What goes wrong around a store: every fault ends in one clear error, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proveout.storage import Store, StoreError, open_store
from proveout.testing.servers import PostgresServer

WRITING = """
    import asyncio, itertools, sys
    from proveout.storage import open_store

    async def write(store, lane):
        for number in itertools.count():
            key = f"{lane}-{number}"
            await store.calls.put(key.encode(), key.encode() * 20)
            print(key, flush=True)

    async def main():
        with open_store(sys.argv[1]) as store:
            await asyncio.gather(*(write(store, lane) for lane in range(16)))

    asyncio.run(main())
"""


def put(store: Store, *keys: bytes) -> None:
    async def put_all() -> None:
        await asyncio.gather(*(store.calls.put(key, b"generation") for key in keys))

    asyncio.run(put_all())


def python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Killed -------------------------------------------------------------------------------------------------------------


def test_what_was_acknowledged_survives_kill_9(url: str) -> None:
    open_store(url).close()
    moments = random.Random(7)
    for _ in range(4):
        child = python(WRITING, url)
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(20)]
        time.sleep(moments.uniform(0, 0.25))
        child.kill()
        acknowledged += child.stdout.read().split("\n")[:-1]  # `communicate` would pass by what is buffered here.
        assert child.stderr is not None
        errors = child.stderr.read()
        assert child.wait() == -signal.SIGKILL, errors
        assert len(acknowledged) >= 20
        with open_store(url) as store:
            kept = store.calls.get_many([key.encode() for key in acknowledged])
        assert {key.decode() for key in kept} == set(acknowledged)
        assert all(generation == key * 20 for key, generation in kept.items())


# Full ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, size: str, *options: str) -> Iterator[Path]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def fill(store: Store) -> tuple[list[bytes], StoreError]:
    """Put calls until the store refuses; returns those acknowledged, and the refusal."""
    acknowledged: list[bytes] = []
    for number in range(10_000):
        key = f"{number}".encode()
        try:
            await store.calls.put(key, os.urandom(20_000))
        except StoreError as error:
            return acknowledged, error
        acknowledged.append(key)
    raise AssertionError("the disk never got full")


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1_000_000))
        with open_store(f"sqlite:///{disk}/store.db") as store:
            acknowledged, error = asyncio.run(fill(store))
            assert error.trouble == "full"
            assert "Free disk space" in str(error)
            assert store.calls.get_many(acknowledged).keys() == set(acknowledged)
            ballast.unlink()
            put(store, b"after")
        with open_store(f"sqlite:///{disk}/store.db") as store:
            kept = store.calls.get_many([*acknowledged, b"after"])
    assert len(acknowledged) > 20
    assert kept.keys() == {*acknowledged, b"after"}


def test_a_limit_on_file_size_is_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            acknowledged, error = asyncio.run(fill(store))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert error.trouble in ("disk", "full")
        put(store, b"after")
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        assert store.calls.get_many([*acknowledged, b"after"]).keys() == {*acknowledged, b"after"}


# Locked -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked_by_another(url: str) -> Iterator[None]:
    """Another connection that lets nobody write calls."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///").partition("?")[0], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
    else:
        import psycopg

        connection = psycopg.connect(url.partition("?")[0])
        connection.execute("LOCK TABLE calls IN EXCLUSIVE MODE")
    try:
        yield
    finally:
        connection.close()


def test_a_lock_held_too_long_is_a_clear_error_and_writing_goes_on_after(url: str) -> None:
    with open_store(f"{url}?timeout=0.3") as store:
        put(store, b"before")
        with locked_by_another(url):
            began = time.monotonic()
            with pytest.raises(StoreError, match=r"another process held its lock.*\?timeout=SECONDS") as caught:
                put(store, b"during", b"too")
            assert 0.25 < time.monotonic() - began < 5
            assert caught.value.trouble == "locked"
            assert store.calls.get(b"before") == b"generation"
        put(store, b"after")
        assert store.calls.get_many([b"before", b"during", b"too", b"after"]).keys() == {b"before", b"after"}


def test_a_lock_held_briefly_is_waited_for(url: str) -> None:
    async def put_while_locked(store: Store) -> None:
        with locked_by_another(url):
            waiting = asyncio.ensure_future(store.calls.put(b"key", b""))
            await asyncio.sleep(0.3)
            assert not waiting.done()
        await waiting

    with open_store(f"{url}?timeout=20") as store:
        asyncio.run(put_while_locked(store))
        assert store.calls.get(b"key") == b""


def test_a_locked_file_can_not_be_made_a_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    with locked_by_another(url), pytest.raises(StoreError) as caught:
        open_store(f"{url}?timeout=0.2")
    assert caught.value.trouble == "locked"
    open_store(url).close()


# Shared -------------------------------------------------------------------------------------------------------------


def write_many(url: str, worker: int, number: int) -> None:
    with open_store(url) as store:
        put(
            store,
            *(f"{worker} {row}".encode() for row in range(number)),
            *(f"both {row}".encode() for row in range(number)),
        )


def test_several_processes_open_a_new_store_and_write_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(url, worker, 500)) for worker in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    with open_store(url) as store:
        expected = [f"{owner} {row}".encode() for owner in (0, 1, 2, 3, "both") for row in range(500)]
        assert store.calls.get_many(expected).keys() == set(expected)


# Broken files and folders -------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("id,text\n" * 1_000)
    with pytest.raises(StoreError, match="is damaged or is no SQLite database") as caught:
        open_store(f"sqlite:///{tmp_path}/store.db")
    assert caught.value.trouble == "corrupt"
    assert (tmp_path / "store.db").read_text() == "id,text\n" * 1_000


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with open_store(f"sqlite:///{path}") as store:
        put(store, *(f"{number}".encode() for number in range(2_000)))
    content = bytearray(path.read_bytes())
    spared = 2**17  # The pages that describe the tables, which opening reads.
    content[spared:] = bytes(len(content) - spared)
    path.write_bytes(content)
    with (
        open_store(f"sqlite:///{path}") as store,
        pytest.raises(StoreError, match="Restore it from a backup") as caught,
    ):
        put(store, b"key")
    assert caught.value.trouble == "corrupt"


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"its folder .*file/kept can't be made"):
        open_store(f"sqlite:///{tmp_path}/file/kept/store.db")


def test_a_path_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it can't be opened"):
        open_store(f"sqlite:///{tmp_path}")


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A folder that this process may read but not write, which for root takes a disk mounted so."""
    if os.geteuid() == 0:
        with small_disk(folder, "8m") as disk:
            open_store(f"sqlite:///{disk}/old.db").close()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            yield disk
    else:
        folder.mkdir()
        open_store(f"sqlite:///{folder}/old.db").close()
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)


@pytest.mark.parametrize("name", ["new.db", "old.db", "new/store.db"])
def test_a_read_only_folder(tmp_path: Path, name: str) -> None:
    def use(folder: Path) -> None:
        with open_store(f"sqlite:///{folder}/{name}") as store:
            put(store, b"key")

    with read_only(tmp_path / "folder") as folder, pytest.raises(StoreError) as caught:
        use(folder)
    assert caught.value.trouble in ("missing", "read_only")


# A database server that dies ----------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_dead_server_is_a_clear_error_and_writing_goes_on_when_it_is_back(postgres: PostgresServer) -> None:
    url = f"{postgres.create_database()}?timeout=0.5"
    with open_store(url) as store:
        put(store, b"before")
        run = store.runs.start(change="c", service="s", stage="dev", champion="a", challenger="b")
        postgres.kill()
        try:
            with pytest.raises(StoreError, match="the database server can't be reached") as caught:
                put(store, b"during")
            assert caught.value.trouble == "unreachable"
            assert postgres.password not in str(caught.value)
            with pytest.raises(StoreError, match="can't be reached"):
                store.calls.get(b"before")
            with pytest.raises(StoreError, match="can't be reached"):
                store.runs.get(run.id)
            with pytest.raises(StoreError, match="can't be reached"):
                open_store(url)
        finally:
            postgres.start()
        put(store, b"after")
        assert store.calls.get_many([b"before", b"after"]).keys() == {b"before", b"after"}
        assert store.runs.get(run.id) == run


@pytest.mark.postgres
def test_a_server_that_restarts_in_mid_run_is_waited_for(postgres: PostgresServer) -> None:
    async def put_over_restart(store: Store) -> None:
        await store.calls.put(b"before", b"")
        postgres.stop()
        waiting = [asyncio.ensure_future(store.calls.put(f"{number}".encode(), b"")) for number in range(300)]
        await asyncio.sleep(0.3)
        assert not any(row.done() for row in waiting)
        postgres.start()
        await asyncio.gather(*waiting)

    with open_store(f"{postgres.create_database()}?timeout=30") as store:
        asyncio.run(put_over_restart(store))
        keys = [b"before", *(f"{number}".encode() for number in range(300))]
        assert store.calls.get_many(keys).keys() == set(keys)


# Addresses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("store.db", "this is no database URL"),
        ("", "this is no database URL"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://root@localhost/x", "mysql is not supported"),
        ("sqlite:///x.db?timeout=soon", "timeout=soon is no number of seconds"),
        ("sqlite:///x.db?timeout=-1", "no number of seconds"),
        ("sqlite:///x.db?synchronous=maybe", "Write one of OFF, NORMAL, FULL, EXTRA"),
        ("sqlite:///x.db?cache=shared", "unknown option 'cache'"),
    ],
)
def test_a_wrong_address_says_what_to_write(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as caught:
        open_store(url)
    assert caught.value.trouble == "url"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:s3cret@127.0.0.1:1/x?timeout=1",
        "postgresql://127.0.0.1:1/x?user=ann&password=s3cret&timeout=1",
        "postgresql://ann:s3cret@127.0.0.1:port/x",
        "mysql://ann:s3cret@127.0.0.1/x",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(url)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


@pytest.mark.postgres
def test_a_wrong_password_and_an_absent_database(postgres: PostgresServer) -> None:
    with pytest.raises(StoreError, match="password authentication failed"):
        open_store(postgres.url().replace(postgres.password, "wr0ng") + "?timeout=1")
    with pytest.raises(StoreError, match='database "absent" does not exist'):
        open_store(postgres.url("absent") + "?timeout=1")


def test_synchronous_full_reaches_sqlite(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.db?synchronous=full") as store, store.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"

"""Real servers for tests: started on free ports of the loopback interface, and gone when the test process is, however
it ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0

# Runs a server ("$@") as its child, and ends it on a line from standard input. If that closes without one, the parent
# has died, perhaps by kill -9: then the server's folder goes too.
_KEEPER = """
exec 3<&0
"$@" 3<&- & server=$!
(
    read -r order || order=vanish
    kill -INT $server
    while kill -0 $server; do sleep 0.05; done
    if [ $order = vanish ]; then rm -rf "$PWD"; fi
) <&3 3<&- 2>/dev/null &
wait $server
"""


class ServerUnavailable(Exception):
    """A server can't be started here: its programs are not installed, or it did not come up; the message says which."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S, interval_s: float = 0.02
) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: it did not come true in time; names `what` was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(interval_s)


def wait_for_port(port: int, host: str = "127.0.0.1", *, timeout_s: float = PATIENCE_S) -> None:
    """Wait until something accepts connections on a port.

    Raises:
        TimeoutError: nothing did in time.
    """

    def accepts() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
        return False

    wait_until(accepts, f"{host}:{port} to accept connections", timeout_s=timeout_s)


class PostgresServer:
    """A PostgreSQL server of one's own, made by `postgres_server()`. Its data outlive `stop`, `kill` and `start`."""

    user = "proveout"

    def __init__(self, programs: Path, folder: Path, owner: pwd.struct_passwd | None) -> None:
        self._programs = programs
        self._folder = folder
        self._owner = owner
        self._keeper: subprocess.Popen[Any] | None = None
        self.password = secrets.token_urlsafe(12)
        self.port = free_port()

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"

    def program(self, name: str) -> Path:
        """One of the programs that came with the server, such as `pg_dump`."""
        return self._programs / name

    def create_database(self) -> str:
        """The address of a new, empty database."""
        import psycopg

        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # pyright: ignore[reportArgumentType, reportCallIssue]
        return self.url(name)

    def initialise(self) -> None:
        """Make the server's data folder."""
        password_file = self._folder / "password"
        password_file.write_text(self.password)
        if self._owner is not None:
            for path in (self._folder, password_file):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        command = [
            self._programs / "initdb",
            *("--pgdata", self._data, "--username", self.user, "--pwfile", password_file),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_owner())  # noqa: S603
        if done.returncode:
            raise ServerUnavailable(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerUnavailable: it ended at once; the message has its log.
        """
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
            "max_connections": 100,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(  # noqa: S603
                ["/bin/sh", "-c", _KEEPER, "keeper", self._programs / "postgres", "-D", self._data, *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_owner(),
            )
        wait_until(self._answers, "PostgreSQL to answer")

    def stop(self) -> None:
        """Shut it down in good order; its clients are disconnected. Idempotent."""
        keeper, self._keeper = self._keeper, None
        _end(keeper)

    def kill(self) -> None:
        """Crash it, as by `kill -9`: its helper processes die of that themselves."""
        os.kill(int((self._data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        self.stop()

    def _answers(self) -> bool:
        import psycopg

        if self._keeper is None or self._keeper.poll() is not None:
            raise ServerUnavailable(f"PostgreSQL ended at once: {(self._folder / 'log').read_text()[-2000:]}")
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _as_owner(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root, so that root hands it to somebody else."""
        shared: dict[str, Any] = {
            "cwd": self._folder,
            "env": {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        }
        if self._owner is None:
            return shared
        return {**shared, "user": self._owner.pw_uid, "group": self._owner.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with an empty data folder, stopped and deleted at the end.

    Raises:
        ServerUnavailable: PostgreSQL's server programs are not installed.
    """
    programs = _postgres_programs()
    folder = Path(tempfile.mkdtemp(prefix="proveout-postgres-", dir="/tmp" if os.geteuid() == 0 else None))  # noqa: S108
    server = PostgresServer(programs, folder, _somebody() if os.geteuid() == 0 else None)
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`: on the PATH, or where Debian, Red Hat and Homebrew put them; the newest
    wins.
    """
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for pattern in (
        "usr/lib/postgresql/*/bin",
        "usr/pgsql-*/bin",
        "opt/homebrew/opt/postgresql@*/bin",
        "usr/local/opt/postgresql@*/bin",
    ):
        folders += sorted(Path("/").glob(pattern), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServerUnavailable(
        "PostgreSQL's server programs (initdb, postgres) are not installed; make test installs them"
    )


def _somebody() -> pwd.struct_passwd:
    """An unprivileged user: `postgres`, or else `nobody`."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerUnavailable("root can't run PostgreSQL, and there is no user postgres or nobody")


class RedisServer:
    """A Redis server of one's own, made by `redis_server()`. It keeps nothing: after `kill` and `start` it is empty."""

    _pid = 0

    def __init__(self, program: str, folder: Path, password: str | None, others: Mapping[str, str]) -> None:
        self._program = program
        self._folder = folder
        self._others = others
        self._keeper: subprocess.Popen[Any] | None = None
        self.password = password
        self.port = free_port()

    @property
    def url(self) -> str:
        login = "" if self.password is None else f":{self.password}@"
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerUnavailable: it ended at once; the message has its log.
        """
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no", "loglevel": "warning"}
        if self.password is not None:
            options["requirepass"] = self.password
        options |= self._others
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._keeper = _kept([self._program, *arguments], self._folder)
        wait_until(self._answers, "Redis to answer")

    def stop(self) -> None:
        """End it. Idempotent."""
        _end(self._keeper)
        self._keeper = None

    def kill(self) -> None:
        """Crash it, as by `kill -9`; its clients' connections are reset."""
        self._signal(signal.SIGKILL)
        self.stop()

    def freeze(self) -> None:
        """Let it answer nobody, while its connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def ask(self, *command: str | bytes) -> Any:
        """The reply to one command.

        Raises:
            OSError: it does not answer.
        """
        from proveout.gateway.resp import Replies, encoded

        login = [] if self.password is None else [("AUTH", self.password)]
        replies, found = Replies(), []
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(b"".join(map(encoded, [*login, command])))
            while len(found) <= len(login):
                data = connection.recv(65536)
                if not data:
                    raise ConnectionResetError
                found += replies.feed(data)
        return found[-1]

    def _answers(self) -> bool:
        if self._keeper is None or self._keeper.poll() is not None:
            raise ServerUnavailable(f"Redis ended at once: {(self._folder / 'log').read_text()[-2000:]}")
        try:
            found = re.search(rb"process_id:([0-9]+)", self.ask("INFO", "server"))
        except OSError:
            return False
        self._pid = 0 if found is None else int(found[1])
        return found is not None


@contextlib.contextmanager
def redis_server(password: str | None = None, others: Mapping[str, str] | None = None) -> Iterator[RedisServer]:
    """An empty Redis server with these other settings, stopped at the end.

    Raises:
        ServerUnavailable: Redis is not installed.
    """
    program = _program("redis-server", "Redis")
    with tempfile.TemporaryDirectory(prefix="proveout-redis-", ignore_cleanup_errors=True) as folder:
        server = RedisServer(program, Path(folder), password, others or {})
        try:
            server.start()
            yield server
        finally:
            server.thaw()
            server.stop()


@contextlib.contextmanager
def prometheus_server(settings: str, *, rules: Sequence[Path] = ()) -> Iterator[str]:
    """A Prometheus server with these `scrape_configs` (YAML) and rule files; gives its address.

    Raises:
        ServerUnavailable: Prometheus is not installed, or does not take the settings.
    """
    program = _program("prometheus", "Prometheus")
    with tempfile.TemporaryDirectory(prefix="proveout-prometheus-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        named = "".join(f"\n  - {path.resolve()}" for path in rules) or " []"
        (folder / "prometheus.yml").write_text(f"rule_files:{named}\nscrape_configs:\n{settings}\n")
        address = f"127.0.0.1:{free_port()}"
        keeper = _kept(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--log.level=warn",
            ],
            folder,
        )

        def ready() -> bool:
            if keeper.poll() is not None:
                raise ServerUnavailable(f"Prometheus ended at once: {(folder / 'log').read_text()[-2000:]}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=2):
                return True
            return False

        try:
            wait_until(ready, "Prometheus to be ready")
            yield f"http://{address}"
        finally:
            _end(keeper)


def _program(name: str, called: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ServerUnavailable(f"{called}'s server program ({name}) is not installed; make test installs it")
    return found


def _kept(command: Sequence[str], folder: Path) -> subprocess.Popen[Any]:
    """A server that ends when this process does, with its log in `log`."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _KEEPER, "keeper", *command],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _end(keeper: subprocess.Popen[Any] | None) -> None:
    if keeper is not None and keeper.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            keeper.communicate(b"stop\n", PATIENCE_S)

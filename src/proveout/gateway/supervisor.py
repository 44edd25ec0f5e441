"""Several gateway processes on one port: each listens for itself (SO_REUSEPORT), and one that dies is replaced."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from proveout import wire
from proveout.gateway.catalog import CannotServe
from proveout.gateway.process import Listening, serve
from proveout.gateway.releases import UnknownEnvironment
from proveout.gateway.serving import reseed
from proveout.gateway.shared_metrics import MetricsFolder
from proveout.project.records import Project

log = logging.getLogger("proveout.gateway")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
STEADY_S = 10.0
"""A process that lived this long is replaced at once."""


class WorkerFailed(RuntimeError):
    """A process of the gateway could not start; it has said why."""


def supervise(
    project: Project,
    environment: str,
    listening: Listening,
    workers: int,
    announce: Callable[[str, Project], object],
) -> None:
    """Run `workers` processes until SIGTERM or SIGINT.

    Raises:
        OSError: the address can't be listened on.
        WorkerFailed: the processes could not start.
    """
    with _reserved(listening.host, listening.port) as reserved:
        listening = Listening(listening.host, reserved.getsockname()[1], True, listening.drain_s)
        folder = Path(tempfile.mkdtemp(prefix="proveout-gateway-"))
        try:
            _Supervisor(project, environment, listening, MetricsFolder(folder), announce).run(workers)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _reserved(host: str, port: int) -> socket.socket:
    """The port, held but not listened on, so that all processes get the same one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


class _Supervisor:
    def __init__(
        self,
        project: Project,
        environment: str,
        listening: Listening,
        folder: MetricsFolder,
        announce: Callable[[str, Project], object],
    ) -> None:
        self._project = project
        self._environment = environment
        self._listening = listening
        self._folder = folder
        self._announce = announce
        self._born: dict[int, float] = {}
        self._stopping = False
        self._asked = False
        """A signal asked for the end."""
        self._pause = FIRST_PAUSE_S

    def run(self, workers: int) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        ready, told = os.pipe()
        for _ in range(workers):
            self._start(told)
        os.close(told)
        if not self._all_ready(ready, workers):
            self._stop()
            self._reap_all()
            if self._asked:
                return
            raise WorkerFailed("the gateway's processes could not start; each has said why")
        url = f"http://{self._listening.host}:{self._listening.port}"
        self._announce(url, self._project)
        while self._born:
            pid, status = _wait()
            born = self._born.pop(pid, None)
            if born is None:
                continue
            self._folder.bury(pid)
            if not self._stopping:
                self._replace(pid, status, time.monotonic() - born)

    def _replace(self, pid: int, status: int, lived_s: float) -> None:
        log.warning("process %d ended (%s) and is replaced", pid, _described(status))
        if lived_s < STEADY_S:
            time.sleep(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        else:
            self._pause = FIRST_PAUSE_S
        if not self._stopping:
            self._start(None)

    def _start(self, told: int | None) -> None:
        pid = os.fork()
        if pid == 0:
            self._work(told)
        self._born[pid] = time.monotonic()

    def _work(self, told: int | None) -> NoReturn:
        """The child's life. It never returns into the parent's code."""
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            reseed()

            def announce(url: str) -> None:
                if told is not None:
                    os.write(told, b".")
                    os.close(told)

            wire.run(serve(self._project, self._environment, self._listening, announce=announce, folder=self._folder))
            code = 0
        except (CannotServe, UnknownEnvironment, OSError) as error:
            print(error, file=sys.stderr, flush=True)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _all_ready(self, ready: int, workers: int) -> bool:
        heard = 0
        while heard < workers:
            said = os.read(ready, workers)
            if not said:
                break
            heard += len(said)
        os.close(ready)
        return heard == workers

    def _end(self, number: int, frame: object) -> None:
        self._asked = True
        self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for pid in self._born:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue

    def _reap_all(self) -> None:
        while self._born:
            pid, _ = _wait()
            self._born.pop(pid, None)


def _wait() -> tuple[int, int]:
    while True:
        try:
            return os.wait()
        except InterruptedError:
            continue


def _described(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"

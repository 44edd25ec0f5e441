"""Runs code that a model wrote, where it can do no harm: own namespaces, an empty root, no network, hard limits,
killed as a whole.

With `namespaces` (Linux 5.14 or newer, user namespaces allowed) the code sees a file system that holds Python and
nothing else, no network, no other process, no environment and no privileges. With `process` it is only limited: it
can read what the user can, and reach the network. Either way it runs in an interpreter of its own, and what ran is
dead when `run` returns.

The code and its tests share that interpreter. A code that ends early can't pass, as only the line after the last
test reports success; but code that is out to deceive its own tests can always do so (it could rewrite what `==`
means), so read what passes before you trust it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Isolation = Literal["namespaces", "process"]

_CHILD = Path(__file__).with_name("sandbox_child.py")
_KEPT_OUTPUT = 16_384
_MOST_OUTPUT = 4 * 1024 * 1024
_START_UP_S = 5.0
_LAST_WORDS_S = 2.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """What the code may use. Memory is per process; files and memory of all processes end with it."""

    wall_s: float = 10.0
    cpu_s: int = 5
    memory_mb: int = 256
    disk_mb: int = 16
    processes: int = 4


@dataclass(frozen=True, slots=True)
class SandboxResult:
    """Whether the tests passed, why not, and the end of what the code wrote."""

    passed: bool
    reason: str
    output: str


class SandboxUnavailable(Exception):
    """This machine can't run code that way. Nothing was run."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way to run untrusted Python."""

    limits: Limits = Limits()
    isolation: Isolation = "namespaces"

    def problem(self) -> str | None:
        """Why this machine can't run code that way; None where it can. Tried out once per process."""
        return _problem(self.isolation)

    async def run(self, code: str, tests: str) -> SandboxResult:
        """Run code, then its tests in the same namespace. As many run at once as there are processors.

        Raises:
            SandboxUnavailable: the isolation could not be set up.
        """
        stopped = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(_workers(), self._run, code, tests, stopped)
        except asyncio.CancelledError:
            stopped.set()
            raise

    def _run(self, code: str, tests: str, stopped: threading.Event) -> SandboxResult:
        nonce = secrets.token_hex(16)
        task = {
            "nonce": nonce,
            "code": code,
            "tests": tests,
            "isolation": self.isolation,
            "prefixes": sorted({sys.base_prefix, sys.base_exec_prefix}),
            **asdict(self.limits),
        }
        with tempfile.TemporaryDirectory(prefix="proveout-") as folder, tempfile.TemporaryFile() as stdin:
            stdin.write(json.dumps(task).encode())
            stdin.seek(0)
            process = subprocess.Popen(  # noqa: S603
                [os.path.realpath(sys.executable), "-I", "-S", "-B", "-X", "utf8", str(_CHILD)],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={},
                start_new_session=True,
            )
            try:
                reported, output, ended = _follow(process, time.monotonic() + self.limits.wall_s + _START_UP_S, stopped)
            finally:
                _end(process)
        return _result(reported, output.decode("utf-8", "replace"), ended, nonce, self.limits)


def _follow(process: subprocess.Popen[bytes], deadline: float, stopped: threading.Event) -> tuple[bytes, bytes, str]:
    """What it reported, the end of what it wrote, and how it ended: `exit`, `time` or `output`."""
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    kept = {pipe.fileno(): bytearray() for pipe in pipes}
    reported, output = kept.values()
    total, ended = 0, "exit"
    with selectors.DefaultSelector() as selector:
        for pipe in kept:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=_LOOK_EVERY_S):
                chunk = os.read(key.fd, 65_536)
                if not chunk:
                    selector.unregister(key.fd)
                kept[key.fd] += chunk
                del kept[key.fd][:-_KEPT_OUTPUT]
                total += len(chunk)
            if total > _MOST_OUTPUT:
                ended = "output"
                break
            if time.monotonic() > deadline or stopped.is_set():
                ended = "time"
                break
    return bytes(reported), bytes(output), ended


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it end what the code left running, then end the process group itself."""
    with process, contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="proveout-sandbox")


def _result(reported: bytes, output: str, ended: str, nonce: str, limits: Limits) -> SandboxResult:
    lines = reported.decode("ascii", "replace").split()
    if f"ready:{nonce}" not in lines:
        raise SandboxUnavailable(f"the sandbox could not be set up: {_last_line(output) or 'it did not start'}")
    if f"passed:{nonce}" in lines and ended != "output":
        return SandboxResult(True, "", output)
    if ended == "time" or f"late:{nonce}" in lines:
        reason = f"ran longer than {limits.wall_s:g} s"
    elif ended == "output":
        reason = f"wrote more than {_MOST_OUTPUT >> 20} MB"
    else:
        reason = _last_line(output) or "ended before its tests did"
    return SandboxResult(False, reason, output)


def _last_line(output: str) -> str:
    return next((line.strip()[:300] for line in reversed(output.splitlines()) if line.strip()), "")


@functools.cache
def _problem(isolation: Isolation) -> str | None:
    try:
        result = Sandbox(Limits(), isolation)._run("answer = 42", "assert answer == 42", threading.Event())
    except (SandboxUnavailable, OSError) as error:
        return str(error)
    return None if result.passed else f"a program that must pass did not: {result.reason}"

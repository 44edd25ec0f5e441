"""`proveout up`: everything that runs long, as children of one process that one Ctrl-C stops."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from proveout.cli.exits import BAD_INPUT, COULD_NOT_MEASURE, leave
from proveout.cli.running import load

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 10.0
"""A child that lived this long is started again at once."""
PATIENCE_S = 40.0
"""For a child to end when told to: the gateway lets requests in flight finish."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Part:
    """One long-running command. `ready` is found in what it prints once it works."""

    def __init__(self, name: str, arguments: Sequence[str], ready: str) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.said = ""
        """The line that said so."""
        self._arguments = [sys.executable, "-u", "-m", "proveout", name, *arguments]
        self._sign = re.compile(ready)
        self._process: asyncio.subprocess.Process | None = None

    async def live(self) -> int:
        """Run it once, and show what it says; its exit code."""
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the parent, which tells its children.
            preexec_fn=_die_with_parent(),
        )
        assert self._process.stdout is not None
        try:
            while line := await _line(self._process.stdout):
                print(f"{self.name:<10} | {line}", flush=True)
                if not self.ready.is_set() and self._sign.search(line):
                    self.said = line
                    self.ready.set()
            return await self._process.wait()
        finally:
            await self._end()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE_S)
        except (TimeoutError, asyncio.CancelledError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def up(folder: Path, *, environment: str, host: str, port: int, workers: int) -> None:
    """Run gateway and controller until SIGINT or SIGTERM. One that dies is started again; one that can't start ends
    all, with its exit code.
    """
    project = load(folder)
    where = ["--project", str(project.root)]
    served = ["--environment", environment, "--host", host, "--port", str(port), "--workers", str(workers)]

    def parts() -> list[Part]:
        return [
            Part("gateway", [*where, *served], r"https?://\S+/v1"),
            Part("controller", where, r"^Controlling environments"),
        ]

    code = asyncio.run(_run_all(parts, lambda parts: _announce(parts, project.name)))
    if code:
        leave("All is stopped.", code)


async def _run_all(make: Callable[[], list[Part]], announce: Callable[[list[Part]], None]) -> int:
    """The exit code of all: 0 where it was told to stop."""
    told = asyncio.Event()
    again = asyncio.Event()

    def stop() -> None:
        (again if told.is_set() else told).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    parts = make()
    lives = [asyncio.create_task(_kept_alive(part)) for part in parts]
    waits = [asyncio.create_task(event.wait()) for event in (told, again)]
    ready = asyncio.create_task(_all_ready(parts, announce))
    ended, _ = await asyncio.wait([*lives, waits[0]], return_when=asyncio.FIRST_COMPLETED)
    code = next((life.result() for life in lives if life in ended), 0)
    ready.cancel()
    for life in lives:
        life.cancel()
    everything = asyncio.gather(*lives, return_exceptions=True)
    await asyncio.wait([everything, waits[1]], return_when=asyncio.FIRST_COMPLETED)
    for life in lives:  # Asked a second time: no more waiting.
        life.cancel()
    await everything
    for wait in waits:
        wait.cancel()
    return code


async def _kept_alive(part: Part) -> int:
    """Start a part again whenever it dies; the exit code of one that can't start."""
    pause = FIRST_PAUSE_S
    while True:
        born = time.monotonic()
        code = await part.live()
        if not part.ready.is_set() or code == BAD_INPUT:
            return code or COULD_NOT_MEASURE
        lived = time.monotonic() - born
        pause = FIRST_PAUSE_S if lived >= STEADY_S else min(pause * 2, LONGEST_PAUSE_S)
        print(f"{part.name:<10} | ended with {_described(code)} and is started again", flush=True)
        await asyncio.sleep(pause)


async def _all_ready(parts: list[Part], announce: Callable[[list[Part]], None]) -> None:
    for part in parts:
        await part.ready.wait()
    announce(parts)


def _announce(parts: list[Part], project: str) -> None:
    found = re.search(r"(https?://\S+)/v1", parts[0].said)
    url = found[1] if found else ""
    print(
        f"\n{project} is up.\n"
        f"  Ask           {url}/v1   (any OpenAI client; `model` is a service)\n"
        f"  What serves   {url}/readyz\n"
        f"  Metrics       {url}/metrics\n"
        f"  Deliver       proveout rollout start CHANGE, then proveout rollout status SERVICE\n"
        f"Ctrl-C stops all.\n",
        flush=True,
    )


async def _line(stream: asyncio.StreamReader) -> str:
    """The next line; empty at the end. One longer than the buffer comes in pieces."""
    try:
        data = await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as rest:
        data = rest.partial
    except asyncio.LimitOverrunError as over:
        data = await stream.readexactly(over.consumed)
    text = data.decode(errors="replace").rstrip("\n")
    return text or (" " if data else "")


def _described(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> Callable[[], object] | None:
    """What a child does first so that it does not outlive a parent that was killed. Only Linux can."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_DIE_WITH_PARENT, signal.SIGTERM)

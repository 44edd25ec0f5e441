"""`proveout controller`: the loop around the controller, its errands, and the door for alerts from outside."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proveout.delivery.controller import Controller
from proveout.delivery.door import Door
from proveout.delivery.errands import Runner
from proveout.delivery.git import GitError, Repository
from proveout.delivery.scoring import OnlineScoring
from proveout.project import Project
from proveout.project.problems import ProjectError
from proveout.storage.errors import StoreError
from proveout.storage.store import Store
from proveout.wire import serve

log = logging.getLogger("proveout.controller")

DECLARED = ("proveout.yaml", "environments/*.yaml", "services/*/*.yaml", "services/*/*/*")


@dataclass(frozen=True, slots=True)
class Options:
    """How a controller runs. `interval_s`: how often to look at what was served, if looking is quick: it takes no more
    than a tenth of the time. `pull_s`: how often to ask git for what was merged; None: never.

    `port` None opens no door; `token` must come as bearer with every alert, where it is set. `approvers` are people
    who may approve through the door, each with a token of their own.
    """

    environments: tuple[str, ...] | None = None
    interval_s: float = 0.1
    pull_s: float | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    token: str | None = field(default=None, repr=False)
    approvers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    once: bool = False


class Declared:
    """The project as its files say by now; as they said last where they can't be read just now."""

    def __init__(self, load: Callable[[], Project]) -> None:
        self._load = load
        self._project: Project = load()
        self._seen: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def __call__(self) -> Project:
        with self._lock:
            marks = _marks(self._project.root)
            if marks != self._seen:
                self._seen = marks
                try:
                    self._project = self._load()
                    log.info("read the project's files")
                except ProjectError as error:
                    log.error("the project's files can't be used, so the last good ones hold: %s", error)
            return self._project


def _marks(root: Path) -> dict[Path, tuple[int, int]]:
    """When each declared file was last written, and how long it is."""
    marks: dict[Path, tuple[int, int]] = {}
    for pattern in DECLARED:
        for path in root.glob(pattern):
            with contextlib.suppress(OSError):
                stat = path.stat()
                marks[path] = (stat.st_mtime_ns, stat.st_size)
    return marks


async def run_controller(
    store: Store,
    load: Callable[[], Project],
    options: Options,
    *,
    clock: Callable[[], float] = time.time,
    announce: Callable[[str], None] = lambda line: None,
) -> None:
    """Run until cancelled (or once). A store that can't be reached is waited for; gateways serve on meanwhile."""
    declared = Declared(load)
    controller = Controller(store, declared, clock, environments=options.environments)
    runner = Runner(store, declared, clock)
    scoring = OnlineScoring(store, declared, clock, environments=options.environments)
    server = None
    if options.port is not None:
        door = Door(controller, store, declared, clock, alert_token=options.token, approvers=options.approvers)
        server = await serve(door, host=options.host, port=options.port)
        url = f"http://{options.host}:{server.port}"
        announce(f"Alerts in Alertmanager's format are taken at {url}/alerts")
        if options.approvers:
            announce(f"Approvals are taken at {url}/approvals from {', '.join(options.approvers)}")
    names = ", ".join(options.environments or declared().environments) or "none"
    announce(f"Controlling environments: {names}. Ctrl-C stops it.")
    beside: dict[str, asyncio.Task[int]] = {}
    pull: asyncio.Task[None] | None = None
    pulled = -1e9
    try:
        if options.once and options.pull_s is not None:
            await asyncio.to_thread(_pull, declared().root)
        while True:
            began = time.perf_counter()
            try:
                await asyncio.to_thread(controller.tick)
                for name, work in (("errands", runner.run_due), ("online scoring", scoring.run_all)):
                    if name not in beside or beside[name].done():
                        _look(name, beside.get(name))
                        beside[name] = asyncio.create_task(work())
            except StoreError as error:
                log.error("%s", error)
            looked = time.perf_counter() - began
            if options.pull_s is not None and clock() - pulled >= options.pull_s and (pull is None or pull.done()):
                pulled = clock()
                pull = asyncio.create_task(asyncio.to_thread(_pull, declared().root))
            if options.once:
                await asyncio.gather(*beside.values())
                return
            await asyncio.sleep(max(options.interval_s, 9 * looked))
    finally:
        for task in beside.values():
            task.cancel()
        await asyncio.gather(*beside.values(), return_exceptions=True)
        if server is not None:
            await server.close()
        await asyncio.to_thread(controller.close)
        await asyncio.to_thread(scoring.close)


def _look(name: str, task: asyncio.Task[int] | None) -> None:
    """Say what work beside the controller raised that nobody foresaw."""
    if task is not None and not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s: %s", name, error)


def _pull(root: Path) -> None:
    try:
        Repository(root)("pull", "--quiet", "--ff-only")
    except GitError as error:
        log.warning("%s", error)

"""A gateway as a process: one, or several that share a port, watched by a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from proveout import wire
from proveout.gateway.admin import Admin
from proveout.gateway.app import Gateway
from proveout.gateway.catalog import CannotServe
from proveout.gateway.errors import unread
from proveout.gateway.export import Exporter, open_exporter
from proveout.gateway.metrics import Metrics
from proveout.gateway.orders import Orders, orders_file
from proveout.gateway.reloading import Reloader
from proveout.gateway.settings import AdminSettings, read_settings
from proveout.gateway.shared_metrics import MetricsFolder
from proveout.gateway.spool import Spool
from proveout.gateway.store_link import StoreLink, spool_folder
from proveout.project import load_project
from proveout.project.records import Project

log = logging.getLogger("proveout.gateway")

DRAIN_S = 30.0
SHARE_METRICS_S = 1.0
SWITCH_S = 0.0005
"""The longest that the store's thread keeps the interpreter from requests; Python's own 5 ms would show in p99."""
LIMITS = wire.Limits(body_bytes=32 * 2**20)
_MOST_CONNECTIONS = 4096


class OpenToAll(ValueError):
    """The gateway would listen beyond this machine and answer everybody."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a gateway listens, and how."""

    host: str = "127.0.0.1"
    port: int = 8080
    reuse_port: bool = False
    drain_s: float = DRAIN_S


def run_gateway(
    folder: Path,
    *,
    environment: str,
    listening: Listening,
    workers: int = 1,
    announce: Callable[[str, Project], object] = lambda url, project: None,
) -> None:
    """Serve a project until SIGTERM or SIGINT, then let requests in flight finish. A second signal ends them.

    Raises:
        ProjectError: the project's files have problems.
        CannotServe, UnknownEnvironment: there is something in them that can't be served from here.
        OpenToAll: it would be open to all.
        OSError: the address can't be listened on.
    """
    project = load_project(folder)
    check_open(project, listening.host)
    if workers > 1:
        from proveout.gateway.supervisor import supervise

        supervise(project, environment, listening, workers, announce)
        return
    wire.run(serve(project, environment, listening, announce=lambda url: announce(url, project)))


def check_open(project: Project, host: str) -> None:
    """
    Raises:
        OpenToAll: the address reaches beyond this machine, and no keys are declared.
    """
    settings = read_settings(project)
    if settings.keys or settings.anonymous or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise OpenToAll(
            f"{host} reaches beyond this machine, and gateway.yaml declares no keys: run `proveout gateway --new-key "
            "NAME` and write what it prints into gateway.yaml, or write `anonymous: true` there if something in front "
            "checks who calls"
        )


@dataclass(slots=True)
class Running:
    """A gateway that serves."""

    gateway: Gateway
    server: wire.Server
    reloader: Reloader


async def serve(
    project: Project,
    environment: str,
    listening: Listening,
    *,
    announce: Callable[[str], object],
    folder: MetricsFolder | None = None,
) -> None:
    """One process of a gateway, from start to drained end. Raises as `run_gateway`."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(project, environment, listening, folder=folder) as run:
        gc.collect()
        gc.freeze()  # What is there now stays: no need to look through it again and again.
        gc.set_threshold(10_000, 20, 50)
        sys.setswitchinterval(SWITCH_S)
        announce(_url(listening.host, run.server.port))
        await stopped.wait()
        stopped.clear()
        run.gateway.ending = True
        log.info("draining: requests in flight have %g s to finish", listening.drain_s)
        closing = loop.create_task(run.server.close(drain_s=listening.drain_s))
        again = loop.create_task(stopped.wait())
        await asyncio.wait([closing, again], return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        again.cancel()
        await asyncio.wait([closing, again])


@contextlib.asynccontextmanager
async def running(
    project: Project, environment: str, listening: Listening, *, folder: MetricsFolder | None = None
) -> AsyncIterator[Running]:
    """A gateway while it serves; at the end, what is still in flight is cut, and all that was recorded is written."""
    client = wire.Client(max_connections_per_origin=_MOST_CONNECTIONS)
    reloader: Reloader | None = None

    def link(metrics: Metrics) -> StoreLink:
        spool = Spool(spool_folder(project.root), read_settings(project).spool_bytes)
        return StoreLink(
            project.store_url,
            environment,
            spool,
            metrics,
            on_releases=lambda stored: None if reloader is None else reloader.on_releases(stored),
        )

    gateway = Gateway(environment, client, link, siblings=(lambda: ()) if folder is None else folder.others)
    tasks: list[asyncio.Task[None]] = []
    server: wire.Server | None = None
    admin_server: wire.Server | None = None
    exporter: Exporter | None = None
    try:
        orders = Orders(orders_file(project.root), None if folder is None else folder.path)
        reloader = Reloader(gateway, project, orders)
        reloader.serve()
        admin = _admin(project, gateway, reloader, orders)
        await gateway.sharing.settled()
        exporter = _exporter(project, client, gateway)
        server = await wire.serve(
            gateway,
            host=listening.host,
            port=listening.port,
            limits=LIMITS,
            reuse_port=listening.reuse_port,
            stepped=True,
            refusal=unread,
        )
        if admin is not None:
            app, at = admin
            admin_server = await wire.serve(
                app, host=at.host, port=at.port, reuse_port=listening.reuse_port, refusal=unread
            )
            log.info("operators are listened to at %s", _url(at.host, admin_server.port))
        gateway.link.start()  # Not before it listens: the database's library takes its time to load.
        tasks.append(asyncio.create_task(reloader.watch()))
        if folder is not None:
            tasks.append(asyncio.create_task(_share(gateway, folder)))
        if exporter is not None:
            gateway.export_to(exporter)
            tasks.append(asyncio.create_task(exporter.run()))
        yield Running(gateway, server, reloader)
    finally:
        for task in tasks:
            task.cancel()
        for one in (server, admin_server):
            if one is not None:
                await one.close()
        await gateway.aclose()
        if exporter is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(exporter.flush(), 5)
        await client.aclose()
        await asyncio.to_thread(gateway.link.close)
        if folder is not None:
            folder.write(gateway.samples())


def _admin(
    project: Project, gateway: Gateway, reloader: Reloader, orders: Orders
) -> tuple[Admin, AdminSettings] | None:
    """What listens to operators, and where; None where nobody does.

    Raises:
        CannotServe: its token is missing.
    """
    settings = read_settings(project).admin
    if settings is None:
        return None
    try:
        return Admin(settings, gateway, reloader, orders), settings
    except LookupError as error:
        raise CannotServe(f"the endpoints for operators can't be opened: {error}") from None


def _exporter(project: Project, client: wire.Client, gateway: Gateway) -> Exporter | None:
    """What `telemetry:` asks for; without its secret the gateway serves on, and says so."""
    try:
        return open_exporter(project, client, gateway.metrics)
    except LookupError as error:
        log.warning("traces are not exported: %s", error)
        return None


async def _share(gateway: Gateway, folder: MetricsFolder) -> None:
    """Let the other processes of this gateway show this one's metrics too."""
    while True:
        with contextlib.suppress(OSError):
            folder.write(gateway.samples())
        await asyncio.sleep(SHARE_METRICS_S)


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

"""Noticing changes of a project's files, and serving them without dropping a request."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path

from proveout.gateway.app import Gateway
from proveout.gateway.catalog import CannotServe
from proveout.gateway.orders import Orders
from proveout.gateway.releases import UnknownEnvironment
from proveout.gateway.settings import SETTINGS_FILE, GatewaySettings, read_settings
from proveout.project import ProjectError, load_project
from proveout.project.records import Project
from proveout.storage.records import Release

log = logging.getLogger("proveout.gateway")

LOOK_S = 1.0
_TOP = ("proveout.yaml", "prices.yaml", SETTINGS_FILE)
_FOLDERS = ("services", "environments")


class Reloader:
    """Gives a gateway what files and store say now. Whatever can't be served is logged, and the last state stays."""

    def __init__(self, gateway: Gateway, project: Project, orders: Orders) -> None:
        self._gateway = gateway
        self._orders = gateway.orders = orders
        self._project = project
        self._settings = read_settings(project)
        self._stored: Mapping[str, Release] = {}
        self._seen = signature(project.root)
        self._problems: list[str] = []

    def serve(self) -> None:
        """
        Raises:
            CannotServe, UnknownEnvironment: it can't be served, and nothing has changed.
        """
        self._gateway.exchange(self._project, self._settings, self._stored)

    def on_releases(self, stored: Mapping[str, Release]) -> None:
        """The store's releases have changed."""
        self._stored = stored
        self._try()

    async def watch(self) -> None:
        """Look at the files again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._orders.read():
                self.obey()
            await self.look()

    def obey(self) -> None:
        """Do what an operator ordered."""
        self._try()

    async def look(self) -> list[str]:
        """Serve what the files say, if they have changed; what is wrong with them, if anything is."""
        found = await asyncio.to_thread(signature, self._project.root)
        if found != self._seen:
            self._seen = found
            self._problems = await self._load()
        return self._problems

    async def _load(self) -> list[str]:
        try:
            project = await asyncio.to_thread(load_project, self._project.root)
            settings = await asyncio.to_thread(read_settings, project)
        except ProjectError as error:
            log.warning("the project's files have problems; the last state is served on:\n%s", error)
            self._gateway.metrics.count("proveout_gateway_reload_failures_total").value += 1
            return str(error).splitlines()
        earlier = self._project, self._settings
        self._project, self._settings = project, settings
        problem = self._try()
        if problem is not None:
            self._project, self._settings = earlier
            return [problem]
        log.info("the project's files have changed and are served now")
        before, now = (_of_the_start(*one) for one in (earlier, (project, settings)))
        if waiting := [name for name, value in now.items() if value != before[name]]:
            log.warning("restart the gateway for what it reads at its start only: %s", ", ".join(waiting))
        return []

    def _try(self) -> str | None:
        """Serve what is known now; why it can't be served."""
        try:
            self.serve()
        except (CannotServe, UnknownEnvironment) as error:
            log.warning("the last state is served on: %s", error)
            self._gateway.metrics.count("proveout_gateway_reload_failures_total").value += 1
            return str(error)
        return None


def _of_the_start(project: Project, settings: GatewaySettings) -> dict[str, object]:
    """What is read once, at the start, by its name in the files."""
    return {
        "`admin` of gateway.yaml": settings.admin,
        "`spool_megabytes` of gateway.yaml": settings.spool_bytes,
        "`store` of proveout.yaml": project.store_url,
        "`telemetry` of proveout.yaml": project.settings.get("telemetry"),
    }


def signature(root: Path) -> bytes:
    """A digest of the names, sizes and times of all files that say what is served."""
    digest = blake2b(digest_size=16)
    for path, status in sorted(_files(root)):
        digest.update(f"{path}\0{status}\n".encode("utf-8", "surrogateescape"))
    return digest.digest()


def _files(root: Path) -> Iterator[tuple[str, str]]:
    for name in _TOP:
        try:
            found = os.stat(root / name)
        except OSError:
            continue
        yield name, f"{found.st_mtime_ns} {found.st_size}"
    for folder in _FOLDERS:
        for here, folders, names in os.walk(root / folder):
            folders[:] = [one for one in folders if not one.startswith((".", "__pycache__"))]
            for name in names:
                path = os.path.join(here, name)
                try:
                    found = os.stat(path)
                except OSError:
                    continue
                yield path, f"{found.st_mtime_ns} {found.st_size}"

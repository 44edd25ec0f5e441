"""What decisions ask to be done outside of the store: alerts and pull requests. At least once, in the background, and
never in the way of the next decision.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from proveout.delivery.git import GitError
from proveout.delivery.promotion import write_back
from proveout.delivery.state import Refused
from proveout.project.records import Project, Secret
from proveout.storage.errors import StoreError
from proveout.storage.records import Errand
from proveout.storage.store import Store
from proveout.wire import Client, Timeouts, WireError

log = logging.getLogger("proveout.controller")

FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 600.0


class ErrandFailed(Exception):
    """It could not be done this time."""


class Runner:
    """Does what is due."""

    def __init__(self, store: Store, project: Callable[[], Project], clock: Callable[[], float]) -> None:
        self._store = store
        self._project = project
        self._clock = clock

    async def run_due(self) -> int:
        """Try every errand that is due, one after the other; returns how many were done."""
        done = 0
        for errand in self._store.deliveries.due_errands(self._clock()):
            try:
                result = await self._do(errand)
            except StoreError:
                raise
            except Exception as error:  # Whatever one lacks, the others don't wait for it: an alert may be among them.
                foreseen = isinstance(error, ErrandFailed | Refused | GitError)
                wait = min(FIRST_RETRY_S * 2**errand.attempts, LONGEST_RETRY_S)
                what = str(error) if foreseen else repr(error)
                log.warning("%s %s: %s; again in %.0f s", errand.kind, errand.id, what, wait, exc_info=not foreseen)
                self._store.deliveries.postpone_errand(errand.id, self._clock() + wait, what)
            else:
                log.info("%s %s: %s", errand.kind, errand.id, result)
                self._store.deliveries.finish_errand(errand.id, self._clock(), result)
                done += 1
        return done

    async def _do(self, errand: Errand) -> str:
        doers: dict[str, Callable[[Any], Awaitable[str]]] = {
            "alert": send_alert,
            "apprise": send_by_apprise,
            "git": self._write_back,
        }
        doer = doers.get(errand.kind)
        if doer is None:
            raise ErrandFailed(f"this Proveout knows no errand of kind {errand.kind}")
        return await doer(errand.body)

    async def _write_back(self, body: Any) -> str:
        proposed = await write_back(self._project(), body)
        return proposed.url or f"{proposed.branch}: {proposed.next}"


async def send_alert(body: Any) -> str:
    """POST an alert in Alertmanager's webhook format.

    Raises:
        ErrandFailed: it was not taken.
    """
    url = _resolved(str(body["url"]))
    async with Client(timeouts=Timeouts(connect=5, total=15)) as client:
        try:
            response = await client.send(
                "POST", url, headers={"content-type": "application/json"}, body=msgspec.json.encode(body["alert"])
            )
        except WireError as error:
            raise ErrandFailed(str(error)) from None
    if response.status >= 300:
        raise ErrandFailed(f"the alert was answered {response.status}")
    return f"sent ({response.status})"


async def send_by_apprise(body: Any) -> str:
    """Hand an alert to whatever service an apprise address names.

    Raises:
        ErrandFailed: it was not taken, or apprise is not installed.
    """
    import asyncio
    from importlib import import_module

    try:
        apprise: Any = import_module("apprise")
    except ImportError:
        raise ErrandFailed("apprise is not installed: pip install proveout[alerts]") from None
    notes = body["alert"]["commonAnnotations"]
    sender = apprise.Apprise()
    if not sender.add(_resolved(str(body["url"]))):
        raise ErrandFailed("the target's address names no service that apprise knows")
    sent = await asyncio.to_thread(sender.notify, body=notes["description"], title=notes["summary"])
    if not sent:
        raise ErrandFailed("apprise could not send it")
    return "sent"


def _resolved(reference: str) -> str:
    """An address, or the reference to one that holds a secret."""
    if not reference.startswith(("env:", "file:")):
        return reference
    try:
        return Secret(reference).resolve()
    except LookupError as error:
        raise ErrandFailed(str(error)) from None

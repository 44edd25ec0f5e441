"""The controller's HTTP door: Alertmanager's alerts in, people's approvals in, health out.

    GET  /healthz
    POST /alerts      in Alertmanager's webhook format; with a bearer token, where one is set
    GET  /approvals   what waits for people
    POST /approvals   {"change", "fingerprint", "decision": "approve" | "reject", "reason", "environment"?}

Each approver has a token of their own, and is who its name says: nobody can approve in another's name.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from proveout.delivery.alerts import BadAlert, heard_alerts
from proveout.delivery.approvals import proved_run
from proveout.delivery.controller import Controller
from proveout.delivery.desk import Desk, declared_champion
from proveout.delivery.state import Approval, Arm, Refused, Rollout
from proveout.project import Project
from proveout.storage.errors import StoreError
from proveout.storage.store import Store
from proveout.wire import Responder, ServerRequest

log = logging.getLogger("proveout.controller")

_JSON = (("content-type", "application/json"),)
_METHODS = {"/healthz": ("GET",), "/alerts": ("POST",), "/approvals": ("GET", "POST")}


class Decided(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What an approver says of a change's challenger. `fingerprint` is that of what they looked at."""

    change: str
    fingerprint: str
    decision: Literal["approve", "reject"]
    reason: str
    environment: str = "production"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that waits for people."""

    environment: str
    service: str
    change: str
    variant: str
    fingerprint: str
    people: int
    approved_by: tuple[str, ...]
    since: float
    reason: str


class _Answer(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, what: str, *headers: tuple[str, str]) -> None:
        super().__init__(what)
        self.status = status
        self.headers = headers


class Door:
    """Takes requests. `alert_token` is asked for with alerts, where it is set; `approvers` are names with tokens."""

    def __init__(
        self,
        controller: Controller,
        store: Store,
        project: Callable[[], Project],
        clock: Callable[[], float],
        *,
        alert_token: str | None = None,
        approvers: Mapping[str, str] | None = None,
    ) -> None:
        self._controller = controller
        self._store = store
        self._project = project
        self._desk = Desk(store, clock)
        self._alert_token = alert_token
        self._approvers = dict(approvers or {})

    async def __call__(self, request: ServerRequest, responder: Responder) -> None:
        try:
            result = await self._answered(request)
        except _Answer as answer:
            body = msgspec.json.encode({"error": str(answer)})
            responder.reply(answer.status, (*_JSON, *answer.headers), body)
        except StoreError as error:
            log.error("%s", error)
            responder.reply(503, (*_JSON, ("retry-after", "5")), b'{"error":"the store can\'t be reached"}')
        else:
            responder.reply(200, _JSON, msgspec.json.encode(result))

    async def _answered(self, request: ServerRequest) -> Any:
        methods = _METHODS.get(request.path)
        if methods is None:
            raise _Answer(404, "there is GET /healthz, POST /alerts, GET /approvals and POST /approvals")
        if request.method not in methods:
            allowed = ", ".join(methods)
            raise _Answer(405, f"use {allowed}", ("allow", allowed))
        if request.path == "/healthz":
            return {"status": "ok"}
        if request.path == "/alerts":
            return {"acted": await self._alerts(request)}
        who = self._approver(request)
        if request.method == "GET":
            return {"waiting": await asyncio.to_thread(self._waiting)}
        try:
            said = msgspec.json.decode(request.body, type=Decided)
        except msgspec.DecodeError as error:
            raise _Answer(400, f"{error}; write {{change, fingerprint, decision, reason, environment?}}") from None
        return await asyncio.to_thread(self._decide, said, who)

    async def _alerts(self, request: ServerRequest) -> list[str]:
        if self._alert_token is not None and not _same(_bearer(request), self._alert_token):
            raise _Answer(401, "a bearer token is asked for", ("www-authenticate", "Bearer"))
        try:
            heard = heard_alerts(msgspec.json.decode(request.body))
        except (msgspec.DecodeError, BadAlert) as error:
            raise _Answer(400, str(error)) from None
        return [await asyncio.to_thread(self._controller.hear, one) for one in heard]

    def _approver(self, request: ServerRequest) -> str:
        """Who asks, by their token."""
        if not self._approvers:
            raise _Answer(403, "nobody can approve here: start the controller with --approver NAME=env:VARIABLE")
        given = _bearer(request)
        found = [name for name, token in self._approvers.items() if _same(given, token)]
        if not found:
            raise _Answer(401, "an approver's bearer token is asked for", ("www-authenticate", "Bearer"))
        return found[0]

    def _waiting(self) -> list[Waiting]:
        found: list[Waiting] = []
        for environment in self._project().environments.values():
            for service in environment.releases:
                rollout = self._desk.rollout(environment.name, service)
                if rollout is not None and isinstance(rollout.current, Approval):
                    found.append(self._wait_of(rollout, rollout.current))
        return found

    def _wait_of(self, rollout: Rollout, step: Approval) -> Waiting:
        given = self._desk.approvals(rollout.environment, rollout.service, rollout.challenger.fingerprint)
        since = 0.0 if step.before else rollout.step_started
        return Waiting(
            environment=rollout.environment,
            service=rollout.service,
            change=rollout.change,
            variant=rollout.challenger.variant,
            fingerprint=rollout.challenger.fingerprint,
            people=step.people,
            approved_by=tuple(sorted(one.who for one in given if one.time >= since)),
            since=rollout.step_started,
            reason=rollout.reason,
        )

    def _decide(self, said: Decided, who: str) -> Any:
        if not said.reason.strip():
            raise _Answer(400, "`reason` says why; it stands in the audit trail")
        project = self._project()
        try:
            service, change = project.change(said.change)
        except LookupError as error:
            raise _Answer(404, str(error)) from None
        if said.environment not in project.environments:
            raise _Answer(404, f"there is no environment {said.environment!r}")
        variant = service.variants[change.challenger]
        if said.fingerprint != variant.fingerprint:
            raise _Answer(409, f"{variant.name} is {variant.fingerprint} by now: look at that, and decide again")
        arm = Arm(variant.name, variant.fingerprint)
        try:
            if said.decision == "approve":
                run = proved_run(self._store, service.name, change.name, arm.fingerprint)
                people = self._desk.approve(
                    said.environment, service.name, arm, who, change=change.name, why=said.reason, scorecard=run
                )
            else:
                declared = declared_champion(service, project.environments[said.environment])
                people = self._desk.reject(
                    said.environment, service.name, arm, who, change=change.name, why=said.reason, declared=declared
                )
        except Refused as error:
            raise _Answer(409, str(error)) from None
        log.info("%s: %s says %s to %s", said.environment, who, said.decision, arm.variant)
        needed = project.environments[said.environment].approvals
        return {"by": who, "standing": sorted(one.who for one in people), "needed": needed}


def _bearer(request: ServerRequest) -> str:
    given = request.headers.get("authorization") or ""
    return given.removeprefix("Bearer ") if given.startswith("Bearer ") else ""


def _same(given: str, token: str) -> bool:
    """Compared in constant time; an empty token is nobody's."""
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())

"""The controller's HTTP door: who may approve, what waits, and what stands in the audit trail afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from delivery_house import House, write_project

from proveout.delivery.process import Options, run_controller
from proveout.storage import Store, open_store
from proveout.wire import Client

ADA, BOB = "ada-token-0123456789", "bob-token-0123456789"
Call = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """SQLite alone: nothing here depends on the database."""
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    return House(store, write_project(tmp_path / "project", approvals=2))


def at_the_door(house: House, work: Callable[[Call], Awaitable[None]], **options: Any) -> None:
    """Do something while a controller runs whose door is open."""

    async def run() -> None:
        said: list[str] = []
        opened = asyncio.Event()

        def announce(line: str) -> None:
            said.append(line)
            opened.set()

        settings = Options(port=0, interval_s=0.05, **({"approvers": {"ada": ADA, "bob": BOB}} | options))
        task = asyncio.create_task(
            run_controller(house.store, lambda: house.project, settings, clock=house.clock, announce=announce)
        )
        await opened.wait()
        base = said[0].rpartition(" ")[2].removesuffix("/alerts")
        async with Client() as client:

            async def call(
                method: str, path: str, body: Any = None, token: str | None = None, raw: bytes | None = None
            ) -> tuple[int, Any]:
                headers = {} if token is None else {"authorization": f"Bearer {token}"}
                content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
                answer = await client.send(method, base + path, headers=headers, body=content)
                return answer.status, json.loads(answer.body)

            try:
                await work(call)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    asyncio.run(run())


def decision(house: House, **fields: Any) -> dict[str, Any]:
    return {
        "change": "new",
        "fingerprint": house.fingerprint("new"),
        "decision": "approve",
        "reason": "good numbers",
    } | fields


def test_two_people_approve_over_http_and_the_trail_is_that_of_the_command_line(house: House, proveout: Any) -> None:
    house.start()

    async def work(call: Call) -> None:
        status, found = await call("GET", "/approvals", token=ADA)
        (waiting,) = found["waiting"]
        assert status == 200
        assert (waiting["service"], waiting["change"], waiting["people"]) == ("answers", "new", 2)
        assert (waiting["fingerprint"], waiting["approved_by"]) == (house.fingerprint("new"), [])
        assert await call("POST", "/approvals", decision(house), ADA) == (
            200,
            {"by": "ada", "standing": ["ada"], "needed": 2},
        )
        status, said = await call("POST", "/approvals", decision(house), ADA)
        assert said["standing"] == ["ada"]  # One person is one, however often.
        assert house.release.weights == {house.fingerprint("base"): 1.0}
        status, said = await call("POST", "/approvals", decision(house, reason="me too"), BOB)
        assert said["standing"] == ["ada", "bob"]
        for _ in range(100):
            if house.rollout.shown == "canary":
                break
            await asyncio.sleep(0.05)
        assert house.rollout.shown == "canary"
        assert (await call("GET", "/approvals", token=BOB))[1] == {"waiting": []}

    at_the_door(house, work)
    assert house.store.audit.problems() == []
    by_api = [entry for entry in house.store.audit.after() if entry.action == "approve"][-1]
    other = write_project(house.folder.parent / "other", approvals=2)
    assert proveout("approve", "new", "--as", "bob", "--reason", "me too", "-C", other).code == 0
    with open_store(f"sqlite:///{other}/.proveout/store.db") as second:
        (by_hand,) = second.audit.after()
    assert (by_api.actor, by_api.action, by_api.subject, by_api.body) == (
        by_hand.actor,
        by_hand.action,
        by_hand.subject,
        by_hand.body,
    )


def test_a_rejection_over_http_ends_the_rollout_at_once(house: House) -> None:
    house.start()

    async def work(call: Call) -> None:
        await call("POST", "/approvals", decision(house), ADA)
        said = await call("POST", "/approvals", decision(house, decision="reject", reason="too dear"), BOB)
        assert said == (200, {"by": "bob", "standing": [], "needed": 2})

    at_the_door(house, work)
    assert house.rollout.status == "aborted"
    assert "rejected by bob: too dear" in house.rollout.reason


@pytest.mark.parametrize(
    ("method", "path", "fields", "token", "status", "said"),
    [
        ("GET", "/approvals", None, None, 401, "bearer token"),
        ("GET", "/approvals", None, "wrong-token-0123456789", 401, "bearer token"),
        ("POST", "/approvals", {}, None, 401, "bearer token"),
        ("POST", "/approvals", {"by": "carol"}, ADA, 400, "unknown field"),
        ("POST", "/approvals", {"reason": " "}, ADA, 400, "says why"),
        ("POST", "/approvals", {"decision": "maybe"}, ADA, 400, "maybe"),
        ("POST", "/approvals", {"fingerprint": "0123456789abcdef"}, ADA, 409, "by now"),
        ("POST", "/approvals", {"change": "nope"}, ADA, 404, "known changes"),
        ("POST", "/approvals", {"environment": "moon"}, ADA, 404, "moon"),
        ("DELETE", "/approvals", None, ADA, 405, "GET, POST"),
        ("GET", "/nowhere", None, ADA, 404, "there is GET /healthz"),
    ],
)
def test_what_the_door_refuses_leaves_no_trace(
    house: House, method: str, path: str, fields: Any, token: str | None, status: int, said: str
) -> None:
    async def work(call: Call) -> None:
        body = None if fields is None else decision(house, **fields)
        found, answer = await call(method, path, body, token)
        assert found == status
        assert said in answer["error"]
        assert ADA not in json.dumps(answer)

    at_the_door(house, work)
    assert not [entry for entry in house.store.audit.after() if entry.action in ("approve", "reject")]


def test_malformed_bytes_are_refused_and_without_approvers_nobody_can_approve(house: House) -> None:
    async def malformed(call: Call) -> None:
        for raw in (b"", b"{", b"\xff\xfe", b"[" * 2000, b"7"):
            assert (await call("POST", "/approvals", token=ADA, raw=raw))[0] == 400
        assert (await call("GET", "/healthz"))[0] == 200

    async def closed(call: Call) -> None:
        status, answer = await call("POST", "/approvals", decision(house), ADA)
        assert (status, "--approver" in answer["error"]) == (403, True)

    at_the_door(house, malformed)
    at_the_door(house, closed, approvers={})


def test_approvers_tokens_come_by_reference_and_each_has_their_own(
    house: House, proveout: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ADA_TOKEN", ADA)
    monkeypatch.setenv("SHORT", "short")
    (tmp_path / "bob").write_text(BOB + "\n")
    where = ("controller", "--once", "--port", "0", "-C", house.folder)
    done = proveout(*where, "--approver", "ada=env:ADA_TOKEN", "--approver", f"bob=file:{tmp_path}/bob")
    assert done.code == 0
    assert "/approvals from ada, bob" in done.out
    assert ADA not in done.out + done.err
    for words, said in (
        (("ada=secret",), "write NAME=env:VARIABLE"),
        (("ada=env:NOT_SET_ANYWHERE",), "NOT_SET_ANYWHERE is not set"),
        (("ada=env:ADA_TOKEN", "eve=env:ADA_TOKEN"), "a token of their own"),
        (("ada=env:SHORT",), "at least 16"),
    ):
        refused = proveout(*where, *(part for word in words for part in ("--approver", word)))
        assert refused.code == 2
        assert said in refused.err
        assert "short" not in refused.err

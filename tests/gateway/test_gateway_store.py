"""The store may go away: requests go on, traces and feedback wait on disk, and come back once each."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from gateway_world import completion, error, run, until, world, write_project

from proveout.gateway.spool import Spool, SpoolFull
from proveout.storage import Release, StoreError, open_store
from proveout.storage.driver import Driver
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import PostgresServer

GOOD = Answer.json(completion())
TRACE = "0" * 32


def score(trace: str | None, **others: Any) -> dict[str, Any]:
    return {"trace_id": trace or TRACE, "name": "ok", "value": True, **others}


def test_feedback_is_kept_before_it_is_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            trace = (await here.ask()).headers.get("x-proveout-trace-id")
            for value in (score(trace), score(trace, value=0.5, comment="late"), score(None, name="unknown trace")):
                response = await here.post("/v1/feedback", value)
                assert response.status == 200
                with open_store(here.project.store_url) as store:
                    assert json.loads(response.body)["id"] in {one.id for _, one in store.feedback.after()}
            with open_store(here.project.store_url) as store:
                assert [one.score for one in store.feedback.of([trace or ""])] == [1.0, 0.5]

    run(main())


def test_the_same_feedback_sent_again_is_one_row(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer() as upstream, world(tmp_path, {"base": upstream.url}) as here:
            for _ in range(3):
                assert (await here.post("/v1/feedback", score(None), idempotency_key="k1")).status == 200
            await here.post("/v1/feedback", score(None), idempotency_key="k2")
            with open_store(here.project.store_url) as store:
                assert len(store.feedback.after()) == 2

    run(main())


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        json.dumps(score("short")).encode(),
        json.dumps(score("G" * 32)).encode(),
        json.dumps(score(None, value=[1])).encode(),
        json.dumps(score(None, name="")).encode(),
        json.dumps(score(None, name="a\nb")).encode(),
        json.dumps(score(None, comment="x" * 20_000)).encode(),
        json.dumps(score(None, surplus=1)).encode(),
    ],
)
def test_bad_feedback_is_refused_by_field(tmp_path: Path, bad: bytes) -> None:
    async def main() -> None:
        async with FaultServer() as upstream, world(tmp_path, {"base": upstream.url}) as here:
            response = await here.post("/v1/feedback", bad)
            assert (response.status, error(response)["code"]) == (400, "invalid_feedback")

    run(main())


def test_a_store_that_is_killed_and_restarted_under_load_loses_nothing(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.create_database()

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, store="env:GATEWAY_TEST_STORE") as here,
        ):
            sent: list[str] = []
            scored: list[str] = []
            stop = asyncio.Event()

            async def load() -> None:
                while not stop.is_set():
                    response = await here.ask()
                    assert response.status == 200
                    trace = response.headers.get("x-proveout-trace-id") or ""
                    sent.append(trace)
                    kept = await here.post("/v1/feedback", score(trace))
                    assert kept.status == 200
                    scored.append(json.loads(kept.body)["id"])
                    await asyncio.sleep(0.005)

            tasks = [asyncio.create_task(load()) for _ in range(4)]
            await until(lambda: len(sent) > 40)
            await asyncio.to_thread(postgres.kill)
            seen = len(sent)
            await until(lambda: len(sent) > seen + 60)
            assert json.loads((await here.get("/readyz")).body)["store"] == "away"
            await asyncio.to_thread(postgres.start)
            seen = len(sent)
            await until(lambda: len(sent) > seen + 40)
            stop.set()
            await asyncio.gather(*tasks)
            spool = here.root / ".proveout" / "gateway" / "spool"
            await until(lambda: not list(spool.glob("*.jsonl")))
            traces = await here.traces(len(sent))
            assert sorted(trace.id for trace in traces) == sorted(sent)
            with open_store(here.project.store_url) as store:
                assert sorted(one.id for _, one in store.feedback.after(limit=10_000)) == sorted(scored)

    os.environ["GATEWAY_TEST_STORE"] = url
    try:
        run(main())
    finally:
        del os.environ["GATEWAY_TEST_STORE"]


def test_a_store_that_was_never_there_is_no_reason_not_to_serve(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "file").write_text("")
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, store=f"sqlite:///{tmp_path}/file/store.db") as here,
        ):
            assert (await here.ask()).status == 200
            assert (await here.post("/v1/feedback", score(None))).status == 200
            ready = await here.get("/readyz")
            assert (ready.status, json.loads(ready.body)["store"]) == (200, "away")
            spool = here.root / ".proveout" / "gateway" / "spool"
            await until(lambda: {path.name.partition("-")[0] for path in spool.glob("*")} == {"traces", "feedback"})
            (tmp_path / "file").unlink()
            assert len(await here.traces(1)) == 1
            await until(lambda: not list(spool.glob("*.jsonl")))

    run(main())


def test_with_neither_store_nor_disk_requests_go_on_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "file").write_text("")
        async with FaultServer(otherwise=GOOD) as upstream:
            root = write_project(tmp_path, {"base": upstream.url}, store=f"sqlite:///{tmp_path}/file/store.db")
            (root / ".proveout" / "gateway").mkdir(parents=True)
            (root / ".proveout" / "gateway" / "spool").write_text("in the way")
            async with world(tmp_path, {"base": upstream.url}, store=f"sqlite:///{tmp_path}/file/store.db") as here:
                assert (await here.ask()).status == 200
                refused = await here.post("/v1/feedback", score(None))
                assert (refused.status, error(refused)["code"]) == (503, "not_kept")
                await until(lambda: here.run.gateway.metrics.count("proveout_gateway_traces_dropped_total").value == 1)

    run(main())


def test_a_disk_that_is_full_for_store_and_spool_is_said_once_and_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    insert, append, full = Driver.insert, Spool.append, True

    def inserted(self: Driver, batches: Any) -> None:
        if full:
            raise StoreError("full", "sqlite:///store.db", "the disk is full", "Make room.")
        insert(self, batches)

    def appended(self: Spool, table: str, rows: Any) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(self, table, rows)

    monkeypatch.setattr(Driver, "insert", inserted)
    monkeypatch.setattr(Spool, "append", appended)
    monkeypatch.setattr("proveout.gateway.store_link.RETRY_S", 0.05)

    async def main() -> None:
        nonlocal full
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            link, dropped = (
                here.run.gateway.link,
                here.run.gateway.metrics.count("proveout_gateway_traces_dropped_total"),
            )
            for number in range(1, 6):
                assert (await here.ask()).status == 200
                await until(lambda number=number: dropped.value == number)
            assert (await here.post("/v1/feedback", score(None))).status == 503
            assert not link.up
            said = [record.getMessage() for record in caplog.records]
            assert sum("is away" in one for one in said) == 1
            assert sum("dropped" in one for one in said) == 1
            full = False
            assert (await here.post("/v1/feedback", score(None))).status == 200
            await here.ask()
            assert len(await here.traces(1)) == 1
            await until(lambda: link.up)

    with caplog.at_level(logging.INFO):
        run(main())
    assert "is there" in caplog.messages[-1]


def test_a_locked_store_delays_no_request(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream, world(tmp_path, {"base": upstream.url}) as here:
            await here.ask()
            await here.traces(1)
            lock = sqlite3.connect(here.project.store_url.removeprefix("sqlite:///"), isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            for _ in range(20):
                response = await here.ask()
                assert response.done - response.sent < 1
            kept = await here.post("/v1/feedback", score(None))
            assert kept.status == 200
            lock.close()
            assert len(await here.traces(21)) == 21

    run(main())


def test_releases_are_followed_while_it_runs_and_the_last_one_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url, "next": upstream.url}) as here,
        ):
            with open_store(here.project.store_url) as store:
                for weights in ({here.fingerprint("next"): 1.0}, {"feedfacefeedface": 1.0}):
                    store.releases.publish(Release(environment="dev", service="chat", weights=weights))
                    await asyncio.sleep(1.2)
            ready = json.loads((await here.get("/readyz")).body)
            assert ready["releases"]["chat"]["weights"] == {"base": 1.0}
            assert "feedfacefeedface" in ready["problems"][0]

    run(main())


# The spool


def test_rows_come_back_in_order_and_a_cut_line_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000)
    spool.append("traces", [("a", 1, None), ("b", 2.5, True)])
    spool.append("traces", [("c", 3, "é")])
    spool.append("feedback", [("f",)])
    spool.close()
    path = next(tmp_path.glob("traces-*"))
    with path.open("ab") as file:
        file.write(b'["cut sho')
    found = [(table, list(Spool.rows(path))) for table, path in Spool(tmp_path, 10_000).segments()]
    assert found == [("feedback", [("f",)]), ("traces", [("a", 1, None), ("b", 2.5, True), ("c", 3, "é")])]
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_the_spool_is_bounded_for_traces_and_never_for_feedback(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 300)
    spool.append("traces", [("x" * 200,)])
    with pytest.raises(SpoolFull):
        spool.append("traces", [("x" * 200,)])
    spool.append("feedback", [("x" * 1000,)])
    assert spool.waiting_bytes > 1000


def test_what_a_living_process_writes_is_left_to_it(tmp_path: Path) -> None:
    writer, other = Spool(tmp_path, 10_000), Spool(tmp_path, 10_000)
    writer.append("traces", [("a",)])
    assert list(other.segments()) == []
    writer.close()
    assert [table for table, _ in other.segments()] == ["traces"]

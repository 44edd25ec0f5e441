"""Releases, traces and feedback in the store: what gateways are told, and what they tell."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import msgspec

from proveout.storage import Feedback, Release, Trace, open_store
from proveout.storage.rows import TRACES
from proveout.storage.traces import trace_row


def release(**others: object) -> Release:
    return msgspec.convert(
        {"environment": "production", "service": "triage", "weights": {"a": 0.9, "b": 0.1}, **others}, Release
    )


def test_the_newest_epoch_of_each_service_is_current(url: str) -> None:
    with open_store(url) as store:
        store.releases.publish(release())
        second = store.releases.publish(release(weights={"a": 0.5, "b": 0.5}, shadow={"c": 0.1}, fallback=["a"]))
        other = store.releases.publish(release(service="chat", weights={"z": 1.0}))
        store.releases.publish(release(environment="staging"))
        assert store.releases.current("production") == {"triage": second, "chat": other}
        assert second.epoch == 2
        assert [one.epoch for one in store.releases.history("production", "triage")] == [1, 2]


def test_concurrent_controllers_get_an_epoch_each(url: str) -> None:
    with open_store(url) as store, ThreadPoolExecutor(4) as threads:
        epochs = [one.epoch for one in threads.map(lambda _: store.releases.publish(release()), range(12))]
    assert sorted(epochs) == list(range(1, 13))


def test_a_trace_comes_back_as_it_was_written_and_only_once(url: str) -> None:
    trace = Trace(id="t1", service="triage", environment="production", e2e=0.5, valid=True, ttft=0.25, unit="u")
    with open_store(url) as store:
        for _ in range(2):
            store.writer.put_nowait(TRACES, trace_row(trace))
        store.writer.put_nowait(TRACES, trace_row(msgspec.structs.replace(trace, id="t2", service="chat")))
        store.writer.flush()
        (found,) = store.traces.after(service="triage", environment="production")
        assert found.trace == trace == store.traces.get("t1")
        assert [one.trace.id for one in store.traces.after(found.position)] == ["t2"]
        assert store.traces.get("absent") is None


def test_feedback_comes_in_the_order_of_its_commits(url: str) -> None:
    given = [
        Feedback(id="1", trace="t1", name="ok", value=False, score=0.0, created=2.0),
        Feedback(id="2", trace="t2", name="stars", value=4, score=4.0, comment="fine", created=1.0),
        Feedback(id="3", trace="t1", name="ok", value="maybe", created=3.0),
    ]

    async def put() -> None:
        for one in [*given, given[0]]:
            await store.feedback.put(one)

    with open_store(url) as store:
        asyncio.run(put())
        assert [one for _, one in store.feedback.after()] == given
        assert store.feedback.of(["t1"]) == [given[0], given[2]]

"""Real processes: gateway, controller, an upstream with faults on demand, and a client that sends real traffic."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proveout.testing.servers import ServerUnavailable, postgres_server, wait_until
from proveout.testing.town import SCORED, Process, Town, consistent, killed_again_and_again, town
from proveout.wire import Client

pytestmark = pytest.mark.timeout(300)

STEPS = [{"canary": {"weight": 0.5, "requests": 60}}]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path / "project", steps=STEPS) as found:
        yield found


def test_a_good_challenger_becomes_champion_and_serves_alone(place: Town) -> None:
    place.start_rollout()
    status = place.until_over()
    assert status["schema"] == "proveout.rollout/v1"
    assert status["state"] == "promoted", (status, place.controller.log)
    assert status["weights"] == {"new": 1.0}
    assert {signal["signal"] for signal in status["signals"]} >= {"errors", "feedback:ok"}
    wait_until(lambda: set(place.traffic(8)) == {"new"}, "the new champion to serve alone", interval_s=0.3)


def test_a_worse_challenger_that_answers_200_is_rolled_back_and_its_failures_are_kept(place: Town) -> None:
    place.upstream.bad = {"new": 0.4, "base": 0.05}
    place.start_rollout()
    status = place.until_over()
    assert status["state"] == "rolled_back", (status, place.controller.log)
    assert "feedback:ok is worse" in status["reason"]
    with place.store() as store:
        kept = store.deliveries.failures("answers")
        assert kept
        assert {failure.signal for failure in kept} == {"feedback:ok"}
        assert all(store.traces.get(failure.trace) is not None for failure in kept)
    wait_until(lambda: set(place.traffic(8)) == {"base"}, "the champion to serve alone", interval_s=0.3)


def test_a_challenger_that_is_five_points_worse_is_found_by_an_online_scorer_without_any_feedback(
    tmp_path: Path,
) -> None:
    steps = [{"canary": {"weight": 0.5, "requests": 4000}}]
    with town(tmp_path / "project", steps=steps, margin=0.02, **SCORED) as place:
        place.upstream.bad = {"new": 0.05}
        place.start_rollout()
        for _ in range(40):
            place.traffic(100, feedback=False)
            if not place.active():
                break
        place.catch_up()
        status = place.status()
        assert status["state"] == "rolled_back", (status, place.controller.log)
        assert "scorer:right is worse" in status["reason"]
        with place.store() as store:
            kept = store.deliveries.failures("answers")
            assert kept
            for failure in kept:
                content = store.traces.content(failure.trace)
                assert content is not None
                assert "wrong" in content[1]


def test_an_outage_trips_the_kill_switch_and_users_get_the_champions_answers(place: Town) -> None:
    place.start_rollout()
    place.upstream.down = {"new"}
    for _ in range(80):
        assert set(place.traffic(2, feedback=False)) == {"base"}  # The gateway falls back, so that no user sees it.
        time.sleep(0.3)  # Seven requests a second: a trace takes its way through the store to a decision and back.
        if not place.active():
            break
    status = place.status()
    assert status["state"] == "rolled_back"
    assert "kill switch" in status["reason"]
    with place.store() as store:
        traces = [one.trace for one in store.traces.after(limit=10_000)]
    challenger = status["challenger"]["fingerprint"]
    failed = [trace for trace in traces if trace.chosen == challenger and trace.variant != challenger]
    assert len(failed) <= 20


def test_controller_gateway_and_store_killed_at_any_time_lose_nothing_and_change_no_assignment(tmp_path: Path) -> None:
    """Ten kills; `benchmarks/delivery/kills.py` does fifty and more."""
    steps = [{"canary": {"weight": 0.3, "requests": 30}}, {"canary": {"weight": 0.5, "requests": 60}}]
    try:
        with (
            postgres_server() as server,
            town(tmp_path / "project", steps=steps, store_url=server.create_database(), **SCORED) as place,
        ):
            place.start_rollout()
            killed = killed_again_and_again(place, random.Random(3), kills=10, store=server)
            assert set(killed) == {"controller", "gateway", "store"}
            status = place.until_over()
            assert status["state"] == "promoted", (status, place.controller.log[-2000:])
            assert consistent(place) == []
    except ServerUnavailable as reason:
        pytest.skip(str(reason))


def test_the_controller_takes_alerts_and_ends_in_good_order(place: Town, tmp_path: Path) -> None:
    place.controller.kill()
    place.controller = Process(
        tmp_path / "door.log", "controller", "-C", place.folder, "--interval", "0.1", "--port", "0"
    )
    place.controller.start()
    wait_until(lambda: "/alerts" in place.controller.log, "the door to open")
    url = re.search(r"http://\S+/alerts", place.controller.log)
    assert url is not None
    place.start_rollout()
    alert = {"version": "4", "status": "firing", "alerts": [
        {"status": "firing", "labels": {"alertname": "Slow", "service": "answers"}, "annotations": {}}
    ]}  # fmt: skip

    async def post(body: bytes) -> int:
        async with Client() as client:
            return (await client.send("POST", url[0], body=body)).status

    assert asyncio.run(post(b"{")) == 400
    assert asyncio.run(post(json.dumps(alert).encode())) == 200
    assert place.status()["state"] == "rolled_back"
    assert "Slow is firing" in place.status()["reason"]
    assert place.controller.kill(signal.SIGTERM) == 0
    place.controller.start()

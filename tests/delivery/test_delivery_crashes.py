"""Killed at any statement of any transaction, by signal 9: nothing acknowledged is lost, nothing is done by half."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from delivery_house import Clock, House, write_project
from sqlalchemy import event

from proveout.delivery.desk import Desk
from proveout.delivery.state import Refused
from proveout.storage import Store, StoreError, open_store
from proveout.testing.servers import ServerUnavailable, postgres_server

STEPS = (
    {"shadow": {"requests": 20}},
    {"canary": {"weight": 0.3, "requests": 30}},
    {"bandit": {"floor": 0.2, "requests": 60}},
)


def killed_at(statement: int, url: str, work: Callable[[Store], None]) -> bool:
    """Do something in a process that is killed before its nth statement; whether it got that far."""
    child = os.fork()
    if child == 0:
        left = [statement]
        with open_store(url) as store:

            @event.listens_for(store.database.engine, "before_cursor_execute")
            def count(*_: object) -> None:
                left[0] -= 1
                if left[0] <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            work(store)
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def consistent(house: House) -> None:
    """What gateways follow is what the newest state says, and the trail tells of every version."""
    rollout, release = house.rollout, house.release
    assert (release.weights, release.shadow) == (rollout.weights, rollout.shadow)
    assert house.store.audit.problems() == []
    epochs = [one.epoch for one in house.store.releases.history("production", "answers")]
    assert epochs == list(range(1, len(epochs) + 1))
    told = [entry for entry in house.store.audit.after(limit=10_000) if entry.body.get("rollout") == rollout.id]
    assert told[-1].body["state"] == rollout.shown


@pytest.mark.parametrize("seed", range(2))
def test_a_controller_killed_at_random_fifty_times_ends_where_it_would_have(tmp_path: Path, seed: int) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    folder = write_project(tmp_path / "project", steps=STEPS, approvals=1, margin=0.3)
    random_ = random.Random(seed)
    with open_store(url) as store:
        house = House(store, folder, seed=seed)
        challenger = house.start().challenger
        house.desk.approve("production", "answers", challenger, "ada", change="new")
        kills = 0
        for _ in range(150):
            if house.rollout.shadow or len(house.release.weights) == 2:
                house.serve(40)
            now = house.clock.now

            def tick(own: Store, now: float = now) -> None:
                House(own, folder, clock=Clock(now + 1)).controller.tick()

            kills += killed_at(random_.randrange(1, 14), url, tick)
            house.clock.now += 60
            consistent(house)
            if kills == 50:
                break
        assert kills == 50
        house.controller.tick()
        for _ in range(40):
            house.serve(40)
            house.tick(60)
        assert house.rollout.status == "promoted"
        consistent(house)
        actions = [entry.action for entry in store.audit.after(limit=10_000)]
        assert actions.count("start") == 1
        assert [agreed.who for agreed in house.desk.approvals("production", "answers", challenger.fingerprint)] == [
            "ada"
        ]


def test_a_rollback_killed_at_each_of_its_statements_happens_once_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "project", targets=[{"alerts": "http://127.0.0.1:9/"}])
    statement, finished = 1, False
    while not finished:
        url = f"sqlite:///{tmp_path}/store-{statement}.db"
        with open_store(url) as store:
            house = House(store, folder)
            house.start()
            house.serve(100, {"new": 1.0})
            now = house.clock.now

            def tick(own: Store, now: float = now) -> None:
                House(own, folder, clock=Clock(now)).controller.tick()

            finished = not killed_at(statement, url, tick)
            consistent(house)
            house.clock.now += 60
            house.controller.tick()
            house.tick()
            assert house.rollout.status == "rolled_back"
            consistent(house)
            assert len(store.deliveries.incidents()) == 1
            assert len([one for one in store.deliveries.errands() if one.kind == "alert"]) == 1
            assert store.deliveries.failures()
        statement += 3
    assert statement > 10


def test_an_approval_that_was_acknowledged_survives_whatever_came_after(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    folder = write_project(tmp_path / "project", approvals=3)
    acknowledged: list[str] = []
    with open_store(url) as store:
        house = House(store, folder)
        challenger = house.start().challenger
        for number in range(12):
            name = f"p{number}"

            def approve(own: Store, name: str = name) -> None:
                Desk(own, Clock()).approve("production", "answers", challenger, name, change="new")

            if not killed_at(2 + number, url, approve):
                acknowledged.append(name)
        assert 0 < len(acknowledged) < 12
        people = {one.who for one in house.desk.approvals("production", "answers", challenger.fingerprint)}
        assert set(acknowledged) <= people
        assert store.audit.problems() == []


def test_an_upgrade_in_the_middle_of_a_rollout_goes_on_from_a_state_with_fields_it_does_not_know(
    tmp_path: Path,
) -> None:
    """An older Proveout wrote fewer fields, a newer one more: both are read."""
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        house = House(store, write_project(tmp_path / "project", margin=0.3))
        house.start()
        row = store.deliveries.latest("production", "answers")
        assert row is not None
        body = msgspec.json.decode(row.body)
        for name in ("baseline", "alarmed", "watched_from", "unit"):
            body.pop(name)
        body["from_the_future"] = 1
        with store.deliveries.deciding("production", "answers") as decision:
            newer = msgspec.structs.replace(row, body=msgspec.json.encode(body).decode())
            decision.save(newer, replaces=row.version)
        assert house.run(40, 100).status == "promoted"


def test_of_two_decisions_about_one_state_only_the_first_is_taken(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/store.db") as store:
        house = House(store, write_project(tmp_path / "project"))
        seen = house.start()
        house.desk.abort("production", "answers", "ada")
        house.serve(50, {"base": 0.0})
        after = house.desk.apply(seen, lambda state, now, epoch, agreed: state, "advance")
        assert after.status == "aborted"
        row = store.deliveries.latest("production", "answers")
        assert row is not None
        with (
            pytest.raises(StoreError, match="somebody else"),
            store.deliveries.deciding("production", "answers") as one,
        ):
            one.save(row, replaces=row.version - 1)
        with pytest.raises(Refused):
            house.desk.resume("production", "answers", "ada")


@pytest.mark.postgres
def test_a_database_server_that_is_killed_again_and_again_is_waited_for(tmp_path: Path) -> None:
    try:
        with postgres_server() as server:
            url = f"{server.create_database()}?timeout=5"
            with open_store(url) as store:
                house = House(store, write_project(tmp_path / "project", margin=0.3))
                house.start()
                for _ in range(4):
                    house.serve(60)
                    server.kill()
                    with pytest.raises(StoreError):
                        house.controller.tick()
                    server.start()
                    house.tick()
                    consistent(house)
                assert house.run(20, 100).status == "promoted"
                consistent(house)
    except ServerUnavailable as reason:
        pytest.skip(str(reason))

"""The controller: from what git declares to what is served, step by step, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from delivery_house import House, write_environment, write_project

from proveout.delivery.desk import declared_champion
from proveout.delivery.state import Refused
from proveout.storage import Store


@pytest.fixture
def house(store: Store, tmp_path: Path) -> House:
    return House(store, write_project(tmp_path / "project"))


def made(store: Store, folder: Path, **options: Any) -> House:
    return House(store, write_project(folder / "project", **options))


def test_what_the_file_says_is_adopted_and_served_alone(house: House) -> None:
    house.tick()
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    assert house.rollout.shown == "none"


def test_a_good_challenger_becomes_champion_and_the_old_one_stays_warm(house: House) -> None:
    house.start()
    house.tick()
    assert house.release.weights[house.fingerprint("new")] == pytest.approx(0.2)
    assert house.run(40, 100).status == "promoted"
    assert house.release.weights == {house.fingerprint("new"): 1.0}
    assert house.release.fallback == (house.fingerprint("base"),)


def test_a_worse_challenger_is_rolled_back_with_an_incident_and_its_failures_kept(house: House) -> None:
    house.start()
    rollout = house.run(60, 100, {"new": 0.25, "base": 0.02})
    assert (rollout.status, house.release.weights) == ("rolled_back", {house.fingerprint("base"): 1.0})
    (incident,) = house.store.deliveries.incidents()
    assert "errors" in incident.reason
    kept = house.store.deliveries.failures("answers")
    assert kept
    assert all(house.store.traces.get(failure.trace).error == "status" for failure in kept)  # pyright: ignore
    assert {failure.incident for failure in kept} == {incident.id}


def test_an_outage_trips_the_kill_switch_within_twenty_requests_of_the_challenger(house: House) -> None:
    house.start()
    served = 0
    while house.rollout.active:
        before = house.number
        house.serve(5, {"new": 1.0})
        served += house.number - before
        house.tick(0.1)
    assert "kill switch" in house.rollout.reason
    exposed = sum(row.trace.chosen == house.fingerprint("new") for row in house.store.traces.after(0, limit=10_000))
    assert exposed <= 20


def test_no_traffic_advances_nothing_however_long_it_waits(house: House) -> None:
    house.start()
    for _ in range(50):
        rollout = house.tick(86_400.0)
    assert (rollout.step, rollout.shown) == (0, "canary")


def test_a_merge_in_git_starts_a_rollout_and_another_one_takes_it_back(house: House) -> None:
    house.tick()
    write_environment(house.folder, "new")
    assert house.tick().shown == "canary"
    assert house.rollout.change == "new"
    write_environment(house.folder, "base")
    assert house.tick().status == "aborted"
    house.tick()
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    assert house.rollout.status == "aborted"


def test_a_third_variant_in_git_replaces_a_rollout_that_goes_on(house: House) -> None:
    house.tick()
    write_environment(house.folder, "new")
    house.tick()
    write_environment(house.folder, "other")
    house.tick()
    assert house.tick().challenger.variant == "other"
    assert house.rollout.shown == "canary"


def test_nothing_unapproved_is_served_and_enough_people_let_it_begin(store: Store, tmp_path: Path) -> None:
    house = made(store, tmp_path, approvals=2)
    house.start()
    house.tick()
    assert house.rollout.shown == "paused"
    with pytest.raises(Refused, match="not approved"):
        house.desk.promote("production", "answers", "eve")
    for person in ("ada", "ada"):
        house.desk.approve("production", "answers", house.rollout.challenger, person, change="new")
    house.tick()
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    house.desk.approve("production", "answers", house.rollout.challenger, "bob", change="new")
    house.tick()
    assert house.release.weights[house.fingerprint("new")] == pytest.approx(0.2)


def test_a_rejection_ends_earlier_approvals_and_the_rollout(store: Store, tmp_path: Path) -> None:
    house = made(store, tmp_path, approvals=1)
    challenger = house.start().challenger
    house.desk.approve("production", "answers", challenger, "ada", change="new")
    house.tick()
    assert house.release.weights.get(challenger.fingerprint)
    assert house.desk.reject("production", "answers", challenger, "bob", change="new", why="too dear") == ()
    assert house.rollout.status == "aborted"
    assert house.release.weights == {house.fingerprint("base"): 1.0}


def test_an_approval_step_asks_again_although_there_were_approvals_before(store: Store, tmp_path: Path) -> None:
    steps = ({"shadow": {"requests": 5}}, {"approval": {}}, {"canary": {"weight": 0.2, "requests": 10}})
    house = made(store, tmp_path, approvals=1, steps=steps)
    challenger = house.start().challenger
    house.desk.approve("production", "answers", challenger, "ada", change="new")
    house.tick()
    house.serve(20)
    house.tick()
    house.tick()
    assert house.rollout.shown == "paused"
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    house.desk.approve("production", "answers", challenger, "ada", change="new")
    assert house.tick().shown == "canary"


def test_staging_releases_what_was_merged_at_once(house: House) -> None:
    write_environment(house.folder, "base", environment="staging")
    house.tick()
    write_environment(house.folder, "new", environment="staging")
    house.tick()
    release = house.store.releases.current("staging")["answers"]
    assert release.weights == {house.fingerprint("new"): 1.0}


def test_a_fallback_that_nobody_agreed_to_does_not_answer_either(store: Store, tmp_path: Path) -> None:
    house = made(store, tmp_path, approvals=1, fallback="other")
    house.start()
    assert house.release.fallback == ()
    unguarded = made(store, tmp_path / "free", fallback="other")
    unguarded.desk.abort("production", "answers", "ada")
    unguarded.start()
    assert unguarded.fingerprint("other") in unguarded.release.fallback


def test_a_state_that_cannot_be_read_keeps_no_other_service_waiting(house: House) -> None:
    house.start()
    with house.store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE rollouts SET body = 'damaged'")
    write_environment(house.folder, "base", environment="staging")
    house.clock.now += 1
    house.controller.tick()
    assert set(house.store.releases.current("staging")) == {"answers"}


def test_shadow_serves_nobody_and_catches_a_worse_challenger(store: Store, tmp_path: Path) -> None:
    house = made(store, tmp_path, steps=({"shadow": {"requests": 2_000}},))
    house.start()
    rollout = house.run(60, 50, {"new": 0.3})
    assert rollout.status == "rolled_back"
    served = [row.trace for row in house.store.traces.after(0, limit=10_000) if row.trace.shadow_of is None]
    assert {trace.chosen for trace in served} == {house.fingerprint("base")}


def test_pause_holds_resume_goes_on_and_abort_is_legal_from_everywhere(house: House) -> None:
    house.start()
    house.desk.pause("production", "answers", "ada", "lunch")
    for _ in range(3):
        house.serve(300)
        assert house.tick().shown == "paused"
    house.desk.resume("production", "answers", "ada")
    assert house.tick().status == "promoted" or house.run(40, 100).status == "promoted"
    house.start("other")
    house.desk.pause("production", "answers", "ada")
    house.desk.abort("production", "answers", "ada", "enough")
    assert house.release.weights == {house.fingerprint("new"): 1.0}
    over = house.rollout
    assert house.desk.abort("production", "answers", "ada") == over


def test_abort_takes_a_promoted_challenger_back_and_has_git_say_so(house: House) -> None:
    house.tick()
    write_environment(house.folder, "new")
    assert house.run(40, 100).status == "promoted"
    declared = declared_champion(house.service, house.environment)
    after = house.desk.abort("production", "answers", "ada", "complaints", declared=declared)
    assert (after.status, after.reason) == ("aborted", "aborted by ada: complaints")
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    (errand,) = house.store.deliveries.errands()
    assert (errand.kind, errand.body["verb"], errand.body["variant"]) == ("git", "revert", "base")
    house.serve(100)
    assert house.tick() == after  # Git is heard: what was taken back does not begin again.


def test_two_rollouts_of_a_service_at_once_are_refused(house: House) -> None:
    house.start()
    with pytest.raises(Refused, match="goes on"):
        house.start("other")


def test_of_two_controllers_one_works_and_the_other_takes_over(house: House) -> None:
    first = house.new_controller(owner="first", lease_s=10)
    second = house.new_controller(owner="second", lease_s=10)
    house.start()
    first.tick()
    house.serve(100, {"new": 1.0})
    second.tick()
    assert house.rollout.active
    house.clock.now += 11
    second.tick()
    assert house.rollout.status == "rolled_back"


def test_a_champion_that_degrades_later_gives_way_to_the_one_before(house: House) -> None:
    house.start()
    assert house.run(40, 100).status == "promoted"
    for _ in range(8):
        house.serve(100, {"new": 0.02})
        house.tick()
    assert house.rollout.status == "promoted"
    for _ in range(20):
        house.serve(100, {"new": 0.45})
        if house.tick().status != "promoted":
            break
    assert house.rollout.status == "rolled_back"
    assert house.release.weights == {house.fingerprint("base"): 1.0}
    assert house.store.deliveries.failures("answers")


def test_a_champion_without_a_fallback_alarms_once_and_serves_on(house: House) -> None:
    house.tick()
    for _ in range(5):
        house.serve(40, {"base": 1.0})
        house.tick()
    assert len(house.store.deliveries.incidents()) == 1
    assert house.release.weights == {house.fingerprint("base"): 1.0}


def test_every_change_of_state_is_in_the_audit_trail_and_tampering_shows(house: House) -> None:
    house.start()
    house.run(40, 100)
    entries = house.store.audit.after()
    assert [entry.action for entry in entries][:2] == ["adopt", "start"]
    assert entries[-1].body["state"] == "promoted"
    assert house.store.audit.problems() == []
    with house.store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE audit SET actor = 'mallory' WHERE action = 'start'")
    assert any("start" in problem for problem in house.store.audit.problems())
    with house.store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE audit SET actor = 'ada' WHERE action = 'start'")
        connection.exec_driver_sql(f"DELETE FROM audit WHERE position = {entries[-1].position}")
    assert any("missing" in problem for problem in house.store.audit.problems())


def test_status_is_the_same_from_a_controller_that_was_started_anew(house: House) -> None:
    house.start()
    house.serve(100, {"new": 0.05, "base": 0.05})
    house.tick()
    before = house.controller.evidence("production", "answers")
    house.controller = house.new_controller(owner=house.controller.owner)
    house.tick(0)
    after = house.controller.evidence("production", "answers")
    assert before is not None
    assert after is not None
    assert before.signals == after.signals
    assert before.requests == after.requests

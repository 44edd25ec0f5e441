"""The commands of delivery, as a user types them; and the files for CI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from delivery_house import House, write_project
from ruamel.yaml import YAML

from proveout.storage import Store, open_store

INTEGRATIONS = Path(__file__).parents[2] / "integrations"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", approvals=1)


@pytest.fixture
def store(folder: Path) -> Any:
    with open_store(f"sqlite:///{folder}/.proveout/store.db") as opened:
        yield opened


def test_a_rollout_from_start_to_abort(folder: Path, store: Store, proveout: Any) -> None:
    where = ("-C", folder)
    nothing = json.loads(proveout("rollout", "status", "answers", "--json", "-", *where).out)
    assert (nothing["state"], nothing["weights"], nothing["signals"]) == ("none", {"base": 1.0}, [])
    began = proveout("rollout", "start", "new", "--as", "ada", *where)
    assert began.code == 0
    assert "waits for approval" in began.out
    assert "once one person agreed" in began.out
    refused = proveout("rollout", "promote", "answers", "--as", "ada", *where)
    assert refused.code == 1
    assert "not approved" in refused.err
    assert proveout("approve", "new", "--as", "bob", "--reason", "good numbers", *where).code == 0
    house = House(store, folder)
    house.clock.now = house.rollout.started
    house.tick()
    house.serve(200, {"new": 0.0})
    house.tick()
    status = json.loads(proveout("rollout", "status", "answers", "--json", "-", *where).out)
    assert (status["state"], status["step"]) == ("canary", 0)
    assert status["weights"] == {"base": 0.8, "new": 0.2}
    assert status["requests"]["base"] + status["requests"]["new"] == 200
    assert status["approvals"] == ["bob"]
    keys = {"signal", "champion", "challenger", "low", "high", "verdict"}
    assert all(keys <= set(signal) for signal in status["signals"])
    words = proveout("rollout", "status", "answers", *where).out
    assert "latency" in words
    assert "more" in words
    assert proveout("rollout", "pause", "answers", "--as", "ada", *where).code == 0
    assert json.loads(proveout("rollout", "status", "answers", "--json", "-", *where).out)["state"] == "paused"
    assert proveout("rollout", "resume", "answers", "--as", "ada", *where).code == 0
    aborted = proveout("rollout", "abort", "answers", "--as", "ada", "--reason", "enough", *where)
    assert "serves base 100%" in aborted.out
    again = proveout("rollout", "abort", "answers", *where)
    assert (again.code, again.out) == (0, aborted.out)
    for action in ("pause", "resume", "promote"):
        refused = proveout("rollout", action, "answers", *where)
        assert refused.code == 1
        assert "is over (aborted); start another one" in refused.err
    trail = proveout("audit", *where)
    assert trail.code == 0
    assert "good numbers" in trail.out
    assert trail.out.count("enough") == 1
    with store.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE audit SET actor = 'eve' WHERE action = 'approve'")
    assert proveout("audit", *where).code == 1


def test_what_people_approved_may_be_promoted_by_hand_before_the_controller_has_looked(
    folder: Path, store: Store, proveout: Any
) -> None:
    proveout("rollout", "start", "new", "--as", "ada", "-C", folder)
    proveout("approve", "new", "--as", "bob", "-C", folder)
    done = proveout("rollout", "promote", "answers", "--as", "ada", "-C", folder)
    assert "promoted; serves new 100%" in done.out, done.err


def test_a_rejection_stands_in_the_trail(folder: Path, store: Store, proveout: Any) -> None:
    proveout("rollout", "start", "new", "--as", "ada", "-C", folder)
    assert proveout("reject", "new", "--as", "bob", "--reason", "too dear", "-C", folder).code == 0
    assert json.loads(proveout("rollout", "status", "answers", "--json", "-", "-C", folder).out)["state"] == "aborted"
    trail = json.loads(proveout("audit", "--json", "-", "-C", folder).out)
    assert [entry["action"] for entry in trail["entries"]] == ["adopt", "start", "reject", "abort"]


def test_who_decides_is_taken_from_the_environment(
    folder: Path, proveout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVEOUT_ACTOR", "release-bot")
    assert "release-bot approves" in proveout("approve", "new", "-C", folder).out


def test_what_is_not_declared_is_told_with_what_is(folder: Path, proveout: Any) -> None:
    for words, said in (
        (("rollout", "start", "nope"), "known changes"),
        (("rollout", "start", "new", "--environment", "moon"), "known: production"),
        (("rollout", "status", "nope"), "known services: answers"),
        (("promote", "new", "--to", "moon"), "write staging or production"),
        (("rollout", "pause", "answers"), ""),
    ):
        done = proveout(*words, "-C", folder)
        assert done.code in (1, 2)
        assert said in done.err


def test_a_plan_says_which_drops_are_caught_and_who_sees_them(folder: Path, proveout: Any) -> None:
    done = proveout("plan", "new", "--runs", "40", "--json", "-", "-C", folder)
    assert done.code == 0
    plan = json.loads(done.out)
    assert [step["kind"] for step in plan["steps"]] == ["approval", "canary"]
    assert plan["steps"][1]["requests"] == 250
    caught = [drop["rolled_back"] for drop in plan["drops"]]
    assert caught == sorted(caught)
    assert plan["false_rollback"] <= 0.1
    assert "caught" in proveout("plan", "new", "--runs", "40", "-C", folder).out


def test_a_shadow_whose_answers_are_scored_catches_a_drop_before_anybody_sees_it(tmp_path: Path, proveout: Any) -> None:
    steps = ({"shadow": {"requests": 400}}, {"canary": {"weight": 0.2, "requests": 50}})
    scored = {"online": {"scorers": [{"contains": {"any": ["please"]}}]}}
    exposed = []
    for name, fields in (("blind", {}), ("scored", scored)):
        folder = write_project(tmp_path / name, steps=steps, **fields)
        done = proveout("plan", "new", "--runs", "40", "--json", "-", "-C", folder)
        (worst,) = [drop for drop in json.loads(done.out)["drops"] if drop["drop"] == 0.2]
        exposed.append(worst["exposed"])
    assert exposed[0] > 5
    assert exposed[1] == 0


def test_the_controller_looks_once(folder: Path, store: Store, proveout: Any) -> None:
    assert proveout("controller", "--once", "-C", folder).code == 0
    assert store.releases.current("production")["answers"].epoch == 1


def test_the_files_for_ci_are_valid_and_run_what_the_command_line_has(proveout: Any) -> None:
    texts = []
    for path in sorted(INTEGRATIONS.rglob("*.yml")):
        texts.append(path.read_text())
        assert list(YAML(typ="safe").load_all(texts[-1]))
    everything = "\n".join(texts)
    assert "github.event.pull_request.title" not in everything  # Nothing that strangers write reaches a shell.
    for command in ("check", "run", "comment"):
        assert f"proveout {command} " in everything
        assert proveout(command, "--help").code == 0

"""`proveout demo`: the built-in model really answers, the five changes get the verdicts that they deserve, and one of
them goes to production and back.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from proveout.cli.delivery_demo import deliver
from proveout.cli.demonstration import CHANGES
from proveout.cli.scaffold import GOLDEN_TICKETS, PER_PHRASING, SILVER_TICKETS
from proveout.storage import open_store
from proveout.testing.projects import replay_project

DEMO = [sys.executable, "-m", "proveout", "demo"]
PATIENCE_S = 400


def run(*words: object, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S, check=False, **settings
    )


def card(folder: Path, change: str) -> dict[str, Any]:
    return json.loads((folder / "scorecards" / f"{change}.json").read_text())


def verdicts(card: dict[str, Any]) -> tuple[str, dict[str, str]]:
    return card["decision"], {gate["metric"]: gate["verdict"] for gate in card["gates"]}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One demo for all tests: it was stopped by Ctrl-C in its first change, and the same command went on from there."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    stopped = subprocess.Popen(
        [*DEMO, "-C", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    _wait_for_calls(folder, stopped)
    stopped.send_signal(signal.SIGINT)
    _, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == 130
    assert "the same command goes on from here" in errors
    return folder, run("-C", folder)


def _wait_for_calls(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until some finished calls are in the store."""
    for _ in range(600):
        assert process.poll() is None
        time.sleep(0.1)
        for file in folder.glob(".proveout/*.db"):
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as store:
                try:
                    (count,) = store.execute("select count(*) from calls").fetchone()
                except sqlite3.OperationalError:
                    continue
            if count > 50:
                return
    raise AssertionError("the demo made no calls within a minute")


@pytest.mark.timeout(PATIENCE_S)
class TestDemo:
    def test_the_five_changes_get_the_verdicts_that_they_deserve(self, demo):
        folder, ended = demo
        assert ended.returncode == 0, ended.stderr
        found = {change: verdicts(card(folder, change)) for change in CHANGES}
        holds = {"exact_match": "pass", "agreement": "pass", "cluster_agreement": "pass"}
        assert found["int8"] == ("pass", holds)
        assert found["int2"] == ("fail", {**holds, "exact_match": "fail", "cluster_agreement": "fail"})
        assert found["hot"][0] == "fail"
        assert found["hot"][1]["agreement"] == "fail"
        assert found["tuned"] == ("pass", holds)
        assert found["twin"] == ("inconclusive", {**holds, "exact_match": "inconclusive"})

    def test_a_stopped_demo_does_not_make_finished_calls_again(self, demo):
        """Without the stop, only silver rows that repeat golden ones are found in the cache."""
        folder, _ = demo
        calls = card(folder, "int8")["calls"]
        assert calls["made"] < 2 * (GOLDEN_TICKETS + SILVER_TICKETS) + 2 * 100 * 2 * PER_PHRASING
        assert calls["failed"] == 0

    def test_the_model_answered_for_real(self, demo):
        gates = {change: card(demo[0], change)["gates"][0] for change in ("int2", "tuned")}
        assert 0.8 <= gates["int2"]["champion"]["value"] <= 0.9
        assert gates["int2"]["difference"]["high"] < -0.03
        assert gates["tuned"]["difference"]["low"] > 0
        assert gates["tuned"]["champion"]["n"] == 180

    def test_it_ends_with_the_verdicts_the_pages_and_the_next_commands(self, demo):
        folder, ended = demo
        closing = ended.stdout.partition("Five changes, five verdicts")[2]
        for change, decision in zip(CHANGES, ("pass", "fail", "fail", "pass", "inconclusive"), strict=True):
            page = folder / "scorecards" / f"{change}.html"
            assert f"{decision:<12}  {change}" in closing
            assert str(page) in closing
            assert page.read_text().lstrip().lower().startswith("<!doctype html>")
        assert f"proveout run tuned -C {folder}" in closing
        assert "proveout tiny serve" in closing

    def test_a_change_goes_to_production_step_by_step_and_back_when_it_degrades(self, demo):
        folder, ended = demo
        with open_store(f"sqlite:///{folder}/.proveout/store.db") as store:
            assert store.audit.problems() == []
            told = [entry for entry in store.audit.after() if entry.action not in ("adopt", "baseline", "declared")]
            states = [entry.body.get("state") for entry in told]
            assert [entry.action for entry in told[:3]] == ["start", "approve", "advance"]
            assert states[2:] == ["shadow", "canary", "canary", "promoted", "rolled_back"]
            assert told[-1].body["reason"].startswith("feedback:ok rose above")
            assert list(store.releases.current("production")["triage"].weights.values()) == [1.0]
            kept = store.deliveries.failures("triage")
            assert kept
            assert {failure.signal for failure in kept} == {"feedback:ok"}
            assert all(store.traces.content(failure.trace) for failure in kept)
            assert [incident.service for incident in store.deliveries.incidents()] == ["triage"]
        for said in ("rolled back", "failures are kept", "/revert-triage", "of its answers agree with base's"):
            assert said in ended.stdout

    def test_git_has_the_proposal_with_its_scorecard_the_merge_and_the_revert(self, demo):
        def git(*words: str) -> str:
            done = subprocess.run(["git", "-C", demo[0], *words], capture_output=True, text=True, check=True)
            return done.stdout

        log = git("log", "--all", "--format=%s")
        assert "Promote triage/tuned to production" in log
        assert "Revert triage in production to base" in log
        assert "environments/scorecards/production/triage-tuned.md" in git("ls-files")
        assert git("status", "--porcelain") == ""

    def test_a_loop_that_was_shown_is_not_run_again(self, demo, capsys):
        deliver(demo[0])
        assert "Serve and deliver" not in capsys.readouterr().out


def test_a_folder_with_a_project_of_its_own_is_refused(tmp_path: Path):
    rows = [{"id": str(n), "input": {"question": str(n)}, "expected": "a"} for n in range(3)]
    replay_project(tmp_path, rows, {"base": {str(n): "a" for n in range(3)}}, changes={})
    before = sorted(tmp_path.rglob("*"))
    ended = run("-C", tmp_path)
    assert ended.returncode == 2
    assert "holds a project of its own" in ended.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    """Root may write anywhere but where the kernel itself says what there is."""
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    tmp_path.chmod(0o500)
    ended = run(cwd=folder)
    tmp_path.chmod(0o700)
    assert ended.returncode == 2
    assert "proveout-demo can't be written" in ended.stderr

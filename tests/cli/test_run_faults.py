"""Whole runs against a real endpoint that misbehaves, is interrupted or killed, and stores that can't be written.

One promise: what went wrong is counted and said, finished calls are kept, and nothing unmeasured is a verdict.
"""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from proveout.testing.endpoints import ScriptedEndpoint, question, said
from proveout.testing.faults import Answer, Received

EXAMPLES = 60


def right(received: Received, **more: Any) -> Answer:
    """Repeats the question, which is what the examples expect."""
    return said(question(received).strip(), **more)


def hosted_project(folder: Path, url: str, *, retries: int = 0, timeout: str = "2s", store: str | None = None) -> Path:
    """Two variants of one endpoint, which is told apart by the model's name."""
    service = folder / "services" / "echo"
    for name in ("datasets", "variants", "changes", "prompts"):
        (service / name).mkdir(parents=True)
    (folder / "proveout.yaml").write_text("project: faults\n" + (f"store: '{store}'\n" if store else ""))
    (service / "prompts" / "ask.md").write_text("{{ text }}\n")
    rows = [{"id": f"e{n}", "input": {"text": f"q{n}"}, "expected": f"q{n}"} for n in range(EXAMPLES)]
    (service / "datasets" / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (service / "service.yaml").write_text(
        "service: echo\ninput: [text]\ndatasets: {golden: datasets/golden.jsonl}\nscorers: [exact_match]\n"
        "champion: a\nobjectives: {accuracy: {metric: exact_match, margin: 0.1}}\n"
    )
    for name in ("a", "b"):
        (service / "variants" / f"{name}.yaml").write_text(
            f"variant: {name}\nprompt: prompts/ask.md\nmodel:\n  provider: openai-compatible\n  name: {name}\n"
            f"  url: {url}\n  limits: {{retries: {retries}, timeout: {timeout}}}\n"
        )
    (service / "changes" / "b.yaml").write_text(
        "change: b\nservice: echo\nchallenger: b\nimproves: []\nhypothesis: As good.\n"
    )
    return folder


def run_b(proveout: Any, project: Path, *words: object) -> tuple[int, dict[str, Any], str]:
    file = project / "out.json"
    ended = proveout("run", "b", "-C", project, "--json", file, *words)
    return ended.code, json.loads(file.read_text()) if file.exists() else {}, ended.err


def of_b(received: Received) -> bool:
    return received.json()["model"] == "b"


def number(received: Received) -> int:
    return int(question(received).strip()[1:])


def test_a_healthy_endpoint_passes_and_a_second_run_calls_nobody(proveout, tmp_path):
    with ScriptedEndpoint(right) as endpoint:
        project = hosted_project(tmp_path, endpoint.url)
        code, card, _ = run_b(proveout, project)
        assert (code, card["decision"]) == (0, "pass")
        assert card["calls"] == {"made": 2 * EXAMPLES, "cached": 0, "failed": 0}
        assert card["cost_usd"] is None
        code, again, _ = run_b(proveout, project)
        assert again["calls"] == {"made": 0, "cached": 2 * EXAMPLES, "failed": 0}
        assert again["gates"] == card["gates"]
        code, paid, _ = run_b(proveout, project, "--no-cache")
        assert paid["calls"]["made"] == 2 * EXAMPLES
        assert set(endpoint.asked().values()) == {2}


def test_an_endpoint_that_is_down_could_not_be_measured(proveout, tmp_path):
    code, card, _ = run_b(proveout, hosted_project(tmp_path, "http://127.0.0.1:9/v1"))
    assert (code, card["decision"]) == (4, "error")
    assert "stopped early" in card["gates"][0]["reason"]
    assert card["calls"]["failed"] >= 20


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (lambda r: Answer(status=500, body=b"oops"), "status"),
        (lambda r: right(r, cut_after=80), "cut"),
        (lambda r: Answer(body=b"{'not': json", headers=[("content-type", "application/json")]), "malformed"),
        (lambda r: Answer(body=os.urandom(2000), headers=[("content-type", "application/json")]), "malformed"),
        (lambda r: Answer(raw=b"SSH-2.0-OpenSSH_9.2\r\n"), "malformed"),
        (lambda r: Answer(hang=True), "timeout"),
    ],
    ids=["500", "cut", "no JSON", "binary", "not HTTP", "silent"],
)
def test_calls_that_bring_no_answer_are_failures_and_not_wrong_answers(proveout, tmp_path, fault, kind):
    def script(received: Received) -> Answer:
        return fault(received) if of_b(received) and number(received) % 6 == 0 else right(received)

    with ScriptedEndpoint(script) as endpoint:
        code, card, _ = run_b(proveout, hosted_project(tmp_path, endpoint.url, timeout="500ms"))
    assert (code, card["decision"]) == (4, "error")
    assert card["calls"]["failed"] == EXAMPLES // 6
    (gate,) = card["gates"]
    assert gate["challenger"]["value"] is None
    assert "16.7% of the challenger's calls gave no answer" in gate["reason"]
    assert any(notice["kind"] == f"calls_failed:{kind}" for notice in card["notices"])


def test_faults_that_pass_are_tried_again_and_cost_no_answer(proveout, tmp_path):
    seen: Counter[str] = Counter()

    def script(received: Received) -> Answer:
        call = f"{received.json()['model']} {number(received)}"
        seen[call] += 1
        if seen[call] == 1 and number(received) % 5 == 0:
            return Answer.too_many(retry_after="0.05") if number(received) % 2 else Answer(status=503)
        return right(received)

    with ScriptedEndpoint(script) as endpoint:
        code, card, _ = run_b(proveout, hosted_project(tmp_path, endpoint.url, retries=4))
    assert (code, card["decision"]) == (0, "pass")
    assert card["calls"] == {"made": 2 * EXAMPLES, "cached": 0, "failed": 0}


def test_wrong_and_absent_usage_does_not_matter_to_accuracy(proveout, tmp_path):
    def script(received: Received) -> Answer:
        answer = json.loads(right(received).body)
        answer["usage"] = None if of_b(received) else {"prompt_tokens": -3, "completion_tokens": "many"}
        return Answer.json(answer)

    with ScriptedEndpoint(script) as endpoint:
        code, card, _ = run_b(proveout, hosted_project(tmp_path, endpoint.url))
    assert (code, card["decision"]) == (0, "pass")


def test_a_huge_answer_is_scored_like_any_other_and_shown_cut(proveout, tmp_path):
    with ScriptedEndpoint(lambda r: said("long " * 400_000) if of_b(r) and number(r) == 3 else right(r)) as endpoint:
        code, card, _ = run_b(proveout, hosted_project(tmp_path, endpoint.url))
    assert code in (0, 3)
    assert len(json.dumps(card)) < 200_000
    assert card["flip_counts"] == {"better": 0, "worse": 1}


def test_max_calls_is_kept_and_a_higher_limit_goes_on_from_there(proveout, tmp_path):
    with ScriptedEndpoint(right) as endpoint:
        project = hosted_project(tmp_path, endpoint.url)
        code, card, _ = run_b(proveout, project, "--max-calls", 50)
        assert (code, card["decision"]) == (4, "error")
        assert sum(endpoint.asked().values()) == 50
        code, card, _ = run_b(proveout, project, "--max-calls", 100)
        assert (code, card["decision"]) == (0, "pass")
        assert set(endpoint.asked().values()) == {1}


def test_max_cost_without_a_price_calls_nobody(proveout, tmp_path):
    with ScriptedEndpoint(right) as endpoint:
        code, card, _ = run_b(proveout, hosted_project(tmp_path, endpoint.url), "--max-cost", 1)
        assert (code, card["decision"]) == (4, "error")
        assert "prices.yaml" in card["gates"][0]["reason"]
        assert not endpoint.asked()


# Interrupted and killed ----------------------------------------------------------------------------------------------


def started(project: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "proveout", "run", "b", "-C", str(project), "--concurrency", "8", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("after", [10, 90])
def test_stopped_at_any_moment_the_same_command_finishes_the_rest(proveout, tmp_path, end, after):
    with ScriptedEndpoint(lambda received: right(received, delay_s=0.02)) as endpoint:
        project = hosted_project(tmp_path / "stopped", endpoint.url)
        process = started(project)
        wait_until(lambda: len(endpoint.received) >= after)
        process.send_signal(end)
        _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        if end == signal.SIGINT:
            assert "the same command goes on from here" in err
            assert "Traceback" not in err
        before = endpoint.asked()
        code, resumed, _ = run_b(proveout, project)
        after_all = endpoint.asked()
        assert code == 0
        assert resumed["calls"]["cached"] > 0
        assert set(after_all) == {(arm, f"q{n}") for arm in "ab" for n in range(EXAMPLES)}
        # Only what was in flight at the end is asked twice.
        assert sum((after_all - Counter(dict.fromkeys(after_all, 1))).values()) <= 8
        assert sum(before.values()) + resumed["calls"]["made"] == sum(after_all.values())
        code, whole, _ = run_b(proveout, hosted_project(tmp_path / "whole", endpoint.url))
        assert resumed["gates"] == whole["gates"]


# The store ------------------------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_is_said_and_finished_calls_are_kept(proveout, tmp_path):
    with ScriptedEndpoint(lambda received: said("word " * 4_000, delay_s=0.005)) as endpoint:
        project = hosted_project(tmp_path, endpoint.url)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
        try:
            ended = proveout("run", "b", "-C", project, "--concurrency", 4)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert ended.code == 4
        assert "store" in ended.err
        assert "Traceback" not in ended.err
        _, card, _ = run_b(proveout, project)
        assert card["calls"]["cached"] > 0
        assert card["calls"]["cached"] + card["calls"]["made"] == 2 * EXAMPLES


@contextmanager
def locked(path: Path) -> Iterator[None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def test_a_locked_database_is_a_clear_error(proveout, tmp_path):
    with ScriptedEndpoint(right) as endpoint:
        project = hosted_project(tmp_path, endpoint.url, store=f"sqlite:///{tmp_path}/store.db?timeout=0.3")
        assert run_b(proveout, project)[0] == 0
        with locked(tmp_path / "store.db"):
            ended = proveout("run", "b", "-C", project, "--no-cache")
        assert ended.code == 4
        assert "locked" in ended.err
        assert "Traceback" not in ended.err


def test_no_key_is_ever_shown_or_stored(proveout, tmp_path, monkeypatch):
    monkeypatch.setenv("ECHO_KEY", "sk-very-secret-0123456789")
    with ScriptedEndpoint(
        lambda r: Answer(status=401, body=b'{"error":{"message":"bad key sk-very-secret-0123456789"}}')
    ) as endpoint:
        project = hosted_project(tmp_path, endpoint.url)
        for name in ("a", "b"):
            file = project / "services" / "echo" / "variants" / f"{name}.yaml"
            file.write_text(file.read_text().replace(f"  name: {name}\n", f"  name: {name}\n  key: env:ECHO_KEY\n"))
        code, card, err = run_b(proveout, project, "--html", tmp_path / "out.html")
        assert endpoint.received[0].headers.get("authorization") == "Bearer sk-very-secret-0123456789"
    assert (code, card["decision"]) == (4, "error")
    for path in [*tmp_path.rglob("*.db*"), tmp_path / "out.html", tmp_path / "out.json"]:
        assert b"very-secret" not in path.read_bytes()
    assert "very-secret" not in err

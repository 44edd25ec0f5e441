"""`proveout probe` as a command, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def tiny_url() -> Iterator[str]:
    program = (
        "from proveout.models.tiny import run_server; run_server(('f16',), announce=lambda url: print(url, flush=True))"
    )
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.terminate()
    server.wait(20)
    server.stdout.close()


def proveout(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "proveout", *arguments], capture_output=True, text=True, timeout=100)


def test_an_endpoint_is_shown_and_written(tiny_url: str, tmp_path: Path) -> None:
    done = proveout("probe", tiny_url, "--json", str(tmp_path / "p.json"))
    assert (done.returncode, done.stderr.strip()) == (0, f"Wrote {tmp_path / 'p.json'}")
    assert "tiny-f16" in done.stdout
    assert "log-probabilities" in done.stdout
    report = json.loads((tmp_path / "p.json").read_text())
    assert (report["schema"], report["model"]) == ("proveout.probe/v1", "tiny-f16")
    assert {finding["status"] for finding in report["findings"]} == {"supported", "not_supported"}


def test_json_to_the_terminal_is_nothing_but_json(tiny_url: str) -> None:
    done = proveout("probe", tiny_url, "--model", "tiny-f16", "--json", "-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["model"] == "tiny-f16"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("http://127.0.0.1:1/v1",), 4, "no connection"),
        (("127.0.0.1:8000",), 2, "not a web address"),
        (("http://127.0.0.1:1/v1", "--key", "sk-123"), 2, "write env:NAME"),
        (("http://127.0.0.1:1/v1", "--key", "env:NO_SUCH_KEY"), 2, "NO_SUCH_KEY is not set"),
        (("http://a:b@127.0.0.1:1/v1",), 2, "credentials"),
    ],
)
def test_what_cannot_be_asked_is_said_plainly(arguments: tuple[str, ...], code: int, said: str) -> None:
    done = proveout("probe", *arguments)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr

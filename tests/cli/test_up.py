"""`proveout up`: everything at once, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proveout.testing.servers import wait_until


@contextmanager
def up(root: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A running `proveout up`, with what it printed until all was ready."""
    command = [sys.executable, "-m", "proveout", "up", "--project", str(root), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines: list[str] = []
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C stops all"):
                    break
            else:
                raise AssertionError("".join(lines))
            yield process, lines
        finally:
            process.kill()


def project(folder: Path) -> Path:
    root = folder / "shop"
    subprocess.run([sys.executable, "-m", "proveout", "init", str(root)], check=True, capture_output=True)
    return root


def children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(word) for word in listed.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def address(lines: list[str]) -> str:
    found = re.search(r"(http://\S+)/v1", "".join(lines))
    assert found is not None
    return found[1]


def answer(url: str) -> str:
    body = json.dumps({"model": "triage", "messages": [{"role": "user", "content": "My card is lost"}]}).encode()
    with urllib.request.urlopen(f"{url}/v1/chat/completions", body, timeout=20) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def test_it_serves_and_one_ctrl_c_stops_all(tmp_path: Path) -> None:
    with up(project(tmp_path)) as (process, lines):
        assert answer(address(lines))
        assert any(line.startswith("controller | Controlling environments") for line in lines)
        family = children(process.pid)
        assert len(family) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert not any(alive(child) for child in family)


def test_a_child_that_is_killed_is_started_again_and_none_outlives_its_parent(tmp_path: Path) -> None:
    with up(project(tmp_path)) as (process, _):
        family = children(process.pid)
        os.kill(family[1], signal.SIGKILL)
        wait_until(lambda: len(children(process.pid)) == 2 and family[1] not in children(process.pid), "another child")
        family = children(process.pid)
        process.kill()
        wait_until(lambda: not any(alive(child) for child in family), "its children to end with it")


def test_what_can_not_start_stops_all_with_its_exit_code(tmp_path: Path) -> None:
    root = project(tmp_path)
    command = [
        sys.executable,
        "-m",
        "proveout",
        "up",
        "--project",
        str(root),
        "--environment",
        "nowhere",
        "--port",
        "0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no environment 'nowhere'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr

"""kill -9 in the middle of a run, then the same again: no finished call is paid twice."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest
from test_calls_http import chat

from proveout.testing.faults import FaultServer
from proveout.wire import run

CALLS = 500
WORKERS = 16


async def start(server: FaultServer, store: str) -> asyncio.subprocess.Process:
    script = Path(__file__).with_name("calls_process.py")
    return await asyncio.create_subprocess_exec(
        sys.executable, script, f"{server.url}/v1", store, str(CALLS), stdout=asyncio.subprocess.PIPE
    )


def questions(server: FaultServer, since: int = 0) -> Counter[int]:
    asked = (received.json()["messages"][0]["content"] for received in server.received[since:])
    return Counter(int(question.removeprefix("question ")) for question in asked)


@pytest.mark.parametrize("kill_after", [1, 300])
def test_no_finished_call_is_paid_twice(tmp_path: Path, kill_after: int) -> None:
    store = f"sqlite:///{tmp_path}/store.db"

    async def main() -> None:
        async with FaultServer(otherwise=chat(delay_s=0.01)) as server:
            process = await start(server, store)
            assert process.stdout is not None
            finished = [int(await process.stdout.readline()) for _ in range(kill_after)]
            process.kill()
            finished += [int(line) for line in (await process.stdout.read()).split(b"\n")[:-1]]
            assert await process.wait() == -9
            first = len(server.received)

            again = await start(server, store)
            output, _ = await again.communicate()
            assert again.returncode == 0
            assert sorted(map(int, output.split())) == list(range(CALLS))

            asked_again = questions(server, since=first)
            assert not asked_again.keys() & set(finished)
            # At most what was in flight when the process died is asked a second time.
            assert sum(count - 1 for count in questions(server).values()) <= WORKERS
            assert questions(server).keys() == set(range(CALLS))

            sent = len(server.received)
            third = await start(server, store)
            await third.communicate()
            assert len(server.received) == sent

    run(main())

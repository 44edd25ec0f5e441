"""Arize Phoenix, a real reader of OTLP, takes the gateway's spans and understands them. It takes minutes to start: it
runs where `make peers` installed it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_world import completion, stream, world

from proveout import wire
from proveout.testing.faults import Answer, FaultServer, Received
from proveout.testing.servers import free_port, wait_until

PEERS = Path(os.environ.get("PROVEOUT_PEERS") or Path(__file__).parents[2] / ".peers")
PHOENIX = PEERS / "phoenix" / "bin" / "phoenix"
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
GUARDS = {"output": [{"name": "greeting", "deny_pattern": "Hi"}]}


@contextmanager
def phoenix(folder: Path) -> Iterator[str]:
    """A Phoenix of one's own, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PHOENIX, "serve"], env={**os.environ, **settings}, stdout=log, stderr=log)

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        try:
            told(f"{url}/v1/projects")
        except OSError:
            return False
        return True

    try:
        wait_until(answers, "Phoenix to answer", timeout_s=400, interval_s=1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def told(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:
        return json.load(response)["data"]


def provider(request: Received) -> Answer:
    if b"fail" in request.body:
        return Answer(status=500)
    return stream() if request.json().get("stream") else Answer.json(completion())


@pytest.mark.timeout(500)
@pytest.mark.skipif(not PHOENIX.exists(), reason="Arize Phoenix is not installed; make peers installs it")
def test_phoenix_reads_the_gateways_spans(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        async with (
            FaultServer(provider) as upstream,
            world(
                tmp_path,
                {"base": upstream.url},
                telemetry={"endpoint": url},
                service={"guards": GUARDS},
                gateway={"services": {"chat": {"retries": 0}}},
            ) as here,
        ):
            await here.ask(traceparent=PARENT)
            await here.ask({"stream": True})
            await here.ask({"messages": [{"role": "user", "content": "fail"}]})
            while len(found := await asyncio.to_thread(told, f"{url}/v1/projects/default/spans?limit=10")) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
            traces = await here.traces(3)
        spans = {span["attributes"]["proveout.trace.id"]: span for span in found}
        whole, streamed, failed = (spans[trace.id] for trace in traces)
        (tmp_path / "seen.json").write_text(json.dumps(found, indent=1))
        assert (whole["context"]["trace_id"], whole["parent_id"]) == ("a" * 32, "b" * 16)
        assert {span["name"] for span in found} == {"chat model-base"}
        assert [span["status_code"] for span in (whole, streamed, failed)] == ["UNSET", "UNSET", "ERROR"]
        for span, tokens in ((whole, (9, 3)), (streamed, (9, 2))):
            said = span["attributes"]
            assert said["gen_ai.operation.name"] == "chat"
            assert said["gen_ai.request.model"] == "model-base"
            assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == tokens
            assert said["gen_ai.response.finish_reasons"] == ["stop"]
            assert json.loads(said["proveout.guards"]) == {"greeting": "flag"}
            # What Phoenix itself made of them: its own names for the model and its tokens.
            assert span["span_kind"] == "LLM"
            assert said["llm.model_name"] == "model-base"
            assert (said["llm.token_count.prompt"], said["llm.token_count.completion"]) == tokens
        assert failed["attributes"]["error.type"] == "status"

    with phoenix(tmp_path) as url:
        wire.run(main(url))

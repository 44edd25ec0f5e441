"""Clients that people use work by changing the base URL. Each runs as a program of its own, as its users run it.

Those beyond the development environment come from `make peers` (or the folder that PROVEOUT_PEERS names)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from gateway_world import USAGE, chunk, completion, run, stream, world

from proveout.testing.faults import Answer, FaultServer, Received

HERE = Path(__file__).parent / "clients"
PEERS = Path(os.environ.get("PROVEOUT_PEERS") or Path(__file__).parents[2] / ".peers")
PYTHON = PEERS / "clients" / "bin" / "python"
KEY = "pk-of-a-client"
CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
TEXT = {"type": "output_text", "text": "Hi.", "annotations": []}
MESSAGE = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [TEXT]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "model-base",
    "output": [MESSAGE],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 9,
        "output_tokens": 2,
        "total_tokens": 11,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}


def provider(request: Received) -> Answer:
    """A provider in OpenAI's formats."""
    body = json.loads(request.body)
    if request.target.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
        return Answer.json(
            {"object": "list", "data": data, "model": "e", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
        )
    if request.target.endswith("/responses"):
        return _responses() if body.get("stream") else Answer.json(RESPONSE)
    if body["messages"][-1]["content"] == "fail":
        error = {"message": "bad_thing happened", "type": "invalid_request_error", "param": None, "code": "bad_thing"}
        return Answer.json({"error": error}, status=400)
    if body.get("tools"):
        if body.get("stream"):
            first = chunk({"role": "assistant", "tool_calls": [{"index": 0, **CALL}]})
            return stream(first, chunk({}, "tool_calls"), chunk(usage=USAGE), "[DONE]")
        message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        return Answer.json(completion(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}]))
    if body.get("response_format"):
        return Answer.json(completion('{"intent": "lost_card"}'))
    return stream() if body.get("stream") else Answer.json(completion())


def _responses() -> Answer:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_text.delta", **place, "delta": "Hi", "logprobs": []},
        {"type": "response.output_text.delta", **place, "delta": ".", "logprobs": []},
        {"type": "response.completed", "response": RESPONSE},
    ]
    return Answer(
        events=[
            f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
            for number, event in enumerate(events)
        ]
    )


def client(folder: Path, command: list[str], cwd: Path | None = None) -> dict[str, Any]:
    """What a client saw of a gateway in front of that provider."""

    async def main() -> dict[str, Any]:
        gateway = {"keys": {"web": {"hash": f"sha256:{sha256(KEY.encode()).hexdigest()}"}}}
        async with FaultServer(provider) as upstream, world(folder, {"base": upstream.url}, gateway=gateway) as here:
            process = await asyncio.create_subprocess_exec(
                *command,
                f"{here.url}/v1",
                KEY,
                cwd=cwd,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": ""},
            )
            said, complaint = await process.communicate()
            assert process.returncode == 0, complaint.decode()[-3000:]
            traces = await here.traces(6)
            assert {trace.client for trace in traces} == {"web"}
            return json.loads(said.splitlines()[-1])

    return run(main())


COMMON = {
    "whole": "Hi.",
    "stream": "Hi.",
    "tool": ["find", {}],
    "structured": "lost_card",
    "embedding": [0.5, 0.25],
    "response": "Hi.",
    "error": [400, "bad_thing"],
}
ALL = {
    **COMMON,
    "stream_usage": 11,
    "streamed_tool": "find",
    "streamed_response": "Hi.",
    "absent": "model_not_found",
    "wrong_key": "invalid_api_key",
    "models": ["chat", "chat/base"],
}


def test_openais_python_sdk(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    assert client(tmp_path, [sys.executable, str(HERE / "openai_python.py")]) == ALL


def test_openais_node_sdk(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (PEERS / "node" / "node_modules" / "openai").is_dir():
        pytest.skip("Node or its package `openai` is not there; make peers installs the package")
    assert client(tmp_path, [node, str(HERE / "openai_node.mjs")], PEERS / "node") == ALL


@pytest.mark.parametrize(
    ("package", "others"),
    [("langchain_openai", {"streamed_tool": "find"}), ("litellm", {})],
    ids=["langchain", "litellm"],
)
def test_pythons_other_clients(tmp_path: Path, package: str, others: dict[str, Any]) -> None:
    found = PYTHON.exists() and list((PEERS / "clients" / "lib").glob(f"python*/site-packages/{package}"))
    if not found:
        pytest.skip(f"{package} is not installed; make peers installs it")
    script = {"langchain_openai": "langchain_python.py", "litellm": "litellm_python.py"}[package]
    assert client(tmp_path, [str(PYTHON), str(HERE / script)]) == {**COMMON, **others}

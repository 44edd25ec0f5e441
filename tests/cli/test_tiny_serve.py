"""`proveout tiny serve` as a user starts it: it says where it is, answers any client, and stops when told to."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from proveout.models.tiny import BUILDS
from proveout.models.tiny.instructions import PROMPT

ASKED = [{"role": "system", "content": PROMPT}, {"role": "user", "content": "where is my package"}]
ANSWER = '{"intent": "delivery"}'


@contextlib.contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "proveout", "tiny", "serve", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert process.stdout.readline().startswith("Models: tiny-f16")
        yield process, url
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_answers_and_stops_when_told_to(number):
    with serving("--port", "0") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        body = json.dumps({"model": "tiny-f16", "messages": ASKED, "temperature": 0}).encode()
        request = urllib.request.Request(f"{url}/chat/completions", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as response:
            assert json.load(response)["choices"][0]["message"]["content"] == ANSWER
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_the_openai_sdk_streams_from_it_with_usage_and_lists_its_builds():
    openai = pytest.importorskip("openai", reason="drives the server by OpenAI's own client where installed")
    with (
        serving("--port", "0") as (_, url),
        openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=20) as client,
    ):
        assert [model.id for model in client.models.list()] == [f"tiny-{build}" for build in BUILDS]
        stream = client.chat.completions.create(
            model="tiny-int8", messages=ASKED, temperature=0, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    usage = chunks[-1].usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


def test_a_port_in_use_is_named(proveout):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = proveout("tiny", "serve", "--port", port)
    assert ended.code == 2
    assert ended.err == (
        f"port {port} of 127.0.0.1 is in use; choose another with --port, or --port 0 for a free one\n"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_a_host_that_is_not_ours_is_named(proveout, host):
    ended = proveout("tiny", "serve", "--host", host, "--port", "0")
    assert ended.code == 2
    assert host in ended.err
    assert "--host" in ended.err


def test_an_ipv6_address_is_written_as_a_url():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with (
        serving("--host", "::1", "--port", "0") as (_, url),
        urllib.request.urlopen(f"{url}/models", timeout=20) as response,
    ):
        assert url.startswith("http://[::1]:")
        assert response.status == 200

"""Against programs that others wrote: curl, nginx, and Python's own client and server."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme
from wire_peers import serving

from proveout.testing.servers import free_port, wait_until
from proveout.wire import Client, Responder, ServerRequest, encode_event

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin") or ""
needs_nginx = pytest.mark.skipif(not NGINX, reason="needs nginx")
BODY = bytes(range(256)) * 4000


async def app(request: ServerRequest, responder: Responder) -> None:
    if request.path == "/events":
        responder.start(200, [("content-type", "text/event-stream")])
        for number in range(3):
            responder.write(encode_event(f"event {number}"))
            await responder.drain()
        responder.end()
    elif request.path == "/echo":
        responder.reply(200, [("x-method", request.method)], request.body)
    else:
        responder.reply(404)


# The wire's server


async def curl(*arguments: str, body: bytes = b"") -> bytes:
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", "15", *arguments,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate(body)
    assert process.returncode == 0
    return output


@needs_curl
async def test_curl_talks_to_the_server() -> None:
    async with serving(app) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert await curl(f"{url}/events") == b"data: event 0\n\ndata: event 1\n\ndata: event 2\n\n"
        assert await curl("--data-binary", "@-", f"{url}/echo", body=BODY) == BODY  # With Expect: 100-continue.
        chunked = ["--header", "transfer-encoding: chunked", "--header", "expect:"]
        assert await curl("--data-binary", "@-", *chunked, f"{url}/echo", body=BODY) == BODY
        assert await curl("--http1.0", f"{url}/events") == b"data: event 0\n\ndata: event 1\n\ndata: event 2\n\n"
        assert await curl("--http2", "--data", "abc", f"{url}/echo") == b"abc"  # Offers an upgrade to h2c.
        assert (await curl("--head", f"{url}/echo")).startswith(b"HTTP/1.1 200 OK\r\n")
        connects = ["--write-out", "%{num_connects}", "--output", "-"]
        assert await curl(*connects, f"{url}/echo", f"{url}/echo", f"{url}/echo") == b"100"


@needs_curl
async def test_curl_talks_to_the_server_over_tls(tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serving(app, ssl_context=context) as server:
        url = f"https://localhost:{server.port}/echo"
        assert await curl("--cacert", str(tmp_path / "ca.pem"), "--data-binary", "@-", url, body=BODY) == BODY


async def test_pythons_own_client_talks_to_the_server() -> None:
    def talk(port: int) -> list[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        answers = []
        for method, path, body in (
            ("POST", "/echo", BODY),
            ("GET", "/events", None),
            ("PUT", "/echo", iter([b"a", b"b"])),
        ):
            connection.request(method, path, body, encode_chunked=True)
            answers.append(connection.getresponse().read())
        connection.close()
        return answers

    async with serving(app) as server:
        answers = await asyncio.to_thread(talk, server.port)
    assert answers == [BODY, b"data: event 0\n\ndata: event 1\n\ndata: event 2\n\n", b"ab"]


# The wire's client


class PythonHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        if self.path == "/close":
            self.end_headers()
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def python_server(version: str) -> Iterator[str]:
    handler = type("Handler", (PythonHandler,), {"protocol_version": version})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("version", "keeps"), [("HTTP/1.1", True), ("HTTP/1.0", False)])
async def test_the_client_talks_to_pythons_own_server(version: str, keeps: bool) -> None:
    with python_server(version) as url:
        async with Client(trust_env=False) as client:
            answers = [await client.send("POST", f"{url}/", body=BODY) for _ in range(3)]
            assert [(answer.body == BODY, answer.reused) for answer in answers] == [
                (True, keeps and i > 0) for i in range(3)
            ]
            if not keeps:
                assert (await client.send("POST", f"{url}/close", body=BODY)).body == BODY


CONFIGURATION = """
{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; client_max_body_size 8m; keepalive_requests 3;
  gzip on; gzip_min_length 0; gzip_types *; gzip_proxied any;
  upstream ours {{ server 127.0.0.1:{upstream}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location /file {{ alias {folder}/file.txt; }}
    location / {{ 
      proxy_pass http://ours; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@contextlib.asynccontextmanager
async def nginx(folder: Path, upstream: int) -> AsyncIterator[str]:
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # Its workers would be another's, who may not read the folder.
    (folder / "nginx.conf").write_text(CONFIGURATION.format(user=user, folder=folder, port=port, upstream=upstream))
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), stderr=subprocess.DEVNULL
    )
    try:
        await asyncio.to_thread(wait_until, (folder / "pid").exists, "nginx to start", timeout_s=10)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@needs_nginx
async def test_client_and_server_talk_through_nginx(tmp_path: Path) -> None:
    """The client to nginx, with gzip; nginx to the server, over kept connections."""
    (tmp_path / "file.txt").write_text("text " * 10_000)
    async with serving(app) as server, nginx(tmp_path, server.port) as url, Client(trust_env=False) as client:
        squeezed = await client.send("GET", f"{url}/file", headers={"accept-encoding": "gzip"})
        assert (squeezed.body, squeezed.headers["content-encoding"]) == (b"text " * 10_000, "gzip")
        for _ in range(10):  # nginx closes after every third.
            assert (await client.send("POST", f"{url}/echo", body=BODY)).body == BODY
        pieces: list[bytes] = []
        await client.send("GET", f"{url}/events", on_data=lambda _, piece: pieces.append(piece))
        assert b"".join(pieces) == b"data: event 0\n\ndata: event 1\n\ndata: event 2\n\n"
        assert (await client.send("POST", f"{url}/echo", body=bytes(9_000_000))).status == 413
        assert len(server.connections) <= 4

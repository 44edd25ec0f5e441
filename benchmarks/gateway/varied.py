"""Load of all kinds, for the soak: what a gateway keeps for each user, key, answer or change must not pile up."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.gateway.overhead import KEY, write_project

from proveout.project import load_project
from proveout.storage import Release, open_store
from proveout.storage.driver import Driver

KEYS = 20


def write_varied(root: Path, url: str) -> None:
    """The benchmark's project with keys that have limits, a cache, guards, a shadow and kept content."""
    write_project(root, url)
    quota = {"requests_per_minute": 1e9, "usd_per_day": 1e9}
    keys = {
        f"key-{number}": {"hash": f"sha256:{sha256(f'{KEY}-{number}'.encode()).hexdigest()}", **quota}
        for number in range(KEYS)
    }
    service = {"cache": {"ttl": "30s", "entries": 200}, "content": {"capture": "sampled", "share": 0.1}, **quota}
    (root / "gateway.yaml").write_text(json.dumps({"keys": keys, "services": {"svc": service}}))
    path = root / "services" / "svc" / "service.yaml"
    guards = {
        "input": [{"name": "length", "max_chars": 100_000, "action": "block"}],
        "output": [{"name": "keys", "no_secrets": True, "action": "flag"}],
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"guards": guards}))


def publish(root: Path) -> None:
    """Another epoch of the same release: both variants serve, and one of them shadows a tenth."""
    project = load_project(root)
    prints = [variant.fingerprint for variant in project.services["svc"].variants.values()]
    with open_store(project.store_url) as store:
        store.releases.publish(
            Release(
                environment="dev",
                service="svc",
                weights=dict.fromkeys(prints, 0.5),
                shadow={prints[0]: 0.1},
            )
        )


class Varied:
    """Asks a gateway of `write_varied` for all that it does, each time as another user."""

    def __init__(self, root: Path, port: int) -> None:
        self._root = root
        self._port = port
        self._number = 0
        self.asked = 0
        """Requests that leave a trace."""

    def burst(self, count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for _ in range(count):
            self._number += 1
            trace = self._ask(connection, stream=self._number % 3 == 0)
            if self._number % 10 == 0:
                self._told(connection, trace)
                self._wrong(connection)
        connection.close()
        for _ in range(count // 20):
            self._leave()
        os.utime(self._root / "services" / "svc" / "service.yaml")  # The project is read anew.
        publish(self._root)

    def _ask(self, connection: http.client.HTTPConnection, *, stream: bool) -> str:
        response = self._send(connection, "/v1/chat/completions", self._body(stream))
        assert response.status == 200, response.status
        self.asked += 1
        return response.headers["x-proveout-trace-id"]

    def _body(self, stream: bool) -> dict[str, Any]:
        # Half of the questions come again, so that the cache answers.
        question = f"question {self._number if self._number % 2 else self._number % 100}"
        messages = [{"role": "user", "content": question}]
        return {"model": "svc", "messages": messages, "user": f"user-{self._number}", "stream": stream}

    def _told(self, connection: http.client.HTTPConnection, trace: str) -> None:
        assert self._send(connection, "/v1/feedback", {"trace_id": trace, "name": "ok", "value": True}).status == 200

    def _wrong(self, connection: http.client.HTTPConnection) -> None:
        wrong = {"model": f"svc/{self._number}", "messages": []}
        assert self._send(connection, "/v1/chat/completions", wrong).status == 404
        assert self._send(connection, f"/nowhere/{self._number}", {}).status == 404
        assert self._send(connection, "/v1/chat/completions", {}, key=f"wrong-{self._number}").status == 401

    def _leave(self) -> None:
        """Ask for a stream, and go away in its middle."""
        self._number += 1
        body = json.dumps(self._body(True) | {"temperature": self._number}).encode()
        lines = ("POST /v1/chat/completions HTTP/1.1", "host: h", f"authorization: Bearer {KEY}-0")
        head = "\r\n".join((*lines, f"content-length: {len(body)}"))
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as one:
            one.sendall(f"{head}\r\n\r\n".encode() + body)
            one.recv(100)
        self.asked += 1

    def _send(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any], key: str = ""
    ) -> http.client.HTTPResponse:
        headers = {"authorization": f"Bearer {key or f'{KEY}-{self._number % KEYS}'}"}
        headers["x-request-id"] = f"request-{self._number}"
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        return response


def series(port: int) -> int:
    """How many series the gateway's metrics have."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return sum(not line.startswith("#") for line in lines)


def stored(root: Path) -> int:
    """How many traces of requests are in the store; copies not counted."""
    with open_store(load_project(root).store_url) as store, closing(Driver(store.database)) as driver:
        return driver.query("SELECT count(*) FROM traces WHERE shadow_of IS NULL")[0][0]


def spooled(root: Path) -> int:
    """Bytes that wait for the store."""
    return sum(path.stat().st_size for path in (root / ".proveout" / "gateway" / "spool").glob("*.jsonl"))

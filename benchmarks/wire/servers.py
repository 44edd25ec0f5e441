"""Servers to measure, each in a process of its own: python -m benchmarks.wire.servers wire|bare|http.server

Prints its port; then answers each line of standard input with the CPU seconds that it has spent.
"""

from __future__ import annotations

import asyncio
import http.server
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks.wire.bare import EVENT, SMALL, BareServer


class Measured:
    """One such process, as the one that started it sees it."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, "-m", "benchmarks.wire.servers", kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.port = int(self._line())
        self.url = f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        return float(self._line())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def report_cpu() -> None:
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


async def serve_on_asyncio(kind: str) -> None:
    from proveout import wire

    loop = asyncio.get_running_loop()

    def app(request: wire.ServerRequest, responder: wire.Responder) -> None:
        if request.path == "/stream":
            responder.start(200, (("content-type", "text/event-stream"),))
            more(responder, BareServer.events)
        else:
            responder.reply(200, (("content-type", "application/json"),), SMALL)

    def more(responder: wire.Responder, left: int) -> None:
        if left:
            responder.write(EVENT)
            loop.call_later(BareServer.gap_s, more, responder, left - 1)
        else:
            responder.end()

    if kind == "wire":
        port = (await wire.serve(app)).port
    else:
        listener = await asyncio.get_running_loop().create_server(BareServer, "127.0.0.1", 0, backlog=1024)
        port = listener.sockets[0].getsockname()[1]
    print(port, flush=True)
    await asyncio.to_thread(report_cpu)


class PythonHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(SMALL)))
        self.end_headers()
        self.wfile.write(SMALL)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    kind = sys.argv[1]
    if kind == "http.server":
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), PythonHandler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        report_cpu()
    else:
        from proveout import wire

        wire.run(serve_on_asyncio(kind))


if __name__ == "__main__":
    main()

"""Whether anything grows: memory, open files and threads of a gateway under steady load.

    python -m benchmarks.gateway.soak [--minutes 30] [--concurrency 8] [--pause 0]

Prints a line every tenth of the time, and the growth from the second to the last.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gateway.overhead import gateway, loaded, nginx, rss_mb, started, upstream_config, write_project

from proveout.testing.servers import free_port

HERE = Path(__file__).parent
BURST = 2000


def figures(pid: int) -> tuple[float, int, int]:
    return rss_mb(pid), len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0, help="seconds of rest between bursts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fixed, events, plain, streams = (free_port() for _ in range(4))
        for kind, port in (("plain", fixed), ("streams", events)):
            (folder / kind).mkdir()
            write_project(folder / kind, f"http://127.0.0.1:{port}")
        with (
            nginx(upstream_config(folder / "up", fixed), fixed, folder / "up"),
            started([sys.executable, str(HERE / "events.py"), str(events)], events),
            gateway(folder / "plain", plain, []) as first,
            gateway(folder / "streams", streams, []) as second,
        ):
            found: list[tuple[tuple[float, int, int], tuple[float, int, int]]] = []
            end, step, asked = time.monotonic() + options.minutes * 60, options.minutes * 6, 0
            due = time.monotonic()
            while time.monotonic() < end:
                loaded(plain, options.concurrency, BURST)
                loaded(streams, options.concurrency * 4, options.concurrency * 8, stream=True)
                asked += BURST + options.concurrency * 8
                time.sleep(options.pause)
                if time.monotonic() >= due:
                    due += step
                    found.append((figures(first.pid), figures(second.pid)))
                    print(
                        f"{asked} requests: plain {found[-1][0]}, streams {found[-1][1]} (MB, files, threads)",
                        flush=True,
                    )
            for index, kind in enumerate(("plain", "streams")):
                grown = found[-1][index][0] - found[1][index][0]
                print(f"{kind}: memory grew by {grown:.1f} MB, files {found[1][index][1]} -> {found[-1][index][1]}")


if __name__ == "__main__":
    main()

"""Whether anything grows: memory, open files, threads, metrics and what waits for the store, under steady load.

    python -m benchmarks.gateway.soak [--minutes 30] [--concurrency 8] [--pause 0]

Three gateways: one for plain answers, one for streams, and one that does all that a gateway does, each time for another
user (see varied.py). Prints a line every tenth of the time, and the growth in the second half, as caches fill in the
first.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gateway.overhead import gateway, loaded, nginx, rss_mb, started, upstream_config, write_project
from benchmarks.gateway.varied import Varied, series, spooled, stored, write_varied

from proveout.testing.servers import free_port

HERE = Path(__file__).parent
BURST = 2000
VARIED = 60


def figures(pid: int) -> tuple[float, int, int]:
    """Megabytes, open files and threads of a process."""
    return round(rss_mb(pid), 1), len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0, help="seconds of rest between bursts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fixed, events, plain, streams, varied = (free_port() for _ in range(5))
        for kind, port in (("plain", fixed), ("streams", events), ("varied", events)):
            (folder / kind).mkdir()
            write = write_varied if kind == "varied" else write_project
            write(folder / kind, f"http://127.0.0.1:{port}")
        with (
            nginx(upstream_config(folder / "up", fixed), fixed, folder / "up"),
            started([sys.executable, str(HERE / "events.py"), str(events)], events),
            gateway(folder / "plain", plain, []) as first,
            gateway(folder / "streams", streams, []) as second,
            gateway(folder / "varied", varied, []) as third,
        ):
            processes = {"plain": first.pid, "streams": second.pid, "varied": third.pid}
            all_sorts = Varied(folder / "varied", varied)
            found: list[dict[str, tuple[float, int, int]]] = []
            end, step, asked = time.monotonic() + options.minutes * 60, options.minutes * 6, 0
            due = time.monotonic()
            while time.monotonic() < end:
                loaded(plain, options.concurrency, BURST)
                loaded(streams, options.concurrency * 4, options.concurrency * 8, stream=True)
                all_sorts.burst(VARIED)
                asked += BURST + options.concurrency * 8
                time.sleep(options.pause)
                if time.monotonic() >= due:
                    due += step
                    found.append({kind: figures(pid) for kind, pid in processes.items()})
                    print(
                        f"{asked + all_sorts.asked} requests; MB, files, threads: {found[-1]}; "
                        f"varied: {series(varied)} series, {all_sorts.asked - stored(folder / 'varied')} traces and "
                        f"{spooled(folder / 'varied')} bytes wait",
                        flush=True,
                    )
            for kind in processes:
                (before, _, _), (after, _, _) = found[len(found) // 2][kind], found[-1][kind]
                print(f"{kind}: memory grew by {after - before:.1f} MB in the second half")


if __name__ == "__main__":
    main()

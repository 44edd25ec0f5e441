"""Whether Azure's trace is sent as it was recorded: the error of the gaps between arrivals at the server, by its log.

python -m benchmarks.loadtest.replay [--requests N] [--time-scale X]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import uvloop

from proveout.loadtest.calibration import NumberedPrompts
from proveout.loadtest.plan import Plan
from proveout.loadtest.traces import read_trace
from proveout.loadtest.workers import run_plan
from proveout.project.records import ModelSpec
from proveout.testing.simulated_engine import Behaviour
from proveout.testing.simulated_server import simulated_server

TRACE = Path("../shared/data/azure-llm-trace/conv.csv")
LIMIT_MS = 4.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--time-scale", type=float, default=8.0)
    arguments = parser.parse_args()
    trace = read_trace(TRACE, limit=arguments.requests, time_scale=arguments.time_scale)
    due = trace.times()
    with simulated_server(Behaviour(answer_tokens=32)) as server:
        plan = Plan(
            (ModelSpec("openai-compatible", "sim", server.url),),
            NumberedPrompts(32),
            np.zeros(len(due), dtype=np.int64),
            np.arange(len(due)),
            due=due,
        )
        recorded = uvloop.run(run_plan(plan))
        received = {one.user: one.received for one in server.truth()}
    came = np.array([received[str(number)] for number in range(len(due))])
    error = np.abs(np.diff(came) - np.diff(due)) * 1000
    p50, p99 = np.quantile(error, [0.5, 0.99])
    lag = np.quantile(recorded.records.lag, 0.99) * 1000
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"{len(due)} requests in {due[-1]:.0f} s: error of the gaps p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    print(f"{p99 / LIMIT_MS:.2f} of the limit of {LIMIT_MS:g} ms; send lag p99 {lag:.2f} ms")


if __name__ == "__main__":
    main()

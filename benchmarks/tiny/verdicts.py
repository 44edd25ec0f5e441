"""How often the example's five verdicts come out as the demo shows them, on data of other seeds.

    OMP_NUM_THREADS=1 python -m benchmarks.tiny.verdicts --seeds 10

Each seed writes other tickets, labelled and unlabelled phrasings, and wrong silver labels; each change is then run as
`proveout run` would.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections import Counter
from pathlib import Path

from proveout.cli.demonstration import CHANGES
from proveout.cli.running import Flags, declared, proved
from proveout.cli.scaffold import write_example
from proveout.gates import Scorecard

WANTED = {"int8": {"pass"}, "int2": {"fail"}, "hot": {"fail"}, "tuned": {"pass"}, "twin": {"inconclusive", "fail"}}


def run(folder: Path, change: str) -> Scorecard:
    with contextlib.redirect_stderr(io.StringIO()):
        return proved(declared(folder, change, "dev"), Flags(yes=True))


def gates(scorecard: Scorecard) -> str:
    return ", ".join(
        f"{gate.metric} {gate.verdict} p={gate.p_value:.2g} at {gate.alpha:.2g}" for gate in scorecard.gates
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The example's verdicts on data of other seeds.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    right: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        with tempfile.TemporaryDirectory() as name:
            write_example(Path(name), seed)
            started = time.process_time()
            for change in CHANGES:
                scorecard = run(Path(name), change)
                right[change] += scorecard.decision in WANTED[change]
                print(f"seed {seed}  {change:<5} {scorecard.decision:<12} {gates(scorecard)}", flush=True)
            print(f"seed {seed}  {time.process_time() - started:.1f} s of processor time", flush=True)
    print()
    for change in CHANGES:
        print(
            f"{change:<5} as wanted on {right[change]} of {options.seeds} seeds ({right[change] / options.seeds:.0%})"
        )


if __name__ == "__main__":
    main()

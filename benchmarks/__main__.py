"""All benchmarks, one after the other: each prints its figures beside a limit or a peer in the same run.

python -m benchmarks [NAME ...]          # for instance: evaluation gates.error_rates
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HELPERS = {"upstream", "paired_scenarios"}
"""Modules that benchmarks use, and that measure nothing themselves."""


def names() -> list[str]:
    """Every script here that can be run, as `room.script`."""
    return sorted(
        f"{path.parent.name}.{path.stem}"
        for path in HERE.glob("*/*.py")
        if not path.stem.startswith("_") and path.stem not in HELPERS and "__main__" in path.read_text()
    )


def main(wanted: list[str]) -> int:
    """Run the wanted ones (a room, or one script of it; all without a word); 1 if any of them ended badly."""
    chosen = [name for name in names() if not wanted or name in wanted or name.partition(".")[0] in wanted]
    if not chosen:
        print(f"there is no such benchmark; there are: {', '.join(names())}", file=sys.stderr)
        return 2
    bad = []
    for name in chosen:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, check=False).returncode:
            bad.append(name)
    if bad:
        print(f"\nended badly: {', '.join(bad)}", file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

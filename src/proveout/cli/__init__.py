"""The command line. Commands parse, call a room, and show; decisions live below."""

from __future__ import annotations

import gc
import os

__all__ = ["main"]


def main() -> None:
    """Entry point of the `proveout` command."""
    # Numpy's threads would wait for work in a busy loop; ours is small, or runs in processes of its own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Importing and evaluating make many lasting objects: looking for garbage as often as Python does takes a tenth of
    # a small run.
    gc.set_threshold(20_000, 20, 50)
    from proveout.cli.exits import guarded

    try:
        guarded(_app)
    finally:
        # On its way out Python looks through all objects for garbage, which the end of the process frees anyway.
        gc.freeze()


def _app() -> None:
    """Loaded under guard, since Ctrl-C may come that early."""
    from proveout.cli.app import app

    app()

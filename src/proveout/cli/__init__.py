"""The command line. Commands parse, call a room, and show; decisions live below."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of the `proveout` command."""
    from proveout.cli.app import app
    from proveout.cli.exits import guarded

    guarded(app)

"""The command line. Commands parse, call a room, and show; decisions live below."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point of the `proveout` command."""
    from proveout.cli.exits import guarded

    guarded(_app)


def _app() -> None:
    """Loaded under guard, since Ctrl-C may come that early."""
    from proveout.cli.app import app

    app()

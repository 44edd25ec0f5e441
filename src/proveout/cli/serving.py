"""`tiny serve`: the built-in model behind OpenAI's API, until it is interrupted."""

from __future__ import annotations

import errno
import os

from proveout.cli.exits import BadInput


def tiny(host: str, port: int) -> None:
    """Serve every build of the built-in model; SIGINT and SIGTERM let answers in flight finish and end with exit 0.

    Raises:
        BadInput: the address can't be listened on.
    """
    from proveout.models.tiny import BUILDS, run_server

    def announce(url: str) -> None:
        print(f"The built-in toy model answers in OpenAI's format at {url}")
        print(f"Models: {', '.join(f'tiny-{build}' for build in BUILDS)}. Ctrl-C stops it.", flush=True)

    try:
        run_server(BUILDS, host, port, announce)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BadInput(
                f"port {port} of {host} is in use; choose another with --port, or --port 0 for a free one"
            ) from None
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise BadInput(f"{host}:{port} can't be listened on ({reason}); choose others with --host and --port") from None

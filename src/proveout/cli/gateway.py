"""`proveout gateway`: the project's releases behind OpenAI's API, until it is interrupted."""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.exits import BadInput

if TYPE_CHECKING:
    from proveout.project.records import Project


def gateway(folder: Path, *, environment: str, host: str, port: int, workers: int) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight finish, and the exit code is 0.

    Raises:
        BadInput: the project, the environment or the address can't be served.
    """
    from proveout.gateway.catalog import CannotServe
    from proveout.gateway.process import Listening, OpenToAll, run_gateway
    from proveout.gateway.releases import UnknownEnvironment
    from proveout.gateway.supervisor import WorkerFailed

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)

    def announce(url: str, project: Project) -> None:
        print(f"The gateway serves {project.name} ({environment}) in OpenAI's format at {url}/v1")
        print(f"Services: {', '.join(project.services)}. Metrics at {url}/metrics. Ctrl-C stops it.", flush=True)

    try:
        run_gateway(
            folder, environment=environment, listening=Listening(host, port), workers=workers, announce=announce
        )
    except (CannotServe, UnknownEnvironment, OpenToAll, WorkerFailed) as error:
        raise BadInput(str(error)) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BadInput(
                f"port {port} of {host} is in use; choose another with --port, or --port 0 for a free one"
            ) from None
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise BadInput(f"{host}:{port} can't be listened on ({reason}); choose others with --host and --port") from None


def print_key(name: str) -> None:
    """A new client key, shown this once, and what gateway.yaml must say of it."""
    from proveout.gateway.keys import new_key

    key, hashed = new_key()
    print(f"The key, shown this once:\n\n  {key}\n\nWrite into gateway.yaml:\n\nkeys:\n  {name}: {{hash: '{hashed}'}}")

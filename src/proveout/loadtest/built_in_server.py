"""`python -m proveout.loadtest.built_in_server BUILD`: one build of the built-in model behind HTTP until standard input
closes, so that it never outlives whoever started it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import cast

from proveout import wire
from proveout.models.tiny import Build, tiny_app
from proveout.wire.loop import run


async def serve(build: Build) -> None:
    app = tiny_app((build,))
    server = await wire.serve(app)
    print(f"http://127.0.0.1:{server.port}/v1", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: None if os.read(0, 4096) else ended.set())
    await ended.wait()
    await server.close()
    await app.aclose()


if __name__ == "__main__":
    run(serve(cast("Build", sys.argv[1])))

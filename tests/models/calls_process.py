"""A process that makes calls through the whole stack with a real store, to be killed: URL, STORE, COUNT.

Prints the number of every question whose answer it has, as it has it.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from proveout.models import Generation, ModelPool, Request
from proveout.project.records import Message, ModelSpec
from proveout.storage import open_store
from proveout.storage.calls import Calls
from proveout.wire import run


class StoredCalls:
    """The store's finished calls as a `CallCache`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get(self, key: bytes) -> Generation | None:
        kept = self._calls.get(key)
        return None if kept is None else msgspec.json.decode(kept, type=Generation)

    async def put(self, key: bytes, generation: Generation) -> None:
        await self._calls.put(key, msgspec.json.encode(generation))


async def main(url: str, store_url: str, count: int) -> None:
    spec = ModelSpec(provider="openai-compatible", name="m", url=url)
    numbers = iter(range(count))
    with open_store(store_url) as store:
        async with ModelPool(cache=StoredCalls(store.calls)) as pool:
            model = pool.open(spec)

            async def work() -> None:
                for number in numbers:
                    await model.generate(Request(messages=(Message("user", f"question {number}"),)))
                    print(number, flush=True)

            await asyncio.gather(*(work() for _ in range(16)))


if __name__ == "__main__":
    run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

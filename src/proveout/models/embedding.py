"""Embedding models behind the same budget, limits, retries and cache as all others: a text is paid once."""

from __future__ import annotations

import asyncio
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from proveout.models._base import CallCache, Generation, Model, ModelError, Request
from proveout.models.cache import CallKeys
from proveout.project.records import Message

if TYPE_CHECKING:
    from proveout.models.providers import Embedder as Endpoint

BATCH = 128
"""Most texts in one call: so many are tried again, or lost to a kill, together."""

Vector = tuple[float, ...]


class Embedder(Protocol):
    """Something that turns texts into vectors."""

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """One vector for each text, in order, of 32-bit floats.

        Raises:
            ModelError: no vectors were had.
        """
        ...

    async def aclose(self) -> None: ...


class EmbeddingModel:
    """An embedding endpoint as a `Model`, so that every wrapper fits it: a message for each text, and as the answer's
    text all numbers of all vectors (packed as 32-bit floats, in base64)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def generate(self, request: Request) -> Generation:
        result = await self._endpoint.embed([message.content for message in request.messages])  # type: ignore[misc]
        if len({len(vector) for vector in result.vectors}) > 1:
            raise ModelError("the vectors of one answer differ in length", kind="malformed", retryable=True)
        return Generation(text=_packed(result.vectors), usage=result.usage)

    async def aclose(self) -> None:
        await self._endpoint.aclose()


class CachedEmbedder:
    """Asks for what no cache holds and nobody else is asking for, in batches."""

    def __init__(self, model: Model, cache: CallCache | None, keys: CallKeys) -> None:
        """`model`: an `EmbeddingModel`, or a wrapper of one."""
        self._model = model
        self._cache = cache
        self._keys = keys
        self._in_flight: dict[str, asyncio.Future[Vector | None]] = {}

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """As `Embedder.embed`.

        Raises:
            Exception: also what the cache raises where it can't keep an answer.
        """
        found: dict[str, Vector] = {}
        while missing := [text for text in dict.fromkeys(texts) if text not in found]:
            others = {text: self._in_flight[text] for text in missing if text in self._in_flight}
            await self._find_or_ask([text for text in missing if text not in others], found)
            for text, future in others.items():
                vector = await asyncio.shield(future)
                if vector is not None:
                    found[text] = vector
        return [found[text] for text in texts]

    async def aclose(self) -> None:
        await self._model.aclose()

    async def _find_or_ask(self, texts: list[str], found: dict[str, Vector]) -> None:
        """Look these texts up, and ask for those that are not kept. Who waits for one gets its vector, or None where
        there is none, and asks again."""
        loop = asyncio.get_running_loop()
        claimed = {text: loop.create_future() for text in texts}
        self._in_flight |= claimed
        try:
            if self._cache is not None:
                await asyncio.gather(*(self._look_up(self._cache, text, found) for text in texts))
            unknown = [text for text in texts if text not in found]
            batches = (unknown[start : start + BATCH] for start in range(0, len(unknown), BATCH))
            for vectors in await asyncio.gather(*map(self._call, batches)):
                found |= vectors
        finally:
            for text, future in claimed.items():
                del self._in_flight[text]
                future.set_result(found.get(text))

    async def _call(self, texts: list[str]) -> dict[str, Vector]:
        generation = await self._model.generate(_request(texts))
        vectors = dict(zip(texts, _unpacked(generation.text, len(texts)), strict=True))
        if self._cache is not None:
            await asyncio.gather(*(self._keep(text, vector) for text, vector in vectors.items()))
        return vectors

    async def _look_up(self, cache: CallCache, text: str, found: dict[str, Vector]) -> None:
        kept = await cache.get(self._keys.key(_request([text])))
        if kept is not None:
            found[text] = _unpacked(kept.text, 1)[0]

    async def _keep(self, text: str, vector: Vector) -> None:
        assert self._cache is not None
        await self._cache.put(self._keys.key(_request([text])), Generation(text=_packed([vector])))


def no_output(request: Request) -> int:
    """Embedding models write no tokens."""
    return 0


def _request(texts: Sequence[str]) -> Request:
    return Request(messages=tuple(Message("user", text) for text in texts))


def _packed(vectors: Sequence[Vector]) -> str:
    try:
        return b64encode(b"".join(struct.pack(f"<{len(vector)}f", *vector) for vector in vectors)).decode()
    except OverflowError:
        raise ModelError("a vector holds a number beyond 32-bit floats", kind="malformed", retryable=True) from None


def _unpacked(text: str, count: int) -> list[Vector]:
    numbers = b64decode(text)
    size = len(numbers) // count
    return [struct.unpack_from(f"<{size // 4}f", numbers, index * size) for index in range(count)]

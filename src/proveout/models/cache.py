"""Finished calls, by what was asked: the same question twice is one call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from proveout.models._base import CallCache, Generation, Model, ModelError, Request
from proveout.models.pricing import cost_usd
from proveout.project.fingerprint import canonical
from proveout.project.records import ModelSpec, Price, Secret

KEY_BYTES = 20
_VERSION = "proveout.call/1"
_NOT_ASKED = frozenset({"stream", "stream_options"})
"""Parameters that change how an answer travels, not what it is."""

_REMEMBERED = 256

_encode = msgspec.json.Encoder(order="sorted").encode


def request_key(spec: ModelSpec, request: Request) -> bytes:
    """The key of one call: a hash (BLAKE2b) of the endpoint, the messages, the parameters and the repeat's number.

    Keys, limits and secret headers are not in it, nor whether the answer is streamed, nor which example asked.
    """
    return CallKeys(spec).key(request)


class CallKeys:
    """Keys of calls to one endpoint."""

    def __init__(self, spec: ModelSpec, kind: str = "chat") -> None:
        url = None if spec.url is None else spec.url.rstrip("/")
        endpoint = [_VERSION, kind, spec.provider, spec.name, url, _without_secrets(spec.options)]
        self._start = blake2b(canonical(endpoint), digest_size=KEY_BYTES)
        self._spellings: dict[bytes, bytes] = {}

    def key(self, request: Request) -> bytes:
        """As `request_key`.

        Raises:
            ModelError: `bad_request`: a parameter is no JSON.
        """
        hashed = self._start.copy()
        hashed.update(self._parameters(request.parameters))
        hashed.update(_encode((request.messages, request.repeat)))
        return hashed.digest()

    def _parameters(self, parameters: Mapping[str, Any]) -> bytes:
        """Parameters in one spelling: 0 and 0.0 are one number. A variant's are the same for all its calls."""
        written = _encode(parameters)
        known = self._spellings.get(written)
        if known is None:
            asked = {name: value for name, value in parameters.items() if name not in _NOT_ASKED}
            try:
                known = canonical(msgspec.to_builtins(asked))
            except ValueError:
                raise ModelError(
                    "a parameter is not a finite number, which JSON can't hold", kind="bad_request"
                ) from None
            if len(self._spellings) < _REMEMBERED:
                self._spellings[written] = known
        return known


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_secrets(item) for name, item in value.items() if not isinstance(item, Secret)}
    return value


class Cached:
    """A model that asks a cache first, and keeps every answer before it hands it out.

    Answers from the cache say so by `cached`. Their `cost_usd` is what the answer costs by today's price book, so that
    a variant's price per request is known from them too; a caller who adds up what was spent leaves them out.
    """

    def __init__(
        self,
        model: Model,
        cache: CallCache,
        keys: CallKeys,
        price: Price | None,
        in_flight: dict[bytes, list[asyncio.Future[Generation]]],
    ) -> None:
        """`in_flight`: who waits for which call that is being looked up or made; shared by all models of one cache."""
        self._model = model
        self._cache = cache
        self._keys = keys
        self._price = price
        self._in_flight = in_flight

    async def generate(self, request: Request) -> Generation:
        """One answer. If the same is being asked already, that call's answer, or its error, is shared.

        Raises:
            ModelError: no answer was had.
            Exception: what the cache raises where it can't keep an answer; the call was made, and is charged.
        """
        key = self._keys.key(request)
        while True:
            waiting = self._in_flight.get(key)
            if waiting is None:
                return await self._found_or_made(key, request)
            future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            try:
                return self._from_cache(await future)
            except _Abandoned:
                continue

    async def aclose(self) -> None:
        await self._model.aclose()

    async def _found_or_made(self, key: bytes, request: Request) -> Generation:
        waiting = self._in_flight[key] = []
        try:
            kept = await self._cache.get(key)
            if kept is not None:
                generation = self._from_cache(kept)
            else:
                generation = await self._model.generate(request)
                await self._cache.put(key, generation)
        except BaseException as error:
            # Cancelling one caller is no reason for others to go without: the next of them makes the call.
            shared = error if isinstance(error, Exception) else _Abandoned()
            for future in waiting:
                if not future.done():
                    future.set_exception(shared)
            raise
        finally:
            del self._in_flight[key]
        for future in waiting:
            if not future.done():
                future.set_result(generation)
        return generation

    def _from_cache(self, generation: Generation) -> Generation:
        return msgspec.structs.replace(generation, cached=True, cost_usd=cost_usd(self._price, generation.usage))


class _Abandoned(Exception):
    """The caller who was making the call went away."""

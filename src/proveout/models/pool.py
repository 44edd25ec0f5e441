"""The models of a run, opened behind one cache, one budget and one limiter for each endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from proveout.models._base import CallCache, Generation, Model, Request
from proveout.models.budget import Budget, Budgeted
from proveout.models.cache import Cached, CallKeys
from proveout.models.limits import Limited, Limiter
from proveout.models.pricing import PriceBook
from proveout.models.retry import Retrying
from proveout.models.tokens import output_ceiling
from proveout.project.records import ModelSpec, Price

if TYPE_CHECKING:
    from proveout.models.embedding import Embedder
    from proveout.wire import Client


class _Endpoint(NamedTuple):
    """What shares one limiter: the same model at the same place, paid by the same account."""

    provider: str
    url: str | None
    name: str
    key: str | None


class ModelPool:
    """Opens models; an async context manager that closes them and the one HTTP client behind them.

    A call goes through the cache, then retries, then the endpoint's limiter, then the budget, then to the endpoint.
    So limits, concurrency and budget see every try, and a call that pauses before its next one holds no place.

    Recorded answers (`replay`) skip all of that: they cost nothing and count as no calls. The built-in model (`tiny`)
    costs nothing, but its calls count, and are cached like others: a run that was stopped goes on where it was.
    """

    def __init__(
        self, *, prices: Iterable[Price] = (), cache: CallCache | None = None, budget: Budget | None = None
    ) -> None:
        self.budget = budget or Budget()
        self.prices = PriceBook(prices)
        self._cache = cache
        self._in_flight: dict[bytes, list[asyncio.Future[Generation]]] = {}
        self._limiters: dict[_Endpoint, Limiter] = {}
        self._models: dict[str, Model] = {}
        self._embedders: dict[str, Embedder] = {}
        self._client: Client | None = None

    async def __aenter__(self) -> ModelPool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def open(self, spec: ModelSpec) -> Model:
        """The model of a specification; the same one each time.

        Raises:
            LookupError: its secret is not set, or an extra that it needs is not installed.
            RecordingError: its recording can't be used.
        """
        name = repr(spec)
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = self._opened(spec)
        return model

    def open_embedder(self, spec: ModelSpec) -> Embedder:
        """The embedding model of a specification, behind the same cache, budget and limiters.

        Raises:
            LookupError: as `open`.
        """
        name = repr(spec)
        embedder = self._embedders.get(name)
        if embedder is None:
            embedder = self._embedders[name] = self._opened_embedder(spec)
        return embedder

    def limiter(self, spec: ModelSpec) -> Limiter:
        """The limiter of a specification's endpoint: of the limits of all that share it, the strictest hold."""
        url = None if spec.url is None else spec.url.rstrip("/")
        name = spec.name or str(spec.options.get("deployment") or spec.options.get("build") or "")
        endpoint = _Endpoint(spec.provider, url, name, None if spec.key is None else spec.key.reference)
        limiter = self._limiters.get(endpoint)
        if limiter is None:
            limiter = self._limiters[endpoint] = Limiter(spec.limits)
        else:
            limiter.share(spec.limits)
        return limiter

    async def aclose(self) -> None:
        """Close every model and the client. Idempotent."""
        for limiter in self._limiters.values():
            limiter.close()
        opened = [*self._models.values(), *self._embedders.values()]
        self._models.clear()
        self._embedders.clear()
        for model in opened:
            await model.aclose()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _opened(self, spec: ModelSpec) -> Model:
        if spec.provider == "replay":
            from proveout.models.replay import Recording, ReplayModel

            return ReplayModel(Recording.open(spec.options["path"]), spec.name)
        if spec.provider == "tiny":
            from proveout.models.tiny import TinyModel

            model = TinyModel.from_spec(spec)
            spec = replace(spec, options={**spec.options, "weights": model.digest})
            budgeted = Budgeted(model, self.budget, self.prices.price(spec), "tiny")
            return self._kept(Limited(budgeted, self.limiter(spec)), spec)
        from proveout.models.providers import open_endpoint

        return self.wrap(open_endpoint(spec, self._http()), spec)

    def wrap(self, endpoint: Model, spec: ModelSpec) -> Model:
        """Any endpoint behind this pool's cache, retries, limiter and budget, as if `spec` had opened it."""
        return self._kept(self._paid(endpoint, spec, output_ceiling), spec)

    def _kept(self, model: Model, spec: ModelSpec) -> Model:
        if self._cache is None:
            return model
        return Cached(model, self._cache, CallKeys(spec), self.prices.price(spec), self._in_flight)

    def _opened_embedder(self, spec: ModelSpec) -> Embedder:
        from proveout.models.embedding import CachedEmbedder, EmbeddingModel, no_output
        from proveout.models.providers import open_embeddings

        endpoint = EmbeddingModel(open_embeddings(spec, self._http()))
        return CachedEmbedder(self._paid(endpoint, spec, no_output), self._cache, CallKeys(spec, "embedding"))

    def _paid(self, endpoint: Model, spec: ModelSpec, output: Callable[[Request], int]) -> Model:
        label = f"{spec.provider}/{spec.name}" if spec.name else spec.provider
        budgeted = Budgeted(endpoint, self.budget, self.prices.price(spec), label, output)
        return Retrying(Limited(budgeted, self.limiter(spec)), spec.limits.retries)

    def _http(self) -> Client:
        if self._client is None:
            from proveout.wire import Client

            self._client = Client()
        return self._client

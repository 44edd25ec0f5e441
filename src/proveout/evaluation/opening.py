"""Opens the models of a run: one connection pool, one budget and one cache for variants, judges and embedders alike."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from proveout.evaluation.recording import StoredCalls
from proveout.models import Budget, Generation, Model, Request, open_model
from proveout.project import ModelSpec, Project, Variant

if TYPE_CHECKING:
    from proveout.storage import Store
    from proveout.wire import Client

FREE_PROVIDERS = frozenset({"replay", "tiny"})
"""Providers whose calls cost nothing by nature."""


class Limits(Protocol):
    """What a run may spend, and whether finished calls may be reused."""

    @property
    def max_calls(self) -> int | None: ...
    @property
    def max_cost(self) -> float | None: ...
    @property
    def cache(self) -> bool: ...


class OpenModels:
    """The opened models of one run, by specification; closed together.

    As an async context manager it owns the HTTP client. `open` is idempotent: a judge that several scorers share is opened once.
    """

    def __init__(self, project: Project, store: Store, limits: Limits) -> None:
        self._project = project
        self._cache = StoredCalls(store.calls, read=limits.cache)
        self._budget = Budget(max_calls=limits.max_calls, max_cost_usd=limits.max_cost)
        self._opened: dict[str, Model] = {}
        self._client: Client | None = None
        self.spent_on_scorers: float | None = 0.0

    async def __aenter__(self) -> OpenModels:
        from proveout.wire import Client

        self._client = Client()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for model in self._opened.values():
            await model.aclose()
        if self._client is not None:
            await self._client.aclose()

    def open(self, spec: ModelSpec) -> Model:
        """The model of a specification.

        Raises:
            LookupError: its secret is not set, or an extra that it needs is not installed.
        """
        name = repr(spec)
        if name not in self._opened:
            self._opened[name] = open_model(
                spec, client=self._client, cache=self._cache, budget=self._budget, prices=self._project.prices
            )
        return self._opened[name]

    async def judge(self, spec: ModelSpec, request: Request) -> Generation:
        """One call on behalf of a scorer; what it cost is kept apart from what the variants cost."""
        generation = await self.open(spec).generate(request)
        if not generation.cached and spec.provider not in FREE_PROVIDERS and self.spent_on_scorers is not None:
            cost = generation.cost_usd
            self.spent_on_scorers = None if cost is None else self.spent_on_scorers + cost
        return generation

    @staticmethod
    def is_free(spec: ModelSpec) -> bool:
        """Whether calls of this model cost nothing by nature."""
        return spec.provider in FREE_PROVIDERS

    @staticmethod
    def recorded_repeats(variants: Iterable[Variant]) -> int | None:
        """The repeats that all replayed variants hold of every example; None where none is replayed."""
        from proveout.models.replay import Recording

        recorded = [
            Recording.open(variant.model.options["path"]).min_repeats
            for variant in variants
            if variant.model.provider == "replay"
        ]
        return min(recorded, default=None)

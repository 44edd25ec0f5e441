"""Opens the models of a run: one connection pool, one budget and one cache for variants, judges and embedders alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from proveout.evaluation.recording import StoredCalls
from proveout.models import FREE_PROVIDERS, Budget, Generation, Model, ModelPool, Request
from proveout.project import Example, ModelSpec, Project, Variant

if TYPE_CHECKING:
    from proveout.storage import Store


class CannotOpen(Exception):
    """A model can't be called as declared: its secret is not set, or an extra that it needs is not installed."""


class Limits(Protocol):
    """What a run may spend, and whether finished calls may be reused."""

    @property
    def max_calls(self) -> int | None: ...
    @property
    def max_cost(self) -> float | None: ...
    @property
    def cache(self) -> bool: ...


class OpenModels:
    """The opened models of one run, by specification; closed together. Also what scorers call models through.

    `spent_on_scorers` is what judges have cost so far, in dollars; None once a call had no known price. A `budget`
    given takes the place of the one that the limits make.
    """

    def __init__(self, project: Project, store: Store, limits: Limits, budget: Budget | None = None) -> None:
        self._pool = ModelPool(
            prices=project.prices,
            cache=StoredCalls(store.calls, read=limits.cache),
            budget=budget or Budget(max_calls=limits.max_calls, max_cost_usd=limits.max_cost),
        )
        self.spent_on_scorers: float | None = 0.0

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.__aexit__(kind, error, traceback)

    @property
    def spent_usd(self) -> float:
        """Dollars that all calls have cost so far, but for those of unknown price."""
        return self._pool.budget.spent_usd

    def open(self, spec: ModelSpec) -> Model:
        """The model of a specification; the same one for the same specification.

        Raises:
            CannotOpen: its secret is not set, or an extra that it needs is not installed.
        """
        try:
            return self._pool.open(spec)
        except LookupError as error:
            raise CannotOpen(f"{spec.provider} {spec.name}".strip() + f" can't be called: {error}") from None

    async def judge(self, spec: ModelSpec, request: Request) -> Generation:
        """One call on behalf of a scorer; what it cost is kept apart from what the variants cost."""
        generation = await self.open(spec).generate(request)
        if not generation.cached and not self.is_free(spec) and self.spent_on_scorers is not None:
            cost = generation.cost_usd
            self.spent_on_scorers = None if cost is None else self.spent_on_scorers + cost
        return generation

    async def embed(self, spec: ModelSpec, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector per text, on behalf of a scorer."""
        return await self._pool.open_embedder(spec).embed(texts)

    @staticmethod
    def is_free(spec: ModelSpec) -> bool:
        """Whether calls of this model cost nothing by nature."""
        return spec.provider in FREE_PROVIDERS

    @staticmethod
    def recorded_repeats(variants: Iterable[Variant]) -> int | None:
        """The repeats that all replayed variants hold of every example; None where none is replayed."""
        from proveout.models.replay import Recording

        recorded = [
            Recording.open(variant.model.options["path"]).common_repeats
            for variant in variants
            if variant.model.provider == "replay"
        ]
        return min(recorded, default=None)

    @staticmethod
    def recorded_counts(variants: Iterable[Variant]) -> Callable[[Example], int] | None:
        """How often all replayed variants answer an example; None where no recording repeats some more than others."""
        from proveout.models.replay import Recording

        paths = {variant.model.options["path"] for variant in variants if variant.model.provider == "replay"}
        recordings = [Recording.open(path) for path in paths]
        if all(recording.most_repeats <= recording.common_repeats for recording in recordings):
            return None

        def count(example: Example) -> int:
            request = Request(messages=(), example=example.id, input=example.input)
            return min(recording.repeats(request) for recording in recordings)

        return count

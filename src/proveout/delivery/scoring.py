"""Scoring live answers beside the controller: reads what was served and kept, asks scorers and judges, and keeps what
they say as feedback whose name tells the source.

Doing it again changes nothing: a score's id is made from its trace and name. Who scores a service has its lease; where
it was, and what judges cost today, is an event in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from proveout.delivery.desk import read
from proveout.delivery.online import HOW_TO_KEEP, LiveScoring, attempt_of
from proveout.delivery.scoring_budget import day_budget
from proveout.delivery.scoring_jobs import Found, Job, Wanted, Work
from proveout.delivery.state import Rollout
from proveout.project.records import Project, Service
from proveout.storage.errors import StoreError
from proveout.storage.records import Feedback, Trace
from proveout.storage.store import Store

if TYPE_CHECKING:
    from proveout.evaluation import OpenModels

log = logging.getLogger("proveout.controller")

EVENT = "online scores"
PAGE = 500
PORTION = 64
"""Answers scored between two commits of where it is."""

AT_ONCE = 8
"""Judges asked at once."""

LEASE_S = 6.0
"""A process that was killed is followed after this long; renewed by thirds while judges are asked."""

PATIENCE_S = 60.0
"""How long a copy waits for the answer that it copies."""

NOTE_EVERY_S = 30.0
NOTE_IDLE_S = 2.0
MOST_TRIES = 5
LONGEST_COMMENT = 500


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """Where the scoring of a service is, as it is kept. Counts and dollars are those of `day` (UTC). `aside_usd` is
    what judges may cost on the portion in hand, beyond what is spent.
    """

    position: int = 0
    day: str = ""
    spent_usd: float = 0.0
    aside_usd: float = 0.0
    scored: int = 0
    unscored: int = 0
    without_content: int = 0


@dataclass
class _Place:
    """One service's scoring, while this process does it."""

    scored: Scored
    service: Service
    scoring: LiveScoring
    noted: float = 0.0
    unsaved: bool = False
    aside: bool = False
    """Whether the store holds money put aside that is settled by the next note."""
    tries: int = 0
    due: float = 0.0
    told: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class _NoLimits:
    """The day's budget limits."""

    max_cost: float | None = None
    max_calls: int | None = None
    cache: bool = True


class OnlineScoring:
    """Scores what is due, service by service."""

    def __init__(
        self,
        store: Store,
        project: Callable[[], Project],
        clock: Callable[[], float],
        *,
        environments: Iterable[str] | None = None,
    ) -> None:
        self._store = store
        self._project = project
        self._clock = clock
        self._environments = None if environments is None else frozenset(environments)
        self._owner = secrets.token_hex(8)
        self._places: dict[tuple[str, str], _Place] = {}
        self._scorings: dict[str, tuple[Service, LiveScoring | None]] = {}

    async def run_due(self) -> int:
        """Score one portion of each service; returns of how many there may be more.

        Raises:
            StoreError: the store can't be reached; try again.
        """
        project, going_on = self._project(), 0
        for environment in project.environments.values():
            if self._environments is not None and environment.name not in self._environments:
                continue
            for name in environment.releases:
                try:
                    going_on += await self._service(project, environment.name, project.services[name])
                except StoreError:
                    raise
                except Exception:
                    log.exception("%s/%s: live answers can't be scored; others are", environment.name, name)
        return going_on

    async def run_all(self) -> int:
        """Score until nothing is left for now; returns how often it went through the services.

        Raises:
            StoreError: the store can't be reached; try again.
        """
        rounds = 1
        while await self.run_due():
            rounds += 1
        return rounds

    def close(self) -> None:
        """Let others take over at once."""
        for environment, service in self._places:
            with contextlib.suppress(StoreError):
                self._store.leases.give_back(_lease(environment, service), self._owner)

    async def _service(self, project: Project, environment: str, service: Service) -> bool:
        scoring = self._scoring(service)
        if scoring is None:
            return False
        row = await asyncio.to_thread(self._store.deliveries.latest, environment, service.name)
        rollout = None if row is None else read(row)
        if rollout is None or not (scoring.live or (rollout.active and rollout.shadowing)):
            return False
        place = await asyncio.to_thread(self._place, environment, service, scoring)
        if place is None or self._clock() < place.due:
            return False
        return await self._portion(project, place, rollout)

    def _scoring(self, service: Service) -> LiveScoring | None:
        """How a service's answers are scored, by its files as they are; None, and said once, where they can't be."""
        known = self._scorings.get(service.name)
        if known is not None and known[0] is service:
            return known[1]
        scoring: LiveScoring | None = None
        try:
            scoring = LiveScoring.of(service)
        except ValueError as error:
            log.error("%s: %s", service.name, error)
        self._scorings[service.name] = (service, scoring)
        return scoring

    def _place(self, environment: str, service: Service, scoring: LiveScoring) -> _Place | None:
        """Where the scoring of a service is; None where another process does it."""
        key, now = (environment, service.name), self._clock()
        if not self._store.leases.take(_lease(*key), self._owner, now, LEASE_S):
            self._places.pop(key, None)
            return None
        place = self._places.get(key)
        if place is None:
            event = self._store.events.latest(EVENT, f"{environment}/{service.name}")
            scored = Scored() if event is None else _settled(msgspec.convert(event.body, Scored))
            place = self._places[key] = _Place(scored, service, scoring)
        place.service, place.scoring = service, scoring
        return place

    async def _portion(self, project: Project, place: _Place, rollout: Rollout) -> bool:
        """Score the next answers; whether it came any further."""
        begun = rollout.trace_position if rollout.active else rollout.watched_from[0]
        before = position = max(place.scored.position, begun)
        seen = await asyncio.to_thread(
            self._store.traces.after, position, service=rollout.service, environment=rollout.environment, limit=PAGE
        )
        if not seen:
            await self._save(place, rollout, NOTE_IDLE_S)
            return False
        watched = {rollout.champion.fingerprint, rollout.challenger.fingerprint}
        due: list[tuple[int, Trace]] = []
        for at, trace in seen:
            position = at
            if trace.chosen in watched and place.scoring.is_due(trace):
                due.append((at, trace))
                if len(due) == PORTION:
                    break
        work = await asyncio.to_thread(self._jobs, place, rollout, due)
        async with self._holding(_lease(rollout.environment, rollout.service)):
            found, spent, failing = await self._done(project, place, rollout, work.jobs)
            await self._keep(found)
        if failing and place.tries < MOST_TRIES:
            place.tries += 1
            place.due = self._clock() + 2.0**place.tries
            await self._note(place, rollout, place.scored.position, (), spent, 0)
            return False
        place.tries = 0
        if work.hold is not None:
            position = min(position, work.hold - 1)
        await self._note(place, rollout, position, found, spent, work.without_content)
        return position > before

    @contextlib.asynccontextmanager
    async def _holding(self, lease: str) -> AsyncGenerator[None]:
        """Renew the lease for as long as this takes."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE_S / 3)
                with contextlib.suppress(StoreError):
                    await asyncio.to_thread(self._store.leases.take, lease, self._owner, self._clock(), LEASE_S)

        renewing = asyncio.ensure_future(renew())
        try:
            yield
        finally:
            renewing.cancel()

    def _jobs(self, place: _Place, rollout: Rollout, due: Sequence[tuple[int, Trace]]) -> Work:
        """What is to be asked about some answers, without what was scored before."""
        work = Work()
        ids = {trace.id for _, trace in due} | {trace.shadow_of for _, trace in due if trace.shadow_of}
        contents = self._store.traces.contents(ids)
        mains = self._store.traces.of({trace.shadow_of for _, trace in due if trace.shadow_of})
        done = {(one.trace, one.name) for one in self._store.feedback.of(trace.id for _, trace in due)}
        variants = {variant.fingerprint: variant for variant in place.service.variants.values()}
        for at, trace in due:
            variant, content = variants.get(trace.chosen), contents.get(trace.id)
            if content is None:
                work.without_content += 1
                continue
            attempt = None if variant is None else attempt_of(place.service, variant, trace, content)
            if variant is None or attempt is None:
                continue
            wanted = Wanted(trace, attempt, done)
            wanted.alone(place.service, place.scoring, variant, work)
            if trace.shadow_of is None:
                continue
            main = mains.get(trace.shadow_of)
            if main is None:
                if self._clock() - trace.started < PATIENCE_S:
                    work.hold = at if work.hold is None else min(work.hold, at)
                continue
            champion, kept = variants.get(main.variant), contents.get(main.id)
            if champion is None or kept is None or main.variant != rollout.champion.fingerprint:
                continue
            other = attempt_of(place.service, champion, main, kept)
            if other is not None:
                wanted.beside(place.scoring, main, other, work)
        return work

    async def _done(
        self, project: Project, place: _Place, rollout: Rollout, jobs: Sequence[Job]
    ) -> tuple[list[Found], float, bool]:
        """Do all of them; with the dollars that it took, and whether every judge failed."""
        if not jobs:
            return [], 0.0, False
        limit = asyncio.Semaphore(AT_ONCE)

        async def do(job: Job, models: OpenModels | None) -> list[Found]:
            async with limit:
                return await job(models)

        if not place.scoring.asks_models:
            return [one for many in [await do(job, None) for job in jobs] for one in many], 0.0, False
        from proveout.evaluation import OpenModels

        async def put_aside(usd: float) -> None:
            place.aside = True
            today = msgspec.structs.replace(self._today(place), aside_usd=usd)
            await self._store.events.append(EVENT, _subject(rollout), msgspec.to_builtins(today))

        budget = day_budget(place.scoring.online.max_cost_usd, self._today(place).spent_usd, put_aside)
        async with OpenModels(project, self._store, _NoLimits(), budget) as models:
            found = [one for many in await asyncio.gather(*(do(job, models) for job in jobs)) for one in many]
            spent = models.spent_usd
        judged = [one for one in found if one.name.startswith("judge:")]
        failed = [one for one in judged if one.value is None]
        for one in failed:
            budget = "today's `online: {max_cost: ...}` is spent, or too little for one call"
            self._tell(place, budget if one.refused else one.why)
        return found, spent, bool(judged) and len(failed) == len(judged) and not any(one.refused for one in failed)

    async def _keep(self, found: Sequence[Found]) -> None:
        await asyncio.gather(
            *(
                self._store.feedback.put(
                    Feedback(
                        id=hashlib.blake2b(f"{one.trace}\0{one.name}".encode(), digest_size=16).hexdigest(),
                        trace=one.trace,
                        name=one.name,
                        value=one.value,
                        score=one.value,
                        comment=one.why[:LONGEST_COMMENT].replace("\0", "") or None,
                        created=self._clock(),
                    )
                )
                for one in found
                if one.value is not None
            )
        )

    async def _note(
        self, place: _Place, rollout: Rollout, position: int, found: Sequence[Found], spent: float, without: int
    ) -> None:
        """Where it is, and what came of it."""
        before = self._today(place)
        place.scored = Scored(
            position=position,
            day=before.day,
            spent_usd=before.spent_usd + spent,
            scored=before.scored + sum(one.value is not None for one in found),
            unscored=before.unscored + sum(one.value is None for one in found),
            without_content=before.without_content + without,
        )
        if without:
            self._tell(place, f"answers were sampled whose content is not kept; {HOW_TO_KEEP}")
        place.unsaved = True
        await self._save(place, rollout, 0.0 if spent or place.aside else NOTE_EVERY_S)

    async def _save(self, place: _Place, rollout: Rollout, every_s: float) -> None:
        """Keep where it is: at once where money is settled, else now and then, for answers may be read again."""
        now = self._clock()
        if place.unsaved and now - place.noted >= every_s:
            place.noted, place.unsaved, place.aside = now, False, False
            await self._store.events.append(EVENT, _subject(rollout), msgspec.to_builtins(place.scored))

    def _tell(self, place: _Place, what: str) -> None:
        """Say something once."""
        if what not in place.told and len(place.told) < 100:
            place.told.add(what)
            log.warning("%s: online scoring: %s", place.service.name, what)

    def _today(self, place: _Place) -> Scored:
        """Where it is, with the counts and dollars of today."""
        day = datetime.fromtimestamp(self._clock(), UTC).date().isoformat()
        return place.scored if place.scored.day == day else Scored(position=place.scored.position, day=day)


def _settled(scored: Scored) -> Scored:
    """What a process that was killed had put aside counts as spent: what it did spend, nobody knows."""
    return msgspec.structs.replace(scored, spent_usd=scored.spent_usd + scored.aside_usd, aside_usd=0.0)


def _subject(rollout: Rollout) -> str:
    return f"{rollout.environment}/{rollout.service}"


def _lease(environment: str, service: str) -> str:
    return f"scoring {environment} {service}"

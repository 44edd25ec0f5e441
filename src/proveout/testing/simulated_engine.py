"""A model server in miniature whose timing is known: a pure machine that is told the time and says what happens when.

Continuous batching as engines do it: a step gives one token to every running request and takes longer the more of them
there are; a joining prompt is read in a stretch of its own; more than `slots` requests wait in a queue. The same
machine answers in real time behind HTTP (`simulated_server`) and in virtual time (`virtual_run`), where the truth about
any load is had in milliseconds.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import msgspec


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the server behaves. Times in seconds, shares between 0 and 1; all choices are drawn from `seed`.

    A step takes `step_s * (1 + slowdown * (running - 1))`, times a lognormal of `jitter`; a prompt is read in
    `(first_s + token_s * input tokens) * (1 + crowding * running)`, times a lognormal of `first_jitter`. A prompt that
    was seen before is read in `cached_factor` of its time. `drift` lets all times swing by that share over
    `drift_period_s`. From `freeze_at_s` after the first request on, nothing happens for `freeze_s`.
    """

    step_s: float = 0.008
    slowdown: float = 0.01
    jitter: float = 0.05
    first_s: float = 0.04
    token_s: float = 0.00005
    first_jitter: float = 0.25
    crowding: float = 0.02
    slots: int = 256
    answer_tokens: float = 64.0
    answer_spread: float = 0.5
    cached_factor: float = 1.0
    drift: float = 0.0
    drift_period_s: float = 120.0
    freeze_at_s: float = 0.0
    freeze_s: float = 0.0
    refuse: float = 0.0
    garbage: float = 0.0
    cut: float = 0.0
    endless: float = 0.0
    die_after: int = 0
    """The process dies at once when it has taken this many requests; 0: never."""
    seed: int = 1


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way through the machine, and the truth about it: when it came, and when each of its tokens
    was ready."""

    number: int
    input_tokens: int
    most: int
    """Tokens that it may have."""
    came: float
    prompt: int = 0
    """Tells equal prompts."""
    natural: int = 0
    """Tokens after which it ends by itself."""
    joined: float = math.nan
    first_at: float = math.inf
    tokens: list[float] = field(default_factory=list)
    gone: bool = False

    @property
    def length(self) -> int:
        return min(self.most, self.natural)

    @property
    def finish(self) -> str:
        return "length" if self.natural > self.most else "stop"


class Engine:
    """The machine. Times are seconds on any clock that starts at 0 and never goes back."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._random = Random(behaviour.seed)
        self._number = 0
        self._reading: list[tuple[float, int, Job]] = []
        self._running: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._seen: set[int] = set()
        self._step_at = math.inf
        self._began = math.nan

    @property
    def active(self) -> int:
        return len(self._running) + len(self._reading)

    def submit(self, now: float, input_tokens: int, most: int, *, prompt: int = 0, endless: bool = False) -> Job:
        """A request has come. `endless`: it does not end before `most`."""
        if math.isnan(self._began):
            self._began = now
        behaviour = self.behaviour
        natural = behaviour.answer_tokens * self._lognormal(behaviour.answer_spread)
        self._number += 1
        job = Job(self._number, input_tokens, max(most, 1), now, prompt)
        job.natural = job.most if endless else max(1, round(natural))
        if self.active < behaviour.slots:
            self._join(now, job)
        else:
            self._waiting.append(job)
        return job

    def next_at(self) -> float:
        """When something will happen next; infinity where nothing is in flight."""
        return min(self._step_at, self._reading[0][0] if self._reading else math.inf)

    def advance(self, now: float) -> Iterator[Job]:
        """Let all that was due by `now` happen; gives each job that got a token, once for each."""
        while (at := self.next_at()) <= now and at < math.inf:
            if self._reading and self._reading[0][0] == at:
                job = heapq.heappop(self._reading)[2]
                if not job.gone:
                    job.tokens.append(at)
                    yield job
                    self._after_token(at, job)
                    if len(job.tokens) < job.length and not job.gone:
                        self._running.append(job)
                        if math.isinf(self._step_at):
                            self._step_at = self._later(at, self._step())
                else:
                    self._admit(at)
            else:
                running, self._running = self._running, []
                for job in running:
                    if job.gone:
                        self._admit(at)
                        continue
                    job.tokens.append(at)
                    yield job
                    if len(job.tokens) < job.length and not job.gone:
                        self._running.append(job)
                    else:
                        self._admit(at)
                self._step_at = self._later(at, self._step()) if self._running else math.inf

    def _after_token(self, at: float, job: Job) -> None:
        if len(job.tokens) >= job.length or job.gone:
            self._admit(at)

    def _admit(self, at: float) -> None:
        while self._waiting:
            job = self._waiting.popleft()
            if not job.gone:
                self._join(at, job)
                return

    def _join(self, at: float, job: Job) -> None:
        behaviour = self.behaviour
        seconds = (behaviour.first_s + behaviour.token_s * job.input_tokens) * (1 + behaviour.crowding * self.active)
        if job.prompt and job.prompt in self._seen:
            seconds *= behaviour.cached_factor
        self._seen.add(job.prompt)
        job.joined = at
        job.first_at = self._later(at, seconds * self._lognormal(behaviour.first_jitter))
        heapq.heappush(self._reading, (job.first_at, job.number, job))

    def _step(self) -> float:
        behaviour = self.behaviour
        base = behaviour.step_s * (1 + behaviour.slowdown * (len(self._running) - 1))
        return base * self._lognormal(behaviour.jitter)

    def _later(self, at: float, seconds: float) -> float:
        """When work of `seconds` that starts `at` is done: drift stretches it, a freeze holds it up."""
        behaviour = self.behaviour
        if behaviour.drift:
            seconds *= 1 + behaviour.drift * math.sin(2 * math.pi * (at - self._began) / behaviour.drift_period_s)
        end = at + seconds
        frozen = self._began + behaviour.freeze_at_s
        if at < frozen + behaviour.freeze_s and end > frozen:
            end += behaviour.freeze_s if at < frozen else frozen + behaviour.freeze_s - at
        return end

    def _lognormal(self, sigma: float) -> float:
        """Of mean 1."""
        return math.exp(self._random.gauss(-sigma * sigma / 2, sigma)) if sigma else 1.0


def virtual_run(
    behaviour: Behaviour, arrivals: Sequence[float], *, input_tokens: int = 128, output_tokens: int | None = None
) -> list[Job]:
    """What the machine does with these arrivals, without waiting for any of it. `output_tokens` fixes the answers'
    lengths."""
    engine = Engine(behaviour)
    jobs: list[Job] = []
    for at in arrivals:
        for _ in engine.advance(at):
            pass
        most = output_tokens or 1_000_000
        jobs.append(engine.submit(float(at), input_tokens, most, endless=output_tokens is not None))
    for _ in engine.advance(math.inf):
        pass
    return jobs

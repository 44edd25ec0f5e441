"""Calling a model: one small protocol that every provider and every wrapper (cache, retry, limit, budget) shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import msgspec

from proveout.project.records import Message

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call to make. `parameters` are in OpenAI's names (`temperature`, `max_tokens`, `tools`, `response_format`,
    `seed`, ...).

    `repeat` numbers successive calls with the same body, so that repeats are separate, cacheable draws. `example` and
    `input` say where the call comes from; only replayed models look at them.
    """

    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = {}
    stream: bool = False
    repeat: int = 0
    example: str | None = None
    input: Mapping[str, Any] | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the endpoint counted them, in one meaning for all providers.

    `input_tokens` are all of the request's, including the `cached_tokens` that were read from the provider's prompt
    cache and the `cache_write_tokens` that were written to it; `output_tokens` are all of the answer's, including
    `reasoning_tokens`.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds on a monotonic clock, measured at the socket. `ttft` and `gaps` only where the answer was streamed.

    `gaps` are the times between successive content tokens (ITL); `e2e` runs from the request's first byte out to the
    answer's last in.
    """

    e2e: float
    ttft: float | None = None
    gaps: tuple[float, ...] = ()


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One finished answer. `usage` is None where the endpoint did not say; `cost_usd` is what this answer costs, None
    where that is unknown. `attempts` counts tries; `discarded` those before it that an endpoint bills although no
    answer came of them (see `BILLED_IN_VAIN`). For a `cached` answer nothing was paid now; its cost is by today's
    prices.
    """

    text: str
    finish_reason: FinishReason = "stop"
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    refusal: str | None = None
    logprobs: tuple[float, ...] | None = None
    usage: Usage | None = None
    timings: Timings | None = None
    model: str = ""
    attempts: int = 1
    discarded: int = 0
    cached: bool = False
    cost_usd: float | None = None


BILLED_IN_VAIN = frozenset({"cut", "timeout", "malformed", "too_large"})
"""Kinds of failed tries that an endpoint worked on, and will bill, although their answer could not be used."""


class ModelError(Exception):
    """A call that gave no answer. `kind` is a short stable word for counting; `retryable` says whether another try
    could help.

    Kinds: connect, timeout, status, rate_limit, overloaded, cut, malformed, too_large, auth, bad_request, no_recording,
    budget. `attempts` counts tries, `discarded` those of them that are billed all the same.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        retryable: bool = False,
        status: int | None = None,
        retry_after_s: float | None = None,
        attempts: int = 1,
        discarded: int | None = None,
    ) -> None:
        super().__init__(message)
        billed = kind in BILLED_IN_VAIN and status in (None, 200)
        self.discarded = int(billed) if discarded is None else discarded
        self.kind = kind
        self.retryable = retryable
        self.status = status
        self.retry_after_s = retry_after_s
        self.attempts = attempts


class BudgetExceeded(ModelError):
    """The run's `--max-cost` or `--max-calls` would be overspent by this call, so it was not made."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="budget")


class Model(Protocol):
    """Something that answers requests: an endpoint, an engine, a recording, or a wrapper around one of them."""

    async def generate(self, request: Request) -> Generation:
        """One answer.

        Raises:
            ModelError: no answer was had.
        """
        ...

    async def aclose(self) -> None:
        """Close connections. Idempotent."""
        ...


class CallCache(Protocol):
    """Where finished calls are kept, by key (see `models.request_key`). `put` returns once the call would survive a
    kill.
    """

    async def get(self, key: bytes) -> Generation | None: ...

    async def put(self, key: bytes, generation: Generation) -> None: ...

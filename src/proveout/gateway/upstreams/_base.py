"""What stands behind a variant: one small protocol, one file for each way of answering."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from proveout.gateway.bodies import Body
from proveout.project.records import Message
from proveout.wire import Flow

HeaderPairs = tuple[tuple[str, str], ...]


class Call(msgspec.Struct, frozen=True):
    """One request for one variant. `messages` are rendered from the variant's prompt, or None where the client's own
    pass through."""

    body: Body
    messages: Sequence[Message] | None = None
    input: Mapping[str, Any] | None = None


class Whole(msgspec.Struct, frozen=True):
    """A whole answer in OpenAI's format: its bytes, and the provider's headers that are passed on."""

    body: bytes
    headers: HeaderPairs


class Sink(Protocol):
    """Takes a stream in OpenAI's format. `piece` gets the time of the read and bytes cut anywhere; `flow` holds the
    upstream back while the client reads slowly."""

    flow: Flow

    def opened(self, headers: HeaderPairs) -> None: ...

    def piece(self, at: float, data: bytes) -> None: ...


class UpstreamFailed(Exception):
    """A call that brought no whole answer.

    `kind` is a `ModelError`'s. `again`: another try at the same place could help; `elsewhere`: another variant could.
    `blames` says whether it speaks against the endpoint's health. `passed_on` is the provider's own error, where the
    client should get that.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        again: bool,
        elsewhere: bool = True,
        blames: bool = True,
        status: int | None = None,
        retry_after_s: float | None = None,
        passed_on: tuple[int, Whole] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.again = again
        self.elsewhere = elsewhere
        self.blames = blames
        self.status = status
        self.retry_after_s = retry_after_s
        self.passed_on = passed_on


class Upstream(Protocol):
    """One place that can answer for a variant."""

    def whole(self, call: Call) -> Awaitable[Whole]:
        """A whole answer.

        Raises:
            UpstreamFailed: there is none.
            Refused: the client asks for what can't be had here.
        """
        ...

    async def stream(self, call: Call, sink: Sink) -> None:
        """A streamed answer; returns when it has ended as it should. Raises as `whole`."""
        ...

    async def forward(self, operation: str, body: Body, sink: Sink | None) -> Whole:
        """A body of another of OpenAI's APIs (`embeddings`, `responses`), passed on; streamed into the sink if one is
        given. Raises as `whole`."""
        ...

    async def aclose(self) -> None: ...

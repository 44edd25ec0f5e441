"""Endpoints that speak OpenAI's format: bytes pass through, but for the fields that the variant sets."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from functools import lru_cache
from typing import Any

from proveout import wire
from proveout.gateway.bodies import WITH_USAGE, Body, Fields, encoded, plain, raw
from proveout.gateway.errors import Refused
from proveout.gateway.upstreams._base import Call, HeaderPairs, Sink, UpstreamFailed, Whole
from proveout.models import ModelError
from proveout.models.providers.opening import Direct, open_direct
from proveout.project.records import ModelSpec

MAX_ANSWER_BYTES = 64 * 2**20
_OURS = ("proveout", "model")
_PASSED_ON = (b"content-type", b"x-request-id", b"openai-processing-ms", b"openai-version")
_LIMITS = ("max_tokens", "max_completion_tokens")
_PATHS = {"embeddings": "/embeddings", "responses": "/responses"}
_CLIENTS_FAULT = frozenset({400, 413, 422})


class DirectUpstream:
    """One endpoint of a variant. The client is the caller's."""

    def __init__(self, spec: ModelSpec, parameters: Mapping[str, Any], client: wire.Client) -> None:
        """
        Raises:
            LookupError: a secret is not set, or the provider speaks another format.
        """
        direct = open_direct(spec)
        if direct is None:
            raise LookupError(f"{spec.provider} does not speak OpenAI's format")
        self._spec = spec
        self._client = client
        self._direct = direct
        self._others: dict[str, Direct] = {}
        self._prepared: dict[str, wire.Prepared] = {}
        self._timeouts = wire.Timeouts(
            connect=min(5.0, spec.limits.timeout_s), first_byte=None, idle=None, total=spec.limits.timeout_s
        )
        self._set: Fields = {direct.renames.get(name, name): raw(value) for name, value in parameters.items()}
        if direct.model:
            self._set["model"] = raw(direct.model)
        self._dropped: set[str] = set(_OURS)
        if any(name in parameters for name in _LIMITS):
            self._dropped.update(_LIMITS)
        self._renames = direct.renames
        self._asks_usage = direct.stream_usage

    def whole(self, call: Call) -> Awaitable[Whole]:
        return self._exchange(self._direct, self._body(call))

    async def stream(self, call: Call, sink: Sink) -> None:
        await self._streamed(self._direct, self._body(call), sink)

    async def forward(self, operation: str, body: Body, sink: Sink | None) -> Whole:
        direct = self._others.get(operation)
        if direct is None:
            direct = self._others[operation] = open_direct(self._spec, _PATHS[operation]) or self._direct
        fields = dict(body.fields)
        for name in _OURS:
            fields.pop(name, None)
        if direct.model:
            fields["model"] = raw(direct.model)
        if sink is None:
            return await self._exchange(direct, encoded(fields))
        await self._streamed(direct, encoded(fields), sink)
        return Whole(b"", ())

    async def aclose(self) -> None:
        pass

    def _body(self, call: Call) -> bytes:
        fields = dict(call.body.fields)
        for name in self._dropped:
            fields.pop(name, None)
        if self._renames:
            fields = {self._renames.get(name, name): value for name, value in fields.items()}
        fields.update(self._set)
        if call.messages is not None:
            fields["messages"] = raw([{"role": m.role, "content": m.content, **m.extra} for m in call.messages])
        if call.body.stream and self._asks_usage:
            options = fields.get("stream_options")
            said = None if options is None else plain(options)
            fields["stream_options"] = raw({**said, "include_usage": True}) if isinstance(said, dict) else WITH_USAGE
        return encoded(fields)

    async def _exchange(self, direct: Direct, body: bytes) -> Whole:
        try:
            prepared = self._prepared.get(direct.url) or self._prepare(direct)
            response = await self._client.exchange(prepared, body, timeouts=self._timeouts)
        except wire.WireError as error:
            raise failed(direct.failures.of_wire(error)) from error
        headers = passed_on(response.headers)
        if 200 <= response.status < 300:
            return Whole(response.body, headers)
        raise self._refusal(direct, response.status, response.headers, response.body)

    async def _streamed(self, direct: Direct, body: bytes, sink: Sink) -> None:
        answer = _Streamed(sink)
        try:
            prepared = self._prepared.get(direct.url) or self._prepare(direct)
            await self._client.exchange(
                prepared,
                body,
                timeouts=self._timeouts,
                max_body_bytes=MAX_ANSWER_BYTES,
                on_head=answer.on_head,
                on_data=answer.on_data,
                flow=sink.flow,
            )
        except wire.WireError as error:
            raise failed(direct.failures.of_wire(error)) from error
        if answer.streaming:
            return
        headers = answer.headers or wire.Headers()
        if not 200 <= answer.status < 300:
            raise self._refusal(direct, answer.status, headers, bytes(answer.kept))
        raise failed(direct.failures.error("malformed", "the answer is no event stream", retryable=True))

    def _prepare(self, direct: Direct) -> wire.Prepared:
        prepared = self._prepared[direct.url] = self._client.prepare("POST", direct.url, direct.headers)
        return prepared

    def _refusal(self, direct: Direct, status: int, headers: wire.Headers, body: bytes) -> UpstreamFailed:
        """What to do with a status that is no answer: the client's own fault goes back as the provider put it."""
        error = failed(direct.failures.of_status(status, headers, body), status=status)
        if status == 400 and self._asks_usage and (b"stream_options" in body or b"include_usage" in body):
            self._asks_usage = error.blames = False  # It does not know the option: asked without it, now and later.
            error.again = True
        elif status in _CLIENTS_FAULT:
            error.elsewhere = error.again = error.blames = False
            error.passed_on = status, Whole(body, passed_on(headers))
        return error


class _Streamed:
    """A response that should be a stream: into the sink as it comes, or kept where it is none."""

    __slots__ = ("headers", "kept", "sink", "status", "streaming")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.status = 0
        self.headers: wire.Headers | None = None
        self.streaming = False
        self.kept = bytearray()

    def on_head(self, status: int, headers: wire.Headers) -> None:
        self.status = status
        self.headers = headers
        kind = headers.get("content-type") or ""
        self.streaming = 200 <= status < 300 and "json" not in kind and "html" not in kind
        if self.streaming:
            self.sink.opened(passed_on(headers))

    def on_data(self, at: float, piece: bytes) -> None:
        if self.streaming:
            self.sink.piece(at, piece)
        else:
            self.kept += piece


def passed_on(headers: wire.Headers) -> HeaderPairs:
    """The provider's headers that a client may see."""
    return _pairs(headers.firsts(_PASSED_ON))


@lru_cache(maxsize=256)
def _pairs(values: tuple[bytes | None, ...]) -> HeaderPairs:
    return tuple(
        [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in zip(_PASSED_ON, values, strict=True)
            if value is not None
        ]
    )


def failed(error: ModelError, *, status: int | None = None) -> UpstreamFailed:
    """The failure that a model's error is."""
    return UpstreamFailed(
        error.kind,
        str(error),
        again=error.retryable and error.kind != "timeout",
        elsewhere=error.kind not in ("bad_request", "too_large"),
        blames=error.kind not in ("bad_request", "too_large", "no_recording"),
        status=error.status if status is None else status,
        retry_after_s=error.retry_after_s,
    )


def refused_as(error: ModelError) -> Refused:
    """A request that the variant's own model can't take."""
    return Refused(400, str(error), code="invalid_value")

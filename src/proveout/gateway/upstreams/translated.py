"""Providers with another wire format (Anthropic, Bedrock, Vertex): translated both ways, streaming included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proveout import wire
from proveout.gateway.bodies import Body, plain
from proveout.gateway.errors import Refused
from proveout.gateway.upstreams._base import Call, Sink, UpstreamFailed, Whole
from proveout.gateway.upstreams.chunks import DONE, Writer
from proveout.gateway.upstreams.direct import failed
from proveout.models import ModelError, Request
from proveout.models.providers import Draft, Endpoint, open_endpoint
from proveout.project.records import Message, ModelSpec

EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)
JSON = (("content-type", "application/json"),)
_ENVELOPE = frozenset({"model", "messages", "stream", "stream_options", "proveout"})
_FOR_OPENAIS_BOOKS = frozenset({"metadata", "store", "prompt_cache_retention"})
"""What clients tell OpenAI about a request beside what they ask; others answer the same without it."""
_LEFT_OUT = _ENVELOPE | _FOR_OPENAIS_BOOKS
_LIMITS = ("max_tokens", "max_completion_tokens")
_ROLES = ("system", "developer", "user", "assistant", "tool")


class TranslatedUpstream:
    """One endpoint of a variant behind Proveout's own translation."""

    def __init__(self, spec: ModelSpec, parameters: Mapping[str, Any], client: wire.Client) -> None:
        """
        Raises:
            LookupError: a secret is not set, or an extra that it needs is not installed.
        """
        endpoint = open_endpoint(spec, client)
        if not isinstance(endpoint, Endpoint):
            raise LookupError(f"{spec.provider} is no endpoint")
        self._endpoint = endpoint
        self._parameters = parameters
        self._name = spec.name

    async def whole(self, call: Call) -> Whole:
        try:
            generation = await self._endpoint.generate(request_of(call, self._parameters))
        except ModelError as error:
            raise _failed(error) from error
        return Whole(Writer(generation.model or self._name).whole(generation), JSON)

    async def stream(self, call: Call, sink: Sink) -> None:
        draft = Draft()
        pieces = _Pieces(draft, Writer(self._name), sink)
        try:
            sent, done = await self._endpoint.watch(
                request_of(call, self._parameters, stream=True), draft, seen=pieces.seen, flow=sink.flow
            )
        except ModelError as error:
            raise _failed(error) from error
        pieces.seen(done)
        generation = draft.generation(sent, done, streamed=True)
        pieces.end(done, generation.finish_reason)

    async def forward(self, operation: str, body: Body, sink: Sink | None) -> Whole:
        raise Refused(400, f"this variant's provider has no {operation} in OpenAI's format", code="unsupported")

    async def aclose(self) -> None:
        await self._endpoint.aclose()


class _Pieces:
    """Turns what a draft has gained since the last read into OpenAI's chunks."""

    def __init__(self, draft: Draft, writer: Writer, sink: Sink) -> None:
        self._draft = draft
        self._writer = writer
        self._sink = sink
        self._opened = False
        self._texts = self._refusals = 0
        self._calls: dict[int, int] = {}

    def seen(self, at: float) -> None:
        draft = self._draft
        deltas: list[dict[str, Any]] = []
        if len(draft.text) > self._texts:
            deltas.append({"content": "".join(draft.text[self._texts :])})
            self._texts = len(draft.text)
        if len(draft.refusal) > self._refusals:
            deltas.append({"refusal": "".join(draft.refusal[self._refusals :])})
            self._refusals = len(draft.refusal)
        deltas += self._new_calls()
        if deltas:
            self._open(at)
            self._sink.piece(at, b"".join(map(self._writer.delta, deltas)))

    def end(self, at: float, finish: str) -> None:
        self._open(at)
        data = self._writer.delta({}, finish)
        if self._draft.usage is not None:
            data += self._writer.usage(self._draft.usage)
        self._sink.piece(at, data + DONE)

    def _open(self, at: float) -> None:
        if not self._opened:
            self._opened = True
            self._sink.opened(EVENTS)
            self._sink.piece(at, self._writer.delta({"role": "assistant", "content": ""}))

    def _new_calls(self) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = []
        for number, index in enumerate(sorted(self._draft.calls)):
            call = self._draft.calls[index]
            told = self._calls.get(index)
            arguments = "".join(call.arguments[told or 0 :])
            if told is None:
                function = {"name": call.name, "arguments": arguments}
                one = {"index": number, "id": call.id, "type": "function", "function": function}
            elif arguments:
                one = {"index": number, "function": {"arguments": arguments}}
            else:
                continue
            self._calls[index] = len(call.arguments)
            deltas.append({"tool_calls": [one]})
        return deltas


def request_of(call: Call, parameters: Mapping[str, Any], *, stream: bool = False) -> Request:
    """A call as models take it: the client's parameters under the variant's.

    Raises:
        Refused: the messages are no messages.
    """
    asked = {name: plain(value) for name, value in call.body.fields.items() if name not in _LEFT_OUT}
    if any(name in parameters for name in _LIMITS):
        asked = {name: value for name, value in asked.items() if name not in _LIMITS}
    messages = call.messages if call.messages is not None else messages_of(call.body)
    return Request(messages=tuple(messages), parameters={**asked, **parameters}, stream=stream, input=call.input)


def messages_of(body: Body) -> list[Message]:
    """The client's messages.

    Raises:
        Refused: they are no list of messages.
    """
    value = plain(body.fields["messages"]) if "messages" in body.fields else None
    if not isinstance(value, list) or not value:
        raise Refused(400, "write a list of messages", code="invalid_value", param="messages")
    messages: list[Message] = []
    for index, one in enumerate(value):
        content = one.get("content") if isinstance(one, dict) else 0
        if not isinstance(one, dict) or one.get("role") not in _ROLES or not isinstance(content, str | list | None):
            what = "a message has a role and, as content, text or a list of parts"
            raise Refused(400, what, code="invalid_value", param=f"messages[{index}]")
        extra = {name: item for name, item in one.items() if name not in ("role", "content")}
        messages.append(Message(one["role"], "" if content is None else content, extra))
    return messages


def _failed(error: ModelError) -> UpstreamFailed:
    """A request that the provider refuses as wrong goes back in OpenAI's shape."""
    found = failed(error)
    if error.kind == "bad_request":
        found.passed_on = error.status or 400, Whole(Refused(400, str(error), code="invalid_value").body, JSON)
    return found

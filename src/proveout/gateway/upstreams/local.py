"""Variants that answer in this process: the built-in model, and recorded outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Any

from proveout.gateway.bodies import Body
from proveout.gateway.errors import Refused
from proveout.gateway.upstreams._base import Call, Sink, UpstreamFailed, Whole
from proveout.gateway.upstreams.chunks import DONE, Writer, call_deltas
from proveout.gateway.upstreams.direct import failed, refused_as
from proveout.gateway.upstreams.translated import EVENTS, JSON, request_of
from proveout.models import Generation, ModelError, Request, Usage
from proveout.project.records import Message, ModelSpec


class ReplayUpstream:
    """Recorded outputs. A plain conversation is looked up by its last message, as the service's one input."""

    def __init__(self, spec: ModelSpec, parameters: Mapping[str, Any], inputs: Sequence[str]) -> None:
        """
        Raises:
            DatasetError: the recording can't be used.
        """
        from proveout.models.replay import Recording, ReplayModel

        self._model = ReplayModel(Recording.open(spec.options["path"]), spec.name)
        self._parameters = parameters
        self._inputs = inputs

    async def whole(self, call: Call) -> Whole:
        generation = await self._answer(call)
        return Whole(Writer(generation.model).whole(generation), JSON)

    async def stream(self, call: Call, sink: Sink) -> None:
        generation = await self._answer(call)
        writer = Writer(generation.model)
        now = monotonic()
        sink.opened(EVENTS)
        sink.piece(now, writer.delta({"role": "assistant", "content": ""}))
        if generation.text:
            sink.piece(now, writer.delta({"content": generation.text}))
        if generation.refusal:
            sink.piece(now, writer.delta({"refusal": generation.refusal}))
        if generation.tool_calls:
            sink.piece(now, writer.delta({"tool_calls": call_deltas(generation.tool_calls)}))
        end = writer.delta({}, generation.finish_reason)
        if generation.usage is not None:
            end += writer.usage(generation.usage)
        sink.piece(now, end + DONE)

    async def forward(self, operation: str, body: Body, sink: Sink | None) -> Whole:
        raise Refused(400, f"recorded outputs have no {operation}", code="unsupported")

    async def aclose(self) -> None:
        await self._model.aclose()

    async def _answer(self, call: Call) -> Generation:
        request = request_of(call, self._parameters)
        if request.input is None:
            request = Request(messages=request.messages, input=self._asked(request.messages))
        try:
            return await self._model.generate(request)
        except ModelError as error:
            raise failed(error) from error

    def _asked(self, messages: Sequence[Message]) -> Mapping[str, Any]:
        last = next((message.content for message in reversed(messages) if message.role == "user"), "")
        return {self._inputs[0] if len(self._inputs) == 1 else "message": last}


class TinyUpstream:
    """A build of the built-in model."""

    def __init__(self, spec: ModelSpec, parameters: Mapping[str, Any]) -> None:
        from proveout.models.tiny import TinyModel

        self._model = TinyModel.from_spec(spec)
        self._parameters = parameters

    async def whole(self, call: Call) -> Whole:
        try:
            generation = await self._model.generate(request_of(call, self._parameters))
        except ModelError as error:
            raise _refused_or_failed(error) from error
        return Whole(Writer(self._model.name).whole(generation), JSON)

    async def stream(self, call: Call, sink: Sink) -> None:
        from proveout.models.tiny.model import prompt_ids
        from proveout.models.tiny.parameters import read_parameters

        request = request_of(call, self._parameters, stream=True)
        writer = Writer(self._model.name)
        tokens = 0
        try:
            prompt, wanted = prompt_ids(request.messages), read_parameters(request.parameters)
            async with aclosing(self._model.stream(prompt, wanted)) as pieces:
                async for piece in pieces:
                    now = monotonic()
                    if not tokens:
                        sink.opened(EVENTS)
                        sink.piece(now, writer.delta({"role": "assistant", "content": ""}))
                    tokens += 1
                    if piece.text:
                        sink.piece(now, writer.delta({"content": piece.text}))
                    if piece.finish is not None:
                        sink.piece(now, writer.delta({}, piece.finish))
        except ModelError as error:
            raise _refused_or_failed(error) from error
        usage = Usage(input_tokens=len(prompt), output_tokens=tokens)
        sink.piece(monotonic(), writer.usage(usage) + DONE)

    async def forward(self, operation: str, body: Body, sink: Sink | None) -> Whole:
        raise Refused(400, f"the built-in model has no {operation}", code="unsupported")

    async def aclose(self) -> None:
        await self._model.aclose()


def _refused_or_failed(error: ModelError) -> Refused | UpstreamFailed:
    return refused_as(error) if error.kind == "bad_request" else failed(error)

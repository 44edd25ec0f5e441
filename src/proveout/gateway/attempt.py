"""Asking one variant for one request: the call, the answer on its way to the client, and what is noted of it."""

from __future__ import annotations

from time import monotonic

import msgspec

from proveout.gateway.answering import ErrorInStream, StreamedAnswer, content_texts, lines_of, stream_failure
from proveout.gateway.arms import Arm, Place
from proveout.gateway.bodies import Body
from proveout.gateway.cache import Kept, cache_key
from proveout.gateway.catalog import Route
from proveout.gateway.errors import Refused
from proveout.gateway.guarding import BLOCKED, Guarding, Withheld, answer_text
from proveout.gateway.holding import GuardedStream
from proveout.gateway.keys import Client
from proveout.gateway.observing import Facts, Malformed, read_whole
from proveout.gateway.processing import process, rendered, text_in, with_text
from proveout.gateway.upstreams import Call, UpstreamFailed
from proveout.security.guards import Given
from proveout.storage.records import Trace
from proveout.wire import Responder, ServerRequest


class Asked(msgspec.Struct):
    """A request that may be served. One that pins a variant is answered by that one or by nobody."""

    request: ServerRequest
    body: Body
    route: Route
    client: Client | None
    operation: str
    pinned: bool
    trace: Trace
    started: float
    header_lines: bytes
    captured: bool


class Attempt:
    """Asking one variant for one request. Without a responder it is a shadow's."""

    __slots__ = ("_arm", "_asked", "_cache_key", "_managed", "_responder", "_stream", "content")

    def __init__(self, asked: Asked, arm: Arm, responder: Responder | None) -> None:
        self._asked = asked
        self._arm = arm
        self._responder = responder
        self._managed = asked.operation == "chat" and asked.body.variables is not None
        self.content: tuple[str, str] | None = None
        """What was said, where it is to be kept."""
        self._cache_key: bytes | None = None
        self._stream: StreamedAnswer | None = None

    @property
    def _guards(self) -> Guarding | None:
        """Who looks at the answer, if anybody does."""
        guards = self._asked.route.guards
        return guards if guards is not None and guards.reads_answers else None

    @property
    def _given(self) -> Given:
        """How much of a whole answer is given when guards are asked: a shadow's is nobody's to refuse."""
        return "all" if self._responder is None else "nothing"

    @property
    def started(self) -> bool:
        """Whether the client has got some of this answer: then nobody else may answer."""
        return self._stream is not None and self._stream.started

    @property
    def header_lines(self) -> bytes:
        return self._asked.header_lines + self._arm.header_lines

    def plain_call(self) -> Call | None:
        """The call, where the client's own messages pass through.

        Raises:
            Refused: there are none.
        """
        body = self._asked.body
        if self._asked.operation == "chat":
            if body.variables is not None:
                return None
            if "messages" not in body.fields:
                raise Refused(400, "write `messages`, or `proveout: {variables}`", code="missing", param="messages")
        return Call(body)

    async def prepared(self) -> Call:
        """The call with the variant's prompt, rendered from the client's variables.

        Raises:
            Refused: the prompt can't be rendered from these variables.
        """
        variables = self._asked.body.variables or {}
        messages = await rendered(self._arm.variant, variables, slow=self._arm.slow)
        return Call(self._asked.body, messages, variables)

    async def from_cache(self, call: Call) -> bool:
        """Answer from the cache, if it can; whether it could."""
        cache = self._asked.route.load.cache
        responder = self._responder
        if cache is None or responder is None or self._asked.operation != "chat":
            return False
        self._cache_key = cache_key(self._arm.fingerprint, call.body.fields)
        kept = cache.get(self._cache_key) or await cache.fetch(self._cache_key)
        if kept is None:
            return False
        trace = self._asked.trace
        trace.cached, trace.status, trace.finish = True, 200, kept.finish
        trace.cost_usd = 0.0
        self._answered_by()
        if kept.usage is not None:
            trace.input_tokens, trace.output_tokens = kept.usage.input_tokens, kept.usage.output_tokens
        headers = lines_of(kept.headers) + self.header_lines + b"x-proveout-cache: hit\r\n"
        if call.body.stream:
            responder.start(200, headers)
            responder.write(kept.body)
            responder.end()
        else:
            responder.reply(200, headers, kept.body)
        self._capture(kept.body)
        return True

    async def made(self, place: Place, call: Call) -> None:
        """Make the call and answer the client.

        Raises:
            UpstreamFailed: there is no whole answer from here.
        """
        self._arm.in_flight += 1
        place.in_flight += 1
        try:
            await (self._streamed(place, call) if call.body.stream else self._whole(place, call))
        except (Malformed, ErrorInStream) as error:
            failed = stream_failure(error)
            place.breaker.failed(monotonic())
            raise failed from None
        except UpstreamFailed as failed:
            if failed.blames:
                place.breaker.failed(monotonic())
            raise
        finally:
            self._arm.in_flight -= 1
            place.in_flight -= 1
        place.breaker.succeeded()
        trace = self._asked.trace
        trace.status, trace.error = 200, None

    def passed_on(self, failed: UpstreamFailed) -> None:
        """The client's own fault, in the provider's words."""
        trace = self._asked.trace
        trace.status = failed.status or 400
        self._answered_by()
        if failed.passed_on is None:
            raise Refused(trace.status, str(failed), code=failed.kind)
        status, whole = failed.passed_on
        trace.status = status
        if self._responder is not None:
            self._responder.reply(status, lines_of(whole.headers) + self.header_lines, whole.body)

    def broken(self, failed: UpstreamFailed) -> None:
        """The stream can't be finished any more."""
        trace = self._asked.trace
        trace.status = 200
        if self._stream is not None:
            self._note_stream(self._stream)
            self._capture("".join(self._stream.reader.text).encode())
            self._stream.broken(Refused(502, "the upstream failed in the middle of its answer", code=failed.kind).body)

    async def _whole(self, place: Place, call: Call) -> None:
        asked, responder = self._asked, self._responder
        if asked.operation == "chat":
            answer = await place.upstream.whole(call)
        else:
            answer = await place.upstream.forward(asked.operation, call.body, None)
        facts = read_whole(answer.body)
        body = answer.body
        if self._managed and self._arm.checked:
            body = await self._processed_whole(body)
        self._note(facts)
        self._answered_by()
        guards = self._guards
        if guards is not None and asked.operation != "embeddings":
            try:
                guards.answered(answer_text(body), self._arm.variant, asked.trace, given=self._given)
            except Withheld:
                place.breaker.succeeded()
                raise
        if responder is not None:
            responder.reply(200, lines_of(answer.headers) + asked.header_lines + self._arm.header_lines, body)
            if self._cache_key is not None:
                self._keep(Kept(body, answer.headers, facts.usage, facts.finish))
        if asked.captured:
            self._capture(body)

    async def _streamed(self, place: Place, call: Call) -> None:
        asked = self._asked
        held = self._managed and self._arm.processed
        chat = asked.operation == "chat"
        guards = self._guards
        guarded = None
        if guards is not None and not held:
            guarded = GuardedStream(guards, self._arm.variant, asked.trace, given=self._responder is None)
        stream = self._stream = StreamedAnswer(
            self._responder,
            self.header_lines,
            hide_usage=chat and not call.body.wants_usage,
            keep_text=asked.captured or (self._managed and self._arm.checked),
            keep_bytes=self._cache_key is not None,
            hold=held,
            guarded=guarded,
        )
        try:
            await self._passed(place, call, stream, held=held)
        except Withheld:
            place.breaker.succeeded()
            self._note_stream(stream)
            if not stream.started:
                raise
            stream.stop()
            asked.trace.finish = BLOCKED

    async def _passed(self, place: Place, call: Call, stream: StreamedAnswer, *, held: bool) -> None:
        """
        Raises:
            Withheld: a guard stops the stream, or all of it.
        """
        asked, chat = self._asked, self._asked.operation == "chat"
        if chat:
            await place.upstream.stream(call, stream)
        else:
            stream.reader.complete = True  # Other APIs end their streams in their own ways.
            await place.upstream.forward(asked.operation, call.body, stream)
        stream.ended()
        if self._guards is None:
            stream.end()
        text = "".join(stream.reader.text)
        if self._managed and self._arm.checked:
            result = await process(self._arm.variant, text, slow=self._arm.slow)
            asked.trace.valid = result.valid
            if held and self._guards is not None:
                self._guards.answered(result.text, self._arm.variant, asked.trace, given=self._given)
            if held and self._responder is not None:
                result.send(
                    self._responder,
                    self.header_lines,
                    stream.facts,
                    model=self._arm.name,
                    wants_usage=call.body.wants_usage,
                )
        if self._guards is not None:
            stream.end()
        self._note_stream(stream)
        if stream.kept is not None and not held:
            self._keep(Kept(b"".join(stream.kept), stream.headers, stream.facts.usage, stream.facts.finish))
        self._capture(text.encode())

    async def _processed_whole(self, body: bytes) -> bytes:
        result = await process(self._arm.variant, text_in(body), slow=self._arm.slow)
        self._asked.trace.valid = result.valid
        return with_text(body, result.text) if self._arm.processed and result.valid else body

    def _keep(self, kept: Kept) -> None:
        cache = self._asked.route.load.cache
        if cache is not None and self._cache_key is not None and kept.finish in ("stop", "tool_calls"):
            cache.put(self._cache_key, kept)

    def _capture(self, answer: bytes) -> None:
        if self._asked.captured:
            self.content = content_texts(self._asked.request.body, answer)

    def _answered_by(self) -> None:
        trace, arm = self._asked.trace, self._arm
        trace.variant, trace.variant_name = arm.fingerprint, arm.name

    def _note(self, facts: Facts) -> None:
        trace = self._asked.trace
        trace.finish, trace.refused = facts.finish, facts.refused
        usage = facts.usage
        if usage is not None:
            trace.input_tokens = usage.input_tokens
            trace.output_tokens = usage.output_tokens
            trace.cached_tokens = usage.cached_tokens
        trace.cost_usd = self._arm.cost(usage)

    def _note_stream(self, stream: StreamedAnswer) -> None:
        self._note(stream.facts)
        self._answered_by()
        trace, reader = self._asked.trace, stream.reader
        trace.reads = reader.reads
        if reader.reads:
            trace.ttft = reader.first - self._asked.started
            trace.stall = reader.stall

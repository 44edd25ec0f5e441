"""One call to one HTTP endpoint: send, read whole or streamed, and say what went wrong. An `Api` knows the format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple, Protocol, runtime_checkable

import msgspec
import orjson

from proveout import wire
from proveout.models._base import Generation, ModelError, Request, Timings
from proveout.models.providers._draft import Draft
from proveout.models.providers._failures import UNREADABLE, Failures, PromptFiltered

MAX_ANSWER_BYTES = 32 * 2**20
_MAX_CONNECT_S = 10.0

HeaderPairs = Sequence[tuple[str, str]]
Feed = Callable[[float, bytes], None]
"""Takes a piece of a stream with the time of the read that brought it."""
Seen = Callable[[float], None]
"""Is told the time of each read of a stream, after its feed has taken it."""


class Post(NamedTuple):
    """Where to send what."""

    url: str
    body: bytes


class Api(Protocol):
    """One wire format of model calls.

    What `read` and a feed raise of `UNREADABLE` means that the answer is malformed; a ModelError goes to the caller.
    """

    def post(self, request: Request) -> Post:
        """The call in this format.

        Raises:
            ModelError: `bad_request`: something in the request has no equivalent here.
        """
        ...

    def read(self, answer: Any, draft: Draft) -> None:
        """Read a whole answer, parsed from JSON."""
        ...

    def feed(self, draft: Draft) -> Feed:
        """A reader of one stream, which fills the draft."""
        ...

    def learn(self, refused: ModelError) -> bool:
        """An endpoint refused a request: whether it should be put in another way, once."""
        ...


class Signer(Protocol):
    """Gives the headers that prove who calls, for each call anew."""

    async def headers(self, post: Post, stream: bool) -> HeaderPairs:
        """All headers of the call.

        Raises:
            ModelError: `auth`: there are no valid credentials.
        """
        ...


class Line(msgspec.Struct, frozen=True):
    """How an endpoint is reached. The client is the caller's, and stays open; a signer's headers replace `headers`."""

    client: wire.Client
    failures: Failures
    timeout_s: float
    """What one attempt may take in all. A whole answer's first byte comes with its last, and a thinking model is long
    silent: nothing else is limited, but for connecting.
    """
    headers: HeaderPairs = ()
    signer: Signer | None = None

    async def send(
        self,
        post: Post,
        *,
        stream: bool = False,
        on_head: Callable[[int, wire.Headers], object] | None = None,
        on_data: Callable[[float, bytes], object] | None = None,
        flow: wire.Flow | None = None,
    ) -> wire.Response:
        """One exchange.

        Raises:
            WireError: no whole response came.
            ModelError: `auth`: there are no valid credentials.
        """
        headers = self.headers if self.signer is None else await self.signer.headers(post, stream)
        connect = min(_MAX_CONNECT_S, self.timeout_s)
        return await self.client.send(
            "POST",
            post.url,
            headers=headers,
            body=post.body,
            timeouts=wire.Timeouts(connect=connect, first_byte=None, idle=None, total=self.timeout_s),
            max_body_bytes=MAX_ANSWER_BYTES,
            on_head=on_head,
            on_data=on_data,
            flow=flow,
        )


class _Stream(msgspec.Struct):
    """A streamed response: handed to the feed as it comes, or kept where it is no stream after all."""

    feed: Feed
    status: int = 0
    headers: wire.Headers | None = None
    streaming: bool = False
    kept: bytearray | None = None
    at: float = 0.0
    """Time of the last read."""

    def on_head(self, status: int, headers: wire.Headers) -> None:
        self.status = status
        self.headers = headers
        kind = headers.get("content-type") or ""
        self.streaming = 200 <= status < 300 and "json" not in kind and "html" not in kind

    def on_data(self, at: float, piece: bytes) -> None:
        if not self.at and self.streaming and piece.lstrip()[:1] in (b"{", b"[", b"<"):
            self.streaming = False  # No event stream begins so: it is JSON or a page without its type.
        self.at = at
        if self.streaming:
            self.feed(at, piece)
        elif self.kept is None:
            self.kept = bytearray(piece)
        else:
            self.kept += piece


class Tape:
    """An answer as it came, not yet read: every piece with the time of the read that brought it. Taking one costs the
    event loop next to nothing, so that what is timed beside it is not held up."""

    __slots__ = ("broken", "done", "headers", "pieces", "sent", "stamps", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers = wire.Headers()
        self.stamps: list[float] = []
        self.pieces: list[bytes] = []
        self.sent = monotonic()
        self.done = self.sent
        self.broken: wire.WireError | None = None
        """What ended it before its end."""

    def on_head(self, status: int, headers: wire.Headers) -> None:
        self.status = status
        self.headers = headers

    def on_data(self, at: float, piece: bytes) -> None:
        self.stamps.append(at)
        self.pieces.append(piece)

    @property
    def size(self) -> int:
        """Bytes that it holds, roughly."""
        return sum(map(len, self.pieces)) + 100 * len(self.pieces)

    @property
    def seems_whole(self) -> bool:
        """Whether it ends as whole streams in OpenAI's format do."""
        return self.broken is None and bool(self.pieces) and b"[DONE]" in self.pieces[-1]


@runtime_checkable
class ReadsAtOnce(Protocol):
    """An `Api` that has a quicker way to read a whole stream than piece by piece."""

    def read_stream(self, draft: Draft, stamps: Sequence[float], pieces: Sequence[bytes]) -> bool:
        """Read all into the draft, as its feed would; False, and nothing read, where that takes the feed."""
        ...


class Endpoint:
    """A model behind an HTTP API; makes one attempt a call."""

    def __init__(self, api: Api, line: Line) -> None:
        self._api = api
        self._line = line
        self._failures = line.failures
        self._at_once = api if isinstance(api, ReadsAtOnce) else None
        self._closed = False

    async def generate(self, request: Request) -> Generation:
        """One answer, from one attempt.

        Raises:
            ModelError: no answer was had.
        """
        if self._closed:
            raise self._failures.error("cut", "the model was closed")
        try:
            return await self._attempt(request)
        except ModelError as error:
            if error.kind == "bad_request" and self._api.learn(error):
                return await self._attempt(request)
            raise

    async def watch(
        self, request: Request, draft: Draft, *, seen: Seen | None = None, flow: wire.Flow | None = None
    ) -> tuple[float, float]:
        """One answer read into `draft` from one attempt, for those who time it themselves: when the request was
        written, and when the answer's last byte came (`time.monotonic`). Where this raises, `draft` holds what had
        come. `seen` is told the time of each read once its content is in the draft; what it raises ends the call.

        Raises:
            ModelError: no whole answer was had.
        """
        if self._closed:
            raise self._failures.error("cut", "the model was closed")
        try:
            return await self._watched(request, draft, seen, flow)
        except ModelError as error:
            if error.kind == "bad_request" and self._api.learn(error):
                return await self._watched(request, draft, seen, flow)
            raise

    async def record(self, request: Request) -> Tape:
        """One streamed answer from one attempt, to be read by `read` when there is time.

        Raises:
            ModelError: nothing came that could be an answer. What is wrong with one that came, `read` says.
        """
        if self._closed:
            raise self._failures.error("cut", "the model was closed")
        try:
            return await self._taped(request)
        except ModelError as error:
            if error.kind == "bad_request" and self._api.learn(error):
                return await self._taped(request)
            raise

    def read(self, tape: Tape, draft: Draft) -> tuple[float, float]:
        """Read an answer that was recorded; all else as `watch`."""
        stream = _Stream(self._api.feed(draft))
        stream.on_head(tape.status, tape.headers)
        done = tape.done
        try:
            api = self._at_once if stream.streaming else None
            quick = api is not None and api.read_stream(draft, tape.stamps, tape.pieces)
            if not quick:
                for at, piece in zip(tape.stamps, tape.pieces, strict=True):
                    stream.on_data(at, piece)
        except UNREADABLE as error:
            raise self._failures.of_reading(error) from error
        if tape.broken is not None:
            if not draft.ended:
                raise self._failures.of_wire(tape.broken) from tape.broken
            done = tape.stamps[-1]  # The stream said that it is whole; how its connection ends does not matter.
        if not stream.streaming:
            self._read_whole(bytes(stream.kept or b""), draft)
        elif draft.finish is None and not draft.ended:
            raise self._failures.error("cut", "the stream ended before the answer did", retryable=True)
        if draft.empty:
            raise self._failures.error("malformed", "the answer holds no choice", retryable=True)
        return tape.sent, done

    async def aclose(self) -> None:
        """Take no further calls. Idempotent."""
        self._closed = True

    async def _taped(self, request: Request) -> Tape:
        post = self._api.post(request)
        tape = Tape()
        try:
            response = await self._line.send(post, stream=True, on_head=tape.on_head, on_data=tape.on_data)
        except wire.WireError as error:
            if not tape.pieces:
                raise self._failures.of_wire(error) from error
            tape.broken = error
            tape.done = monotonic()
        else:
            tape.sent, tape.done = response.sent, response.done
        if not 200 <= tape.status < 300:
            raise self._failures.of_status(tape.status, tape.headers, b"".join(tape.pieces))
        return tape

    async def _attempt(self, request: Request) -> Generation:
        post = self._api.post(request)
        if request.stream:
            return await self._streamed(post)
        try:
            response = await self._line.send(post)
        except wire.WireError as error:
            raise self._failures.of_wire(error) from error
        if not 200 <= response.status < 300:
            e2e = response.done - response.sent
            return filtered(self._failures.of_status(response.status, response.headers, response.body), e2e)
        return self._whole(response.body, response.sent, response.done)

    async def _streamed(self, post: Post) -> Generation:
        draft = Draft()
        stream, sent, done = await self._read_stream(post, draft)
        if not stream.streaming:
            body = bytes(stream.kept or b"")
            if not 200 <= stream.status < 300:
                headers_back = stream.headers or wire.Headers()
                return filtered(self._failures.of_status(stream.status, headers_back, body), done - sent)
            return self._whole(body, sent, done)
        return self._closed_draft(draft, sent, done, streamed=True)

    async def _watched(
        self, request: Request, draft: Draft, seen: Seen | None, flow: wire.Flow | None
    ) -> tuple[float, float]:
        stream, sent, done = await self._read_stream(self._api.post(request), draft, seen, flow)
        if not stream.streaming:
            body = bytes(stream.kept or b"")
            if not 200 <= stream.status < 300:
                raise self._failures.of_status(stream.status, stream.headers or wire.Headers(), body)
            self._read_whole(body, draft)
        if draft.empty:
            raise self._failures.error("malformed", "the answer holds no choice", retryable=True)
        return sent, done

    async def _read_stream(
        self, post: Post, draft: Draft, seen: Seen | None = None, flow: wire.Flow | None = None
    ) -> tuple[_Stream, float, float]:
        """Read an answer into `draft` if it is a stream, and else keep its bytes; with the times at the socket."""
        feed = self._api.feed(draft)
        stream = _Stream(feed if seen is None else _seen_by(seen, feed))
        sent = monotonic()
        try:
            response = await self._line.send(
                post, stream=True, on_head=stream.on_head, on_data=stream.on_data, flow=flow
            )
            sent, done = response.sent, response.done
        except wire.WireError as error:
            if not draft.ended:
                raise self._failures.of_wire(error) from error
            done = stream.at  # The stream said that it is whole; how its connection ends does not matter.
        except UNREADABLE as error:
            raise self._failures.of_reading(error) from error
        if stream.streaming and draft.finish is None and not draft.ended:
            raise self._failures.error("cut", "the stream ended before the answer did", retryable=True)
        return stream, sent, done

    def _whole(self, body: bytes, sent: float, done: float) -> Generation:
        draft = Draft()
        self._read_whole(body, draft)
        return self._closed_draft(draft, sent, done, streamed=False)

    def _read_whole(self, body: bytes, draft: Draft) -> None:
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise self._failures.error("malformed", _no_json(body), retryable=True) from None
        try:
            self._api.read(answer, draft)
        except UNREADABLE as error:
            raise self._failures.of_reading(error) from error

    def _closed_draft(self, draft: Draft, sent: float, done: float, *, streamed: bool) -> Generation:
        if draft.empty:
            raise self._failures.error("malformed", "the answer holds no choice", retryable=True)
        try:
            return draft.generation(sent, done, streamed=streamed)
        except UNREADABLE as error:
            raise self._failures.of_reading(error) from error


def _seen_by(seen: Seen, feed: Feed) -> Feed:
    def both(at: float, piece: bytes) -> None:
        feed(at, piece)
        seen(at)

    return both


def _no_json(body: bytes) -> str:
    if not body:
        return "the answer is empty"
    page = body.lstrip()[:1] == b"<"
    return "the answer is an HTML page, as proxies send" if page else f"the answer's {len(body)} bytes are no JSON"


def filtered(error: ModelError, e2e: float) -> Generation:
    """A prompt that the provider's filter stopped is an answer of that provider: an empty one. All else is raised.

    Raises:
        ModelError: `error`, where it is no filter's.
    """
    if not isinstance(error, PromptFiltered):
        raise error
    return Generation(text="", finish_reason="content_filter", refusal=str(error), timings=Timings(e2e=e2e))


async def fetched(send: Awaitable[wire.Response], failures: Failures) -> Any:
    """The JSON that a plain exchange brings.

    Raises:
        ModelError: it brings none.
    """
    try:
        response = await send
    except wire.WireError as error:
        raise failures.of_wire(error) from error
    if not 200 <= response.status < 300:
        raise failures.of_status(response.status, response.headers, response.body)
    try:
        return orjson.loads(response.body)
    except orjson.JSONDecodeError:
        raise failures.error("malformed", _no_json(response.body), retryable=True) from None


def sse_feed(draft: Draft, on_event: Callable[[wire.Event, float], None]) -> Feed:
    """A feed of server-sent events.

    Raises (from the feed):
        ValueError: what came is no event stream.
    """
    decoder = wire.SseDecoder()
    looked = False

    def feed(at: float, piece: bytes) -> None:
        nonlocal looked
        if not looked:
            looked = True
            if b"\0" in piece[:512]:
                raise ValueError("its bytes are no event stream")
        for event in decoder.feed(piece):
            if not draft.ended:
                on_event(event, at)

    return feed

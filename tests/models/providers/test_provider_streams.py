"""However a stream is cut into reads, the answer is the same; whatever comes, it is an answer or a foreseen error."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_peers import STREAM, USAGE_CHUNK, chunk
from test_provider_anthropic import TEXT as ANTHROPIC_TEXT
from test_provider_anthropic import events as anthropic_events
from test_provider_bedrock import TEXT as BEDROCK_TEXT

from proveout.models._base import Generation, ModelError
from proveout.models.providers._draft import Draft
from proveout.models.providers._endpoint import Api
from proveout.models.providers._failures import UNREADABLE, Failures
from proveout.models.providers.anthropic import MessagesApi
from proveout.models.providers.bedrock import ConverseApi
from proveout.models.providers.gemini import GenerateContentApi
from proveout.models.providers.openai_chat import ChatApi, Dialect
from proveout.wire import TooLarge

FAILURES = Failures("test")
CALLS = (
    chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "lookup", "arguments": '{"ci'}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'ty": "Zürich 🚠"}'}}]}),
    chunk({}, "tool_calls"),
    USAGE_CHUNK,
    "[DONE]",
)


def sse(events: tuple[str, ...], newline: str = "\n") -> bytes:
    return "".join(f"data: {event}{newline}{newline}" for event in events).encode()


GEMINI = (
    '{"candidates": [{"content": {"parts": [{"text": "Grüezi "}]}}]}',
    '{"candidates": [{"content": {"parts": [{"text": "🚠"}]}, "finishReason": "STOP"}]}',
)
STREAMS: dict[str, tuple[Callable[[], Api], bytes]] = {
    "openai": (lambda: ChatApi("http://x", "m", Dialect(), FAILURES), sse(STREAM)),
    "openai, CRLF": (lambda: ChatApi("http://x", "m", Dialect(), FAILURES), sse(STREAM, "\r\n")),
    "openai, tools": (lambda: ChatApi("http://x", "m", Dialect(), FAILURES), sse(CALLS)),
    "anthropic": (lambda: MessagesApi("http://x", "m", FAILURES), b"".join(anthropic_events(*ANTHROPIC_TEXT))),
    "gemini": (lambda: GenerateContentApi("http://x", FAILURES), sse(GEMINI)),
    "bedrock": (lambda: ConverseApi("http://x", FAILURES), b"".join(BEDROCK_TEXT)),
}


def read(api: Api, pieces: list[bytes]) -> Generation:
    draft = Draft()
    feed = api.feed(draft)
    for number, piece in enumerate(pieces):
        feed(float(number), piece)
    return msgspec.structs.replace(draft.generation(0.0, 1.0, streamed=True), timings=None)


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_cutting_into_reads_gives_the_same_answer(name: str, data: st.DataObject) -> None:
    make, stream = STREAMS[name]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=30)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = read(make(), [stream])
    assert read(make(), pieces) == whole
    assert whole.text or whole.tool_calls


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_gives_the_same_answer(name: str) -> None:
    make, stream = STREAMS[name]
    assert read(make(), [stream[at : at + 1] for at in range(len(stream))]) == read(make(), [stream])


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_spoilt_bytes_give_an_answer_or_a_foreseen_error(name: str, data: st.DataObject) -> None:
    make, stream = STREAMS[name]
    spoilt = bytearray(stream)
    for at in data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=8)):
        spoilt[at] = data.draw(st.integers(0, 255))
    try:
        read(make(), [bytes(spoilt)])
    except (ModelError, TooLarge, *UNREADABLE):
        pass


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "error", "usage", "tool_calls", "type", "text", "output",
                         "candidates", "parts", "logprobs", "function", "index", "finish_reason", "stop_reason"]),
        inner, max_size=4),
    max_leaves=20,
))  # fmt: skip
@settings(max_examples=300, deadline=None, derandomize=True)
def test_json_of_any_shape_gives_an_answer_or_a_foreseen_error(answer: object) -> None:
    for make, _ in STREAMS.values():
        draft = Draft()
        try:
            make().read(answer, draft)
            draft.generation(0.0, 1.0, streamed=False)
        except (ModelError, *UNREADABLE):
            pass

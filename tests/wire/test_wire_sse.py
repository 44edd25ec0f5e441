from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.wire import Event, SseDecoder, TooLarge, encode_event


def read_by_the_standard(stream: bytes) -> list[Event]:
    """The standard's algorithm, word for word, on the whole stream at once."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = re.split("\r\n|\n|\r", text)[:-1]  # What follows the last line end is an unfinished line.
    events, data, kind, last_id = [], [], "", ""
    for line in lines:
        if line == "":
            if data:
                events.append(Event("\n".join(data), kind or "message", last_id))
            data, kind = [], ""
            continue
        if line.startswith(":"):
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


PIECES = st.sampled_from(
    [
        b"data: {\"a\":1}\n\n", b"data: x\r\n\r\n", b"data:y\r\r", b"data: one\ndata: two\n\n", b"data: [DONE]\n\n",
        b"data: \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\n", b"\n", b"\r", b"\r\n", b"data", b"data:", b"data: ",
        b" ", b":", b"id\n",
        b": comment\n", b"event: ping\n", b"id: 7\n", b"id: a\0b\n", b"retry: 10\n", b"retry: x\n", b"other: field\n",
        b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(PIECES, max_size=14), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_events_of_the_standard(pieces: list[bytes], places: list[int]) -> None:
    stream = b"".join(pieces)
    decoder = SseDecoder()
    events = [event for part in cut(stream, places) for event in decoder.feed(part)]
    assert events == read_by_the_standard(stream)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_arbitrary_bytes_never_break_the_decoder(stream: bytes, places: list[int]) -> None:
    decoder = SseDecoder()
    assert [e for part in cut(stream, places) for e in decoder.feed(part)] == read_by_the_standard(stream)


def test_every_single_cut_of_a_real_stream() -> None:
    start = '\ufeffdata: {"text": "Grüße €😀"}\r\n\r\n: keep-alive\n\n'
    stream = f"{start}event: delta\nid: 3\ndata: a\ndata: b\n\ndata: [DONE]\n\n".encode()
    whole = SseDecoder().feed(stream)
    assert [e.data for e in whole] == ['{"text": "Grüße €😀"}', "a\nb", "[DONE]"]
    assert (whole[1].event, whole[1].id, whole[2].event, whole[2].id) == ("delta", "3", "message", "3")
    for place in range(1, len(stream)):
        decoder = SseDecoder()
        assert decoder.feed(stream[:place]) + decoder.feed(stream[place:]) == whole
    decoder = SseDecoder()
    assert [e for i in range(len(stream)) for e in decoder.feed(stream[i : i + 1])] == whole


def test_retry_is_kept_and_only_digits_count() -> None:
    decoder = SseDecoder()
    decoder.feed(b"retry: 1500\n\nretry: soon\n\n")
    assert decoder.retry_ms == 1500


@pytest.mark.parametrize(
    "parts",
    [
        [b"data: ok\n\n", b"data: " + b"x" * 200 + b"\n\n"],
        [b"data: " + b"x" * 60, b"x" * 60],
        [b"data: " + b"x" * 60 + b"\n", b"data: " + b"x" * 60 + b"\n"],
        [b"x" * 200],
    ],
)
def test_an_event_over_the_limit_is_refused(parts: list[bytes]) -> None:
    decoder = SseDecoder(max_event_bytes=100)
    with pytest.raises(TooLarge, match="larger than 100 bytes"):
        list(map(decoder.feed, parts))


def test_comments_without_end_do_not_add_up() -> None:
    decoder = SseDecoder(max_event_bytes=100)
    for _ in range(1000):
        assert decoder.feed(b": ping\n\n") == []


@given(st.text(), st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1))
def test_what_is_encoded_is_decoded(data: str, name: str) -> None:
    data = data.encode("utf-8", "replace").decode()
    events = SseDecoder().feed(encode_event(data, event=name, id=name))
    lines = re.sub("\r\n|\r", "\n", data)
    assert events == [Event(lines, name, name)]


def test_a_name_cannot_inject_lines() -> None:
    with pytest.raises(ValueError, match="one line"):
        encode_event("x", event="a\ndata: b")

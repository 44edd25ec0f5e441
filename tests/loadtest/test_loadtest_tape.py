"""Answers that are read after the run hold what they would have held if read as they came."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.models import ModelError
from proveout.models.providers import Draft, Tape, open_endpoint
from proveout.project.records import ModelSpec
from proveout.wire import Client, Headers

EVENTS = Headers([(b"content-type", b"text/event-stream")])


@pytest.fixture
def endpoint():
    return open_endpoint(ModelSpec("openai-compatible", "sim", "http://127.0.0.1:1/v1"), Client())


def chunk(delta: dict, **others) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": others.pop("finish", None)}
    body = {"id": "a", "model": "sim", "choices": [choice]} | others
    return b"data: " + json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


END = chunk({}, finish="stop") + chunk({}, usage={"prompt_tokens": 3, "completion_tokens": 2}) + b"data: [DONE]\n\n"


def taped(reads: list[bytes]) -> Tape:
    tape = Tape()
    tape.on_head(200, EVENTS)
    for number, read in enumerate(reads, 1):
        tape.on_data(float(number), read)
    return tape


def as_they_came(endpoint, reads: list[bytes]) -> Draft:
    draft = Draft()
    feed = endpoint._api.feed(draft)
    for number, read in enumerate(reads, 1):
        feed(float(number), read)
    return draft


def held(draft: Draft) -> dict:
    calls = {index: call.as_openai() for index, call in draft.calls.items()}
    others = {name: getattr(draft, name) for name in Draft.__slots__ if name not in ("text", "calls")}
    return others | {"text": "".join(draft.text), "calls": calls}


def later(endpoint, reads: list[bytes]) -> Draft:
    draft = Draft()
    endpoint.read(taped(reads), draft)
    return draft


def test_escapes_other_letters_and_several_events_in_one_read(endpoint):
    texts = ["tok ", 'say "no"', "a\\b\nc", "größer", "", "tok ", '"', "\\", "日本"]
    reads = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": text}) for text in texts)]
    reads += [chunk({"content": "x"}) + chunk({"content": "y"}), END]
    assert held(later(endpoint, reads)) == held(as_they_came(endpoint, reads))
    assert "".join(later(endpoint, reads).text) == "".join(texts) + "xy"


@given(st.lists(st.text(max_size=6), max_size=12), st.integers(1, 40))
def test_any_text_however_the_reads_are_cut(texts, size):
    endpoint = open_endpoint(ModelSpec("openai-compatible", "sim", "http://127.0.0.1:1/v1"), Client())
    stream = b"".join(chunk({"content": text}) for text in texts) + END
    cut = [stream[at : at + size] for at in range(0, len(stream), size)]
    whole = [chunk({"content": text}) for text in texts] + [END]
    for reads in (cut, whole):
        assert held(later(endpoint, reads)) == held(as_they_came(endpoint, reads))


@pytest.mark.parametrize(
    "middle",
    [
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}),
        chunk({"content": "b"}, id="another"),
        chunk({"content": "b", "reasoning_content": "hm"}),
        b": a comment\n\n",
        chunk({"content": "b"}).replace(b"\n", b"\r\n"),
        b'data: {"choices":[]}\n\n',
    ],
    ids=["a tool call", "another id", "reasoning", "a comment", "other line ends", "no choice"],
)
def test_chunks_of_other_kinds_between(endpoint, middle):
    reads = [chunk({"content": "a"}), chunk({"content": "a"}), middle, chunk({"content": "c"}), END]
    assert held(later(endpoint, reads)) == held(as_they_came(endpoint, reads))


@pytest.mark.parametrize(
    ("reads", "kind"),
    [
        ([chunk({"content": "a"}), b'data: {"error":{"message":"overloaded","code":503}}\n\n', END], "overloaded"),
        ([chunk({"content": "a"}), b'data: {"choices":[{"index":0,"delta":{"con\n\n', END], "malformed"),
        ([chunk({"content": "a"}), chunk({"content": "b"})], "cut"),
        ([b"data: [DONE]\n\n"], "malformed"),
    ],
    ids=["an error", "garbage", "no end", "nothing"],
)
def test_what_is_wrong_is_said(endpoint, reads, kind):
    with pytest.raises(ModelError) as raised:
        later(endpoint, reads)
    assert raised.value.kind == kind

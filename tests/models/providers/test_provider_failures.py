"""Every way in which an endpoint fails, over real HTTP: stable kinds, retryable or not, and no key in any message."""

from __future__ import annotations

import ssl
import time
from email.utils import formatdate
from typing import Any

import pytest
import trustme
from provider_peers import STREAM, chunk, completion, peer

from proveout import wire
from proveout.models._base import ModelError, Request
from proveout.models.providers import open_endpoint
from proveout.models.providers._waiting import retry_after
from proveout.project.records import Limits, ModelSpec, Secret
from proveout.testing.faults import Answer, FaultServer

KEY = "tok/with+odd=signs-8f2c1d9e"
OPENAI_ERROR = {"error": {"message": "no", "type": "x", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, "bad_request", False),
        (401, "auth", False),
        (402, "status", False),
        (403, "auth", False),
        (404, "bad_request", False),
        (408, "timeout", True),
        (409, "status", True),
        (413, "bad_request", False),
        (422, "bad_request", False),
        (429, "rate_limit", True),
        (500, "status", True),
        (501, "status", False),
        (502, "status", True),
        (503, "overloaded", True),
        (504, "status", True),
        (524, "status", True),
        (529, "overloaded", True),
        (302, "status", False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_each_status_has_its_kind(status: int, kind: str, retryable: bool, stream: bool) -> None:
    async with peer("openai", Answer.json(OPENAI_ERROR, status=status)) as one:
        error = await one.refusal(stream=stream)
    assert (error.kind, error.retryable, error.status) == (kind, retryable, status)
    assert str(error).startswith("openai m: ")


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "the reason"}},
        {"error": "the reason", "error_type": "validation"},
        {"detail": "the reason"},
        {"detail": [{"loc": [], "msg": "the reason", "type": "missing"}]},
        {"object": "error", "message": "the reason", "type": "BadRequestError", "code": 400},
        [{"error": {"code": 400, "message": "the reason", "status": "INVALID_ARGUMENT"}}],
        {"message": "the reason"},
    ],
)
async def test_the_reason_is_found_in_every_known_shape(body: Any) -> None:
    async with peer("openai-compatible", Answer.json(body, status=400)) as one:
        error = await one.refusal()
    assert error.kind == "bad_request"
    assert str(error) == "openai-compatible m: answered 400: the reason"


async def test_a_complaint_about_a_field_names_it() -> None:
    complaint = {
        "detail": [{"type": "extra_forbidden", "loc": ["body", "stop"], "msg": "Extra inputs are not permitted"}]
    }
    async with peer("openai-compatible", Answer.json(complaint, status=422)) as one:
        error = await one.refusal()
    assert str(error).endswith("answered 422: stop: Extra inputs are not permitted")


async def test_an_error_without_a_content_type_is_found_where_a_stream_should_be() -> None:
    async with peer("openai-compatible", Answer(body=b'{"error": {"message": "no model loaded"}}')) as one:
        error = await one.refusal(stream=True)
    assert (error.kind, "no model loaded" in str(error)) == ("status", True)


async def test_pages_of_proxies_binary_and_empty_bodies_are_told_in_a_few_words() -> None:
    page = b"<html><head><title>502 Bad\n Gateway</title></head><body>" + b"x" * 9000
    answers = [
        Answer(status=502, body=page, headers=[("content-type", "text/html")]),
        Answer(status=500, body=bytes(range(256)) * 10),
        Answer(status=500),
        Answer(status=500, body=b"plain words" * 1000),
    ]
    async with peer("openai", answers) as one:
        said = [str(await one.refusal()).partition(": ")[2] for _ in answers]
    assert said[0] == "answered 502: an HTML page (502 Bad Gateway), as proxies send"
    assert said[1] == "answered 500: 2560 bytes that are no text"
    assert said[2] == "answered 500"
    assert len(said[3]) < 500


async def test_a_spent_quota_is_not_worth_another_try() -> None:
    spent = {
        "error": {
            "message": "You exceeded your current quota",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        }
    }
    async with peer("openai", Answer.json(spent, status=429)) as one:
        error = await one.refusal()
    assert (error.kind, error.retryable) == ("rate_limit", False)


async def test_the_server_may_say_itself_whether_to_try_again() -> None:
    no, yes = [("x-should-retry", "false")], [("x-should-retry", "true")]
    answers = [Answer(status=500, headers=no), Answer(status=400, headers=yes)]
    async with peer("openai", answers) as one:
        assert not (await one.refusal()).retryable
        assert (await one.refusal()).retryable


async def test_a_filtered_prompt_is_an_empty_answer_of_that_provider() -> None:
    filtered = {
        "error": {
            "message": "The response was filtered due to the prompt triggering Azure OpenAI's content policy.",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    }
    async with peer("azure", Answer.json(filtered, status=400)) as one:
        whole, streamed = await one.ask(), await one.ask(stream=True)
    for got in (whole, streamed):
        assert (got.text, got.finish_reason, got.usage) == ("", "content_filter", None)
        assert "policy" in (got.refusal or "")


# --- how long to wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:05 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:05 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"x-ratelimit-reset-requests": "1m30s", "x-ratelimit-remaining-requests": "0"}, 90),
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "9",
          "x-ratelimit-reset-tokens": "120ms", "x-ratelimit-remaining-tokens": "0"}, 0.12),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-reset": "4"}, 4),
        ({"x-ratelimit-reset": "1445412483000", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 3),
        ({"x-ratelimit-reset": "1445412483", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 3),
        ({"anthropic-ratelimit-requests-reset": "2015-10-21T07:28:02Z", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 2),
        ({"x-ratelimit-reset": "tomorrow"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_every_form_of_a_wait_is_understood(headers: dict[str, str], seconds: float | None) -> None:
    fields = wire.Headers((name.encode(), value.encode()) for name, value in headers.items())
    assert retry_after(fields, limited=True) == (None if seconds is None else pytest.approx(seconds))


async def test_a_wait_comes_with_the_error() -> None:
    later = formatdate(time.time() + 60, usegmt=True)
    async with peer("openai", [Answer.too_many("12"), Answer.too_many(later), Answer(status=400)]) as one:
        assert (await one.refusal()).retry_after_s == 12
        waits = (await one.refusal()).retry_after_s
        assert waits is not None
        assert 30 < waits <= 61
        assert (await one.refusal()).retry_after_s is None


async def test_googles_own_form_of_a_wait_is_read_from_the_body() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    body = {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}}
    async with peer("openai", Answer.json(body, status=429)) as one:
        assert (await one.refusal()).retry_after_s == 34.5


# --- errors where an answer should be


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"message": "slow down", "code": 429}, "rate_limit", True),
        ({"message": "busy", "type": "overloaded_error"}, "overloaded", True),
        ({"message": "no", "type": "invalid_request_error"}, "bad_request", False),
        ({"message": "who?", "code": "invalid_api_key"}, "auth", False),
        ({"message": "oh", "type": "server_error"}, "status", True),
        ("just words", "status", True),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_in_a_200_is_an_error(error: Any, kind: str, retryable: bool, stream: bool) -> None:
    async with peer("openai-compatible", Answer.json({"error": error})) as one:
        got = await one.refusal(stream=stream)
    assert (got.kind, got.retryable) == (kind, retryable)


async def test_an_error_in_the_middle_of_a_stream_ends_it() -> None:
    failing = [chunk({"content": "Hel"}), '{"error": {"message": "engine died", "code": 500}}', "[DONE]"]
    named = [chunk({"content": "Hel"}), b'event: error\ndata: {"message": "engine died"}\n\n']
    inside = [
        chunk({"content": "Hel"}),
        '{"choices": [{"delta": {}, "error": {"message": "engine died", "code": 502}}]}',
    ]
    async with peer("openrouter", [Answer(events=events) for events in (failing, named, inside)]) as one:
        for _ in range(3):
            error = await one.refusal(stream=True)
            assert (error.kind, error.retryable) == ("status", True)
            assert "engine died" in str(error)


async def test_mistrals_finish_by_error_is_an_error() -> None:
    async with peer("mistral", Answer.json(completion(choice={"finish_reason": "error"}))) as one:
        assert (await one.refusal()).retryable


# --- broken answers


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(body=b"{"),
        Answer(body=bytes(range(256))),
        Answer(body=b"<html>login</html>", headers=[("content-type", "text/html")]),
        Answer.json({}),
        Answer.json([]),
        Answer.json("text"),
        Answer.json(None),
        Answer.json({"choices": []}),
        Answer.json({"choices": [None]}),
        Answer.json({"choices": [{"index": 0}]}),
        Answer.json({"choices": "abc"}),
        Answer.json(completion(17)),
        Answer.json(completion({"a": 1})),
        Answer.json(completion([{"type": "text", "text": 5}])),
        Answer.json(completion(message={"tool_calls": [{"id": "x"}]})),
        Answer.json(completion(message={"tool_calls": 5})),
        Answer.json(completion(model=5)),
        Answer.json(completion(choice={"logprobs": {"content": [{"logprob": "low"}]}})),
        Answer(body=b"[" * 100_000),
    ],
)
async def test_an_answer_of_another_shape_is_malformed(answer: Answer) -> None:
    async with peer("openai", answer) as one:
        error = await one.refusal()
    assert (error.kind, error.retryable) == ("malformed", True)


@pytest.mark.parametrize(
    "events",
    [
        ["{not json"],
        [chunk({"content": 5})],
        ["5"],
        ["null"],
        ['{"choices": [5]}'],
        [b"\x00\x01\x02\xff" * 100],
        [b"data: \xff\xfe{\n\n"],
        ["[DONE]"],
    ],
)
async def test_a_stream_of_another_shape_is_malformed(events: list[str | bytes]) -> None:
    async with peer("openai", Answer(events=events)) as one:
        error = await one.refusal(stream=True)
    assert (error.kind, error.retryable) == ("malformed", True)


@pytest.mark.parametrize("kept", range(5))
async def test_a_stream_that_ends_without_an_end_mark_is_cut(kept: int) -> None:
    async with peer("openai", Answer(events=STREAM[:kept])) as one:
        if kept == 4:
            assert (await one.refusal(stream=True)).kind == "cut"
        else:
            error = await one.refusal(stream=True)
            assert (error.kind, error.retryable) == ("cut", True)


async def test_a_finish_reason_is_an_end_mark_too() -> None:
    async with peer("openai", Answer(events=STREAM[:5])) as one:
        assert (await one.ask(stream=True)).text == "Hello wörld"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_cut_anywhere_is_cut(stream: bool) -> None:
    whole = Answer(events=STREAM[:4], cut_after=600) if stream else Answer.json(completion(), cut_after=200)
    async with peer("openai", [whole, Answer(cut_after=0), Answer(raw=b"SMTP ready\r\n")]) as one:
        first, second, third = [await one.refusal(stream=stream) for _ in range(3)]
    assert (first.kind, first.retryable) == ("cut", True)
    assert (second.kind, second.retryable) == ("cut", True)
    assert (third.kind, third.retryable) == ("malformed", True)


async def test_a_huge_answer_is_refused_before_it_fills_the_memory() -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{"
    async with peer("openai", [Answer(raw=raw), Answer(events=[b"data: " + b"x" * 5 * 2**20])]) as one:
        whole, streamed = await one.refusal(), await one.refusal(stream=True)
    assert (whole.kind, whole.retryable) == ("too_large", False)
    assert streamed.kind == "too_large"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_endpoint_times_out_by_the_specs_own_limit(stream: bool) -> None:
    async with peer("openai", Answer(hang=True), limits=Limits(timeout_s=0.2)) as one:
        error = await one.refusal(stream=stream)
    assert (error.kind, error.retryable) == ("timeout", True)


async def test_nobody_there_is_a_failed_connection() -> None:
    async with peer("openai", Answer()) as one:
        gone = one.server.url
    async with wire.Client() as client:
        model = open_endpoint(ModelSpec("openai", "m", gone), client)
        with pytest.raises(ModelError) as caught:
            await model.generate(Request(messages=()))
    assert (caught.value.kind, caught.value.retryable) == ("connect", True)


async def test_a_certificate_that_nobody_vouches_for_is_a_failed_connection() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with FaultServer([Answer()], ssl_context=context) as server, wire.Client() as client:
        with pytest.raises(ModelError) as caught:
            await open_endpoint(ModelSpec("openai", "m", server.url), client).generate(Request(messages=()))
    assert caught.value.kind == "connect"
    assert server.received == []


async def test_a_stream_that_trickles_ends_at_the_limit() -> None:
    slow = Answer(events=[chunk({"content": "x"})] * 100, gap_s=0.05)
    async with peer("openai", slow, limits=Limits(timeout_s=0.3)) as one:
        assert (await one.refusal(stream=True)).kind == "timeout"


async def test_a_closed_model_or_client_takes_no_calls() -> None:
    async with peer("openai", Answer.json(completion())) as one:
        await one.model.aclose()
        await one.model.aclose()
        assert (await one.refusal()).kind == "cut"
        other = open_endpoint(ModelSpec("openai", "m", one.server.url), client := wire.Client())
        await client.aclose()
        with pytest.raises(ModelError) as caught:
            await other.generate(Request(messages=()))
    assert (caught.value.kind, caught.value.retryable) == ("cut", False)


# --- secrets


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_that_an_endpoint_echoes_is_in_no_message(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.setenv("EXTRA", f"Bearer {KEY[::-1]}")
    echo = f"wrong key {KEY} and Bearer {KEY[::-1]}, sk-proj-abcdefghijklmnop1234"
    answers = [
        Answer.json({"error": {"message": echo}}, status=401),
        Answer(status=500, body=echo.encode()),
        Answer(status=500, body=f"<title>{echo}</title>".encode()),
        Answer.json({"error": echo}),
        Answer.json(completion(choice={"finish_reason": "stop"}, model={"x": echo})),
    ]
    fields = {"key": Secret("env:KEY"), "options": {"headers": {"x-auth": Secret("env:EXTRA")}}}
    async with peer("openai", answers, **fields) as one:
        for _ in answers:
            said = str(await one.refusal(stream=stream))
            assert KEY not in said
            assert KEY[::-1] not in said
            assert "sk-proj" not in said


async def test_a_secret_that_is_not_set_is_named_at_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_KEY", raising=False)
    monkeypatch.setenv("BAD_KEY", "line\nbreak")
    async with wire.Client() as client:
        with pytest.raises(LookupError, match="NOT_SET_KEY"):
            open_endpoint(ModelSpec("openai", "m", key=Secret("env:NOT_SET_KEY")), client)
        with pytest.raises(LookupError, match="env:BAD_KEY holds characters"):
            open_endpoint(ModelSpec("openai", "m", key=Secret("env:BAD_KEY")), client)
        with pytest.raises(LookupError, match="no provider 'nobody'"):
            open_endpoint(ModelSpec("nobody", "m"), client)


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_but_the_whole_call_is_limited_and_to_ten_minutes_unless_set(stream: bool) -> None:
    """A reasoning model is long silent, and an unstreamed answer's first byte comes with its last."""
    asked: list[wire.Timeouts] = []

    class Recorder(wire.Client):
        async def send(self, *_: Any, timeouts: wire.Timeouts, **__: Any) -> wire.Response:
            asked.append(timeouts)
            raise wire.WireError("enough")

    with pytest.raises(ModelError):
        await open_endpoint(ModelSpec("openai-compatible", "m", "http://127.0.0.1:9/v1"), Recorder()).generate(
            Request(messages=(), stream=stream)
        )
    assert asked == [wire.Timeouts(connect=10, first_byte=None, idle=None, total=600)]

"""Nothing that a caller passes on can add a line to a request or a response."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_peers import ask, serving

from proveout.testing.faults import FaultServer
from proveout.wire import Client, InvalidRequest, Responder, ServerRequest
from proveout.wire.headers import encode_headers
from proveout.wire.urls import parse_url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nx-injected: 1"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", "a\x7fb"),
        ("x", "\N{SNOWMAN}"),
        ("x\r\ny", "1"),
        ("x y", "1"),
        ("x:", "1"),
        ("", "1"),
        ("é", "1"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("authorization", "Bearer secret\r\nx: y"),
    ],
)
async def test_a_header_that_cannot_be_sent_is_refused_unsent(name: str, value: str) -> None:
    async with FaultServer() as server, Client() as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.send("GET", server.url, headers={name: value})
    assert server.received == []
    assert "secret" not in str(caught.value)


TEXT = st.text(st.characters(max_codepoint=0x2100), max_size=12)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.tuples(TEXT | st.just("x-a"), TEXT), max_size=4))
def test_accepted_headers_are_one_line_each(pairs: list[tuple[str, str]]) -> None:
    try:
        lines = encode_headers(pairs)
    except InvalidRequest:
        return
    assert lines.count(b"\n") == lines.count(b"\r") == lines.count(b"\r\n") == len(pairs)
    for line, (name, value) in zip(lines.split(b"\r\n"), pairs, strict=False):
        assert line == f"{name}: {value}".encode("latin-1")


@pytest.mark.parametrize(
    "url",
    [
        "http://a/\r\nx: y",
        "http://a/ HTTP/1.1\r\nx: y",
        "http://a/b c",
        "http://a/é",
        "http://münchen.example/",
        "http://a\t/",
        "http://a/\0",
        "ftp://a/",
        "//a/",
        "/path",
        "a",
        "",
        "http://",
        "http:///path",
        "http://:80/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:x/",
        "http://[::1/",
        "http://user:hunter2@a/",
        "http://user@a/",
        "http://a\\@b/",
        "http://a%0d%0ab/",
        'http://a"b/',
    ],
)
def test_a_url_that_cannot_be_asked_for_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://A.example", "a.example", "/"),
        ("http://a:80/x", "a", "/x"),
        ("https://a:443/x", "a", "/x"),
        ("http://a:443/x", "a:443", "/x"),
        ("https://a?q=1", "a", "/?q=1"),
        ("http://[::1]:8080/x#frag", "[::1]:8080", "/x"),
        ("http://a/%C3%A9/..;x=1?y=%0d%0a", "a", "/%C3%A9/..;x=1?y=%0d%0a"),
        ("http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "/"),
    ],
)
def test_a_url_is_taken_apart(url: str, authority: str, path: str) -> None:
    target = parse_url(url)
    assert (target.authority, target.path) == (authority, path)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(max_size=30).map(lambda tail: f"http://{tail}"))
def test_any_text_is_a_url_or_refused(url: str) -> None:
    try:
        target = parse_url(url)
    except InvalidRequest:
        return
    assert not set(target.authority + target.path) & set(" \t\r\n\0")


async def test_a_handler_cannot_split_its_response() -> None:
    def app(request: ServerRequest, responder: Responder) -> None:
        responder.reply(200, [("location", "/\r\nset-cookie: a=b")])

    async with serving(app) as server:
        answer = await ask(server.port, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"set-cookie" not in answer

"""Compressed bodies: decoded, bounded, and refused where they are not what they say."""

from __future__ import annotations

import gzip
import itertools
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_peers import answering, http, whole

from proveout.wire import Client, MalformedResponse, TooLarge
from proveout.wire.inflate import Inflater

TEXT = b'{"answer": "forty-two"} ' * 200


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def zipped(data: bytes) -> bytes:
    """Without the time of day, so that every test process has the same cases."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", zipped(TEXT)),
        ("X-GZIP", zipped(TEXT)),
        ("gzip", zipped(TEXT[:100]) + zipped(TEXT[100:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("identity", TEXT),
    ],
)
async def test_a_coded_body_is_decoded(coding: str, body: bytes) -> None:
    async with answering(whole(body, f"content-encoding: {coding}")) as url, Client() as client:
        assert (await client.send("GET", url)).body == TEXT


async def test_an_empty_coded_body_is_empty() -> None:
    async with answering(whole(b"", "content-encoding: gzip")) as url, Client() as client:
        assert (await client.send("GET", url)).body == b""


async def test_each_flushed_piece_is_handed_over_as_it_comes() -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    pieces = [packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH) for text in (b"data: 1\n\n", b"data: 2\n\n")]
    seen: list[tuple[float, bytes]] = []
    async with (
        answering(http("200 OK", "content-encoding: gzip"), *pieces, packer.flush(), pause_s=0.05) as url,
        Client() as client,
    ):
        await client.send("GET", url, on_data=lambda at, piece: seen.append((at, piece)))
    assert [piece for _, piece in seen] == [b"data: 1\n\n", b"data: 2\n\n"]
    assert seen[1][0] - seen[0][0] >= 0.04


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_is_stopped_at_the_limit(coding: str) -> None:
    zeros = bytes(50_000_000)
    bomb = gzip.compress(zeros, 9) if coding == "gzip" else zlib.compress(zeros, 9)
    size = 0

    def count(_: float, piece: bytes) -> None:
        nonlocal size
        size += len(piece)

    async with answering(whole(bomb, f"content-encoding: {coding}")) as url, Client(max_body_bytes=10**6) as client:
        with pytest.raises(TooLarge, match="inflates to more than 1000000 bytes"):
            await client.send("GET", url)
        with pytest.raises(TooLarge):
            await client.send("GET", url, on_data=count)
    assert size <= 10**6


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"not gzip at all"),
        ("gzip", zipped(TEXT)[:-4]),
        ("gzip", zipped(TEXT)[:-8] + b"\0" * 8),
        ("gzip", zipped(TEXT) + b"tail"),
        ("deflate", zlib.compress(TEXT)[:-2]),
        ("deflate", zlib.compress(TEXT) + b"tail"),
        ("gzip, gzip", zipped(zipped(TEXT))),
        ("br", TEXT),
    ],
)
async def test_a_body_that_is_not_of_its_coding_is_refused(coding: str, body: bytes) -> None:
    async with answering(whole(body, f"content-encoding: {coding}")) as url, Client() as client:
        with pytest.raises(MalformedResponse, match="GET http://"):
            await client.send("GET", url)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=3000), st.lists(st.integers(0, 4000), max_size=8), st.sampled_from(["gzip", "zlib", "raw"]))
def test_any_split_decodes_to_the_same(data: bytes, places: list[int], kind: str) -> None:
    packed = {"gzip": gzip.compress, "zlib": zlib.compress, "raw": raw_deflate}[kind](data)
    edges = sorted({0, len(packed), *(place % (len(packed) + 1) for place in places)})
    inflater = Inflater("gzip" if kind == "gzip" else "deflate", len(data), "test")
    assert b"".join(inflater.feed(packed[a:b]) for a, b in itertools.pairwise(edges)) == data
    inflater.finish()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(["gzip", "deflate"]), st.lists(st.binary(max_size=50), max_size=6))
def test_random_bytes_raise_nothing_unexpected(coding: str, pieces: list[bytes]) -> None:
    inflater = Inflater(coding, 1000, "test")
    try:
        for piece in pieces:
            inflater.feed(piece)
        inflater.finish()
    except (MalformedResponse, TooLarge):
        pass

"""Finished calls: kept, found again, and acknowledged only once they are safe."""

from __future__ import annotations

import asyncio
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proveout.storage import Store, open_store


def put(store: Store, *rows: tuple[bytes, bytes]) -> None:
    async def put_all() -> None:
        await asyncio.gather(*(store.calls.put(key, generation) for key, generation in rows))

    asyncio.run(put_all())


def test_a_call_is_found_as_it_was_kept(store: Store) -> None:
    put(store, (b"key", b'{"text": "\x00 hello"}'))
    assert store.calls.get(b"key") == b'{"text": "\x00 hello"}'
    assert store.calls.get(b"other") is None


def test_an_acknowledged_call_is_seen_by_another_opener_at_once(url: str) -> None:
    with open_store(url) as writer, open_store(url) as reader:
        put(writer, (b"key", b"generation"))
        assert reader.calls.get(b"key") == b"generation"


def test_the_first_generation_under_a_key_stays(store: Store) -> None:
    put(store, (b"key", b"first"))
    put(store, (b"key", b"second"), (b"key", b"third"))
    assert store.calls.get(b"key") == b"first"


def test_many_are_found_in_one_go(store: Store) -> None:
    rows = [(os.urandom(32), os.urandom(10)) for _ in range(1_300)]
    put(store, *rows)
    absent = [os.urandom(32) for _ in range(50)]
    assert store.calls.get_many([*(key for key, _ in rows), *absent]) == dict(rows)
    assert store.calls.get_many([]) == {}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=2_000), max_size=30))
def test_any_bytes_survive(store: Store, rows: dict[bytes, bytes]) -> None:
    fresh = os.urandom(8)
    kept = {fresh + key: generation for key, generation in rows.items()}
    put(store, *kept.items())
    assert store.calls.get_many(list(kept)) == kept


def test_a_large_generation_survives(store: Store) -> None:
    large = os.urandom(5_000_000)
    put(store, (b"large", large))
    assert store.calls.get(b"large") == large

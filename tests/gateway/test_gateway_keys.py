"""Keys, quotas, the cache and shadows: who may ask, how much, and what runs beside the answers."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from gateway_world import completion, error, run, said, stream, until, world, write_project

from proveout.gateway.cache import AnswerCache, Kept
from proveout.gateway.keys import new_key
from proveout.gateway.process import OpenToAll, check_open
from proveout.gateway.settings import CacheSettings, read_settings
from proveout.project import ProjectError, load_project
from proveout.storage import Release, open_store
from proveout.testing.faults import Answer, FaultServer

GOOD = Answer.json(completion())
KEY, HASH = new_key()
OTHER, OTHER_HASH = new_key()


def keyed(**others: Any) -> dict[str, Any]:
    return {"keys": {"web": {"hash": HASH, **others}}}


def test_without_a_known_key_nothing_is_answered(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway=keyed()) as here,
        ):
            for authorization in ("", KEY, f"Basic {KEY}", f"Bearer {OTHER}", "Bearer ", f"Bearer {KEY}x"):
                response = await here.ask(authorization=authorization)
                assert (response.status, error(response)["code"]) == (401, "invalid_api_key")
            score = {"trace_id": "0" * 32, "name": "ok", "value": 1}
            assert (await here.post("/v1/feedback", score)).status == 401
            assert (await here.get("/v1/models")).status == 401
            assert not upstream.received
            for path in ("/healthz", "/readyz", "/metrics"):
                assert (await here.get(path)).status == 200
            for _ in range(2):
                assert (await here.ask(authorization=f"Bearer {KEY}")).status == 200
            assert [trace.client for trace in await here.traces(2)] == ["web", "web"]
            assert "authorization" not in upstream.received[0].headers  # The client's key is not the provider's.

    run(main())


def test_a_key_may_ask_its_services_only(tmp_path: Path) -> None:
    async def main() -> None:
        async with FaultServer(otherwise=GOOD) as upstream:
            root = write_project(tmp_path, {"base": upstream.url}, gateway=keyed(services=["chat"]))
            home = root / "services" / "chat"
            other = root / "services" / "other"
            (other / "variants").mkdir(parents=True)
            (other / "datasets").mkdir()
            for path in (*home.glob("*.yaml"), *home.glob("*/*.*")):
                text = path.read_text().replace('"service": "chat"', '"service": "other"')
                (other / path.relative_to(home)).write_text(text)
            async with world(tmp_path, {"base": upstream.url}, gateway=keyed(services=["chat"])) as here:
                refused = await here.ask({"model": "other"}, authorization=f"Bearer {KEY}")
                assert (refused.status, error(refused)["code"]) == (403, "forbidden_service")
                for model in ("other/nothing", "nothing"):  # Neither says what else there is.
                    refused = await here.ask({"model": model}, authorization=f"Bearer {KEY}")
                    assert b"base" not in refused.body
                    assert b", other" not in refused.body
                listed = json.loads((await here.get("/v1/models", authorization=f"Bearer {KEY}")).body)["data"]
                assert {one["id"] for one in listed} == {"chat", "chat/base"}

    run(main())


@pytest.mark.parametrize("where", ["key", "service"])
def test_a_rate_limit_refuses_what_is_too_much_and_says_when(tmp_path: Path, where: str) -> None:
    limit = {"requests_per_minute": 3.0}
    gateway = keyed(**limit) if where == "key" else {**keyed(), "services": {"chat": limit}}

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway=gateway) as here,
        ):
            responses = [await here.ask(authorization=f"Bearer {KEY}") for _ in range(5)]
            assert [one.status for one in responses] == [200, 200, 200, 429, 429]
            assert error(responses[3])["code"] == "rate_limited"
            assert 15 <= int(responses[3].headers["retry-after"]) <= 20

    run(main())


def test_a_budget_refuses_once_it_is_spent(tmp_path: Path) -> None:
    prices = [
        {"provider": "openai-compatible", "model": "model-base", "since": "2026-01-01", "input": 1e6, "output": 0.0}
    ]

    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway=keyed(usd_per_day=10.0), prices=prices) as here,
        ):
            responses = [await here.ask(authorization=f"Bearer {KEY}") for _ in range(4)]
            assert [one.status for one in responses] == [200, 200, 429, 429]
            assert error(responses[3])["code"] == "budget_spent"

    run(main())


def test_keys_may_come_and_go_while_it_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway=keyed()) as here,
        ):
            assert (await here.ask(authorization=f"Bearer {KEY}")).status == 200
            (here.root / "gateway.yaml").write_text(json.dumps({"keys": {"new": {"hash": OTHER_HASH}}}))
            await here.run.reloader.look()
            assert (await here.ask(authorization=f"Bearer {KEY}")).status == 401
            assert (await here.ask(authorization=f"Bearer {OTHER}")).status == 200

    run(main())


def test_no_key_and_no_content_is_ever_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def main() -> None:
        script = [GOOD, Answer(status=500), Answer(raw=b"nonsense"), stream("x"), Answer(body=b"secret answer")]
        async with (
            FaultServer(script, otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway=keyed()) as here,
        ):
            for body in ({}, {}, {}, {"stream": True}, {"proveout": {"variables": {"question": "my content"}}}):
                try:
                    await here.ask(
                        {"messages": [{"role": "user", "content": "my content"}], **body}, authorization=f"Bearer {KEY}"
                    )
                except Exception:
                    continue
            await here.ask(b'{"model": "my content', authorization=f"Bearer {OTHER}")
            assert b"my content" not in (await here.get("/metrics")).body

    run(main())
    for secret in (KEY, OTHER, "my content", "secret answer"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("keys: {web: {hash: abc}}", "keys.web.hash"),
        ("services: {chta: {}}", "Did you mean `chat`"),
        ("services: {chat: {endpoints: {bse: [http://x]}}}", "chat has no variant `bse`"),
        ("keys: {web: {hash: 'sha256:" + "0" * 64 + "', services: [nope]}}", "there is no service `nope`"),
        ("services: {chat: {cache: {ttl: 5}}}", "duration"),
    ],
)
def test_mistakes_in_gateway_yaml_are_named_by_line(tmp_path: Path, text: str, what: str) -> None:
    root = write_project(tmp_path, {"base": "http://127.0.0.1:1"})
    (root / "gateway.yaml").write_text(text)
    with pytest.raises(ProjectError) as caught:
        read_settings(load_project(root))
    assert what in str(caught.value)
    assert "gateway.yaml:1" in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.com"])
def test_it_does_not_open_to_all_by_mistake(tmp_path: Path, host: str) -> None:
    project = load_project(write_project(tmp_path, {"base": "http://127.0.0.1:1"}))
    with pytest.raises(OpenToAll, match="anonymous: true"):
        check_open(project, host)
    check_open(project, "127.0.0.1")
    check_open(load_project(write_project(tmp_path, {"base": "http://127.0.0.1:1"}, gateway=keyed())), host)


# The cache


def test_the_same_request_is_answered_from_the_cache_and_marked(tmp_path: Path) -> None:
    gateway = {"services": {"chat": {"cache": {"ttl": "1m"}}}}

    async def main() -> None:
        async with (
            FaultServer([GOOD, stream()], otherwise=Answer(status=500)) as upstream,
            world(tmp_path, {"base": upstream.url}, gateway=gateway) as here,
        ):
            for body in ({}, {"stream": True}):
                first, second = await here.ask(body), await here.ask({**body, "user": "another"})
                assert second.body == first.body
                assert second.headers.get("content-type") == first.headers.get("content-type")
                assert (first.headers.get("x-proveout-cache"), second.headers.get("x-proveout-cache")) == (
                    None,
                    "hit",
                )
            assert (await here.ask({"temperature": 1})).status == 502
            assert len(upstream.received) == 4
            traces = await here.traces(5)
            assert [trace.cached for trace in traces] == [False, True, False, True, False]
            assert (traces[1].cost_usd, traces[1].ttft, traces[1].output_tokens) == (0.0, None, 3)
            shown = (await here.get("/metrics")).body
            assert b'proveout_gateway_cache_hits_total{service="chat",variant="base"} 2' in shown
            assert b'proveout_gateway_request_duration_seconds_count{service="chat",variant="base"} 3' in shown

    run(main())


def test_entries_expire_and_the_oldest_goes_first() -> None:
    now = 0.0
    cache = AnswerCache(CacheSettings(10.0, entries=2), clock=lambda: now)
    kept = Kept(b"x", (), None, "stop")
    for key in (b"a", b"b"):
        cache.put(key, kept)
    assert cache.get(b"a") == kept
    cache.put(b"c", kept)
    assert [cache.get(key) for key in (b"a", b"b", b"c")] == [kept, None, kept]
    now = 10.0
    assert cache.get(b"a") is None
    assert len(cache) == 1


# Shadows


def test_shadows_run_beside_the_answer_and_are_linked_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion("main"))) as upstream,
            FaultServer(otherwise=Answer.json(completion("shadow"), delay_s=0.4)) as slow,
            world(tmp_path, {"base": upstream.url, "next": slow.url, "bad": "http://127.0.0.1:1"}) as here,
        ):
            shadow = {here.fingerprint("next"): 1.0, here.fingerprint("bad"): 1.0}
            with open_store(here.project.store_url) as store:
                store.releases.publish(
                    Release(environment="dev", service="chat", weights={here.fingerprint("base"): 1.0}, shadow=shadow)
                )
            await here.serves(1)
            response = await here.ask(x_proveout_unit="u1")
            assert said(response) == "main"
            assert response.done - response.sent < 0.35
            main_trace, *shadows = sorted(await here.traces(3), key=lambda trace: trace.shadow_of is not None)
            assert {trace.shadow_of for trace in shadows} == {main_trace.id}
            assert {(trace.chosen, trace.error) for trace in shadows} == {
                (here.fingerprint("next"), None),
                (here.fingerprint("bad"), "connect"),
            }
            assert {trace.unit for trace in shadows} == {main_trace.unit}
            assert json.loads(slow.received[0].body)["messages"] == json.loads(upstream.received[0].body)["messages"]

    run(main())


def test_shadows_keep_to_their_budget_and_the_rest_is_counted(tmp_path: Path) -> None:
    gateway = {"services": {"chat": {"shadow": {"concurrency": 2}}}}

    async def main() -> None:
        async with (
            FaultServer(otherwise=Answer.json(completion("main"))) as upstream,
            FaultServer(otherwise=Answer.json(completion("shadow"), delay_s=1.0)) as slow,
            world(tmp_path, {"base": upstream.url, "next": slow.url}, gateway=gateway) as here,
        ):
            with open_store(here.project.store_url) as store:
                weights, shadow = {here.fingerprint("base"): 1.0}, {here.fingerprint("next"): 1.0}
                store.releases.publish(Release(environment="dev", service="chat", weights=weights, shadow=shadow))
            await here.serves(1)
            assert {(await here.ask()).status for _ in range(8)} == {200}
            await until(lambda: len(slow.received) == 2)
            shown = (await here.get("/metrics")).body
            assert b'proveout_gateway_shadow_skipped_total{service="chat",variant="next"} 6' in shown

    run(main())


def test_a_share_of_requests_is_copied(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            FaultServer(otherwise=GOOD) as copies,
            world(tmp_path, {"base": upstream.url, "next": copies.url}) as here,
        ):
            with open_store(here.project.store_url) as store:
                weights, shadow = {here.fingerprint("base"): 1.0}, {here.fingerprint("next"): 0.3}
                store.releases.publish(Release(environment="dev", service="chat", weights=weights, shadow=shadow))
            await here.serves(1)
            for _ in range(10):
                await asyncio.gather(*(here.ask() for _ in range(12)))
            await asyncio.sleep(0.2)
            assert 15 <= len(copies.received) <= 60

    run(main())

"""A real Prometheus reads every metric of the gateway, and takes the rules that are shipped."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from gateway_world import completion, run, stream, world

from proveout.gateway.metrics import METRICS
from proveout.storage import Release, open_store
from proveout.testing.faults import Answer, FaultServer, Received
from proveout.testing.servers import ServerUnavailable, prometheus_server

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "proveout-gateway.json"
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "proveout-gateway.rules.yaml"
SCRAPE = """  - job_name: gateway
    scrape_interval: 1s
    static_configs: [{{targets: ['{address}']}}]"""
GUARDS = {"input": [{"name": "length", "max_chars": 1000}]}
GATEWAY = {"services": {"chat": {"cache": {"ttl": "1m"}, "retries": 0}}}
PRICES = [{"provider": "openai-compatible", "model": "model-next", "since": "2026-01-01", "input": 1.0, "output": 1.0}]


def dashboard() -> list[str]:
    """The queries of the shipped dashboard, with its variables filled in."""
    targets = [target for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    return [
        re.sub(r"\$\{?(\w+)\}?", lambda name: "1m" if name[1] == "__rate_interval" else ".*", target["expr"])
        for target in targets
    ]


def fitting(request: Received) -> Answer:
    return stream() if b'"stream":true' in request.body.replace(b" ", b"") else Answer.json(completion())


def told(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)["data"]


def query(server: str, expression: str) -> list[dict[str, Any]]:
    return told(f"{server}/api/v1/query?query={urllib.parse.quote(expression)}")["result"]


def promtool(*arguments: str, given: bytes | None = None) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; make test installs it with Prometheus")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_the_shipped_rules_are_sound() -> None:
    assert f"{RULES.read_text().count('- alert:')} rules found" in promtool("check", "rules", str(RULES))


def test_prometheus_reads_every_metric_and_takes_rules_and_dashboard(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            FaultServer(fitting) as upstream,
            world(
                tmp_path,
                {"base": "http://127.0.0.1:1", "next": upstream.url},
                service={"guards": GUARDS},
                gateway=GATEWAY,
                prices=PRICES,
                environments={"production": {"chat": {"champion": "base", "fallback": "next"}}},
                environment="production",
            ) as here,
        ):
            with open_store(here.project.store_url) as store:
                store.releases.publish(
                    Release(
                        environment="production",
                        service="chat",
                        weights={here.fingerprint("base"): 1.0},
                        fallback=(here.fingerprint("next"),),
                        shadow={here.fingerprint("next"): 1.0},
                    )
                )
            await here.serves(1)
            for body in ({"stream": True}, {}, {}):
                assert (await here.ask(body)).status == 200
            await here.ask({"model": "chat/next"})
            await here.ask({"model": "nothing"})
            await here.post("/v1/feedback", {"trace_id": "0" * 32, "name": "ok", "value": True})
            metrics = here.run.gateway.metrics
            shown = (await here.get("/metrics")).body
            # What only a fault brings forth.
            for name in sorted(METRICS):
                if name.encode() not in shown:
                    metrics.count(name)
            said = await asyncio.to_thread(promtool, "check", "metrics", given=(await here.get("/metrics")).body)
            assert not said.strip()
            address = here.url.removeprefix("http://")
            with prometheus_server(SCRAPE.format(address=address), rules=[RULES]) as server:
                while len(await asyncio.to_thread(query, server, "proveout_gateway_requests_total")) < 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
                # A scrape that comes too late on a busy machine ends all series: what was seen before counts.
                names = set(await asyncio.to_thread(told, f"{server}/api/v1/label/__name__/values"))
                bare = {re.sub("_(bucket|sum|count)$", "", name) for name in names}
                assert bare | (names & set(METRICS)) >= set(METRICS)
                expression = 'sum(last_over_time(proveout_gateway_requests_total{service="chat"}[10m]))'
                (total,) = await asyncio.to_thread(query, server, expression)
                answered = [trace for trace in await here.traces(8) if trace.shadow_of is None]
                assert float(total["value"][1]) == len(answered) == 4
                for expression in dashboard():  # One that can't be evaluated raises.
                    await asyncio.to_thread(query, server, expression)
                (group,) = (await asyncio.to_thread(told, f"{server}/api/v1/rules"))["groups"]
                assert len(group["rules"]) == RULES.read_text().count("- alert:")
                assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}

    try:
        run(main())
    except ServerUnavailable as reason:
        pytest.skip(str(reason))

"""Traces as OTLP over HTTP, for whatever a team looks at traces with. Never in a request's way: what can't be
sent in time is dropped and counted; the store keeps the traces that decisions rest on."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from proveout.gateway.metrics import Metrics
from proveout.observability import conventions as names
from proveout.observability import otlp
from proveout.project.records import Project, Secret
from proveout.storage.records import Trace
from proveout.wire import Client, Timeouts, WireError

log = logging.getLogger("proveout.gateway")

CAPACITY = 20_000
BATCH = 256
PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
_TIMEOUTS = Timeouts(connect=5, total=10)
_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Finished(NamedTuple):
    """A trace with what the variant's file says of its model."""

    trace: Trace
    provider: str
    model: str


class Exporter:
    """Sends what it is given in batches, in the order of finishing."""

    def __init__(self, url: str, headers: Mapping[str, str], project: str, client: Client, metrics: Metrics) -> None:
        self._url = url
        self._headers = tuple({"content-type": otlp.CONTENT_TYPE, **headers}.items())
        self._project = project
        self._client = client
        self._waiting: deque[Finished] = deque()
        self._dropped = metrics.count("proveout_gateway_spans_dropped_total")

    def add(self, finished: Finished) -> None:
        """Take a finished trace. Never waits. One whose parent was not sampled is left out, like the parent."""
        parent = _parent(finished.trace)
        if parent is not None and not int(parent[2], 16) & 1:
            return
        if len(self._waiting) >= CAPACITY:
            self._dropped.value += 1
            return
        self._waiting.append(finished)

    async def run(self) -> None:
        """Send, again and again, until cancelled."""
        pause = PAUSE_S
        while True:
            await asyncio.sleep(pause)
            pause = PAUSE_S if await self.flush() else min(pause * 2, LONGEST_PAUSE_S)

    async def flush(self) -> bool:
        """Send all that waits; whether it was taken."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH))]
            taken = await self._send(batch)
            if taken is None:
                self._waiting.extendleft(reversed(batch))
                return False
            if not taken:
                self._dropped.value += len(batch)
        return True

    async def _send(self, batch: list[Finished]) -> bool | None:
        """Whether a batch was taken; None where it may be sent again."""
        body = payload(batch, self._project)
        try:
            response = await self._client.send("POST", self._url, headers=self._headers, body=body, timeouts=_TIMEOUTS)
        except WireError as error:
            log.warning("spans wait: %s", error)
            return None
        if response.status in (429, 502, 503, 504):  # What OTLP says may be sent again.
            return None
        if response.status >= 300:
            log.warning("the collector refused %d spans with status %d", len(batch), response.status)
        return response.status < 300


def open_exporter(project: Project, client: Client, metrics: Metrics) -> Exporter | None:
    """The exporter that `telemetry:` of proveout.yaml asks for; None where it asks for none.

    Raises:
        LookupError: a secret header is not set.
    """
    telemetry = project.settings.get("telemetry") or {}
    endpoint = telemetry.get("endpoint")
    if not endpoint:
        return None
    headers = {
        name.lower(): value.resolve() if isinstance(value, Secret) else value
        for name, value in telemetry.get("headers", {}).items()
    }
    base = endpoint.rstrip("/")
    url = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
    return Exporter(url, headers, project.name, client, metrics)


def payload(batch: list[Finished], project: str) -> bytes:
    """The body of an export."""
    resource = {names.SERVICE_NAME: "proveout-gateway", names.PROJECT: project}
    return otlp.request(map(span, batch), resource, "proveout.gateway")


def span(finished: Finished) -> otlp.Span:
    """One request as a client span of the GenAI conventions."""
    trace, provider, model = finished
    operation = names.operation_name(trace.operation)
    parent = _parent(trace)
    start = int(trace.started * 1e9)
    attributes: dict[str, otlp.Value] = {
        names.OPERATION: operation,
        names.PROVIDER: names.provider_name(provider),
        names.REQUEST_MODEL: model or None,
        names.REQUEST_STREAM: trace.streamed or None,
        names.FINISH_REASONS: _finish_reasons(trace),
        names.TIME_TO_FIRST_CHUNK: trace.ttft,
        names.INPUT_TOKENS: trace.input_tokens,
        names.OUTPUT_TOKENS: trace.output_tokens,
        names.CACHED_TOKENS: trace.cached_tokens,
        names.PROMPT_NAME: trace.service,
        names.PROMPT_VERSION: trace.variant or trace.chosen,
        names.ERROR_TYPE: trace.error,
        names.HTTP_STATUS: trace.status,
        names.ENVIRONMENT: trace.environment,
        names.TRACE: trace.id,
        names.VARIANT: trace.variant_name or None,
        names.CHOSEN: trace.chosen,
        names.EPOCH: trace.epoch,
        names.STEP: trace.step or None,
        names.PROPENSITY: trace.propensity,
        names.UNIT: trace.unit,
        names.COST: trace.cost_usd,
        names.CACHED: trace.cached,
        names.ATTEMPTS: trace.attempts,
        names.SHADOW_OF: trace.shadow_of,
        names.GUARDS: trace.guards,
    }
    return otlp.Span(
        trace=bytes.fromhex(trace.id if parent is None else parent[0]),
        id=bytes.fromhex(trace.id[16:]),
        parent=b"" if parent is None else bytes.fromhex(parent[1]),
        name=f"{operation} {model}".rstrip(),
        start=start,
        end=start + int(trace.e2e * 1e9),
        attributes=attributes,
        error=trace.error,
    )


def _finish_reasons(trace: Trace) -> list[str] | None:
    """Why the answer ended: an error, where it should have come to an end and did not."""
    if trace.finish is not None:
        return [trace.finish]
    return [names.FAILED] if trace.error is not None and trace.attempts and trace.operation != "embeddings" else None


def _parent(trace: Trace) -> tuple[str, str, str] | None:
    """Trace, span and flags of a `traceparent` header (W3C Trace Context); None where it is none."""
    found = _PARENT.match(trace.parent) if trace.parent else None
    return None if found is None else (found[1], found[2], found[3])

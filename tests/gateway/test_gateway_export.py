"""Traces as spans: the GenAI conventions' names, the caller's trace, and never in a request's way."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from gateway_world import completion, run, until, world
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proveout import wire
from proveout.gateway import export
from proveout.observability import conventions as names
from proveout.observability import otlp
from proveout.testing.faults import Answer, FaultServer
from proveout.testing.servers import free_port

GOOD = Answer.json(completion())
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def spans(collector: FaultServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in collector.received:
        assert one.headers.get("content-type") == "application/x-protobuf"
        for resource in MessageToDict(ExportTraceServiceRequest.FromString(one.body))["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found += scope["spans"]
    return found


def hexed(id: str) -> str:
    """An id as JSON's base64 gives it."""
    return base64.b64decode(id).hex()


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_a_request_is_a_span_of_the_callers_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TEST_OTLP", "token")

    async def main() -> None:
        async with FaultServer() as collector, FaultServer([GOOD, GOOD, GOOD, Answer(status=401)]) as upstream:
            telemetry = {"endpoint": collector.url, "headers": {"x-token": "env:GATEWAY_TEST_OTLP"}}
            async with world(tmp_path, {"base": upstream.url}, telemetry=telemetry) as here:
                first = await here.ask(traceparent=PARENT)
                await here.ask(traceparent=PARENT[:-2] + "00")  # Not sampled.
                await here.ask(traceparent="nonsense")
                await here.ask()
                await until(lambda: len(spans(collector)) == 3)
        sampled, alone, failed = spans(collector)
        assert (collector.received[0].target, collector.received[0].headers.get("x-token")) == ("/v1/traces", "token")
        assert (hexed(sampled["traceId"]), hexed(sampled["parentSpanId"])) == ("a" * 32, "b" * 16)
        assert "parentSpanId" not in alone
        for span in (sampled, alone, failed):
            assert (len(hexed(span["traceId"])), len(hexed(span["spanId"]))) == (32, 16)
            assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
        said = attributes(sampled)
        assert said[names.TRACE] == first.headers.get("x-proveout-trace-id")
        assert (said[names.OPERATION], said[names.REQUEST_MODEL]) == ("chat", "model-base")
        assert (said[names.INPUT_TOKENS], said[names.OUTPUT_TOKENS]) == ("9", "3")
        assert said[names.FINISH_REASONS] == {"values": [{"stringValue": "stop"}]}
        assert names.REQUEST_STREAM not in said  # Only where it is true.
        assert attributes(failed)[names.FINISH_REASONS] == {"values": [{"stringValue": "error"}]}
        assert sampled["name"] == "chat model-base"
        assert (failed["status"]["code"], attributes(failed)[names.ERROR_TYPE]) == ("STATUS_CODE_ERROR", "auth")
        assert "hello" not in str(spans(collector))

    run(main())


def test_a_collector_that_is_away_or_refuses_costs_spans_and_never_requests(tmp_path: Path) -> None:
    async def main() -> None:
        script = [Answer(status=503), Answer(raw=b"nonsense\r\n\r\n"), Answer(status=400)]
        async with (
            FaultServer(script) as collector,
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, telemetry={"endpoint": collector.url}) as here,
        ):
            assert (await here.ask()).status == 200
            await until(lambda: len(collector.received) == 3)
            shown = (await here.get("/metrics")).body
            assert b"proveout_gateway_spans_dropped_total 1" in shown
            assert (await here.ask()).status == 200

    run(main())


def test_a_collector_that_goes_under_load_fails_no_request_and_gets_the_spans_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAUSE_S", 0.05)
    monkeypatch.setattr(export, "LONGEST_PAUSE_S", 0.1)
    port = free_port()
    told: set[str] = set()

    async def collect(request: wire.ServerRequest, responder: wire.Responder) -> None:
        found = ExportTraceServiceRequest.FromString(request.body)
        told.update(span.trace_id.hex() for span in found.resource_spans[0].scope_spans[0].spans)
        responder.reply(200, (), b"")

    async def main() -> None:
        telemetry = {"endpoint": f"http://127.0.0.1:{port}"}
        async with (
            FaultServer(otherwise=GOOD) as upstream,
            world(tmp_path, {"base": upstream.url}, telemetry=telemetry) as here,
        ):
            for up in (True, False, True):
                server = await wire.serve(collect, host="127.0.0.1", port=port) if up else None
                known = len(told)
                for _ in range(20):
                    assert (await here.ask()).status == 200
                if server is not None:
                    await until(lambda known=known: len(told) > known)
                    await server.close()
            await wire.serve(collect, host="127.0.0.1", port=port)
            ids = {trace.id for trace in await here.traces(60)}
            await until(lambda: told == ids)

    run(main())


def test_names_stand_in_one_module_only() -> None:
    sources = Path(names.__file__).parents[1]
    for path in sources.rglob("*.py"):
        if path != Path(names.__file__):
            assert "gen_ai." not in path.read_text(), path


TEXTS = st.text(max_size=300)
VALUES = st.one_of(
    TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.lists(TEXTS, max_size=3)
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), TEXTS, st.integers(0, 2**64 - 1), st.one_of(st.none(), TEXTS))
def test_spans_are_read_by_opentelemetrys_own_library(
    values: dict[str, otlp.Value], name: str, at: int, error: str | None
) -> None:
    span = otlp.Span(b"t" * 16, b"s" * 8, b"", name, at, at, {**values, "left.out": None}, error)
    found = ExportTraceServiceRequest.FromString(otlp.request([span], {"service.name": "x"}, "scope"))
    (resource,) = found.resource_spans
    (read,) = resource.scope_spans[0].spans
    assert (read.trace_id, read.span_id, read.parent_span_id, read.kind) == (span.trace, span.id, b"", 3)
    assert (read.name, read.start_time_unix_nano, read.end_time_unix_nano) == (name, at, at)
    assert (read.status.code, read.status.message) == ((0, "") if error is None else (2, error))
    assert resource.scope_spans[0].scope.name == "scope"
    told = {}
    for one in read.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        told[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    assert told == values

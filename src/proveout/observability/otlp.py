"""Spans in OTLP's binary format, which every collector takes (its JSON is taken by some).

Source of the field numbers: opentelemetry-proto 1.x, `opentelemetry/proto/trace/v1/trace.proto`,
`common/v1/common.proto`, `resource/v1/resource.proto` and `collector/trace/v1/trace_service.proto`; of the format:
https://protobuf.dev/programming-guides/encoding/. Written here, since the few messages that are needed are shorter than
what the library costs to load.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

CONTENT_TYPE = "application/x-protobuf"
CLIENT = 3
ERROR = 2

Value = str | bool | int | float | list[str] | None
_VARINT, _FIXED64, _BYTES = 0, 1, 2


class Span(NamedTuple):
    """One span. Ids are bytes (16 of the trace, 8 of spans), times nanoseconds since 1970. Attributes that are None are
    left out; `error` is what went wrong."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    start: int
    end: int
    attributes: Mapping[str, Value]
    error: str | None = None
    kind: int = CLIENT


def request(spans: Iterable[Span], resource: Mapping[str, Value], scope: str) -> bytes:
    """An ExportTraceServiceRequest."""
    body = _field(1, _field(1, scope.encode())) + b"".join(_field(2, _span(span)) for span in spans)
    return _field(1, _field(1, _attributes(1, resource)) + _field(2, body))


def _span(span: Span) -> bytes:
    parts = [
        _field(1, span.trace),
        _field(2, span.id),
        _field(4, span.parent) if span.parent else b"",
        _field(5, span.name.encode("utf-8", "replace")),
        _number(6, span.kind),
        _fixed(7, struct.pack("<Q", span.start)),
        _fixed(8, struct.pack("<Q", span.end)),
        _attributes(9, span.attributes),
    ]
    if span.error is not None:
        parts.append(_field(15, _field(2, span.error.encode("utf-8", "replace")) + _number(3, ERROR)))
    return b"".join(parts)


def _attributes(number: int, attributes: Mapping[str, Value]) -> bytes:
    return b"".join(
        _field(number, _key(name) + _field(2, _value(value))) for name, value in attributes.items() if value is not None
    )


@lru_cache(maxsize=512)
def _key(name: str) -> bytes:
    return _field(1, name.encode())


def _value(value: Value) -> bytes:
    """An AnyValue."""
    if isinstance(value, bool):
        return _number(2, int(value))
    if isinstance(value, int):
        return _number(3, value & 0xFFFF_FFFF_FFFF_FFFF)
    if isinstance(value, float):
        return _fixed(4, struct.pack("<d", value))
    if isinstance(value, list):
        return _field(5, b"".join(_field(1, _value(one)) for one in value))
    return _field(1, str(value).encode("utf-8", "replace"))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _fixed(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _FIXED64) + data


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

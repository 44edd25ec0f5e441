"""Request bodies: the few fields that routing needs are read, all others stay the bytes that they came as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proveout.gateway.errors import Refused

Fields = dict[str, msgspec.Raw]

_fields = msgspec.json.Decoder(Fields)
_text = msgspec.json.Decoder(str | None)
_flag = msgspec.json.Decoder(bool | None)
_encode = msgspec.json.Encoder().encode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
WITH_USAGE = msgspec.Raw(b'{"include_usage":true}')


class Managed(msgspec.Struct, forbid_unknown_fields=True):
    """The `proveout` field of a body: variables for the variant's own prompt."""

    variables: dict[str, Any] | None = None


_managed = msgspec.json.Decoder(Managed | None)


class Body:
    """A checked body. `fields` are its top-level fields as raw JSON."""

    __slots__ = ("fields", "model", "stream", "user", "variables")

    def __init__(self, data: bytes) -> None:
        """
        Raises:
            Refused: it is no JSON object, or a field that routing needs is of the wrong type.
        """
        try:
            fields = self.fields = _fields.decode(data)
        except _BAD as error:
            what = f"the body is no JSON object: {_said(error)}" if data else "the body is empty"
            raise Refused(400, what, code="invalid_json") from None
        model = _read(fields, "model", _text)
        if not model:
            raise Refused(400, "write the name of a service as `model`", code="missing_model", param="model")
        self.model: str = model
        self.stream = bool(_read(fields, "stream", _flag)) if "stream" in fields else False
        self.user: str | None = _read(fields, "user", _text) if "user" in fields else None
        self.variables: dict[str, Any] | None = None
        if "proveout" in fields:
            managed = _read(fields, "proveout", _managed)
            self.variables = None if managed is None else managed.variables

    @property
    def wants_usage(self) -> bool:
        """Whether the client asked for usage at the end of its stream."""
        raw = self.fields.get("stream_options")
        if raw is None:
            return False
        options = plain(raw)
        return isinstance(options, dict) and options.get("include_usage") is True


def plain(raw: msgspec.Raw) -> Any:
    """A raw field as plain data.

    Raises:
        Refused: it is no JSON.
    """
    try:
        return msgspec.json.decode(raw)
    except _BAD as error:
        raise Refused(400, f"the body is no JSON: {_said(error)}", code="invalid_json") from None


def encoded(fields: Mapping[str, Any]) -> bytes:
    """Fields as one JSON object; raw ones as they came."""
    return _encode(fields)


def raw(value: Any) -> msgspec.Raw:
    """Plain data as a raw field."""
    return msgspec.Raw(_encode(value))


def _read(fields: Fields, name: str, decoder: msgspec.json.Decoder[Any]) -> Any:
    field = fields.get(name)
    if field is None:
        return None
    try:
        return decoder.decode(field)
    except _BAD as error:
        raise Refused(400, f"`{name}`: {_said(error)}", code="invalid_value", param=name) from None


def _said(error: BaseException) -> str:
    """What is wrong, without the client's own text."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error)

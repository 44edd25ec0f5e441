"""How many tokens a request can come to, before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proveout.models._base import Request

LONGEST_OUTPUT = 131_072
"""Tokens that an answer can have where the request names no `max_tokens`: no model in common use writes more."""

BYTES_PER_TOKEN = 4
TOKENS_PER_MEDIUM = 50_000
"""Tokens that one image, sound or file of a message can come to where it is named by an address only."""

_TEMPLATE_TOKENS = 64
_TOOL_TEMPLATE_TOKENS = 1_000
_SHAPING = ("tools", "functions", "response_format")

_encode = msgspec.json.Encoder().encode


def input_bytes(request: Request) -> int:
    """The size of all that a model reads: messages, tools and the shape of the answer."""
    size = 0
    for message in request.messages:
        content = message.content
        size += len(content.encode(errors="surrogatepass")) if isinstance(content, str) else len(_encode(content))
        if message.extra:
            size += len(_encode(message.extra))
    for name in _SHAPING:
        if name in request.parameters:
            size += len(_encode(request.parameters[name]))
    return size


def input_ceiling(request: Request) -> int:
    """Tokens that the input has at most.

    A token of a byte-level vocabulary covers at least one byte, so bytes bound tokens; the chat template's own tokens,
    the hidden instructions of tools, and media come on top.
    """
    media = sum(
        not isinstance(message.content, str)
        and sum(part.get("type") not in ("text", "refusal") for part in message.content)
        for message in request.messages
    )
    template = _TEMPLATE_TOKENS * (1 + len(request.messages))
    tools = _TOOL_TEMPLATE_TOKENS if request.parameters.get("tools") else 0
    return input_bytes(request) + template + tools + media * TOKENS_PER_MEDIUM


def output_ceiling(request: Request) -> int:
    """Tokens that the output has at most: `max_tokens` (or `max_completion_tokens`) for each of `n` answers."""
    return (named_output(request.parameters) or LONGEST_OUTPUT) * _whole(request.parameters.get("n"), 1)


def named_output(parameters: Mapping[str, Any]) -> int:
    """The request's own limit of output tokens; 0 where it names none."""
    return max(_whole(parameters.get("max_tokens"), 0), _whole(parameters.get("max_completion_tokens"), 0))


def likely_tokens(request: Request) -> int:
    """Tokens that a request asks for, as rate limits count them: about four bytes each, and `max_tokens`."""
    return input_bytes(request) // BYTES_PER_TOKEN + named_output(request.parameters)


def _whole(value: Any, otherwise: int) -> int:
    return value if type(value) is int and value > 0 else otherwise

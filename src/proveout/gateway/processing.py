"""A variant's own prompt and steps around a model: rendering before it, post-processing after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from proveout.gateway.errors import Refused
from proveout.gateway.observing import Facts
from proveout.gateway.upstreams.chunks import DONE, Writer
from proveout.project.records import Message, Variant
from proveout.wire import Responder

_EVENTS = b"content-type: text/event-stream; charset=utf-8\r\n"


class Processed(NamedTuple):
    """What post-processing and the output contract made of a text. Where they could not (`valid` is false), the text
    is the model's own."""

    text: str
    valid: bool

    def send(
        self,
        responder: Responder,
        header_lines: bytes,
        facts: Facts,
        *,
        model: str,
        wants_usage: bool,
    ) -> None:
        """Stream the text in one piece: it was not known before the model had ended."""
        writer = Writer(model)
        responder.start(200, _EVENTS + header_lines)
        events = [
            writer.delta({"role": "assistant", "content": ""}),
            writer.delta({"content": self.text}),
            writer.delta({}, facts.finish or "stop"),
        ]
        if wants_usage and facts.usage is not None:
            events.append(writer.usage(facts.usage))
        responder.write(b"".join(events) + DONE)
        responder.end()


async def rendered(variant: Variant, variables: Mapping[str, Any], *, slow: bool) -> Sequence[Message]:
    """The messages of a variant's prompt. `slow` steps run beside the event loop.

    Raises:
        Refused: these variables do not fit the prompt.
    """
    from proveout.project.processing import StepFailed
    from proveout.project.prompts import PromptError

    try:
        return await asyncio.to_thread(variant.render, variables) if slow else variant.render(variables)
    except (PromptError, StepFailed) as error:
        raise Refused(400, str(error), code="invalid_variables", param="proveout.variables") from None


async def process(variant: Variant, text: str, *, slow: bool) -> Processed:
    """What the service would use of a model's text."""
    from proveout.project.prompts import as_text

    answer = await asyncio.to_thread(variant.parse, text) if slow else variant.parse(text)
    if answer.problem is not None:
        return Processed(text, False)
    return Processed(as_text(answer.value), True)


def with_text(body: bytes, text: str) -> bytes:
    """A whole answer with another content."""
    answer = msgspec.json.decode(body)
    answer["choices"][0]["message"]["content"] = text
    return msgspec.json.encode(answer)


def text_in(body: bytes) -> str:
    """The content of a whole answer; empty where it has none."""
    try:
        content = msgspec.json.decode(body)["choices"][0]["message"]["content"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""

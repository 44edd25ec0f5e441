"""From OpenAI's shapes, in which requests are written, to what translated APIs share: parts, turns, parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from proveout.models.providers._failures import Failures
from proveout.project.records import Message

SYSTEM_ROLES = ("system", "developer")

_ASKS_NOTHING: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "seed": (),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "store": (False,),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "stream_options": ({"include_usage": True}, {"include_usage": False}),
    "prediction": (),
    "reasoning_effort": (),
    "min_p": (0,),
    "min_tokens": (0,),
    "repetition_penalty": (1,),
    "verbosity": (),
    "web_search_options": (),
}
"""OpenAI's (and engines') parameters that an API may have no equivalent of, with the values that ask nothing of it."""

_FOR_THE_BOOKS = ("user", "safety_identifier", "prompt_cache_key")
"""Say who asks, for the provider's own books: an API without them answers the same."""


class Inline(NamedTuple):
    """A picture or a file that a part holds, in base64."""

    media_type: str
    data: str


class Link(NamedTuple):
    """A picture or a file somewhere else."""

    url: str


class Parameters:
    """A request's parameters, taken one by one; what is left at the end is the API's own, or has no equivalent."""

    def __init__(self, given: Mapping[str, Any], api: str, failures: Failures) -> None:
        self._left = {name: value for name, value in given.items() if value is not None}
        self._api = api
        self._failures = failures

    def take(self, *names: str) -> Any:
        """The value under the first of these names that is set; None where none is."""
        found = [self._left.pop(name, None) for name in names]
        return next((value for value in found if value is not None), None)

    def moved(self, target: dict[str, Any], renames: Mapping[str, str]) -> None:
        """Put parameters into `target` under the API's names."""
        for name, theirs in renames.items():
            value = self._left.pop(name, None)
            if value is not None:
                target[theirs] = value

    def stops(self) -> list[str] | None:
        """The stop sequences as a list."""
        value = self.take("stop")
        return [value] if isinstance(value, str) else None if value is None else list(value)

    def wants_json(self) -> bool:
        """Whether `response_format` asks for JSON of any shape."""
        value = self._left.get("response_format")
        wants = isinstance(value, Mapping) and value.get("type") == "json_object"
        if wants:
            del self._left["response_format"]
        return wants

    def schema(self) -> tuple[str, Mapping[str, Any]] | None:
        """The JSON Schema that `response_format` asks answers to meet, with its name; None for text.

        Raises:
            ModelError: `bad_request`: it asks for another format.
        """
        value = self.take("response_format")
        if value is None or (isinstance(value, Mapping) and value.get("type") == "text"):
            return None
        inner = value.get("json_schema") if isinstance(value, Mapping) else None
        if (
            not isinstance(value, Mapping)
            or value.get("type") != "json_schema"
            or not isinstance(inner, Mapping)
            or not isinstance(inner.get("schema"), Mapping)
        ):
            raise self._failures.error(
                "bad_request",
                f"`response_format` has no equivalent in {self._api}; write "
                "`{type: json_schema, json_schema: {name: ..., schema: {...}}}`, or ask for JSON in the prompt",
            )
        return str(inner.get("name") or "answer"), inner["schema"]

    def rest(self) -> dict[str, Any]:
        """The API's own parameters.

        Raises:
            ModelError: `bad_request`: one of OpenAI's that is left has no equivalent and asks for something.
        """
        for name in _FOR_THE_BOOKS:
            self._left.pop(name, None)
        for name in [name for name in self._left if name in _ASKS_NOTHING]:
            if self._left.pop(name) not in _ASKS_NOTHING[name]:
                raise self._failures.error(
                    "bad_request", f"the parameter `{name}` has no equivalent in {self._api}; leave it out"
                )
        return self._left


def system_of(messages: Sequence[Message]) -> list[Mapping[str, Any]]:
    """The parts of all system messages, in order; these APIs take them apart from the conversation."""
    return [part for message in messages if message.role in SYSTEM_ROLES for part in parts_of(message.content)]


def turns_of(messages: Sequence[Message]) -> Iterator[tuple[str, list[Message]]]:
    """The conversation as (`user` or `assistant`, messages), neighbours of one role put together; these APIs take the
    results of tools in a user's turn."""
    held: list[Message] = []
    role = ""
    for message in messages:
        if message.role in SYSTEM_ROLES:
            continue
        whose = "assistant" if message.role == "assistant" else "user"
        if held and whose != role:
            yield role, held
            held = []
        role = whose
        held.append(message)
    if held:
        yield role, held


def parts_of(content: Any) -> list[Mapping[str, Any]]:
    """Content as a list of parts; empty text gives none."""
    if content is None or content == "":
        return []
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def attachment(part: Mapping[str, Any]) -> Inline | Link | None:
    """The picture, sound or file of an OpenAI part; None where it is something else."""
    kind = part.get("type")
    if kind == "image_url":
        image = part.get("image_url")
        return _located(image.get("url") if isinstance(image, Mapping) else image)
    if kind == "file":
        return _located((part.get("file") or {}).get("file_data"))
    if kind == "input_audio":
        audio = part.get("input_audio") or {}
        return Inline(f"audio/{audio.get('format', 'wav')}", str(audio.get("data", "")))
    return None


def text_of(part: Any) -> str | None:
    """The text of a text part."""
    return part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None


def whole_text(content: Any) -> str:
    """All text of some content, as a tool's result is usually given."""
    return "".join(text_of(part) or "" for part in parts_of(content))


def arguments_of(call: Mapping[str, Any], failures: Failures) -> Mapping[str, Any]:
    """A tool call's arguments as an object.

    Raises:
        ModelError: `bad_request`: they are none.
    """
    arguments = call["function"].get("arguments") or "{}"
    try:
        value = orjson.loads(arguments) if isinstance(arguments, str) else arguments
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, Mapping):
        raise failures.error("bad_request", "a tool call among the messages has arguments that are no JSON object")
    return value


def _located(address: Any) -> Inline | Link | None:
    if not isinstance(address, str):
        return None
    if not address.startswith("data:"):
        return Link(address)
    head, _, data = address[5:].partition(",")
    return Inline(head.partition(";")[0] or "text/plain", data)

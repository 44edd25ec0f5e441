"""Anthropic's messages API, at Anthropic itself and on Vertex AI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from proveout import wire
from proveout.models._base import FinishReason, ModelError, Request, Usage
from proveout.models.providers._draft import Call, Draft, summed, text_in, usage_of
from proveout.models.providers._endpoint import Feed, Post, sse_feed
from proveout.models.providers._failures import Failures
from proveout.models.providers._translation import (
    Inline,
    Link,
    Parameters,
    arguments_of,
    attachment,
    parts_of,
    system_of,
    turns_of,
)
from proveout.models.providers.openai_chat import encoded
from proveout.project.records import Message

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 4096
"""Sent where a request sets none, since the API insists on one."""

_NAME = "Anthropic's messages API"
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class MessagesApi:
    """Messages in Anthropic's format. Parameters beyond OpenAI's names (`thinking`, `top_k`, ...) pass through."""

    def __init__(self, url: str, model: str, failures: Failures, *, stream_url: str = "", version: str = "") -> None:
        """`stream_url` where streams have another address; `version` where it stands in the body, without a model."""
        self._url = url
        self._stream_url = stream_url or url
        self._start = {"anthropic_version": version} if version else {"model": model}
        self._failures = failures

    def post(self, request: Request) -> Post:
        given = Parameters(request.parameters, _NAME, self._failures)
        limit = given.take("max_completion_tokens", "max_tokens")
        body: dict[str, Any] = {
            **self._start,
            "max_tokens": DEFAULT_MAX_TOKENS if limit is None else limit,
            "messages": [
                {"role": role, "content": [block for message in messages for block in self._blocks(message)]}
                for role, messages in turns_of(request.messages)
            ],
        }
        system = [self._part(part) for part in system_of(request.messages)]
        if system:
            plain = len(system) == 1 and system[0].keys() == {"type", "text"}
            body["system"] = system[0]["text"] if plain else system
        given.moved(body, {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k"})
        stops = given.stops()
        if stops:
            body["stop_sequences"] = stops
        user = given.take("user")
        if user is not None:
            body["metadata"] = {"user_id": user}
        self._output(given, body)
        self._tools(given, body)
        body.update(given.rest())
        if request.stream:
            body["stream"] = True
        return Post(self._stream_url if request.stream else self._url, encoded(body, self._failures))

    def learn(self, refused: ModelError) -> bool:
        return False

    def read(self, answer: Any, draft: Draft) -> None:
        if answer.get("type") == "error" or "content" not in answer:
            if answer.get("error"):
                raise self._failures.of_problem(answer)
            raise ValueError("it holds no content")
        for index, block in enumerate(answer["content"]):
            if block["type"] == "text":
                draft.text.append(text_in(block["text"]))
            elif block["type"] == "tool_use":
                draft.calls[index] = Call(
                    text_in(block["id"]), text_in(block["name"]), orjson.dumps(block["input"]).decode()
                )
        draft.model = text_in(answer.get("model"))
        draft.usage = _usage(answer.get("usage"))
        _stop(answer.get("stop_reason") or "other", draft)

    def feed(self, draft: Draft) -> Feed:
        counted: dict[str, Any] = {}

        def on_event(event: wire.Event, at: float) -> None:
            value = orjson.loads(event.data)
            kind = value["type"]
            if kind == "content_block_delta":
                _read_delta(value["index"], value["delta"], draft, at)
            elif kind == "content_block_start":
                block = value["content_block"]
                if block["type"] == "tool_use":
                    draft.calls[value["index"]] = Call(text_in(block["id"]), text_in(block["name"]))
                    draft.stamps.append(at)
                elif block["type"] == "text" and block.get("text"):
                    draft.text.append(text_in(block["text"]))
                    draft.stamps.append(at)
            elif kind == "message_start":
                draft.model = text_in(value["message"].get("model"))
                counted.update(value["message"].get("usage") or {})
            elif kind == "message_delta":
                counted.update({name: count for name, count in (value.get("usage") or {}).items() if count is not None})
                draft.usage = _usage(counted)
                if value["delta"].get("stop_reason"):
                    _stop(value["delta"]["stop_reason"], draft)
            elif kind == "message_stop":
                draft.ended = True
            elif kind == "error":
                raise self._failures.of_problem(value)

        return sse_feed(draft, on_event)

    def _blocks(self, message: Message) -> list[Mapping[str, Any]]:
        """A message as content blocks."""
        blocks = [self._part(part) for part in parts_of(message.content)]
        if message.role == "tool":
            result: dict[str, Any] = {"type": "tool_result", "tool_use_id": message.extra.get("tool_call_id", "")}
            if blocks:
                result["content"] = message.content if isinstance(message.content, str) else blocks
            return [result]
        for call in message.extra.get("tool_calls") or ():
            arguments = arguments_of(call, self._failures)
            name = call["function"]["name"]
            blocks.append({"type": "tool_use", "id": call.get("id", ""), "name": name, "input": arguments})
        return blocks

    def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """A content part; one that is in Anthropic's own shape stays as it is."""
        found = attachment(part)
        if found is None:
            if part.get("type") == "refusal":
                return {"type": "text", "text": part.get("refusal", "")}
            return part
        if isinstance(found, Inline) and found.media_type.startswith("audio/"):
            raise self._failures.error("bad_request", f"sound has no equivalent in {_NAME}")
        source = (
            {"type": "url", "url": found.url}
            if isinstance(found, Link)
            else {"type": "base64", "media_type": found.media_type, "data": found.data}
        )
        kind = "image" if part.get("type") == "image_url" else "document"
        cache = {"cache_control": part["cache_control"]} if "cache_control" in part else {}
        return {"type": kind, "source": source, **cache}

    def _output(self, given: Parameters, body: dict[str, Any]) -> None:
        config: dict[str, Any] = dict(given.take("output_config") or {})
        schema = given.schema()
        if schema is not None:
            config["format"] = {"type": "json_schema", "schema": schema[1]}
        effort = given.take("reasoning_effort")
        if effort is not None:
            config["effort"] = effort
        if config:
            body["output_config"] = config

    def _tools(self, given: Parameters, body: dict[str, Any]) -> None:
        tools = given.take("tools")
        choice = given.take("tool_choice")
        parallel = given.take("parallel_tool_calls")
        if not tools:
            return
        body["tools"] = [_tool(tool) for tool in tools]
        wanted = _tool_choice(choice)
        if parallel is False and (wanted or {}).get("type") != "none":
            wanted = {**(wanted or {"type": "auto"}), "disable_parallel_tool_use": True}
        if wanted is not None:
            body["tool_choice"] = wanted


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool; one in Anthropic's own shape stays as it is."""
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        return tool
    return {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        **{name: function[name] for name in ("description", "strict") if function.get(name) is not None},
        **{name: tool[name] for name in ("cache_control",) if name in tool},
    }


def _tool_choice(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, str):
        return {"type": {"required": "any"}.get(choice, choice)}
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        return {"type": "tool", "name": choice["function"].get("name")}
    return None if choice is None else dict(choice)


def _read_delta(index: int, delta: Mapping[str, Any], draft: Draft, at: float) -> None:
    kind = delta["type"]
    if kind == "text_delta":
        draft.text.append(text_in(delta["text"]))
        draft.stamps.append(at)
    elif kind == "input_json_delta" and index in draft.calls and delta["partial_json"]:
        draft.calls[index].arguments.append(text_in(delta["partial_json"]))
        draft.stamps.append(at)


def _stop(reason: str, draft: Draft) -> None:
    draft.finish = _FINISH.get(reason, "other")
    if reason == "refusal":
        draft.refusal.append("".join(draft.text) or "the model declined to answer")


def _usage(value: Any) -> Usage | None:
    """Anthropic counts what it reads from and writes to its cache apart from `input_tokens`; we count it in."""
    if not isinstance(value, Mapping):
        return None
    read, written = value.get("cache_read_input_tokens"), value.get("cache_creation_input_tokens")
    details = value.get("output_tokens_details")
    return usage_of(
        summed(value.get("input_tokens"), read, written),
        value.get("output_tokens"),
        cached=read,
        written=written,
        reasoning=details.get("thinking_tokens") if isinstance(details, Mapping) else 0,
    )

"""Gemini's generateContent API, as Vertex AI serves it."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

import orjson

from proveout import wire
from proveout.models._base import FinishReason, ModelError, Request, Usage
from proveout.models.providers._draft import Call, Draft, summed, text_in, usage_of
from proveout.models.providers._endpoint import Feed, Post, sse_feed
from proveout.models.providers._failures import Failures
from proveout.models.providers._translation import (
    Link,
    Parameters,
    arguments_of,
    attachment,
    parts_of,
    system_of,
    text_of,
    turns_of,
    whole_text,
)
from proveout.models.providers.openai_chat import encoded
from proveout.project.records import Message

_NAME = "Gemini's API"
_ROLES = {"user": "user", "assistant": "model"}
_FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"),
        "content_filter",
    ),
}
_RENAMES = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "n": "candidateCount",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
_BESIDE = frozenset({"safetySettings", "cachedContent", "labels", "toolConfig", "modelArmorConfig"})
"""The API's own parameters that stand beside `generationConfig`; all others stand in it."""

_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


class GenerateContentApi:
    """`generateContent` at one address. Parts in Gemini's own shape pass through untouched."""

    def __init__(self, url: str, failures: Failures) -> None:
        """`url` ends in the model, without the colon and the method."""
        self._url = f"{url}:generateContent"
        self._stream_url = f"{url}:streamGenerateContent?alt=sse"
        self._failures = failures

    def post(self, request: Request) -> Post:
        given = Parameters(request.parameters, _NAME, self._failures)
        names = _names_of_calls(request.messages)
        body: dict[str, Any] = {
            "contents": [
                {
                    "role": _ROLES[role],
                    "parts": [part for message in messages for part in self._parts(message, names)],
                }
                for role, messages in turns_of(request.messages)
            ]
        }
        system = [self._part(part) for part in system_of(request.messages)]
        if system:
            body["systemInstruction"] = {"parts": system}
        config: dict[str, Any] = {}
        limit = given.take("max_completion_tokens", "max_tokens")
        if limit is not None:
            config["maxOutputTokens"] = limit
        given.moved(config, _RENAMES)
        stops = given.stops()
        if stops:
            config["stopSequences"] = stops
        if given.wants_json():
            config["responseMimeType"] = "application/json"
        schema = given.schema()
        if schema is not None:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = schema[1]
        self._tools(given, body)
        for name, value in given.rest().items():
            (body if name in _BESIDE else config)[name] = value
        if config:
            body["generationConfig"] = config
        return Post(self._stream_url if request.stream else self._url, encoded(body, self._failures))

    def learn(self, refused: ModelError) -> bool:
        return False

    def read(self, answer: Any, draft: Draft) -> None:
        self._read(answer, draft)
        if draft.finish is None:
            if not draft.empty:
                draft.finish = "other"
            elif not answer.get("candidates"):
                raise ValueError("it holds no candidate")

    def feed(self, draft: Draft) -> Feed:
        def on_event(event: wire.Event, at: float) -> None:
            if self._read(orjson.loads(event.data), draft):
                draft.stamps.append(at)

        return sse_feed(draft, on_event)

    def _read(self, answer: Any, draft: Draft) -> bool:
        """Read an answer or a piece of one; whether it brought content."""
        if isinstance(answer, list) or answer.get("error"):
            raise self._failures.of_problem(answer)
        draft.model = draft.model or text_in(answer.get("modelVersion"))
        if answer.get("usageMetadata"):
            draft.usage = _usage(answer["usageMetadata"]) or draft.usage
        blocked = (answer.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            draft.finish = "content_filter"
            draft.refusal.append(f"the prompt was blocked: {blocked}")
        candidates = answer.get("candidates")
        if not candidates:
            return False
        candidate = candidates[0]
        brought = False
        for part in (candidate.get("content") or {}).get("parts") or ():
            call = part.get("functionCall")
            if call:
                arguments = orjson.dumps(call.get("args") or {}).decode()
                index = len(draft.calls)
                draft.calls[index] = Call(text_in(call.get("id")) or f"call_{index}", text_in(call["name"]), arguments)
                brought = True
            elif part.get("text") and not part.get("thought"):
                draft.text.append(text_in(part["text"]))
                brought = True
        chosen = (candidate.get("logprobsResult") or {}).get("chosenCandidates")
        if chosen is not None:
            draft.logprobs = [*(draft.logprobs or ()), *(float(token["logProbability"]) for token in chosen)]
        reason = candidate.get("finishReason")
        if reason:
            draft.finish = _FINISH.get(reason, "other")
            if draft.finish == "content_filter":
                draft.refusal.append(text_in(candidate.get("finishMessage")) or f"the answer was stopped: {reason}")
        return brought

    def _parts(self, message: Message, names: Mapping[str, str]) -> list[Mapping[str, Any]]:
        if message.role == "tool":
            called = str(message.extra.get("tool_call_id", ""))
            name = message.extra.get("name") or names.get(called, called)
            return [{"functionResponse": {"name": name, "response": _result(whole_text(message.content))}}]
        parts = [self._part(part) for part in parts_of(message.content)]
        for call in message.extra.get("tool_calls") or ():
            arguments = arguments_of(call, self._failures)
            parts.append({"functionCall": {"name": call["function"]["name"], "args": arguments}})
        return parts

    def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        text = text_of(part)
        if text is not None:
            return {"text": text}
        found = attachment(part)
        if found is None:
            return part
        if isinstance(found, Link):
            media_type = mimetypes.guess_type(found.url)[0] or "image/jpeg"
            return {"fileData": {"mimeType": media_type, "fileUri": found.url}}
        return {"inlineData": {"mimeType": found.media_type, "data": found.data}}

    def _tools(self, given: Parameters, body: dict[str, Any]) -> None:
        tools = given.take("tools")
        choice = given.take("tool_choice")
        if not tools:
            return
        functions = [_declaration(tool["function"]) for tool in tools if tool.get("type") == "function"]
        body["tools"] = [{"functionDeclarations": functions}] if functions else []
        body["tools"] += [tool for tool in tools if tool.get("type") != "function"]
        if isinstance(choice, str):
            body["toolConfig"] = {"functionCallingConfig": {"mode": _MODES.get(choice, choice)}}
        elif isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
            only = [choice["function"].get("name")]
            body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": only}}


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    declaration = {"name": function["name"]}
    if function.get("description"):
        declaration["description"] = function["description"]
    if function.get("parameters"):
        declaration["parametersJsonSchema"] = function["parameters"]
    return declaration


def _names_of_calls(messages: tuple[Message, ...]) -> dict[str, str]:
    """Which tool each call id belongs to: results are given under the tool's name here."""
    return {
        str(call.get("id", "")): str(call["function"]["name"])
        for message in messages
        for call in message.extra.get("tool_calls") or ()
    }


def _result(text: str) -> Mapping[str, Any]:
    """A tool's result as an object."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"result": text}


def _usage(value: Mapping[str, Any]) -> Usage | None:
    """Gemini counts its thoughts, and what its tools put into the prompt, apart; we count them in."""
    thoughts = value.get("thoughtsTokenCount")
    asked = summed(value.get("promptTokenCount"), value.get("toolUsePromptTokenCount"))
    answered = summed(value.get("candidatesTokenCount") or 0, thoughts)
    return usage_of(asked, answered, cached=value.get("cachedContentTokenCount"), reasoning=thoughts)

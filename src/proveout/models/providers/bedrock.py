"""Amazon Bedrock's Converse and ConverseStream, signed by botocore (the `bedrock` extra)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from proveout.models._base import FinishReason, ModelError, Request, Usage
from proveout.models.providers._draft import Call, Draft, summed, text_in, usage_of
from proveout.models.providers._endpoint import Feed, HeaderPairs, Post
from proveout.models.providers._failures import Failures
from proveout.models.providers._translation import (
    Inline,
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
from proveout.project.records import Message, ModelSpec

_NAME = "Bedrock's Converse API"
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_BESIDE = frozenset({"guardrailConfig", "performanceConfig", "requestMetadata", "serviceTier", "promptVariables"})
"""The API's own parameters; all others go to the model, as `additionalModelRequestFields`."""

_REFRESH_BEFORE_S = 300


class ConverseApi:
    """Converse at one address. Parts in Converse's own shape pass through untouched."""

    def __init__(self, url: str, failures: Failures) -> None:
        """`url` ends in the model's id."""
        self._url = f"{url}/converse"
        self._stream_url = f"{url}/converse-stream"
        self._failures = failures

    def post(self, request: Request) -> Post:
        given = Parameters(request.parameters, _NAME, self._failures)
        body: dict[str, Any] = {
            "messages": [
                {"role": role, "content": [block for message in messages for block in self._blocks(message)]}
                for role, messages in turns_of(request.messages)
            ]
        }
        system = [self._part(part) for part in system_of(request.messages)]
        if system:
            body["system"] = system
        config: dict[str, Any] = {}
        limit = given.take("max_completion_tokens", "max_tokens")
        if limit is not None:
            config["maxTokens"] = limit
        given.moved(config, {"temperature": "temperature", "top_p": "topP"})
        stops = given.stops()
        if stops:
            config["stopSequences"] = stops
        if config:
            body["inferenceConfig"] = config
        self._output(given, body)
        self._tools(given, body)
        further: dict[str, Any] = dict(given.take("additionalModelRequestFields") or {})
        for name, value in given.rest().items():
            (body if name in _BESIDE else further)[name] = value
        if further:
            body["additionalModelRequestFields"] = further
        return Post(self._stream_url if request.stream else self._url, encoded(body, self._failures))

    def learn(self, refused: ModelError) -> bool:
        return False

    def read(self, answer: Any, draft: Draft) -> None:
        if "output" not in answer:
            raise self._failures.of_problem(answer) if answer.get("message") else ValueError("it holds no output")
        for index, block in enumerate(answer["output"]["message"]["content"]):
            if "text" in block:
                draft.text.append(text_in(block["text"]))
            elif "toolUse" in block:
                use = block["toolUse"]
                arguments = orjson.dumps(use["input"]).decode()
                draft.calls[index] = Call(text_in(use["toolUseId"]), text_in(use["name"]), arguments)
        draft.usage = _usage(answer.get("usage"))
        _stop(answer.get("stopReason"), draft)

    def feed(self, draft: Draft) -> Feed:
        """A reader of AWS's binary event stream."""
        from botocore.eventstream import EventStreamBuffer, ParserError

        buffer = EventStreamBuffer()

        def feed(at: float, piece: bytes) -> None:
            buffer.add_data(piece)
            try:
                for message in buffer:
                    self._event(message.headers, message.payload, draft, at)
            except ParserError as error:
                raise ValueError(f"its bytes are no event stream: {error}") from None

        return feed

    def _event(self, headers: Mapping[str, Any], payload: bytes, draft: Draft, at: float) -> None:
        kind = headers.get(":message-type")
        if kind == "error":
            said = headers.get(":error-message") or "no message"
            raise self._failures.of_problem({"message": said, "type": headers.get(":error-code", "")})
        value = orjson.loads(payload) if payload else {}
        if kind == "exception":
            said = value.get("message") or "no message"
            raise self._failures.of_problem({"message": said, "type": headers.get(":exception-type", "")})
        name = headers.get(":event-type")
        if name == "contentBlockDelta":
            delta = value["delta"]
            if delta.get("text"):
                draft.text.append(text_in(delta["text"]))
                draft.stamps.append(at)
            elif delta.get("toolUse") and delta["toolUse"].get("input"):
                draft.calls[value["contentBlockIndex"]].arguments.append(text_in(delta["toolUse"]["input"]))
                draft.stamps.append(at)
        elif name == "contentBlockStart":
            use = value["start"].get("toolUse")
            if use:
                draft.calls[value["contentBlockIndex"]] = Call(text_in(use["toolUseId"]), text_in(use["name"]))
                draft.stamps.append(at)
        elif name == "messageStop":
            _stop(value.get("stopReason"), draft)
        elif name == "metadata":
            draft.usage = _usage(value.get("usage"))
            draft.ended = True

    def _blocks(self, message: Message) -> list[Mapping[str, Any]]:
        if message.role == "tool":
            result = {
                "toolUseId": message.extra.get("tool_call_id", ""),
                "content": [{"text": whole_text(message.content)}],
            }
            return [{"toolResult": result}]
        blocks = [self._part(part) for part in parts_of(message.content)]
        for call in message.extra.get("tool_calls") or ():
            arguments = arguments_of(call, self._failures)
            use = {"toolUseId": call.get("id", ""), "name": call["function"]["name"], "input": arguments}
            blocks.append({"toolUse": use})
        return blocks

    def _part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        text = text_of(part)
        if text is not None:
            return {"text": text}
        found = attachment(part)
        if found is None:
            return part
        if not isinstance(found, Inline):
            raise self._failures.error(
                "bad_request", f"a picture by its address has no equivalent in {_NAME}; send it as a data: address"
            )
        kind, _, form = found.media_type.partition("/")
        source = {"format": {"jpg": "jpeg"}.get(form, form), "source": {"bytes": found.data}}
        if kind in ("image", "audio", "video"):
            return {kind: source}
        name = (part.get("file") or {}).get("filename") or "document"
        return {"document": {**source, "name": "".join(c if c.isalnum() else "-" for c in name)}}

    def _output(self, given: Parameters, body: dict[str, Any]) -> None:
        config: dict[str, Any] = {}
        schema = given.schema()
        if schema is not None:
            name, wanted = schema
            described = {"name": name, "schema": encoded(wanted, self._failures).decode()}
            config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": described}}
        effort = given.take("reasoning_effort")
        if effort is not None:
            config["effort"] = effort
        if config:
            body["outputConfig"] = config

    def _tools(self, given: Parameters, body: dict[str, Any]) -> None:
        tools = given.take("tools")
        choice = given.take("tool_choice")
        if not tools or choice == "none":  # Converse has no word for "none": tools that are not offered aren't called.
            return
        config: dict[str, Any] = {"tools": [_tool(tool) for tool in tools]}
        if isinstance(choice, str):
            config["toolChoice"] = {{"required": "any"}.get(choice, choice): {}}
        elif isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
            config["toolChoice"] = {"tool": {"name": choice["function"].get("name")}}
        body["toolConfig"] = config


class AwsSigner:
    """Signs each call with Signature Version 4."""

    def __init__(self, credentials: Any, region: str, failures: Failures) -> None:
        self._credentials = credentials
        self._region = region
        self._failures = failures

    async def headers(self, post: Post, stream: bool) -> HeaderPairs:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        accept = "application/vnd.amazon.eventstream" if stream else "application/json"
        request = AWSRequest(
            "POST", post.url, headers={"content-type": "application/json", "accept": accept}, data=post.body
        )
        SigV4Auth(await self._frozen(), "bedrock", self._region).add_auth(request)
        return [(name.lower(), str(value)) for name, value in request.headers.items()]

    async def _frozen(self) -> Any:
        """The credentials of the moment. Those that expire are renewed over the network, so not on the event loop."""
        credentials = self._credentials
        expiring = getattr(credentials, "refresh_needed", None)
        try:
            if expiring is not None and expiring(_REFRESH_BEFORE_S):
                frozen = await asyncio.to_thread(credentials.get_frozen_credentials)
            else:
                frozen = credentials.get_frozen_credentials()
        except Exception as error:  # botocore and its credential processes raise all sorts of errors.
            raise self._failures.error("auth", f"AWS credentials can't be renewed: {type(error).__name__}") from None
        self._failures.hide(frozen.secret_key)
        self._failures.hide(frozen.token or "")
        return frozen


def aws_signer(spec: ModelSpec, failures: Failures) -> AwsSigner:
    """The signer that a `model:` block asks for: its profile's credentials, or what the AWS tools would find.

    Raises:
        LookupError: botocore is not installed, or there are no credentials.
    """
    try:
        import botocore.eventstream  # noqa: F401
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session
    except ImportError as error:
        raise LookupError("bedrock needs AWS's signing library; install it: pip install 'proveout[bedrock]'") from error
    profile = spec.options.get("profile")
    try:
        credentials = Session(profile=profile).get_credentials()
    except BotoCoreError as error:
        raise LookupError(f"bedrock: {error}") from None
    if credentials is None:
        raise LookupError(
            "bedrock found no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write `profile:`"
        )
    return AwsSigner(credentials, spec.options["region"], failures)


def model_url(spec: ModelSpec) -> str:
    """A model's address, without the operation. Ids and ARNs hold colons and slashes."""
    region = spec.options["region"]
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    host = (spec.url or f"https://bedrock-runtime.{region}.{suffix}").rstrip("/")
    return f"{host}/model/{quote(spec.name, safe='')}"


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool; one in Converse's own shape stays as it is."""
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, Mapping):
        return tool
    described = {name: function[name] for name in ("description", "strict") if function.get(name) is not None}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"toolSpec": {"name": function["name"], **described, "inputSchema": {"json": schema}}}


def _stop(reason: Any, draft: Draft) -> None:
    draft.finish = _FINISH.get(reason, "other") if isinstance(reason, str) else "other"
    if draft.finish == "content_filter":
        draft.refusal.append("".join(draft.text) or f"the answer was stopped: {reason}")


def _usage(value: Any) -> Usage | None:
    """Bedrock counts what it reads from and writes to its cache apart from `inputTokens`; we count it in."""
    if not isinstance(value, Mapping):
        return None
    read, written = value.get("cacheReadInputTokens"), value.get("cacheWriteInputTokens")
    asked = summed(value.get("inputTokens"), read, written)
    return usage_of(asked, value.get("outputTokens"), cached=read, written=written)

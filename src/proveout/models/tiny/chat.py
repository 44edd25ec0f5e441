"""OpenAI's chat-completion objects, as the built-in model's server writes them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from proveout.models.tiny.batching import Piece
from proveout.models.tiny.model import load_tokenizer, prompt_ids
from proveout.models.tiny.parameters import Refused, Wanted, read_parameters
from proveout.project.records import Message


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked body of `POST /v1/chat/completions`."""

    model: str
    prompt: Sequence[int]
    wanted: Wanted
    stream: bool
    include_usage: bool


def read_chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Check a body.

    Raises:
        Refused: a field is missing, unknown, or asks for what the model can't do.
    """
    parameters = dict(body)
    model = parameters.pop("model", None)
    messages = parameters.pop("messages", None)
    stream = parameters.pop("stream", None) or False
    options = parameters.pop("stream_options", None) or {}
    if not isinstance(model, str):
        raise Refused("model", "write the name of a model as GET /v1/models lists it")
    if not isinstance(messages, list):
        raise Refused("messages", "write a list of messages")
    if not isinstance(stream, bool):
        raise Refused("stream", f"write true or false, not {stream!r}")
    if not isinstance(options, Mapping) or (options and not stream):
        raise Refused("stream_options", "write an object, and only with stream: true")
    return ChatRequest(
        model=model,
        prompt=prompt_ids([_message(one, number) for number, one in enumerate(messages)]),
        wanted=read_parameters(parameters),
        stream=stream,
        include_usage=options.get("include_usage") is True,
    )


def _message(value: Any, number: int) -> Message:
    if not isinstance(value, Mapping):
        raise Refused(f"messages[{number}]", "write an object with role and content")
    return Message(role=value.get("role", ""), content=value.get("content", ""))


@dataclass(frozen=True, slots=True)
class Reply:
    """The envelope of one answer: everything that its chunks, or the whole object, have in common."""

    request: ChatRequest
    fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The answer as one object."""
        message = {"role": "assistant", "content": "".join(piece.text for piece in pieces), "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": self._logprobs(pieces),
            "finish_reason": pieces[-1].finish,
        }
        return self._envelope("chat.completion", [choice]) | {"usage": self._usage(len(pieces))}

    def opening(self) -> dict[str, Any]:
        """The first chunk of a stream, which says who speaks."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None}, None, None)

    def chunk(self, piece: Piece) -> dict[str, Any]:
        """One token's chunk."""
        return self._chunk({"content": piece.text}, self._logprobs([piece]), None)

    def closing(self, finish: str) -> dict[str, Any]:
        """The last chunk with a choice, which says why the answer ended."""
        return self._chunk({}, None, finish)

    def usage_chunk(self, tokens: int) -> dict[str, Any]:
        """The chunk after the last, which `stream_options: {"include_usage": true}` asks for."""
        return self._envelope("chat.completion.chunk", []) | {"usage": self._usage(tokens)}

    def _chunk(self, delta: dict[str, Any], logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        chunk = self._envelope("chat.completion.chunk", [choice])
        return chunk | {"usage": None} if self.request.include_usage else chunk

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.request.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }

    def _usage(self, tokens: int) -> dict[str, int]:
        asked = len(self.request.prompt)
        return {"prompt_tokens": asked, "completion_tokens": tokens, "total_tokens": asked + tokens}

    def _logprobs(self, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        if self.request.wanted.sampling.alternatives is None:
            return None
        content = [
            _spelled(piece.chosen.token, piece.chosen.logprob or 0.0)
            | {"top_logprobs": [_spelled(token, logprob) for token, logprob in piece.chosen.alternatives]}
            for piece in pieces
            if piece.chosen.token != load_tokenizer().end
        ]
        return {"content": content, "refusal": None}


def _spelled(token: int, logprob: float) -> dict[str, Any]:
    spelling = load_tokenizer().bytes_of(token)
    return {"token": spelling.decode(errors="replace"), "logprob": logprob, "bytes": list(spelling)}

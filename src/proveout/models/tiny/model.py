"""The built-in model behind the `Model` protocol: `provider: tiny`."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from proveout.models._base import FinishReason, Generation, Request, Timings, Usage
from proveout.models.tiny.batching import Batcher, Job, Piece
from proveout.models.tiny.engine import load_engine
from proveout.models.tiny.parameters import Refused, Wanted, read_parameters
from proveout.models.tiny.tokenizer import ROLES, Tokenizer
from proveout.models.tiny.weights import BUILDS, TOKENIZER, Build, weights_digest
from proveout.project.records import Message, ModelSpec

_ROLE_NAMES = {**{role: role for role in ROLES}, "developer": "system"}


class TinyModel:
    """One build of the built-in model, answering in this process.

    Without a `seed`, a drawn answer follows from the build, the messages, the parameters and `repeat`: repeats differ
    from each other, and a whole run can be done again. With a `seed` every repeat is the same, as with a hosted
    model.
    """

    def __init__(self, build: Build = "f16") -> None:
        if build not in BUILDS:
            raise ValueError(f"the built-in model has no build {build!r}; it has {', '.join(BUILDS)}")
        self.build: Build = build
        self._batcher = Batcher(load_engine(build), load_tokenizer())

    @classmethod
    def from_spec(cls, spec: ModelSpec) -> TinyModel:
        """The model that a variant's `model:` block asks for."""
        return cls(spec.options.get("build", "f16"))

    @property
    def name(self) -> str:
        return f"tiny-{self.build}"

    @property
    def digest(self) -> str:
        """What the answers rest on beside the request: the start of the weights' and the tokenizer's digests."""
        return weights_digest(self.build)

    async def generate(self, request: Request) -> Generation:
        """One answer.

        Raises:
            Refused: a parameter or a message can't be taken; a ModelError of kind `bad_request` that names the field.
            ModelError: the model was closed (`cut`).
        """
        started = time.perf_counter()
        wanted = read_parameters(request.parameters)
        prompt = prompt_ids(request.messages)
        if wanted.sampling.seed is None and wanted.sampling.temperature > 0:
            wanted = dataclasses.replace(
                wanted, sampling=dataclasses.replace(wanted.sampling, seed=self._seed(request))
            )
        pieces: list[Piece] = []
        arrivals: list[float] = []
        async for piece in self.stream(prompt, wanted):
            pieces.append(piece)
            if piece.text:
                arrivals.append(time.perf_counter())
        finish: FinishReason = pieces[-1].finish or "other"
        return Generation(
            text="".join(piece.text for piece in pieces),
            finish_reason=finish,
            logprobs=_logprobs(pieces) if wanted.sampling.alternatives is not None else None,
            usage=Usage(input_tokens=len(prompt), output_tokens=len(pieces)),
            timings=_timings(started, arrivals, stream=request.stream),
            model=self.name,
        )

    def stream(self, prompt: Sequence[int], wanted: Wanted) -> AsyncGenerator[Piece]:
        """The answer to a prompt token by token."""
        room = load_engine(self.build).config.context - len(prompt)
        return self._batcher.stream(Job(prompt, wanted.sampling, min(wanted.max_tokens, room + 1), wanted.stop))

    async def aclose(self) -> None:
        """End the worker thread. Idempotent."""
        self._batcher.close()

    def _seed(self, request: Request) -> str:
        """The same for the same draw only; the prompt is added when drawing."""
        return json.dumps([self.build, request.repeat, dict(request.parameters)], sort_keys=True, default=str)


@lru_cache(maxsize=1)
def load_tokenizer() -> Tokenizer:
    """The tokenizer of all builds; loaded once a process."""
    return Tokenizer(TOKENIZER)


def prompt_ids(messages: Sequence[Message]) -> list[int]:
    """The prompt's token ids.

    Raises:
        Refused: no messages, a role or content that a text model can't take, or more than the context holds.
    """
    if not messages:
        raise Refused("messages", "there are none; the built-in model needs at least one")
    turns: list[tuple[str, str]] = []
    for number, message in enumerate(messages):
        role = _ROLE_NAMES.get(message.role)
        if role is None:
            raise Refused(
                f"messages[{number}].role", f"the built-in model takes system, user and assistant, not {message.role!r}"
            )
        turns.append((role, _text(message.content, number)))
    ids = load_tokenizer().chat(turns)
    context = load_engine("f16").config.context
    if len(ids) > context:
        raise Refused("messages", f"they are {len(ids)} tokens, and the built-in model's context holds {context}")
    return ids


def _text(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, Iterable):
        parts = list(content)
        if all(
            isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
            for part in parts
        ):
            return "".join(part["text"] for part in parts)
    raise Refused(f"messages[{number}].content", "the built-in model reads text only")


def _logprobs(pieces: Sequence[Piece]) -> tuple[float, ...]:
    return tuple(piece.chosen.logprob for piece in pieces if piece.chosen.logprob is not None)


def _timings(started: float, arrivals: Sequence[float], *, stream: bool) -> Timings:
    end = time.perf_counter() - started
    if not stream or not arrivals:
        return Timings(e2e=end)
    gaps = tuple(later - earlier for earlier, later in pairwise(arrivals))
    return Timings(e2e=end, ttft=arrivals[0] - started, gaps=gaps)

"""What is asked in a load test: prompts made to size, or the service's own examples through its whole variant."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proveout.loadtest.plan import Plan
from proveout.loadtest.recorder import CannotLoad, Recorded
from proveout.loadtest.workers import run_plan
from proveout.models import Request
from proveout.project.records import Example, Message, ModelSpec, Variant

_TEXT = """
time year people way day man thing woman life child world school state family student group country problem hand
part place case week company system program question work government number night point home water room mother area
money story fact month lot right study book eye job word business issue side kind head house service friend father
power hour game line end member law car city community name president team minute idea body information back parent
face others level office door health person art war history party result change morning reason research girl guy
moment air teacher force education
"""
_WORDS = _TEXT.split()
INPUT_SIZES = {"short": 128, "medium": 1024, "long": 4096}
OUTPUT_SIZES = {"short": 32, "medium": 128, "long": 512}
"""Tokens that the usual sizes have by name."""
_MAY_IGNORE_END = frozenset({"vllm", "sglang", "llama.cpp", "openai-compatible"})
"""Providers whose endpoint may know `ignore_eos`; it is tried, and left out where it is refused."""
_PROBE_WORDS = (10, 20, 40, 80, 10)
_USUAL = 1.35
"""Tokens per English word where the endpoint counts none."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How an endpoint counts a prompt: `extra + per_word * words` tokens. `measured` is False where it was guessed."""

    per_word: float = _USUAL
    extra: float = 8.0
    ignores_end: bool = False
    measured: bool = False

    def words(self, tokens: int) -> int:
        return max(1, round((tokens - self.extra) / self.per_word))


@dataclass(frozen=True)
class SizedPrompts:
    """Prompts of wanted sizes, all different, so that a prefix cache has nothing to reuse but what is declared.

    `input_tokens` and `output_tokens` are gone through in turn; `countings` and `parameters` are by arm.
    `shared_prefix` tokens are the same in all prompts.
    """

    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    countings: tuple[Counting, ...]
    parameters: tuple[Mapping[str, Any], ...] = ()
    shared_prefix: int = 0
    seed: int = 0
    salt: str = field(default_factory=lambda: secrets.token_hex(4))
    """Makes the prompts of one test unlike those of every other."""

    def request(self, arm: int, index: int) -> Request:
        counting = self.countings[arm]
        most = self.output_tokens[index % len(self.output_tokens)]
        parameters = dict(self.parameters[arm]) if self.parameters else {}
        parameters["max_tokens"] = most
        parameters.pop("max_completion_tokens", None)
        if counting.ignores_end:
            parameters["ignore_eos"] = True
        words = counting.words(self.input_tokens[index % len(self.input_tokens)])
        return Request(messages=(Message("user", self._text(arm, index, words)),), parameters=parameters, stream=True)

    def wanted(self, index: int) -> tuple[float, float]:
        return (
            float(self.input_tokens[index % len(self.input_tokens)]),
            float(self.output_tokens[index % len(self.output_tokens)]),
        )

    def describe(self) -> dict[str, Any]:
        told: dict[str, Any] = {"kind": "sized"}
        for name, sizes in (("input_tokens", self.input_tokens), ("output_tokens", self.output_tokens)):
            told[name] = sizes[0] if len(set(sizes)) == 1 else {"mean": float(np.mean(sizes)), "most": max(sizes)}
        if self.shared_prefix:
            told["shared_prefix"] = self.shared_prefix
        return told

    def _text(self, arm: int, index: int, words: int) -> str:
        shared = self.countings[arm].words(self.shared_prefix) if self.shared_prefix else 0
        same = Random(self.seed).choices(_WORDS, k=min(shared, words - 1)) if shared else []
        random = Random(f"{self.seed}/{index}")
        own = random.choices(_WORDS, k=max(0, words - len(same) - 1))
        return " ".join([*same, f"{self.salt}{arm}{index}", *own])


@dataclass(frozen=True)
class ServiceRequests:
    """The service's own examples, in a fixed shuffled order, again from the start when all were asked; by arm."""

    requests: tuple[tuple[Request, ...], ...]

    def request(self, arm: int, index: int) -> Request:
        mine = self.requests[arm]
        return mine[index % len(mine)]

    def wanted(self, index: int) -> tuple[float, float]:
        return math.nan, math.nan

    def describe(self) -> dict[str, Any]:
        return {"kind": "examples", "examples": len(self.requests[0])}


@dataclass(frozen=True)
class Rendered:
    """A service's requests, and how long each variant's pre-processing and prompt took, in seconds by example."""

    workload: ServiceRequests
    seconds: tuple[NDArray[np.float64], ...]


def service_requests(variants: Sequence[Variant], examples: Sequence[Example], *, seed: int = 0) -> Rendered:
    """Examples through each variant's pre-processing and prompt, timed apart from the calls.

    Raises:
        CannotLoad: there are no examples.
    """
    if not examples:
        raise CannotLoad("the service has no examples to send; give --input-tokens and --output-tokens instead")
    order = list(examples)
    Random(seed).shuffle(order)
    requests: list[tuple[Request, ...]] = []
    seconds: list[NDArray[np.float64]] = []
    for variant in variants:
        mine: list[Request] = []
        took: list[float] = []
        for example in order:
            began = perf_counter()
            messages = variant.render(example.input)
            took.append(perf_counter() - began)
            mine.append(
                Request(
                    messages=messages,
                    parameters=variant.parameters,
                    stream=True,
                    example=example.id,
                    input=example.input,
                )
            )
        requests.append(tuple(mine))
        seconds.append(np.array(took))
    return Rendered(ServiceRequests(tuple(requests)), tuple(seconds))


def parsing_seconds(variant: Variant, texts: Sequence[str]) -> NDArray[np.float64]:
    """How long the variant's post-processing takes for each answer."""
    took: list[float] = []
    for text in texts:
        began = perf_counter()
        variant.parse(text)
        took.append(perf_counter() - began)
    return np.array(took)


async def learn_counting(spec: ModelSpec, parameters: Mapping[str, Any], *, timeout_s: float) -> Counting:
    """How an endpoint counts, from a handful of probes: no tokenizer is needed.

    Raises:
        CannotLoad: the endpoint can't be opened, or answers none of the probes.
    """
    ignoring = spec.provider in _MAY_IGNORE_END
    if ignoring:
        tried = await _probe(spec, parameters, (8, 8), timeout_s, ignores_end=True)
        ignoring = bool(tried.records.ok.all())
    seen = await _probe(spec, parameters, _PROBE_WORDS, timeout_s, ignores_end=ignoring)
    answered = seen.records.ok
    if not answered.any():
        what = seen.failures[0].message if seen.failures else "no answer"
        raise CannotLoad(f"the endpoint answers none of the probes: {what}")
    words = np.array(_PROBE_WORDS)[seen.records.index[answered]]
    tokens = seen.records.input_tokens[answered]
    if np.isnan(tokens).any() or len(np.unique(words)) < 2:
        return Counting(ignores_end=ignoring)
    slope, extra = np.polyfit(words, tokens, 1)
    if not slope > 0:
        return Counting(ignores_end=ignoring)
    return Counting(float(slope), float(extra), ignoring, measured=True)


async def _probe(
    spec: ModelSpec, parameters: Mapping[str, Any], words: Sequence[int], timeout_s: float, *, ignores_end: bool
) -> Recorded:
    prompts = SizedPrompts(tuple(words), (2,), (Counting(1.0, 0.0, ignores_end),), (dict(parameters),))
    count = len(words)
    plan = Plan(
        (spec,),
        prompts,
        np.zeros(count, dtype=np.int64),
        np.arange(count),
        concurrency=1,
        warmup=0,
        timeout_s=timeout_s,
    )
    return await run_plan(plan)

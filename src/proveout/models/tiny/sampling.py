"""Choosing the next token: greedily, or drawn at a temperature from the likeliest tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import NDArray

from proveout.models.tiny.weights import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one answer's tokens are chosen, in OpenAI's words. `alternatives` is `top_logprobs`; None computes no
    logprobs.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | str | None = None
    alternatives: int | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A chosen token; where asked for, its log-probability under the plain model and the likeliest (token, logprob)
    pairs.
    """

    token: int
    logprob: float | None = None
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass(slots=True)
class Sampler:
    """One answer's sampling and its own stream of random numbers, so that its draws don't depend on its neighbours'.

    A seed gives different numbers to different prompts: were they shared, all examples of a dataset would err together.
    """

    sampling: Sampling
    prompt: InitVar[Sequence[int]] = ()
    source: random.Random = field(init=False)

    def __post_init__(self, prompt: Sequence[int]) -> None:
        seed = self.sampling.seed
        self.source = random.Random(None if seed is None else f"{seed} {list(prompt)}")


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> list[Chosen]:
    """The next token of each sequence; `logits` is (sequences, vocabulary)."""
    tokens = logits.argmax(axis=-1)
    drawn = [row for row, sampler in enumerate(samplers) if sampler.sampling.temperature > 0]
    if drawn:
        tokens[drawn] = _draw(logits[drawn], [samplers[row] for row in drawn])
    chosen = [Chosen(token) for token in tokens.tolist()]
    for row, sampler in enumerate(samplers):
        if sampler.sampling.alternatives is not None:
            chosen[row] = _with_logprobs(logits[row], chosen[row].token, sampler.sampling.alternatives)
    return chosen


def _draw(logits: Tensor, samplers: Sequence[Sampler]) -> NDArray[np.intp]:
    """Inverse-transform sampling: the first token at which the cumulated probability passes a uniform number."""
    temperatures = np.array([sampler.sampling.temperature for sampler in samplers])[:, None]
    scaled = (logits - logits.max(axis=-1, keepdims=True)) / temperatures
    weights = np.exp(scaled)
    for row, sampler in enumerate(samplers):
        if sampler.sampling.top_p < 1:
            _keep_nucleus(weights[row], sampler.sampling.top_p)
    cumulated = weights.cumsum(axis=-1)
    uniforms = np.array([sampler.source.random() for sampler in samplers])[:, None]
    passed = (cumulated <= uniforms * cumulated[:, -1:]).sum(axis=-1)
    return np.minimum(passed, logits.shape[-1] - 1)  # Rounding may make a uniform number just below 1 the whole.


def _keep_nucleus(weights: NDArray[np.float64], top_p: float) -> None:
    """Set all but the likeliest tokens, which together hold `top_p` of the probability, to zero (Holtzman et al.,
    arXiv 1904.09751).
    """
    order = np.argsort(-weights, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    beyond = before >= top_p * weights.sum()
    beyond[0] = False
    weights[order[beyond]] = 0.0


def _with_logprobs(logits: Tensor, token: int, count: int) -> Chosen:
    shifted = logits - logits.max()
    logprobs = shifted - np.log(np.exp(shifted).sum())
    best = np.argsort(-logprobs, kind="stable")[:count]
    return Chosen(token, float(logprobs[token]), tuple((int(one), float(logprobs[one])) for one in best))

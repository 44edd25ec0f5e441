"""Where the money of a variant's requests goes: useful work, and what could be saved, summing to the whole bill."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from proveout.economics.answers import AnswerParts
from proveout.economics.prices import Tokens, cost_usd
from proveout.project.records import Price

Kind = Literal["useful", "syntax", "unread", "talk", "reasoning", "truncated", "retried", "repeated_prefix"]

KINDS: tuple[Kind, ...] = (
    "useful",
    "syntax",
    "unread",
    "talk",
    "reasoning",
    "truncated",
    "retried",
    "repeated_prefix",
)

_NOTHING_SAID = AnswerParts()

SHORTEST_PREFIX = 1024
"""Tokens below which vendors keep no prefix (OpenAI and Anthropic: 1,024)."""


class Spent(msgspec.Struct, frozen=True):
    """One request as it was paid for.

    `parts` are the characters of the visible answer by use. `needless_reasoning` are reasoning tokens that changed
    nothing; `lost` says that the answer was cut and could not be used. `billed_retries` are further tries that were
    paid for in vain, each with all of the input; where not `answered`, there were no others. `prefix_tokens` is how
    much of the input every request of this variant begins with.
    """

    tokens: Tokens
    parts: AnswerParts = _NOTHING_SAID
    needless_reasoning: int = 0
    lost: bool = False
    billed_retries: int = 0
    prefix_tokens: int = 0
    answered: bool = True


class WasteLine(msgspec.Struct, frozen=True):
    """One use of tokens and money. `percent` is of all dollars, with one decimal; all lines together are 100.0."""

    kind: Kind
    tokens: int
    usd: float
    percent: float


class Waste(msgspec.Struct, frozen=True):
    """The bill of some requests, split. Tokens of all lines add up to those billed, and dollars to the bill.

    - `syntax`: JSON keys, punctuation and white space; `unread`: values of fields that nobody reads; `talk`: text
      beside what post-processing uses.
    - `reasoning`: thought that changed nothing. `truncated`: requests whose answer was cut and is of no use.
      `retried`: further tries that were billed.
    - `repeated_prefix`: the surcharge for sending an equal beginning at full price that a cache could have read.
    """

    lines: tuple[WasteLine, ...]
    requests: int
    tokens: int
    usd: float

    @property
    def wasted_usd(self) -> float:
        return math.fsum(line.usd for line in self.lines if line.kind != "useful")

    def line(self, kind: Kind) -> WasteLine:
        return next(line for line in self.lines if line.kind == kind)


def split_bill(requests: Iterable[Spent], price: Price, factor: float = 1.0) -> Waste:
    """Split the bill of `requests` at a `price` and a service tier's `factor` (see `prices.tier_factor`)."""
    tokens = dict.fromkeys(KINDS, 0)
    dollars: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    count = 0
    for spent in requests:
        count += 1
        for kind, (amount, usd) in _split(spent, price, factor).items():
            tokens[kind] += amount
            dollars[kind].append(usd)
    sums = {kind: math.fsum(dollars[kind]) for kind in KINDS}
    total = math.fsum(sums.values())
    shares = _shares([sums[kind] for kind in KINDS], 1000)
    lines = tuple(
        WasteLine(kind, tokens[kind], sums[kind], share / 10) for kind, share in zip(KINDS, shares, strict=True)
    )
    return Waste(lines, count, sum(tokens.values()), total)


def repeated_prefix(prompts: Sequence[str]) -> int:
    """Characters that all prompts of a variant begin with; 0 for fewer than two."""
    if len(prompts) < 2:
        return 0
    first, last = min(prompts), max(prompts)
    return next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))


def _split(spent: Spent, price: Price, factor: float) -> dict[Kind, tuple[int, float]]:
    """One request's tokens and dollars by kind."""
    tokens = spent.tokens
    paid = cost_usd(price, tokens, factor)
    found: dict[Kind, tuple[int, float]] = {}
    if spent.billed_retries:
        once = cost_usd(price, Tokens(tokens.input_tokens, 0, tokens.cached_tokens), factor)
        found["retried"] = (spent.billed_retries * tokens.input_tokens, spent.billed_retries * once)
    if not spent.answered:
        return found
    if spent.lost:
        found["truncated"] = (tokens.input_tokens + tokens.output_tokens, paid)
        return found
    reasoning = min(tokens.reasoning_tokens, tokens.output_tokens)
    visible = tokens.output_tokens - reasoning
    rate, thought_rate, saved_rate = _rates(price, tokens, factor)
    needless = min(spent.needless_reasoning, reasoning)
    if needless > 0:
        found["reasoning"] = (needless, needless * thought_rate)
    parts = spent.parts
    by_part = _shares([parts.useful, parts.syntax, parts.unread, parts.talk], visible)
    for kind, amount in zip(("syntax", "unread", "talk"), by_part[1:], strict=True):
        if amount:
            found[kind] = (amount, amount * rate)
    fresh = tokens.input_tokens - tokens.cached_tokens - tokens.cache_write_tokens
    repeated = min(spent.prefix_tokens - tokens.cached_tokens, fresh)
    if spent.prefix_tokens >= SHORTEST_PREFIX and repeated > 0 and saved_rate > 0:
        found["repeated_prefix"] = (repeated, repeated * saved_rate)
    wasted_tokens = sum(amount for kind, (amount, _) in found.items() if kind != "retried")
    wasted_usd = math.fsum(usd for kind, (_, usd) in found.items() if kind != "retried")
    found["useful"] = (tokens.input_tokens + tokens.output_tokens - wasted_tokens, paid - wasted_usd)
    return found


def _rates(price: Price, tokens: Tokens, factor: float) -> tuple[float, float, float]:
    """Dollars of one more output token, one more reasoning token, and what reading one input token from the cache
    saves."""
    long = price.long_context
    rates = long if long is not None and tokens.input_tokens > long.above else price
    thought = rates.output if rates.reasoning is None else rates.reasoning
    saved = 0.0 if rates.cached_input is None else rates.input - rates.cached_input
    return rates.output * factor / 1e6, thought * factor / 1e6, saved * factor / 1e6


def _shares(weights: Sequence[float], whole: int) -> list[int]:
    """Integers in proportion to the weights that add up to `whole` (largest remainders); all to the first where every
    weight is 0."""
    total = math.fsum(weights)
    if not total > 0:
        return [whole, *([0] * (len(weights) - 1))]
    exact = [weight / total * whole for weight in weights]
    shares = [math.floor(share) for share in exact]
    left = whole - sum(shares)
    order = sorted(range(len(weights)), key=lambda index: (shares[index] - exact[index], index))
    for index in order[: max(left, 0)]:
        shares[index] += 1
    return shares

"""What the calls of a run will cost, and how many of them are finished already, from a sample of its examples."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proveout.evaluation import OpenModels, request_of
from proveout.models import ModelError, PriceBook, Request, Usage
from proveout.models.cache import CallKeys
from proveout.models.pricing import cost_usd
from proveout.models.tokens import BYTES_PER_TOKEN, input_bytes, named_output
from proveout.project import Example, Variant
from proveout.storage import Store

ASSUMED_OUTPUT = 256
"""Tokens of an answer where a variant names no `max_tokens` and none was measured yet."""


class Forecast(msgspec.Struct, frozen=True):
    """What to expect of one variant's calls. `finished` is the share that the store has already; `usd_per_call` of a
    new call is None where its price is unknown; `guessed` says that it was worked out from prompts, not measured."""

    finished: float
    usd_per_call: float | None
    guessed: bool = False


def forecast(
    variant: Variant, sample: Sequence[Example], store: Store, prices: PriceBook, *, reuse: bool, measured: float | None
) -> Forecast:
    """Look ahead at a variant's calls.

    Args:
        variant: who will be asked.
        sample: some of the examples that it will be asked about.
        store: where finished calls are.
        prices: the price book.
        reuse: whether finished calls may be reused.
        measured: dollars per call in an earlier run, where there was one.
    """
    if variant.model.provider == "replay":
        return Forecast(0.0, 0.0)
    requests = _requests(variant, sample)
    keys = CallKeys(variant.model)
    wanted = {keys.key(request) for request in requests} if reuse else set[bytes]()
    finished = len(store.calls.get_many(list(wanted))) / len(wanted) if wanted else 0.0
    if OpenModels.is_free(variant.model):
        return Forecast(finished, 0.0)
    if measured is not None:
        return Forecast(finished, measured)
    price = prices.price(variant.model)
    if price is None or not requests:
        return Forecast(finished, None)
    tokens = sum(input_bytes(request) for request in requests) // (BYTES_PER_TOKEN * len(requests))
    output = named_output(variant.parameters) or ASSUMED_OUTPUT
    return Forecast(finished, cost_usd(price, Usage(input_tokens=tokens, output_tokens=output)), guessed=True)


def _requests(variant: Variant, sample: Sequence[Example]) -> list[Request]:
    """The requests that the sample makes. An input that the prompt can't take is none: the run counts it as failed."""
    requests: list[Request] = []
    for example in sample:
        try:
            requests.append(request_of(variant, example))
        except ModelError:
            continue
    return requests

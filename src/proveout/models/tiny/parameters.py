"""OpenAI's request parameters as the built-in model takes them: what it can't do is refused by name, never ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proveout.models._base import ModelError
from proveout.models.tiny.sampling import Sampling

DEFAULT_MAX_TOKENS = 64
MAX_ALTERNATIVES = 20
MAX_STOPS = 4


class Refused(ModelError):
    """A request that can't be met because of one field, `field`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}", kind="bad_request", status=400)
        self.field = field


_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([], ()),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
}
"""Parameters that the model does not have, with the values that ask nothing of it."""

_UNUSED = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"})
"""Parameters that say something about the caller, not about the answer."""

_KNOWN = frozenset(
    {"temperature", "top_p", "seed", "stop", "max_tokens", "max_completion_tokens", "logprobs", "top_logprobs"}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request's parameters, checked."""

    sampling: Sampling
    max_tokens: int
    stop: tuple[str, ...]


def read_parameters(parameters: Mapping[str, Any]) -> Wanted:
    """Check the parameters of a request; null means that one is not set.

    Raises:
        Refused: one is unknown, out of range, or asks for what the model can't do.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        if name in _HARMLESS:
            if value not in _HARMLESS[name]:
                raise Refused(name, f"the built-in model can't do that; leave {name} out")
        elif name not in _KNOWN and name not in _UNUSED:
            raise Refused(name, f"the built-in model knows no {name}; it takes {', '.join(sorted(_KNOWN))}")
    return Wanted(
        sampling=Sampling(
            temperature=_number(given, "temperature", 0, 2, 1.0),
            top_p=_number(given, "top_p", 0, 1, 1.0),
            seed=_whole(given, "seed", -(2**63), 2**63 - 1, None),
            alternatives=_alternatives(given),
        ),
        max_tokens=_max_tokens(given),
        stop=_stop(given),
    )


def _max_tokens(given: Mapping[str, Any]) -> int:
    if "max_tokens" in given and "max_completion_tokens" in given:
        raise Refused("max_completion_tokens", "max_tokens is set too; write one of them")
    name = "max_completion_tokens" if "max_completion_tokens" in given else "max_tokens"
    value = _whole(given, name, 1, 2**31, DEFAULT_MAX_TOKENS)
    assert value is not None
    return value


def _alternatives(given: Mapping[str, Any]) -> int | None:
    wanted = given.get("logprobs", False)
    if not isinstance(wanted, bool):
        raise Refused("logprobs", f"write true or false, not {wanted!r}")
    count = _whole(given, "top_logprobs", 0, MAX_ALTERNATIVES, None)
    if count is not None and not wanted:
        raise Refused("top_logprobs", "it needs logprobs: true")
    return (count or 0) if wanted else None


def _stop(given: Mapping[str, Any]) -> tuple[str, ...]:
    value = given.get("stop", ())
    stops = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else None
    if stops is None or len(stops) > MAX_STOPS or not all(isinstance(stop, str) and stop for stop in stops):
        raise Refused("stop", f"write one string, or a list of up to {MAX_STOPS}, none of them empty")
    return stops


def _number(given: Mapping[str, Any], name: str, low: float, high: float, default: float) -> float:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused(name, f"write a number from {low} to {high}, not {value!r}")
    return float(value)


def _whole(given: Mapping[str, Any], name: str, low: int, high: int, default: int | None) -> int | None:
    value = given.get(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(
            name, f"write a whole number from {low} on, not {value!r}" if high > 100 else f"write {low} to {high}"
        )
    return value

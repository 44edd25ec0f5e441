"""The small steps between a service and a model: on an example's input before the prompt, on the model's text before
it is compared.

A step is a mapping of one name to its setting, as `normalised_steps` makes it from what a file says. Steps on
outputs never raise: whatever a model says becomes an answer, or a problem.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

from proveout.project.contract import conform, nearest_choice
from proveout.project.json_text import first_json, first_object
from proveout.project.patterns import SEARCH_SECONDS, search
from proveout.project.records import Answer, OutputContract

MAX_TEXT = 1_000_000
"""Characters of a model's text that are looked at; a longer one is a problem, not an answer."""

Step = Mapping[str, Any]
Function = Callable[[Any], Any]

_NUMBER = re.compile(
    r"(?:(?<![\w)])[-+])?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?|(?<!\d)\.\d+)", re.ASCII
)
_LARGEST_EXACT = 2**53


class StepFailed(Exception):
    """A step can't be applied to a text; the message says why."""


def preprocess(steps: Sequence[Step], input: Mapping[str, Any]) -> Mapping[str, Any]:
    """An example's input after the steps. Text steps apply to every field that is text; `python` sees the whole input.

    Raises:
        StepFailed: a Python function of the team's failed, or returned no mapping.
    """
    for step in steps:
        ((name, setting),) = step.items()
        if name == "python":
            input = _whole_input(setting, input)
        else:
            apply = STEPS[name]
            input = {
                key: apply(value, setting, _NO_CONTRACT) if isinstance(value, str) else value
                for key, value in input.items()
            }
    return input


def postprocess(steps: Sequence[Step], output: OutputContract, text: str) -> Answer:
    """What the service would use of a model's text: the steps, then the output contract. Never raises."""
    if len(text) > MAX_TEXT:
        return Answer(None, f"the text is longer than {MAX_TEXT:,} characters")
    value: Any = text
    for step in steps:
        ((name, setting),) = step.items()
        try:
            value = STEPS[name](value, setting, output)
        except StepFailed as failure:
            return Answer(None, f"{name}: {failure}")
    return conform(output, value)


def normalised_steps(steps: Sequence[Any]) -> tuple[Step, ...]:
    """Steps as files say them (`"strip"`, `{regex: "A: (.*)"}`), each in its one full form."""
    full: list[Step] = []
    for step in steps:
        name: str
        setting: Any
        ((name, setting),) = ({step: True} if isinstance(step, str) else step).items()
        if name == "regex":
            setting = {"pattern": setting, "group": None} if isinstance(setting, str) else {"group": None, **setting}
        elif name == "replace":
            setting = {"new": "", **setting}
        full.append({name: setting})
    return tuple(full)


# --- the steps: (value, setting, output contract) -> value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise StepFailed(f"needs text, but has {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "a JSON object", list: "a JSON list", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _first_line(value: Any, setting: Any, output: OutputContract) -> str:
    return next((line.strip() for line in _text(value).splitlines() if line.strip()), "")


def _last_line(value: Any, setting: Any, output: OutputContract) -> str:
    return next((line.strip() for line in reversed(_text(value).splitlines()) if line.strip()), "")


def _after(value: Any, marker: str, output: OutputContract) -> str:
    _, found, rest = _text(value).rpartition(marker)
    if not found:
        raise StepFailed(f"there is no {marker!r} in the text")
    return rest


def _before(value: Any, marker: str, output: OutputContract) -> str:
    head, found, _ = _text(value).partition(marker)
    if not found:
        raise StepFailed(f"there is no {marker!r} in the text")
    return head


def _replace(value: Any, setting: Mapping[str, str], output: OutputContract) -> str:
    old, new = setting["old"], setting["new"]
    if len(new) > len(old) and _text(value).count(old) * len(new) > MAX_TEXT:
        raise StepFailed(f"the text grows beyond {MAX_TEXT:,} characters")
    return _text(value).replace(old, new)


def _json(value: Any, setting: Any, output: OutputContract) -> Any:
    found, parsed = first_json(_text(value))
    if not found:
        raise StepFailed("there is no JSON in the text")
    return parsed


def _json_field(value: Any, path: str, output: OutputContract) -> Any:
    if isinstance(value, str):
        found, value = first_object(value)
        if not found:
            raise StepFailed("there is no JSON object in the text")
    for name in path.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif (
            isinstance(value, list) and name.isdecimal() and name.isascii() and len(name) < 7 and int(name) < len(value)
        ):
            value = value[int(name)]
        else:
            raise StepFailed(f"the JSON has no field {path}")
    return value


def _regex(value: Any, setting: Mapping[str, Any], output: OutputContract) -> str:
    group = setting["group"]
    try:
        match = search(setting["pattern"], _text(value))
    except TimeoutError:
        raise StepFailed(f"the pattern took longer than {SEARCH_SECONDS} s on this text") from None
    if match is None:
        raise StepFailed("the pattern does not match")
    found = match[group if group is not None else min(1, match.re.groups)]
    if found is None:
        raise StepFailed("the pattern's group takes no part in the match")
    return found


def _number(value: Any, setting: Any, output: OutputContract) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    numbers = deque(_NUMBER.finditer(_text(value)), maxlen=1)
    if not numbers:
        raise StepFailed("there is no number in the text")
    digits = numbers[0][0].replace(",", "")
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise StepFailed("the number is too large")
    return int(number) if number.is_integer() and abs(number) <= _LARGEST_EXACT else number


def _choice(value: Any, setting: Any, output: OutputContract) -> str:
    choice = nearest_choice(output.choices or (), _text(value))
    if choice is None:
        raise StepFailed("the text is none of the choices")
    return choice


def _python(value: Any, reference: str, output: OutputContract) -> Any:
    try:
        result = team_function(reference)(value)
        json.dumps(result, allow_nan=False)
    except (Exception, SystemExit) as error:
        raise StepFailed(f"{reference.rpartition(':')[2]} failed ({type(error).__name__})") from None
    return result


STEPS: Mapping[str, Callable[[Any, Any, OutputContract], Any]] = {
    "strip": lambda value, setting, output: _text(value).strip(),
    "lower": lambda value, setting, output: _text(value).lower(),
    "upper": lambda value, setting, output: _text(value).upper(),
    "first_line": _first_line,
    "last_line": _last_line,
    "after": _after,
    "before": _before,
    "replace": _replace,
    "truncate": lambda value, setting, output: _text(value)[:setting],
    "json": _json,
    "json_field": _json_field,
    "regex": _regex,
    "number": _number,
    "choice": _choice,
    "python": _python,
}

_NO_CONTRACT = OutputContract()


# --- what steps stand on


def _whole_input(reference: str, input: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        result = team_function(reference)(dict(input))
    except (Exception, SystemExit) as error:
        raise StepFailed(f"python: {reference} failed ({type(error).__name__}: {error})") from error
    if not isinstance(result, Mapping):
        raise StepFailed(f"python: {reference} returned no mapping of input fields")
    return result


@lru_cache(maxsize=64)
def team_function(reference: str) -> Function:
    """A function of the team's, from `/path/file.py:function`. The file is run once in a process.

    Raises:
        Exception: whatever running the file raises; AttributeError if it has no such function.
    """
    path, _, name = reference.rpartition(":")
    module_name = f"_proveout_team_{sha256(path.encode()).hexdigest()[:16]}"
    module = sys.modules.get(module_name)
    if module is None:
        specification = importlib.util.spec_from_file_location(module_name, path)
        if specification is None or specification.loader is None:
            raise ImportError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(specification)
        sys.modules[module_name] = module
        try:
            specification.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    return getattr(module, name)

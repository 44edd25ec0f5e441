"""One row of a recording: whether it is sound, and the generation that it holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from proveout.models._base import FinishReason, Generation, Timings, Usage
from proveout.project.row_problems import kind_of
from proveout.project.rows import Report, Row

_FINISH_REASONS: tuple[str, ...] = get_args(FinishReason)
_UNITS = (("", 1.0), ("_s", 1.0), ("_ms", 1e-3))
_COUNTS = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "cached_tokens": ("cached_tokens",),
    "reasoning_tokens": ("reasoning_tokens",),
}

_write = msgspec.json.Encoder().encode


class RecordedRow(msgspec.Struct):
    """The fields of a row that a replay looks at."""

    output: Any = None
    id: str | int | None = None
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    timings: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    finish_reason: Any = None
    model: Any = None


def check_row(row: Row, line: int, report: Report) -> bool:
    """Whether a row is sound; what is not is reported."""
    problems: list[tuple[str, str, str]] = []
    identifier = row.get("id")
    if identifier is None and row.get("input") is None:
        problems.append(("id", "it is missing", 'Write the example\'s id, or its "input".'))
    elif identifier is not None and (type(identifier) not in (str, int) or identifier == ""):
        problems.append(("id", f"it is {kind_of(identifier)}", "Write a text or a whole number."))
    if row.get("output") is None:
        what = "it is null" if "output" in row else "it is missing"
        problems.append(("output", what, 'Write the answer; an empty one is "".'))
    for field, read in (("output", read_output), ("timings", read_timings), ("usage", read_usage)):
        try:
            read(row.get(field))
        except _Wrong as wrong:
            problems.append((f"{field}{wrong.field}", wrong.what, wrong.instead))
    for problem in problems:
        report.add(line, *problem)
    return not problems


def read_row(row: RecordedRow) -> Generation:
    """The generation in a checked row."""
    text, calls, refusal = read_output(row.output)
    finish = row.finish_reason
    return Generation(
        text=text,
        finish_reason=finish if finish in _FINISH_REASONS else "tool_calls" if calls else "stop",
        tool_calls=calls,
        refusal=refusal,
        usage=read_usage(row.usage),
        timings=read_timings(row.timings),
        model=row.model if isinstance(row.model, str) else "",
        cost_usd=0.0,
    )


class _Wrong(Exception):
    def __init__(self, field: str, what: str, instead: str) -> None:
        super().__init__(field, what, instead)
        self.field = field
        self.what = what
        self.instead = instead


def read_output(output: Any) -> tuple[str, tuple[Mapping[str, Any], ...], str | None]:
    """Text, tool calls and refusal of an `output`."""
    if isinstance(output, str):
        return output, (), None
    if not isinstance(output, dict) or "tool_calls" not in output:
        return _write(output).decode(), (), None
    calls = output["tool_calls"] or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise _Wrong(".tool_calls", f"it is {kind_of(calls)}", "Write a list of objects.")
    content, refusal = output.get("content"), output.get("refusal")
    for name, value in (("content", content), ("refusal", refusal)):
        if value is not None and not isinstance(value, str):
            raise _Wrong(f".{name}", f"it is {kind_of(value)}", "Write a text, or null.")
    return content or "", tuple(calls), refusal


def read_timings(timings: Any) -> Timings | None:
    """Timings in seconds, from seconds or milliseconds."""
    if timings is None:
        return None
    if not isinstance(timings, dict):
        raise _Wrong("", f"it is {kind_of(timings)}", 'Write {"e2e": 1.2, "ttft": 0.3} (seconds).')
    e2e = _measured(timings, "e2e", _seconds)
    ttft = _measured(timings, "ttft", _seconds)
    gaps = _measured(timings, "gaps", _list_of_seconds) or ()
    if e2e is None:
        if ttft is None:
            raise _Wrong(".e2e", "it is missing", "Write the whole answer's seconds as `e2e`, or its `e2e_ms`.")
        e2e = ttft + math.fsum(gaps)
    return Timings(e2e=e2e, ttft=ttft, gaps=gaps)


def read_usage(usage: Any) -> Usage | None:
    """Token counts, in our names or OpenAI's."""
    if usage is None:
        return None
    if not isinstance(usage, dict):
        raise _Wrong("", f"it is {kind_of(usage)}", 'Write {"input_tokens": 120, "output_tokens": 8}.')
    counts: dict[str, int] = {}
    for ours, names in _COUNTS.items():
        name = next((name for name in names if usage.get(name) is not None), None)
        value = 0 if name is None else usage[name]
        if type(value) is not int or value < 0:
            raise _Wrong(f".{name}", f"it is {kind_of(value)}", "Write a whole number of tokens.")
        if name is None and ours in ("input_tokens", "output_tokens"):
            raise _Wrong(f".{ours}", "it is missing", "Write how many tokens there were, or leave `usage` out.")
        counts[ours] = value
    return Usage(**counts)


def _measured(timings: Mapping[str, Any], name: str, read: Callable[[Any, float], Any]) -> Any:
    for suffix, factor in _UNITS:
        value = timings.get(name + suffix)
        if value is not None:
            try:
                return read(value, factor)
            except ValueError:
                raise _Wrong(
                    f".{name}{suffix}", f"it is {kind_of(value)}", "Write time as numbers from 0 on."
                ) from None
    return None


def _seconds(value: Any, factor: float) -> float:
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError
    return value * factor


def _list_of_seconds(values: Any, factor: float) -> tuple[float, ...]:
    if not isinstance(values, list):
        raise ValueError
    return tuple(_seconds(value, factor) for value in values)

"""Reading recorded traffic: CSV as in Azure's public LLM traces, and Mooncake's JSONL."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from proveout.loadtest.schedules import Trace

_TIMES = ("timestamp", "time", "arrived_at", "arrival_time")
_INPUTS = ("contexttokens", "input_length", "input_tokens", "num_prefill_tokens", "request tokens")
_OUTPUTS = ("generatedtokens", "output_length", "output_tokens", "num_decode_tokens", "response tokens")
_DATE = re.compile(r"([\d-]{8,10}[ T][\d:]{4,8})(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_MOST_PROBLEMS = 5

Row = tuple[float, int, int]


class TraceError(Exception):
    """A trace can't be replayed; names file, line and what to write."""


def read_trace(path: Path, *, time_scale: float = 1.0, limit: int | None = None) -> Trace:
    """A trace from a file.

    Args:
        path: `.csv` with a header (a time, and perhaps input and output tokens), or `.jsonl` as Mooncake writes it
            (`timestamp` in milliseconds, `input_length`, `output_length`).
        time_scale: 2 replays twice as fast.
        limit: only the first requests, in the order of time.

    Raises:
        TraceError: the file can't be read, or rows are bad; the first few are named.
    """
    if path.suffix not in (".csv", ".jsonl", ".ndjson"):
        raise TraceError(f"{path}: a trace is a .csv or .jsonl file")
    rows: list[Row] = []
    problems: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = _csv_rows(file, path) if path.suffix == ".csv" else _json_rows(file)
            for line, row in lines:
                try:
                    rows.append(_read(row, milliseconds=path.suffix != ".csv"))
                except (ValueError, OverflowError) as error:
                    problems.append(f"{path}:{line}: {error}")
    except OSError as error:
        raise TraceError(f"{path} can't be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} is no text of a trace: {error}") from None
    if problems:
        more = f"\nand {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        raise TraceError("\n".join(problems[:_MOST_PROBLEMS]) + more)
    if not rows:
        raise TraceError(f"{path} holds no requests")
    rows.sort(key=lambda row: row[0])
    rows = rows[:limit]
    first = rows[0][0]
    return Trace(
        tuple(time - first for time, _, _ in rows),
        tuple(asked for _, asked, _ in rows),
        tuple(answered for _, _, answered in rows),
        time_scale,
        path.name,
    )


def _csv_rows(file: Any, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(file)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if not any(name in _TIMES for name in names):
        raise TraceError(f"{path}:1: no column of times; name one TIMESTAMP")
    reader.fieldnames = names
    for row in reader:
        yield reader.line_num, row


def _json_rows(file: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        yield number, {str(name).lower(): value for name, value in row.items()} if isinstance(row, dict) else {}


def _read(row: Mapping[str, Any], *, milliseconds: bool) -> Row:
    time = next((row[name] for name in _TIMES if row.get(name) not in (None, "")), None)
    if time is None:
        raise ValueError("no time; write an object with a `timestamp`")
    seconds = _seconds(time)
    return (seconds / 1000 if milliseconds else seconds), _count(row, _INPUTS), _count(row, _OUTPUTS)


def _seconds(value: Any) -> float:
    """A number, or a date and time; Azure's have seven digits behind the second."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        pass
    else:
        if not math.isfinite(number):
            raise ValueError(f"{value!r} is no time")
        return number
    parts = _DATE.fullmatch(str(value).strip())
    try:
        if parts is None:
            raise ValueError
        at = datetime.fromisoformat(parts[1] + (parts[3] or "+00:00").replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f"{value!r} is no time; write one such as 2023-11-16 18:15:46.68, or seconds") from None
    return at.timestamp() + float(parts[2] or 0)


def _count(row: Mapping[str, Any], names: tuple[str, ...]) -> int:
    for name in names:
        value = row.get(name)
        if value not in (None, ""):
            number = float(value)  # type: ignore[arg-type]
            if not number >= 0 or not number.is_integer():
                raise ValueError(f"{name} is {value!r}; write a whole number of tokens")
            return int(number)
    return 0

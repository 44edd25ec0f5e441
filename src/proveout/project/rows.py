"""The rows of a file with their lines: JSON objects or CSV records. What can't be read is named by line, and reading
goes on.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol, TextIO

import msgspec

Row = dict[str, Any]

_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")

LONGEST_LINE = 32 * 2**20
_TOO_LONG = f"the line is longer than {LONGEST_LINE >> 20} MB"
_decode = msgspec.json.Decoder().decode

canonical = msgspec.json.Encoder(order="sorted").encode
"""A JSON value as bytes, the same for every order of keys."""


class Report(Protocol):
    """Takes note of one problem."""

    def add(self, line: int | None, field: str, what: str, instead: str, column: int | None = None) -> None: ...


def json_rows(path: Path, report: Report) -> Iterator[tuple[int, Row]]:
    """The objects of a JSONL file, each with its line. Blank lines, a byte order mark and Windows line ends are
    fine.
    """
    with path.open("rb") as file:
        for number, line in _lines(file, report):
            if number == 1:
                if line.startswith((b"\xff\xfe", b"\xfe\xff")):
                    report.add(1, "", "it is UTF-16", "Save the file as UTF-8.")
                    return
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.isspace() or not line:
                continue
            if line.strip() == b"[" or (number == 1 and line.startswith(b"[")):
                report.add(
                    number, "", "the file is one JSON list", "Write one object a line, without brackets around them."
                )
                return
            row = _object(line, number, report)
            if row is not None:
                yield number, row


def _lines(file: BufferedReader, report: Report) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) < LONGEST_LINE or line.endswith(b"\n"):
            yield number, line
            continue
        report.add(number, "", _TOO_LONG, "Split it, or keep large inputs elsewhere.")
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)


def _object(line: bytes, number: int, report: Report) -> Row | None:
    try:
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _report_broken(line, number, error, report)
        return None
    if type(row) is not dict:
        report.add(number, "", "the line is no JSON object", 'Write {"input": ..., "expected": ...}.')
        return None
    for key in row:
        if line.count(_quoted(key)) > 1 and _repeats(line, key):
            report.add(number, key, "the object has this key twice", "Keep one of them.")
            return None
    return row


@lru_cache(maxsize=256)
def _quoted(key: str) -> bytes:
    return f'"{key}"'.encode()


def _repeats(line: bytes, key: str) -> bool:
    """Whether the outermost object holds a key more than once, of which a decoder would keep the last in silence."""
    pairs: list[list[tuple[str, Any]]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs.append(found)
        return {}

    json.loads(line, object_pairs_hook=keep)
    return [name for name, _ in pairs[-1]].count(key) > 1


def _report_broken(line: bytes, number: int, error: Exception, report: Report) -> None:
    if b"\0" in line:
        report.add(number, "", "there is a NUL byte", "Save the file as UTF-8 text.", line.index(b"\0") + 1)
        return
    try:
        text = line.decode()
    except UnicodeDecodeError as bad:
        report.add(number, "", "it is not UTF-8", "Save the file as UTF-8.", len(line[: bad.start].decode()) + 1)
        return
    place = re.search(r"\(byte (\d+)\)", str(error))
    column = len(line[: int(place[1])].decode(errors="ignore")) + 1 if place else None
    cause = str(error).removeprefix("JSON is malformed: ").partition(" (byte")[0]
    if _HALF_PAIR.search(text):
        report.add(number, "", "it holds half of a surrogate pair (`\\ud...`)", "Write the character itself, in UTF-8.")
        return
    ends_early = "truncated" in cause and text.lstrip().startswith("{")
    instead = "Write each object whole on one line." if ends_early else "Mend the JSON of this line."
    report.add(number, "", f"it is no JSON ({cause[:1].lower()}{cause[1:]})", instead, column)


def csv_rows(path: Path, report: Report, arrange: Callable[[Sequence[str]], bool]) -> Iterator[tuple[int, Row]]:
    """The records of a CSV file as dictionaries, each with its first line. Commas, semicolons or tabs stand between
    values, as the header shows. `arrange` is shown the header and may refuse it.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    with path.open("rb") as bytes_file:
        if bytes_file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            report.add(1, "", "it is UTF-16", "Save the file as UTF-8.")
            return
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        separator = _separator(
            next((line for line in iter(partial(file.readline, LONGEST_LINE), "") if line.strip()), "")
        )
        file.seek(0)
        records = _records(csv.reader(_text_lines(file), delimiter=separator, strict=True), report)
        _, header = next(records, (1, None))
        if header is None:
            return
        header = [name.strip() for name in header]
        for name in sorted({name for name in header if name and header.count(name) > 1}):
            report.add(1, name, "two columns have this name", "Rename one of them.")
        if not arrange(header):
            return
        for line, record in records:
            if len(record) == len(header):
                yield line, dict(zip(header, record, strict=True))
                continue
            what = f"the row has {len(record)} columns, the header {len(header)}"
            instead = f"Put quotes around values with {_SEPARATORS[separator]}, and write all columns."
            report.add(line, "", what, instead)


_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def _separator(header: str) -> str:
    """What splits the header into most names; a comma where several do. Spreadsheets write semicolons in countries
    with a decimal comma.
    """
    return max(_SEPARATORS, key=lambda separator: len(next(csv.reader([header], delimiter=separator), ())))


class _LineTooLong(Exception):
    pass


def _text_lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise _LineTooLong
        yield line


def _records(reader: Any, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Non-blank records with the line that each begins on."""
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except _LineTooLong:
            report.add(line, "", _TOO_LONG, "Split it, or keep large inputs elsewhere.")
            return
        except csv.Error as error:
            _report_quotes(line, error, report)
            continue
        if not record:
            continue
        text = "".join(record)
        if not text.isascii() and not _is_unicode(text):
            report.add(line, "", "it is not UTF-8", "Save the file as UTF-8.")
        elif "\0" in text:
            report.add(line, "", "there is a NUL byte", "Save the file as UTF-8 text.")
        else:
            yield line, record


def _report_quotes(line: int, error: csv.Error, report: Report) -> None:
    if "unexpected end" in str(error):
        report.add(
            line, "", "a quote opened in this row is never closed", 'Close it; a quote inside a value is written "".'
        )
    elif "field limit" in str(error):
        report.add(
            line, "", f"a value is longer than {LONGEST_LINE >> 20} MB", "Look for a quote that is never closed."
        )
    else:
        report.add(line, "", f"the quotes are wrong ({error})", 'A quote inside a quoted value is written "".')


def _is_unicode(text: str) -> bool:
    """Whether no byte had to be smuggled in by `surrogateescape`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

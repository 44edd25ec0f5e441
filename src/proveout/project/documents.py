"""Reading YAML files safely: plain data with the line and column of every value, no tags, bounded size, depth and
aliases.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from proveout.project.problems import FieldPath, Problem, as_yaml, dotted

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_VALUES = 50_000

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]{1,3})?|[0-9]+[eE][-+]?[0-9]{1,3})", re.ASCII)
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    spelling: word == "true" for word in ("true", "false") for spelling in (word, word.capitalize(), word.upper())
}
_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}

Position = tuple[int, int]


class Document(msgspec.Struct):
    """A YAML file as plain data. `shown` is its path relative to the project; positions are lines and columns from
    1.
    """

    path: Path
    shown: str
    data: Any
    keys: dict[FieldPath, Position] = {}
    values: dict[FieldPath, Position] = {}

    def problem(self, at: FieldPath, what: str, instead: str, *, key: bool = False) -> Problem:
        """A problem at a field, or at the nearest field above it that the file has; `key` points at its name, not
        its value.
        """
        line, column = self.position(at, key=key)
        return Problem(self.shown, line, column, dotted(at), what, instead)

    def position(self, at: FieldPath, *, key: bool = False) -> Position:
        if key and at in self.keys:
            return self.keys[at]
        while at and at not in self.values:
            at = at[:-1]
        return self.values.get(at, (1, 1))


class _Unreadable(Exception):
    """Reading can't go on; the problem is said once."""

    def __init__(self, what: str, instead: str, position: Position | None = None) -> None:
        super().__init__(what)
        self.what, self.instead, self.position = what, instead, position


def read_text(path: Path, shown: str, problems: list[Problem]) -> str | None:
    """A small UTF-8 text file with its line ends made equal, or None and a problem."""
    try:
        return _read_text(path)
    except _Unreadable as error:
        problems.append(_as_problem(shown, error))
        return None


def read_document(path: Path, shown: str, problems: list[Problem]) -> Document | None:
    """A YAML file that holds one mapping, or None; whatever is wrong with it is added to `problems`."""
    text = read_text(path, shown, problems)
    return None if text is None else parse_document(text, path, shown, problems)


def parse_document(text: str, path: Path, shown: str, problems: list[Problem], first_line: int = 1) -> Document | None:
    """YAML text as a document; `first_line` is the line of the file on which the text starts."""
    document = Document(path, shown, None)
    builder = _Builder(document, problems, first_line - 1)
    try:
        builder.build(text)
    except _Unreadable as error:
        problems.append(_as_problem(shown, error))
        return None
    if document.data is None:
        problems.append(document.problem((), "the file is empty", "Write its keys; `proveout schema` shows them."))
        return None
    if not isinstance(document.data, dict):
        problems.append(document.problem((), "expected keys with values", "Write `key: value` lines."))
        return None
    return document


def _as_problem(shown: str, error: _Unreadable) -> Problem:
    line, column = error.position or (None, None)
    return Problem(shown, line, column, "", error.what, error.instead)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _Unreadable("there is no such file", "Create it, or mend the path.") from None
    except OSError as error:
        raise _Unreadable(f"the file can't be read ({error.strerror})", "Check its kind and its permissions.") from None
    if len(content) > MAX_BYTES:
        raise _Unreadable(f"the file is larger than {MAX_BYTES:,} bytes", "Move data into a dataset file.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise _Unreadable("the file is not UTF-8", "Save it as UTF-8 text.", (line, column)) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


_parsers = threading.local()


def _yaml() -> Any:
    """This thread's parser; making one searches the disk for plug-ins, so it is made once. It has a state of its own,
    so that threads can't share one.
    """
    if not hasattr(_parsers, "yaml"):
        from ruamel.yaml import YAML

        _parsers.yaml = YAML(typ="safe", pure=True)
    return _parsers.yaml


class _Builder:
    """Builds plain data from the parser's events, without recursion. Anchors hold finished values only, so no cycle
    can arise.
    """

    def __init__(self, document: Document, problems: list[Problem], line_offset: int) -> None:
        self.document = document
        self.problems = problems
        self.line_offset = line_offset
        self.count = 0
        self.anchors: dict[str, tuple[Any, int]] = {}

    def build(self, text: str) -> None:
        from ruamel.yaml import events

        open_collections: list[_Collection] = []
        for event in self._events(text):
            if isinstance(event, events.ScalarEvent):
                self._place(open_collections, event, self._scalar(event), 1)
            elif isinstance(event, events.AliasEvent):
                self._place(open_collections, event, *self._alias(event))
            elif isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
                self._open(open_collections, event, {} if isinstance(event, events.MappingStartEvent) else [])
            elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
                self._close(open_collections)
            elif isinstance(event, events.DocumentStartEvent) and self.document.values:
                raise _Unreadable(
                    "a second document starts here", "Keep one document in a file.", self._position(event)
                )

    def _events(self, text: str) -> Iterator[Any]:
        from ruamel.yaml.error import MarkedYAMLError, YAMLError

        try:
            yield from _yaml().parse(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            position = None if mark is None else (mark.line + 1 + self.line_offset, mark.column + 1)
            raise _explained(str(error.problem or error.context or ""), position) from None
        except YAMLError:
            line, column = _unprintable(text)
            raise _Unreadable(
                "a control character that YAML doesn't allow",
                "Delete it, or escape it.",
                (line + self.line_offset, column),
            ) from None

    def _position(self, event: Any) -> Position:
        return event.start_mark.line + 1 + self.line_offset, event.start_mark.column + 1

    def _grow(self, event: Any, amount: int) -> None:
        self.count += amount
        if self.count > MAX_VALUES:
            raise _Unreadable(
                f"more than {MAX_VALUES:,} values, aliases counted in full",
                "Write less into one file.",
                self._position(event),
            )

    def _scalar(self, event: Any) -> Any:
        tag = event.tag
        self._check_tag(event)
        self._grow(event, 1)
        if tag is not None or event.style is not None:
            return event.value if tag in (None, "!", "tag:yaml.org,2002:str") else self._plain(event)
        return self._plain(event)

    def _plain(self, event: Any) -> Any:
        value = event.value
        if value in _WORDS:
            return _WORDS[value]
        if _INTEGER.fullmatch(value):
            return int(value)
        if len(value) <= 40 and _FLOAT.fullmatch(value):
            number = float(value)
            return value if number in (float("inf"), float("-inf")) else number
        return value

    def _check_tag(self, event: Any) -> None:
        if event.tag not in (None, "!") and event.tag not in _CORE_TAGS:
            raise _Unreadable("YAML tags (`!...`) are not read", "Write the plain value.", self._position(event))

    def _alias(self, event: Any) -> tuple[Any, int]:
        if event.anchor not in self.anchors:
            raise _Unreadable("an alias without its anchor", "Define `&name` before `*name`.", self._position(event))
        value, size = self.anchors[event.anchor]
        self._grow(event, size)
        return value, size

    def _open(self, open_collections: list[_Collection], event: Any, value: dict[str, Any] | list[Any]) -> None:
        self._check_tag(event)
        self._grow(event, 1)
        if len(open_collections) >= MAX_DEPTH:
            raise _Unreadable(f"nested deeper than {MAX_DEPTH} levels", "Flatten it.", self._position(event))
        size_before = self.count
        path = self._place(open_collections, event, value, 0)
        open_collections.append(_Collection(value, path, event.anchor, size_before))

    def _close(self, open_collections: list[_Collection]) -> None:
        closed = open_collections.pop()
        if closed.anchor:
            self.anchors[closed.anchor] = (closed.value, self.count - closed.size_before + 1)

    def _place(self, open_collections: list[_Collection], event: Any, value: Any, size: int) -> FieldPath:
        """Put a finished or just opened value where it belongs, and say at which path that is."""
        position = self._position(event)
        if size and event.anchor and event.anchor not in self.anchors:
            self.anchors[event.anchor] = (value, size)
        if not open_collections:
            self.document.data = value
            self.document.values[()] = position
            return ()
        parent = open_collections[-1]
        if isinstance(parent.value, list):
            path = (*parent.path, len(parent.value))
            parent.value.append(value)
            self.document.values[path] = position
            return path
        if not parent.awaits_value:
            return self._key(parent, value, position)
        path = (*parent.path, parent.key) if parent.key is not None else (*parent.path, "?")
        parent.awaits_value = False
        if parent.key is not None:
            parent.value[parent.key] = value
            self.document.values[path] = position
        return path

    def _key(self, parent: _Collection, key: Any, position: Position) -> FieldPath:
        assert isinstance(parent.value, dict)
        parent.awaits_value = True
        parent.key = None
        if not isinstance(key, str):
            if isinstance(key, dict | list):
                raise _Unreadable("a key must be text", "Write `key: value`.", position)
            key_text = as_yaml(key)
            line, column = position
            self.problems.append(
                Problem(
                    self.document.shown,
                    line,
                    column,
                    dotted(parent.path),
                    f"a key must be text, and {key_text} without quotes is not",
                    f'Write "{key_text}":',
                )
            )
            return parent.path
        path = (*parent.path, key)
        if key in parent.value:
            first = self.document.keys[path][0]
            line, column = position
            self.problems.append(
                Problem(
                    self.document.shown,
                    line,
                    column,
                    dotted(path),
                    f"the key `{key}` is already on line {first}",
                    "Keep one of them.",
                )
            )
            return path
        if key == "<<":
            raise _Unreadable("merge keys (`<<`) are not read", "Write the keys out.", position)
        parent.key = key
        self.document.keys[path] = position
        return path


class _Collection(msgspec.Struct):
    """A mapping or list that is still being read. `key` is None while a refused key's value is read and dropped."""

    value: dict[str, Any] | list[Any]
    path: FieldPath
    anchor: str | None
    size_before: int
    key: str | None = None
    awaits_value: bool = False


_COMPLAINTS = (
    (r"found character '\\t'", "a tab where YAML wants spaces", "Indent with spaces."),
    (r"mapping values are not allowed", "a second `:` in one line", "Put text that holds `: ` in quotes."),
    (r"found character '.' that cannot start", "text can't start with this character", "Put the text in quotes."),
    (r"expected ',' or", "a bracket is not closed, or a comma is missing", "Close it."),
    (
        r"could not find expected ':'",
        "a line without `key:`",
        "Write `key: value`, or indent what belongs to the line above.",
    ),
    (r"unexpected end of stream", "a quote is not closed", "Close it."),
    (r"unknown escape character", "an unknown escape in double quotes", "Use single quotes."),
)


def _explained(complaint: str, position: Position | None) -> _Unreadable:
    """A parser's complaint in a sentence. Parts of the file are never quoted, since they may hold a secret."""
    for pattern, what, instead in _COMPLAINTS:
        if re.search(pattern, complaint):
            return _Unreadable(f"not valid YAML: {what}", instead, position)
    return _Unreadable("not valid YAML", "Check indentation, quotes, brackets and the line above.", position)


def _unprintable(text: str) -> Position:
    """Line and column of the first character that YAML does not allow."""
    match = re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    before = text[: match.start()] if match else ""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1

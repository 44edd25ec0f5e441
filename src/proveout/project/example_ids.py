"""Ids of examples: those that a file gives, once each; and those made from an input where it gives none."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from typing import Any

from proveout.project.row_problems import Problems
from proveout.project.rows import canonical


class Lines:
    """The line on which each text was first seen: a hash table of 24 to 48 bytes a text, where a dictionary takes 130.

    Texts are told apart by 64 bits of their hash: among a million, two are mistaken for one with a chance of 1 in 10^7.
    """

    def __init__(self) -> None:
        self._size = 1 << 12
        self._used = 0
        self._hashes = array("Q", bytes(8 * self._size))
        self._lines = array("I", bytes(4 * self._size))

    def first(self, text: str, line: int) -> int:
        """The line on which this text was first seen, which may be this one."""
        wanted = (hash(text) & 0xFFFF_FFFF_FFFF_FFFF) or 1
        hashes, mask = self._hashes, self._size - 1
        slot = wanted & mask
        while found := hashes[slot]:
            if found == wanted:
                return self._lines[slot]
            slot = (slot + 1) & mask
        hashes[slot] = wanted
        self._lines[slot] = line
        self._used += 1
        if 2 * self._used > self._size:
            self._grow()
        return line

    def _grow(self) -> None:
        hashes, lines = self._hashes, self._lines
        self._size *= 2
        self._hashes, self._lines = array("Q", bytes(8 * self._size)), array("I", bytes(4 * self._size))
        mask = self._size - 1
        for wanted, line in zip(hashes, lines, strict=True):
            if wanted:
                slot = wanted & mask
                while self._hashes[slot]:
                    slot = (slot + 1) & mask
                self._hashes[slot] = wanted
                self._lines[slot] = line


class Names:
    """Hands out ids, and finds those that are used twice."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._lines = Lines()
        self._repeats: dict[str, int] = {}

    def given(self, name: str, line: int) -> str | None:
        """The id if it is free, else None."""
        first = self._lines.first(name, line)
        if first == line:
            return name
        what = f"id {name!r} is on line {first} too"
        self._problems.add(line, "id", what, "Give every example an id of its own, or leave ids out.")
        return None

    def made(self, values: Mapping[str, Any], line: int) -> str:
        """An id from the content."""
        content = content_id(values)
        name = content
        while self._lines.first(name, line) != line:
            self._repeats[content] = self._repeats.get(content, 1) + 1
            name = f"{content}#{self._repeats[content]}"
        return name


def content_id(values: Mapping[str, Any]) -> str:
    """The id that an input has where its file gives none."""
    return hashlib.blake2b(canonical(values), digest_size=8).hexdigest()

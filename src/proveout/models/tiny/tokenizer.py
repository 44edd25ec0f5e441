"""Byte-level byte-pair encoding (as in GPT-2), read from a `tokenizer.json` of Hugging Face's tokenizers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

_WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
_UNMERGEABLE = 1 << 30
_CACHED_WORDS = 20_000

END = "<|endoftext|>"
ROLES = ("system", "user", "assistant")
SPECIAL = (END, *(f"<|{role}|>" for role in ROLES))
"""Tokens that no text can spell: END finishes an answer, the others open a message."""


class Tokenizer:
    """Text to token ids and back."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text("utf-8"))
        vocabulary: dict[str, int] = document["model"]["vocab"]
        to_character = byte_characters()
        to_byte = {character: byte for byte, character in to_character.items()}
        self._characters = [to_character[byte] for byte in range(256)]
        self._ids = vocabulary
        self._ranks = {(first, second): rank for rank, (first, second) in enumerate(document["model"]["merges"])}
        self._bytes = [b""] * len(vocabulary)
        for token, number in vocabulary.items():
            if token not in SPECIAL:
                self._bytes[number] = bytes(to_byte[character] for character in token)
        self._words: dict[str, list[int]] = {}
        self.end = vocabulary[END]
        """The id of the token that finishes an answer."""
        self._openings = {role: vocabulary[f"<|{role}|>"] for role in ROLES}

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Special tokens that are spelled out in it are plain text, so a message can't pose as
        another role.
        """
        ids: list[int] = []
        for word in _WORDS.findall(text):
            ids += self._words.get(word) or self._encode_word(word)
        return ids

    def chat(self, messages: Iterable[tuple[str, str]]) -> list[int]:
        """The prompt for (role, content) messages: each opened by its role's token, and an opened answer at the end."""
        ids: list[int] = []
        for role, content in messages:
            ids += [self._openings[role], *self.encode(content)]
            if role == "assistant":
                ids.append(self.end)
        return [*ids, self._openings["assistant"]]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these ids; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self._bytes[number] for number in ids).decode(errors="replace")

    def bytes_of(self, number: int) -> bytes:
        """What one token spells: possibly a part of a character; nothing for a special token."""
        return self._bytes[number]

    def _encode_word(self, word: str) -> list[int]:
        parts = [self._characters[byte] for byte in word.encode("utf-8", "surrogatepass")]
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, _UNMERGEABLE) for pair in pairwise(parts)]
            best = min(ranks)
            if best == _UNMERGEABLE:
                break
            place = ranks.index(best)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        ids = [self._ids[part] for part in parts]
        if len(self._words) < _CACHED_WORDS:
            self._words[word] = ids
        return ids


def byte_characters() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: itself where it is printable, else a character from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    stand_ins = {byte: chr(byte) for byte in printable}
    others = (byte for byte in range(256) if byte not in stand_ins)
    return stand_ins | {byte: chr(256 + number) for number, byte in enumerate(others)}

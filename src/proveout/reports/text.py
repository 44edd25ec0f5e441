"""Text of models and people made safe to look at: nothing invisible, nothing that steers, nothing endless."""

from __future__ import annotations

import re

ELLIPSIS = "…"

_NEWLINES = str.maketrans({"\u2028": "\n", "\u2029": "\n", "\u0085": "\n", "\x0b": "\n", "\x0c": "\n"})

_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f"  # control characters (tab and newlines stay)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # turning the direction
    "\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    "\U000e0000-\U000e007f"  # tags: text that only a model reads
    "\ud800-\udfff\ufffe\uffff]"  # not characters at all
)


def visible(text: str) -> str:
    """The text with every control, direction-turning, invisible or broken character replaced by one that can be seen.

    Control characters become their pictures (ESC is ␛), invisible ones their code point ([U+202E]), broken ones U+FFFD.
    Tabs and line breaks stay. The result is valid in XML 1.0, encodes in UTF-8, and holds no escape sequence.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").translate(_NEWLINES)
    return _HIDDEN.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code < 0xA0 or 0xD800 <= code <= 0xDFFF or code in (0xFFFE, 0xFFFF):
        return "\ufffd"
    return f"[U+{code:04X}]"


def one_line(text: str) -> str:
    """Visible text with all runs of white space as one space."""
    return " ".join(visible(text).split())


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, ending in … where something was cut."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip() + ELLIPSIS


def clip_told(text: str, limit: int) -> str:
    """At most `limit` characters, and then how many there were."""
    return text if len(text) <= limit else f"{text[:limit]}{ELLIPSIS} (cut here; {len(text):,} characters in all)"


def phrase(text: str, limit: int = 80) -> str:
    """A name or a short text for one line: clipped before the work, so that a megabyte costs nothing."""
    return clip(one_line(text[: limit * 4]), limit)


def listed(words: list[str] | tuple[str, ...]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """`1 call`, `1,200 calls`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"

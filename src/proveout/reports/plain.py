"""Our signs for outputs that can't show them: an old terminal, a pipe under `LANG=C`."""

from __future__ import annotations

import codecs

PLAIN = "proveout.plain"
"""An error handler for text streams: the nearest plain sign, else a question mark."""

_SIGNS = {
    "✓": "+",
    "✗": "x",
    "…": "...",
    "−": "-",
    "–": "-",
    "·": "-",
    "×": "x",
    "≤": "<=",
    "∞": "inf",
    "“": '"',
    "”": '"',
    "─": "-",
    "━": "=",
    "╸": "=",
    "╺": "=",
    "●": "o",
    "├": "|",
    "┤": "|",
    "│": "|",
    "┼": "+",
    "┊": ":",
    "┆": ":",
    "→": ">",
    "←": "<",
    **dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#", strict=True)),
}


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(PLAIN, _plain)


def encodable(text: str, encoding: str) -> str:
    """The text as an output of this encoding can show it: where one sign is lacking, all of ours become plain."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(str.maketrans(_SIGNS)).encode(encoding, PLAIN).decode(encoding)
    except LookupError:
        return encodable(text, "ascii")
    return text

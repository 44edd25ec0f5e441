"""From tokens to text as it may be shown: whole characters only, and nothing that could still become a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Collects the bytes of one answer's tokens and gives out text as soon as it is certain."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False
        """A stop string came; it and all after it is left out."""

    def push(self, data: bytes) -> str:
        """The text that became certain with these bytes."""
        self._held += self._decoder.decode(data)
        places = [place for place in (self._held.find(stop) for stop in self._stop) if place >= 0]
        if places:
            self.stopped = True
            return self._give(min(places), drop_rest=True)
        return self._give(len(self._held) - self._uncertain())

    def finish(self) -> str:
        """What was held back, now that nothing more comes."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        return self._give(len(self._held))

    def _give(self, length: int, *, drop_rest: bool = False) -> str:
        text = self._held[:length]
        self._held = "" if drop_rest else self._held[length:]
        return text

    def _uncertain(self) -> int:
        """How many characters at the end are the beginning of a stop string."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0

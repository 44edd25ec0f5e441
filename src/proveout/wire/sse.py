"""Server-sent events, as the WHATWG HTML standard defines them (section 9.2, "event stream interpretation")."""

from __future__ import annotations

from dataclasses import dataclass

from proveout.wire.errors import TooLarge

_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Event:
    """One event. `id` is the last event id that was in force when it was dispatched."""

    data: str
    event: str = "message"
    id: str = ""


class SseDecoder:
    """Turns the bytes of an event stream, however they are cut up, into events.

    An event that the stream's end cuts off is never given out, as the standard has it.
    """

    def __init__(self, *, max_event_bytes: int = 4 * 2**20) -> None:
        self.retry_ms: int | None = None
        """The reconnection time that the server asked for last."""
        self._max_event_bytes = max_event_bytes
        self._at_start = True
        self._between_events = False
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_bytes = 0
        self._data: list[str] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes.

        Raises:
            TooLarge: an event, or a line, is longer than `max_event_bytes`.
        """
        # Nearly every read of a model's stream is whole `data: {...}` events, each on one line.
        if self._between_events and data.endswith(b"\n\n") and data.startswith(b"data: ") and b"\r" not in data:
            events: list[Event] = []
            for block in data[:-2].split(b"\n\n"):
                if block.startswith(b"data: ") and b"\n" not in block and len(block) <= self._max_event_bytes:
                    events.append(Event(block[6:].decode("utf-8", "replace"), "message", self._id))
                else:
                    self._lines(block + b"\n\n", events)
            return events
        events = []
        if self._at_start:
            data = self._without_bom(data)
        self._lines(data, events)
        return events

    def _without_bom(self, data: bytes) -> bytes:
        start = b"".join([*self._line, data])
        self._line, self._line_bytes = [], 0
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._line = [start]
            return b""
        self._at_start = False
        self._between_events = True
        return start.removeprefix(_BOM)

    def _lines(self, data: bytes, events: list[Event]) -> None:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return
        if b"\n" in data or b"\r" in data:
            if self._line:
                data = b"".join([*self._line, data])
                self._line, self._line_bytes = [], 0
            lines = data.splitlines()  # On bytes: at LF, CR and CRLF only.
            self._after_cr = data.endswith(b"\r")
            rest = b"" if data.endswith((b"\n", b"\r")) else lines.pop()
            for line in lines:
                self._field(line, events)
            data = rest
        if data:
            self._line.append(data)
            self._line_bytes += len(data)
            self._check_size()
        self._between_events = not (self._line or self._data or self._event or self._after_cr)

    def _field(self, line: bytes, events: list[Event]) -> None:
        if not line:
            self._dispatch(events)
            return
        name, _, raw = line.partition(b":")
        value = raw.removeprefix(b" ").decode("utf-8", "replace")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(raw) + 1  # An empty line of data counts too.
            self._check_size()
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if "\0" not in value:
                self._id = value
        elif name == b"retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event("\n".join(self._data), self._event or "message", self._id))
        self._data = []
        self._data_bytes = 0
        self._event = ""

    def _check_size(self) -> None:
        if self._data_bytes + self._line_bytes > self._max_event_bytes:
            raise TooLarge(f"a server-sent event is larger than {self._max_event_bytes} bytes")


def encode_event(data: str, *, event: str | None = None, id: str | None = None) -> bytes:
    """One event for the wire. Line breaks in `data` become several data lines.

    Raises:
        ValueError: `event` or `id` holds a line break.
    """
    if any("\n" in field or "\r" in field for field in (event or "", id or "")):
        raise ValueError("an event's name and id must each be one line")
    head = (f"event: {event}\n" if event is not None else "") + (f"id: {id}\n" if id is not None else "")
    if "\n" not in data and "\r" not in data:
        return f"{head}data: {data}\n\n".encode()
    lines = data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return (head + "".join(f"data: {line}\n" for line in lines) + "\n").encode()

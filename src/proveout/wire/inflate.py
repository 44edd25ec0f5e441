"""Undoing gzip and deflate content codings, within a size limit."""

from __future__ import annotations

import zlib

from proveout.wire.errors import MalformedResponse, TooLarge

_GZIP = 16 + zlib.MAX_WBITS


class Inflater:
    """Decodes one body piece by piece. At most `limit` bytes come out in all, however small the input."""

    __slots__ = ("_about", "_coding", "_limit", "_produced", "_stream")

    def __init__(self, coding: str, limit: int, about: str) -> None:
        """`coding`: gzip or deflate. `about`: whose body it is, for messages."""
        self._about = about
        self._coding = coding
        self._limit = limit
        self._produced = 0
        self._stream: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bytes:
        """Decoded bytes, perhaps none yet.

        Raises:
            MalformedResponse: the data is not of the stated coding.
            TooLarge: more than the limit came out.
        """
        pieces: list[bytes] = []
        while data:
            if self._stream is None or self._stream.eof:
                self._stream = self._open(data[0])
            try:
                pieces.append(self._stream.decompress(data, self._limit - self._produced + 1))
            except zlib.error:
                raise MalformedResponse(f"{self._about}: the body is not valid {self._coding}") from None
            self._produced += len(pieces[-1])
            if self._produced > self._limit:
                raise TooLarge(f"{self._about}: the {self._coding} body inflates to more than {self._limit} bytes")
            data = self._stream.unconsumed_tail or self._stream.unused_data
        return b"".join(pieces)

    def finish(self) -> None:
        """Check that the body ended where its coding does.

        Raises:
            MalformedResponse: it did not.
        """
        if self._stream is not None and not self._stream.eof:
            raise MalformedResponse(f"{self._about}: the {self._coding} body ends too early")

    def _open(self, first: int) -> zlib._Decompress:
        if self._coding == "gzip":
            return zlib.decompressobj(_GZIP)
        if self._stream is not None:
            raise MalformedResponse(f"{self._about}: bytes follow the end of the deflate body")
        # The standard asks for a zlib wrapper, whose first byte ends in 8; some servers send raw deflate without one.
        return zlib.decompressobj(zlib.MAX_WBITS if first & 0x0F == 8 else -zlib.MAX_WBITS)

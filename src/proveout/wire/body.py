"""Collecting a body that comes in pieces."""

from __future__ import annotations


def grow(body: bytes | bytearray, piece: bytes) -> bytes | bytearray:
    """`body` with `piece` at its end. One piece stays as it came; more become an array, so that tiny ones cost no more
    memory than their bytes."""
    if not body:
        return piece
    if isinstance(body, bytes):
        body = bytearray(body)
    body += piece
    return body

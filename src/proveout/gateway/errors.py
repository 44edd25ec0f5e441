"""What a client is told when there is no answer, in OpenAI's error shape."""

from __future__ import annotations

import orjson

JSON = ("content-type", "application/json")


class Refused(Exception):
    """A request that gets an error. `code` is a short stable word; `status` and `param` are OpenAI's. `allow` is the
    method that a path takes."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry_after_s: float | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.allow = allow

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        error = {"message": self.message, "type": _TYPES.get(self.status, _kind(self.status)), "param": self.param}
        return orjson.dumps({"error": {**error, "code": self.code}})

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        if self.retry_after_s is not None:
            return (JSON, ("retry-after", str(max(1, round(self.retry_after_s)))))
        return (JSON,) if self.allow is None else (JSON, ("allow", self.allow))


_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


_UNREAD = {408: "request_timeout", 413: "request_too_large", 431: "head_too_large"}


def unread(status: int, why: str) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """The answer to a request that could not even be read."""
    refused = Refused(status, why, code=_UNREAD.get(status, "invalid_request"))
    return refused.headers, refused.body


def _kind(status: int) -> str:
    return "invalid_request_error" if status < 500 else "server_error"

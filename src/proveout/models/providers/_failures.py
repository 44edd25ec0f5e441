"""Every way in which a call fails, as a `ModelError` with a stable kind and a message that holds no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from proveout import wire
from proveout.models._base import ModelError
from proveout.models.providers._waiting import retry_after
from proveout.project.sensitive import redacted

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
"""What reading an answer of an unforeseen shape raises; all of it means `malformed`."""

_LONGEST = 400
_LOOKED_AT = 64 * 1024


class Kind(NamedTuple):
    """How a failure is counted, and whether another try could help."""

    word: str
    retryable: bool


_BY_STATUS = {
    400: Kind("bad_request", False),
    401: Kind("auth", False),
    402: Kind("status", False),
    403: Kind("auth", False),
    404: Kind("bad_request", False),
    405: Kind("bad_request", False),
    408: Kind("timeout", True),
    409: Kind("status", True),
    413: Kind("bad_request", False),
    415: Kind("bad_request", False),
    422: Kind("bad_request", False),
    424: Kind("status", True),
    425: Kind("status", True),
    429: Kind("rate_limit", True),
    501: Kind("status", False),
    503: Kind("overloaded", True),
    529: Kind("overloaded", True),
}
_BY_WORD = {
    "overloaded_error": Kind("overloaded", True),
    "overloaded": Kind("overloaded", True),
    "serviceunavailableexception": Kind("overloaded", True),
    "unavailable": Kind("overloaded", True),
    "rate_limit_error": Kind("rate_limit", True),
    "rate_limit_exceeded": Kind("rate_limit", True),
    "throttlingexception": Kind("rate_limit", True),
    "resource_exhausted": Kind("rate_limit", True),
    "authentication_error": Kind("auth", False),
    "permission_error": Kind("auth", False),
    "invalid_api_key": Kind("auth", False),
    "unauthenticated": Kind("auth", False),
    "permission_denied": Kind("auth", False),
    "invalid_request_error": Kind("bad_request", False),
    "not_found_error": Kind("bad_request", False),
    "request_too_large": Kind("bad_request", False),
    "validationexception": Kind("bad_request", False),
    "invalid_argument": Kind("bad_request", False),
    "billing_error": Kind("status", False),
    "timeout_error": Kind("timeout", True),
}
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
"""Codes of a 429 that no waiting heals."""

_WIRE: tuple[tuple[type[wire.WireError], Kind], ...] = (
    (wire.TimedOut, Kind("timeout", True)),
    (wire.ConnectionCut, Kind("cut", True)),
    (wire.MalformedResponse, Kind("malformed", True)),
    (wire.TooLarge, Kind("too_large", False)),
    (wire.InvalidRequest, Kind("bad_request", False)),
    (wire.ClientClosed, Kind("cut", False)),
)


class PromptFiltered(ModelError):
    """The provider's own filter refused the prompt (Azure answers 400 where others answer 200)."""


class Problem(NamedTuple):
    """An error object of an API, taken apart. `words` are its type, code and status names, in lower case."""

    message: str
    words: tuple[str, ...]
    status: int | None
    delay_s: float | None


class Failures:
    """Makes the errors of one endpoint. `secrets` are left out of every message, wherever an endpoint echoes them."""

    def __init__(self, about: str, secrets: Iterable[str] = ()) -> None:
        self._about = about
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def hide(self, secret: str) -> None:
        """Leave this out too, from now on."""
        if secret and secret not in self._secrets:
            self._secrets = sorted([*self._secrets, secret], key=len, reverse=True)

    def error(self, kind: str, what: str, **others: Any) -> ModelError:
        """An error with a message on one line."""
        return ModelError(f"{self._about}: {self._shown(what)}", kind=kind, **others)

    def of_wire(self, error: wire.WireError) -> ModelError:
        """An exchange that brought no whole response. One that ended before the endpoint was seen to work on it is not
        counted as billed."""
        kind = next((kind for shape, kind in _WIRE if isinstance(error, shape)), Kind("connect", True))
        worked = not isinstance(error, wire.ClientClosed) and (
            error.phase != "connect" if isinstance(error, wire.TimedOut) else getattr(error, "head", True)
        )
        return self.error(kind.word, str(error), retryable=kind.retryable, discarded=None if worked else 0)

    def of_reading(self, error: BaseException) -> ModelError:
        """An answer whose shape is not the API's."""
        why = str(error) if isinstance(error, ValueError) and str(error) else f"unexpected shape ({error!r})"
        return self.error("malformed", f"the answer can't be read: {why}", retryable=True)

    def of_status(self, status: int, headers: wire.Headers, body: bytes) -> ModelError:
        """A response whose status says that there is no answer."""
        if 300 <= status < 400:
            return self.error("status", f"it redirects ({status}); write the final address under `url`", status=status)
        problem = problem_in(_parsed(body[:_LOOKED_AT], body))
        kind = _BY_STATUS.get(status) or Kind("status", status >= 500)
        if problem is not None:
            if status in (400, 429, 500):  # AWS and some proxies say the real reason in words only.
                kind = next((_BY_WORD[word] for word in problem.words if word in _BY_WORD), kind)
            if _SPENT.intersection(problem.words):
                kind = Kind(kind.word, False)
        should_retry = headers.get("x-should-retry")
        if should_retry in ("true", "false"):
            kind = Kind(kind.word, should_retry == "true")
        waits = kind.retryable and kind.word in ("rate_limit", "overloaded", "status")
        delay = retry_after(headers, limited=kind.word == "rate_limit") if waits else None
        if delay is None and problem is not None and waits:
            delay = problem.delay_s
        said = problem.message if problem is not None else _described(body, headers)
        if status == 400 and problem is not None and "content_filter" in problem.words:
            return PromptFiltered(f"{self._about}: {self._shown(said)}", kind="bad_request", status=status)
        return self.error(
            kind.word,
            f"answered {status}: {said}" if said else f"answered {status}",
            retryable=kind.retryable,
            status=status,
            retry_after_s=delay,
        )

    def of_problem(self, value: Any) -> ModelError:
        """An error object where an answer, or a part of a stream, should be."""
        problem = problem_in(value) or Problem("an error without a message", (), None, None)
        kind = next((_BY_WORD[word] for word in problem.words if word in _BY_WORD), None)
        if kind is None and problem.status is not None:
            kind = _BY_STATUS.get(problem.status) or Kind("status", problem.status >= 500)
        kind = kind or Kind("status", True)
        return self.error(
            kind.word,
            f"gave an error in place of an answer: {problem.message}",
            retryable=kind.retryable,
            status=problem.status,
            retry_after_s=problem.delay_s if kind.retryable else None,
        )

    def _shown(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "...")
        text = " ".join(redacted(text).split())
        text = "".join(character if character.isprintable() else "?" for character in text[: _LONGEST + 1])
        return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def problem_in(value: Any) -> Problem | None:
    """The error that a JSON value tells of, in any of the shapes that APIs, engines and proxies use."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, Mapping):
        return None
    error = value.get("error") or value.get("detail") or value
    if isinstance(error, str):
        return Problem(error, _words(value), None, None)
    if isinstance(error, list):  # FastAPI's list of what is wrong with the body.
        said = "; ".join(_complaint(one) for one in error[:3])
        return Problem(said, (), None, None)
    if not isinstance(error, Mapping):
        return None
    message = error.get("message") or error.get("Message") or error.get("msg")
    if not isinstance(message, str):
        if error is value:
            return None
        message = orjson.dumps(error, default=str).decode(errors="replace")
    code = error.get("code")
    if isinstance(code, str) and code.isdigit() and len(code) == 3:
        code = int(code)
    status = code if isinstance(code, int) and not isinstance(code, bool) and 300 <= code <= 599 else None
    return Problem(message, _words(error), status, _delay(error.get("details")))


def _complaint(one: Any) -> str:
    """What is wrong with one field of a body, after its name."""
    if not isinstance(one, Mapping):
        return str(one)
    where = one.get("loc")
    name = f"{where[-1]}: " if isinstance(where, list) and where else ""
    return f"{name}{one.get('msg', '')}"


def _words(error: Mapping[str, Any]) -> tuple[str, ...]:
    found = (error.get(name) for name in ("type", "code", "status", "__type", "error_type"))
    return tuple(word.rpartition("#")[2].lower() for word in found if isinstance(word, str))


def _delay(details: Any) -> float | None:
    """Google's RetryInfo."""
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and re.fullmatch(r"\d{1,6}(\.\d{1,9})?s", delay):
            return float(delay[:-1])
    return None


def _parsed(start: bytes, body: bytes) -> Any:
    if start.lstrip()[:1] not in (b"{", b"[") or len(body) > 2**20:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _described(body: bytes, headers: wire.Headers) -> str:
    """What a body that is no error object holds, in a few words."""
    start = body[:_LOOKED_AT]
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            return f"{len(body)} bytes that are no text"
        text = start[: error.start].decode()
    if "html" in (headers.get("content-type") or "") or text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
        said = f" ({' '.join(title[1].split())})" if title and title[1].strip() else ""
        return f"an HTML page{said}, as proxies send"
    return text

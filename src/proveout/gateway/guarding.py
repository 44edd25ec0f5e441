"""A service's guards at the gateway: asked before a model is called and before its answer is given, and told in the
trace and in metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
import orjson

from proveout.gateway.bodies import Body
from proveout.gateway.errors import JSON, Refused
from proveout.gateway.metrics import Metrics
from proveout.gateway.observing import Facts
from proveout.gateway.processing import Processed
from proveout.project.records import GuardSpec, Service, Variant
from proveout.security.guards import Checked, Checkpoint, Given, Said
from proveout.storage.records import Trace
from proveout.wire import Responder, encode_headers

BLOCKED = "content_filter"
"""The finish reason of a refusal, as OpenAI's."""
_SAYING = frozenset({"content", "text", "input", "instructions", "arguments", "output", "refusal"})


class Withheld(Exception):
    """A guard refuses what was asked or answered."""

    def __init__(self, guard: GuardSpec) -> None:
        super().__init__(guard.name)
        self.guard = guard

    def refused(self) -> Refused:
        """The error of a guard without words of its own. It is the request's fault, or else the answer's."""
        asked = self.guard.checkpoint == "input"
        what = f"the guard {self.guard.name} refuses this {'request' if asked else 'answer'}"
        return Refused(400 if asked else 422, what, code="guard", param=self.guard.name)


class Guarding:
    """The guards of one service."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service = service.name
        self._metrics = metrics
        self._input = Checkpoint(spec for spec in service.guards if spec.checkpoint == "input")
        self._output = Checkpoint(spec for spec in service.guards if spec.checkpoint == "output")
        self.growing = self._output.growing()
        self.hold: int | Literal["all"] | None = self._output.hold
        """What is kept back of a streamed answer."""

    @property
    def reads_answers(self) -> bool:
        return bool(self._output)

    def asked(self, body: Body, trace: Trace) -> None:
        """
        Raises:
            Withheld: a guard refuses the request.
        """
        if self._input:
            self._tell(self._input.check(Said(asked_text(body))), trace)

    def growing_text(self, said: Said, trace: Trace) -> None:
        """Look at what has been said so far, in one of a streamed answer's texts. Only a refusal is told; the answer's
        end tells the rest.

        Raises:
            Withheld: a guard refuses it.
        """
        if self.growing is not None:
            checked = self.growing.check(said)
            if checked.blocked is not None:
                self._tell(checked, trace)

    def answered(self, text: str, variant: Variant, trace: Trace, *, given: Given) -> None:
        """Look at a whole answer, of which so much is `given` already.

        Raises:
            Withheld: a guard refuses the answer.
        """

        def valid() -> bool:
            return trace.valid if trace.valid is not None else variant.parse(text).problem is None

        self._tell(self._output.check(Said(text, valid), given=given), trace)

    def _tell(self, checked: Checked, trace: Trace) -> None:
        known = {} if trace.guards is None else orjson.loads(trace.guards)
        trace.guards = orjson.dumps({**known, **checked.results}).decode()
        for name, result in checked.results.items():
            self._metrics.count(
                "proveout_gateway_guard_results_total", service=self._service, guard=name, result=result
            ).value += 1
        if checked.blocked is not None:
            raise Withheld(checked.blocked)


def guarding(service: Service, metrics: Metrics) -> Guarding | None:
    """A service's guards; None where it declares none."""
    return Guarding(service, metrics) if service.guards else None


def refuse(withheld: Withheld, body: Body, operation: str, trace: Trace, responder: Responder, lines: bytes) -> None:
    """Answer with the guard's own words.

    Raises:
        Refused: it has none, or they would be no answer of this API.
    """
    text = withheld.guard.refusal
    if text is None or operation != "chat":
        trace.error = "guard"
        raise withheld.refused() from None
    trace.status, trace.finish, trace.error = 200, BLOCKED, None
    if body.stream:
        facts = Facts()
        facts.finish = BLOCKED
        Processed(text, True).send(responder, lines, facts, model=body.model, wants_usage=False)
        return
    message = {"role": "assistant", "content": text, "refusal": None}
    answer = {
        "id": f"chatcmpl-{trace.id}",
        "object": "chat.completion",
        "created": int(trace.started),
        "model": body.model,
        "choices": [{"index": 0, "message": message, "finish_reason": BLOCKED, "logprobs": None}],
    }
    responder.reply(200, encode_headers([JSON]) + lines, orjson.dumps(answer))


def asked_text(body: Body) -> str:
    """All that a request says to the model, tool results included."""
    said = [body.variables] if body.variables is not None else []
    for name in ("messages", "input", "instructions", "prompt"):
        raw = body.fields.get(name)
        if raw is not None:
            said.append(_decoded(raw))
    return "\n".join(_texts(said, any_name=body.variables is not None))


def answer_text(body: bytes) -> str:
    """All that a whole answer says, of each choice, tool calls included."""
    answer = _decoded(body)
    if not isinstance(answer, dict):
        return ""
    return "\n".join(_texts([answer.get("choices"), answer.get("output")]))


def _texts(value: Any, *, any_name: bool = False) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if not isinstance(part, str) or any_name or name in _SAYING:
                yield from _texts(part, any_name=any_name)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, any_name=any_name)


def _decoded(raw: msgspec.Raw | bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

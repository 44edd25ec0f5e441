"""The questions of a probe: each looks at one thing, and says what it saw.

None of them knows the endpoint's tokenizer or model. Whatever needs the same answer twice first makes sure that the
endpoint gives it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from proveout.models._base import Generation, Model, ModelError, Request, Usage
from proveout.project.records import Message

Status = Literal["supported", "not_supported", "unknown"]

_SENTENCE = "Describe the sea in one short sentence."
_DRAW = "Write one unusual sentence about anything you like."
_CITY = "Name a large city and its population in millions."
_WEATHER = "What is the weather in Rome now? Use the tool."
_LIMIT = 48

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population_millions": {"type": "number"}},
    "required": ["city", "population_millions"],
    "additionalProperties": False,
}
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city now.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_MANNERS: tuple[Mapping[str, Any], ...] = (
    {"temperature": 0, "max_tokens": _LIMIT},
    {"max_tokens": _LIMIT},
    {"max_completion_tokens": 2048},
    {},
)
"""Ways to put a plain question, the strictest first: reasoning models refuse some."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing looked at, and what was seen."""

    check: str
    status: Status
    seen: str


class Asked:
    """The endpoint under question, and the answers that later checks compare with."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.calls = 0
        self.manner: Mapping[str, Any] = {}
        self.whole: Generation | None = None
        """The answer to the plain question; None where there was none."""
        self.streamed: Generation | None = None
        self.latency_ms: float | None = None
        self.steady = False
        """Whether the plain question got the same answer twice."""

    async def ask(
        self, text: str = _SENTENCE, *, stream: bool = False, limit: int | None = None, **parameters: Any
    ) -> Generation:
        """One call in the manner that the endpoint takes, with another limit on tokens if given.

        Raises:
            ModelError: no answer.
        """
        self.calls += 1
        asked = {**self.manner, **({} if limit is None else {self.limit_name: limit}), **parameters}
        return await self._model.generate(Request(messages=(Message("user", text),), parameters=asked, stream=stream))

    @property
    def limit_name(self) -> str:
        return "max_completion_tokens" if "max_completion_tokens" in self.manner else "max_tokens"


Check = Callable[[Asked], Awaitable[Finding]]


def _check(name: str) -> Callable[[Check], Check]:
    """Names a check; a call of it that fails, or that had no plain answer to compare with, becomes its finding."""

    def named(look: Callable[[Asked], Awaitable[Finding]]) -> Check:
        async def check(asked: Asked) -> Finding:
            if name != "chat" and asked.whole is None:
                return Finding(check=name, status="unknown", seen="the endpoint answers no plain question")
            try:
                finding = await look(asked)
            except ModelError as error:
                refused = error.kind == "bad_request"
                seen = str(error).partition(": ")[2] or str(error)
                return Finding(check=name, status="not_supported" if refused else "unknown", seen=seen)
            return msgspec.structs.replace(finding, check=name)

        return check

    return named


def _yes(seen: str) -> Finding:
    return Finding(check="", status="supported", seen=seen)


def _no(seen: str) -> Finding:
    return Finding(check="", status="not_supported", seen=seen)


def _unclear(seen: str) -> Finding:
    return Finding(check="", status="unknown", seen=seen)


@_check("chat")
async def chat(asked: Asked) -> Finding:
    """A plain question, in the first manner that the endpoint does not refuse, and once more for the time."""
    refusal: ModelError | None = None
    for manner in _MANNERS:
        asked.manner = manner
        try:
            asked.whole = await asked.ask()
            break
        except ModelError as error:
            refusal = error
            if error.kind != "bad_request":
                raise
    if asked.whole is None:
        raise refusal or ModelError("no answer", kind="bad_request")
    again = await asked.ask()
    asked.steady = again.text == asked.whole.text
    asked.latency_ms = None if again.timings is None else round(again.timings.e2e * 1000, 3)
    left_out = [name for name in _MANNERS[0] if name not in asked.manner]
    refused = f"; refuses {' and '.join(left_out)}" if left_out else ""
    same = "the same" if asked.steady else "another answer"
    return _yes(f"{_quoted(asked.whole.text)}, asked again {same}{refused}")


@_check("usage")
async def usage(asked: Asked) -> Finding:
    counted = asked.whole.usage if asked.whole else None
    if counted is None:
        return _no("a whole answer tells no token counts, or wrong ones")
    parts = f", {counted.reasoning_tokens} of them reasoning" if counted.reasoning_tokens else ""
    return _yes(f"{counted.input_tokens} tokens in, {counted.output_tokens} out{parts}")


@_check("streaming")
async def streaming(asked: Asked) -> Finding:
    asked.streamed = got = await asked.ask(stream=True)
    times = got.timings
    if times is None or times.ttft is None:
        return _no("the answer came as a whole") if got.text else _unclear("the answer is empty")
    pieces = len(times.gaps) + 1
    if pieces > 2 and not any(times.gaps):
        return _unclear(f"all {pieces} pieces came at once: something in between buffers")
    first, last = times.ttft * 1000, times.e2e * 1000
    return _yes(f"{_pieces(pieces)}, the first after {first:.1f} ms, all after {last:.1f} ms")


@_check("streamed_usage")
async def streamed_usage(asked: Asked) -> Finding:
    got = asked.streamed
    if got is None or got.timings is None or got.timings.ttft is None:
        return _unclear("nothing was streamed")
    if got.usage is None:
        return _no("a stream tells no token counts, though they were asked for")
    return _yes(f"{got.usage.input_tokens} tokens in, {got.usage.output_tokens} out")


@_check("logprobs")
async def logprobs(asked: Asked) -> Finding:
    got = await asked.ask(logprobs=True, top_logprobs=2)
    if not got.logprobs:
        return _no("asked for, none came")
    tokens = f" for {got.usage.output_tokens} output tokens" if got.usage else ""
    return _yes(f"{len(got.logprobs)} log-probabilities{tokens}")


@_check("seed")
async def seed(asked: Asked) -> Finding:
    """The same seed must give the same answer where other seeds give others."""
    refused: ModelError | None = None
    for temperature in (1, 2):
        try:
            first, second = [await asked.ask(_DRAW, temperature=temperature, seed=7) for _ in range(2)]
            if first.text != second.text:
                return _no(f"the same seed gave two answers at temperature {temperature}")
            for other in (8, 9, 10):
                if (await asked.ask(_DRAW, temperature=temperature, seed=other)).text != first.text:
                    return _yes(f"the same answer twice at temperature {temperature}, another with another seed")
        except ModelError as error:
            if refused is not None or temperature == 1 or error.kind != "bad_request":
                raise
            refused = error
    return _unclear("the same answer twice, but also with other seeds")


@_check("json_schema")
async def json_schema(asked: Asked) -> Finding:
    shape = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": _SCHEMA}}
    got = await asked.ask(_CITY, response_format=shape, limit=_longer(asked, 200))
    value = _parsed(got.text)
    if isinstance(value, dict) and set(value) == set(_SCHEMA["properties"]):
        return _yes(_quoted(got.text))
    if got.finish_reason == "length" and got.text.lstrip().startswith("{"):
        return _unclear(f"JSON that was cut at its longest: {_quoted(got.text)}")
    return _no(f"accepted and ignored: {_quoted(got.text)}")


@_check("tools")
async def tools(asked: Asked) -> Finding:
    limit = _longer(asked, 200)
    refused = ""
    try:
        got = await asked.ask(_WEATHER, tools=[_TOOL], tool_choice="required", limit=limit)
    except ModelError as error:
        if error.kind != "bad_request":
            raise
        refused = ", with tool_choice auto only"
        got = await asked.ask(_WEATHER, tools=[_TOOL], tool_choice="auto", limit=limit)
    if not got.tool_calls:
        return _no(f"accepted and ignored: {_quoted(got.text)}")
    function = got.tool_calls[0]["function"]
    if function["name"] != "get_weather" or not isinstance(_parsed(function["arguments"]), dict):
        return _no(f"a call that the tool can't take: {_quoted(json.dumps(function))}")
    return _yes(f"get_weather({_quoted(function['arguments'])}){refused}")


@_check("stop")
async def stop(asked: Asked) -> Finding:
    """A piece out of the middle of the plain answer as the stop sequence must end the answer before it."""
    whole = asked.whole.text if asked.whole else ""
    middle = len(whole) // 2
    piece = whole.rstrip()[middle : middle + 4].strip()
    if not asked.steady or not piece:
        return _unclear("needs the same answer twice, which the endpoint does not give")
    piece = piece[:-1] if whole.rstrip().endswith(piece) else piece
    if not piece:
        return _unclear(f"the answer {_quoted(whole)} is too short to be stopped")
    got = await asked.ask(stop=[piece])
    before = whole[: whole.find(piece)]
    if got.text.rstrip() == before.rstrip():
        return _yes(f"ended before {_quoted(piece)}")
    if got.text.rstrip() == (before + piece).rstrip():
        return _yes(f"ended after {_quoted(piece)}, which it keeps in the answer")
    if got.text == whole:
        return _no(f"accepted and ignored: {_quoted(piece)} is in the answer")
    return _unclear("the answer changed in another way")


@_check("max_tokens")
async def max_tokens(asked: Asked) -> Finding:
    most = asked.whole.usage.output_tokens if asked.whole and asked.whole.usage else 4
    limit = 3 if most > 4 else 1
    got = await asked.ask(limit=limit)
    counted = None if got.usage is None else got.usage.output_tokens
    if counted is not None and counted > limit:
        return _no(f"asked for {limit} tokens, counted {counted}")
    whole = asked.whole.text if asked.whole else ""
    if got.text == whole and got.finish_reason != "length":
        if len(whole.split()) > 2 * limit:
            return _no(f"asked for {limit} tokens, got {_quoted(got.text)}")
        return _unclear(f"the whole answer may be no longer than {limit} tokens")
    told = "" if got.finish_reason == "length" else f", but says it finished by {got.finish_reason!r}"
    name = "" if asked.limit_name == "max_tokens" else f" ({asked.limit_name})"
    return _yes(f"asked for {limit}{name}, got {'so many' if counted is None else counted}{told}")


@_check("eos_counted")
async def eos_counted(asked: Asked) -> Finding:
    """An answer that ended by itself, asked for again with a limit one below its count: is all of it still there?
    Then the one token that is missing was the end token, which was counted."""
    got = asked.whole
    if got is None or got.usage is None:
        return _unclear("the endpoint tells no token counts")
    if got.finish_reason != "stop" or got.usage.reasoning_tokens:
        return _unclear("the plain answer did not end by itself, or holds hidden reasoning")
    counted = got.usage.output_tokens
    if not asked.steady or counted < 2:
        return _unclear("needs the same answer twice, which the endpoint does not give")
    shorter = await asked.ask(limit=counted - 1)
    if shorter.text == got.text:
        return _yes(f"the end token is one of the {counted} that were counted")
    if got.text.startswith(shorter.text):
        return _no(f"{counted} tokens are text alone; the end token is not counted")
    return _unclear("the answer changed in another way")


@_check("token_counting")
async def token_counting(asked: Asked) -> Finding:
    """Whether whole and streamed answers are counted alike, and what a message costs beside its words."""
    whole, streamed = asked.whole, asked.streamed
    if whole is None or whole.usage is None:
        return _unclear("the endpoint tells no token counts")
    one, eleven = [(await asked.ask(text)).usage for text in ("a", "a" + " a" * 10)]
    said: list[str] = []
    if one is not None and eleven is not None:
        said.append(f"a message of one word counts {one.input_tokens} input tokens, of eleven {eleven.input_tokens}")
    if streamed is not None and streamed.usage is not None and streamed.timings is not None:
        pieces = len(streamed.timings.gaps) + 1
        said.append(f"a stream of {_pieces(pieces)} counts {streamed.usage.output_tokens} output tokens")
        if streamed.text == whole.text and streamed.usage != whole.usage:
            alike = f"the same answer counts {_counts(whole.usage)} whole, {_counts(streamed.usage)} streamed"
            return _no("; ".join([alike, *said]))
    return _yes("; ".join(said) or f"{whole.usage.input_tokens} tokens in, {whole.usage.output_tokens} out")


CHECKS: tuple[Check, ...] = (
    chat,
    usage,
    streaming,
    streamed_usage,
    logprobs,
    seed,
    json_schema,
    tools,
    stop,
    max_tokens,
    eos_counted,
    token_counting,
)
"""In this order: the first ones find out what the later ones build on."""


def _longer(asked: Asked, limit: int) -> int:
    """A limit that leaves room for JSON, and for thoughts where the endpoint thinks."""
    return max(limit, int(asked.manner.get(asked.limit_name, limit)))


def _pieces(number: int) -> str:
    return "1 piece" if number == 1 else f"{number} pieces"


def _counts(usage: Usage) -> str:
    return f"{usage.input_tokens} tokens in and {usage.output_tokens} out"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _quoted(text: str) -> str:
    """Model output on one line, short, and with nothing that a terminal would act on."""
    line = " ".join(text.split())
    line = "".join(character if character.isprintable() else "?" for character in line[:61])
    return f'"{line[:60]}{"..." if len(line) > 60 else ""}"'

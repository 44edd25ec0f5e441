"""What every `Model` promises, as tests that any implementation can be put to.

```python
class TestMyModel(ModelContract):
    @asynccontextmanager
    async def model(self) -> AsyncIterator[Model]:
        yield MyModel(...)
```
"""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, get_args

import msgspec

from proveout import wire
from proveout.models import FinishReason, Generation, Model, ModelError, Request
from proveout.project.records import Message

KINDS = frozenset(
    [
        "connect",
        "timeout",
        "status",
        "rate_limit",
        "overloaded",
        "cut",
        "malformed",
        "too_large",
        "auth",
        "bad_request",
        "no_recording",
        "budget",
    ]
)
"""Every kind that a ModelError may have."""

_PATIENCE_S = 30.0
_AT_ONCE = 8


class ModelContract:
    """Subclass it as `Test...` and give a `model`; also a `failing` one where a call of it can be made to fail.

    `messages` and `parameters` are what it is asked. The model must answer every call, also after one was cancelled.
    """

    messages: tuple[Message, ...] = (Message("user", "where is my package"),)
    parameters: Mapping[str, Any] = {"temperature": 0, "max_tokens": 16}

    def model(self) -> AbstractAsyncContextManager[Model]:
        """A fresh model that answers; closed, with all that it needs, when the context ends."""
        raise NotImplementedError

    def failing(self) -> AbstractAsyncContextManager[Model]:
        """A fresh model whose every call fails."""
        raise unittest.SkipTest("no failing model was given")

    def request(self, **changes: Any) -> Request:
        return Request(messages=self.messages, parameters=dict(self.parameters), **changes)

    def test_it_answers_with_a_whole_record(self) -> None:
        async def check(model: Model) -> None:
            self._is_sound(await model.generate(self.request()), streamed=False)

        self._with_model(check)

    def test_a_streamed_answer_has_times_that_add_up(self) -> None:
        async def check(model: Model) -> None:
            self._is_sound(await model.generate(self.request(stream=True)), streamed=True)

        self._with_model(check)

    def test_a_request_is_left_as_it_was_and_can_be_sent_again(self) -> None:
        async def check(model: Model) -> None:
            request = self.request(repeat=1)
            before = msgspec.json.encode(request.parameters)
            await model.generate(request)
            await model.generate(request)
            assert msgspec.json.encode(request.parameters) == before

        self._with_model(check)

    def test_an_answer_survives_being_stored(self) -> None:
        async def check(model: Model) -> None:
            generation = await model.generate(self.request())
            assert msgspec.json.decode(msgspec.json.encode(generation), type=Generation) == generation

        self._with_model(check)

    def test_many_calls_at_once_are_all_answered(self) -> None:
        async def check(model: Model) -> None:
            calls = [model.generate(self.request(repeat=repeat, stream=repeat % 2 == 1)) for repeat in range(_AT_ONCE)]
            for generation in await asyncio.gather(*calls):
                assert isinstance(generation, Generation)

        self._with_model(check)

    def test_cancelling_a_call_leaves_the_model_usable(self) -> None:
        async def check(model: Model) -> None:
            for wait_s in (0.0, 0.001, 0.01):
                call = asyncio.ensure_future(model.generate(self.request()))
                await asyncio.sleep(wait_s)
                call.cancel()
                (outcome,) = await asyncio.gather(call, return_exceptions=True)
                assert isinstance(outcome, Generation | asyncio.CancelledError), outcome
            assert isinstance(await model.generate(self.request()), Generation)

        self._with_model(check)

    def test_closing_twice_does_no_harm_and_later_calls_end(self) -> None:
        async def check(model: Model) -> None:
            await model.generate(self.request())
            await model.aclose()
            await model.aclose()
            await self._outcome(model.generate(self.request()))

        self._with_model(check)

    def test_closing_with_calls_in_flight_ends_them_all(self) -> None:
        async def check(model: Model) -> None:
            calls = [asyncio.ensure_future(self._outcome(model.generate(self.request()))) for _ in range(_AT_ONCE)]
            await asyncio.sleep(0)
            await model.aclose()
            await asyncio.gather(*calls)

        self._with_model(check)

    def test_a_failure_is_a_model_error_of_a_known_kind(self) -> None:
        async def check(model: Model) -> None:
            for stream in (False, True):
                error = await self._outcome(model.generate(self.request(stream=stream)))
                assert isinstance(error, ModelError), f"an answer came: {error!r}"
                assert error.kind in KINDS
                assert error.attempts >= 1
                assert error.retry_after_s is None or error.retry_after_s >= 0
                assert str(error)
                assert "\n" not in str(error)

        self._run(self.failing, check)

    @staticmethod
    async def _outcome(call: Awaitable[Generation]) -> Generation | ModelError:
        """What a call ends in, which may be nothing else."""
        try:
            return await call
        except ModelError as error:
            return error

    @staticmethod
    def _is_sound(generation: Generation, *, streamed: bool) -> None:
        assert isinstance(generation, Generation)
        assert generation.text or generation.tool_calls or generation.refusal, "the answer is empty"
        assert generation.finish_reason in get_args(FinishReason)
        assert generation.attempts >= 1
        if generation.usage is not None:
            usage = generation.usage
            assert 0 <= usage.cached_tokens + usage.cache_write_tokens <= usage.input_tokens
            assert 0 <= usage.reasoning_tokens <= usage.output_tokens
        times = generation.timings
        if times is not None:
            assert times.e2e >= 0
            assert streamed or times.ttft is None, "the first token's time of an answer that was not streamed"
            assert times.ttft is not None or not times.gaps
            assert all(gap >= 0 for gap in times.gaps)
            if times.ttft is not None:
                assert times.ttft >= 0
                assert times.ttft + sum(times.gaps) <= times.e2e + 1e-6

    def _with_model(self, check: Callable[[Model], Awaitable[None]]) -> None:
        self._run(self.model, check)

    @staticmethod
    def _run(open: Callable[[], AbstractAsyncContextManager[Model]], check: Callable[[Model], Awaitable[None]]) -> None:
        context = open()

        async def run() -> None:
            async with asyncio.timeout(_PATIENCE_S), context as model:
                await check(model)

        wire.run(run())

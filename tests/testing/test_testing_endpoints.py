"""A scripted endpoint is a real one to a client: streamed or whole, with usage, with faults where the script says."""

import asyncio
from typing import Any

import pytest

from proveout.models import Generation, ModelError, ModelPool, Request
from proveout.project.records import Limits, Message, ModelSpec
from proveout.testing.endpoints import ScriptedEndpoint, question, said, streamed
from proveout.testing.faults import Answer


def ask(endpoint: ScriptedEndpoint, text: str, **fields: Any) -> Generation:
    spec = ModelSpec("openai-compatible", "m", url=endpoint.url, limits=Limits(retries=0))

    async def call() -> Generation:
        async with ModelPool() as pool:
            return await pool.open(spec).generate(Request(messages=(Message("user", text),), **fields))

    return asyncio.run(call())


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_is_answered_in_the_form_that_was_asked_for(stream: bool):
    with ScriptedEndpoint(lambda received: question(received).upper()) as endpoint:
        found = ask(endpoint, "hello", stream=stream)
    assert (found.text, found.finish_reason) == ("HELLO", "stop")
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens) == (5, 1)


def test_pieces_are_streamed_one_by_one():
    with ScriptedEndpoint(lambda _: streamed(["a", "b", "c"], tokens=(9, 3), gap_s=0.001)) as endpoint:
        found = ask(endpoint, "hello", stream=True)
    assert found.text == "abc"
    assert found.usage is not None
    assert found.usage.output_tokens == 3
    assert found.timings is not None
    assert len(found.timings.gaps) == 2


@pytest.mark.parametrize(
    ("answer", "kind"), [(Answer(status=500), "status"), (said("a long text", cut_after=60), "cut")]
)
def test_an_answer_may_be_a_fault(answer: Answer, kind: str):
    with ScriptedEndpoint(lambda _: answer) as endpoint, pytest.raises(ModelError) as caught:
        ask(endpoint, "hello")
    assert caught.value.kind == kind


def test_it_remembers_what_it_was_asked():
    with ScriptedEndpoint(lambda _: "yes") as endpoint:
        for text in ("one", "two", "one"):
            ask(endpoint, text)
    assert endpoint.asked() == {("m", "one"): 2, ("m", "two"): 1}
    assert endpoint.received[0].target == "/v1/chat/completions"

"""`--max-cost` and `--max-calls` are never overspent, and no more is refused than must be."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from calls_models import ScriptedModel, answer, ask, failure
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.models import Budget, BudgetExceeded, Generation, ModelError, Request, Usage
from proveout.models.budget import Budgeted, may_be_billed
from proveout.models.pricing import ceiling_usd
from proveout.models.tokens import LONGEST_OUTPUT, input_ceiling, output_ceiling
from proveout.project.records import Message, Price
from proveout.wire import run

PRICE = Price(provider="openai", model="m", since="2026-01-01", input=1.0, output=10.0)


def worst(request: Request) -> float:
    return ceiling_usd(PRICE, input_ceiling(request), output_ceiling(request))


def budgeted(model: ScriptedModel, price: Price | None = PRICE, **limits: float) -> Budgeted:
    return Budgeted(model, Budget(**limits), price, "openai/m")  # type: ignore[arg-type]


def test_exactly_as_many_calls_as_allowed_are_made_however_many_ask() -> None:
    model = ScriptedModel(seconds=0.001)
    paid = budgeted(model, max_calls=50)

    async def main() -> list[object]:
        return await asyncio.gather(*(paid.generate(ask(str(n))) for n in range(64)), return_exceptions=True)

    results = run(main())
    assert len(model.requests) == 50
    assert Counter(type(result) for result in results) == {Generation: 50, BudgetExceeded: 14}


def test_a_call_waits_for_what_others_put_aside_and_goes_when_they_cost_less() -> None:
    """Room for two worst cases, but for many real costs: all calls are made, two at a time."""
    request = ask(max_tokens=1000)
    model = ScriptedModel(seconds=0.001)
    paid = budgeted(model, max_cost_usd=2.5 * worst(request))

    async def main() -> None:
        await asyncio.gather(*(paid.generate(request) for _ in range(40)))

    run(main())
    assert len(model.requests) == 40
    assert model.most_in_flight == 2


def test_the_refusal_says_what_a_call_can_cost_and_what_is_left() -> None:
    paid = budgeted(ScriptedModel(), max_cost_usd=0.001)
    with pytest.raises(BudgetExceeded, match=r"can cost up to \$1\.31\d+, and \$0\.001 of --max-cost 0\.001 are left"):
        run(paid.generate(ask()))
    assert output_ceiling(ask()) == LONGEST_OUTPUT


def test_an_unknown_price_is_refused_when_money_is_limited_and_nothing_is_sent() -> None:
    model = ScriptedModel()
    with pytest.raises(BudgetExceeded, match=r"price of openai/m is unknown.*prices\.yaml"):
        run(budgeted(model, price=None, max_cost_usd=100).generate(ask(max_tokens=1)))
    assert model.requests == []


def test_an_unknown_price_is_no_trouble_when_only_calls_are_limited() -> None:
    generation = run(budgeted(ScriptedModel(), price=None, max_calls=1).generate(ask()))
    assert generation.cost_usd is None


def test_an_answer_without_usage_is_charged_its_worst_case_and_has_no_known_cost() -> None:
    request = ask(max_tokens=100)
    budget = Budget(max_cost_usd=1.0)
    paid = Budgeted(ScriptedModel(lambda *_: answer(tokens=None)), budget, PRICE, "m")
    assert run(paid.generate(request)).cost_usd is None
    assert budget.spent_usd == pytest.approx(worst(request))


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (failure("connect"), False),
        (failure("rate_limit", status=429), False),
        (failure("overloaded", status=503), False),
        (failure("auth", status=401), False),
        (failure("bad_request", status=400), False),
        (failure("status", status=404), False),
        (failure("status", status=500), True),
        (failure("timeout"), True),
        (failure("cut"), True),
        (failure("malformed"), True),
        (failure("too_large"), True),
        (failure("a kind of tomorrow"), True),
    ],
)
def test_a_failed_try_is_charged_unless_it_surely_was_not_billed(error: ModelError, billed: bool) -> None:
    request = ask(max_tokens=100)
    budget = Budget(max_cost_usd=1.0)
    with pytest.raises(ModelError):
        run(Budgeted(ScriptedModel(lambda *_: error), budget, PRICE, "m").generate(request))
    assert may_be_billed(error) is billed
    assert budget.spent_usd == (pytest.approx(worst(request)) if billed else 0.0)
    assert budget.calls == (0 if error.kind == "connect" else 1)


def test_refused_tries_count_among_the_calls_that_may_be_made() -> None:
    refusing = ScriptedModel(lambda *_: failure("rate_limit", status=429))
    model = Budgeted(refusing, Budget(max_calls=3), PRICE, "m")
    for _ in range(3):
        with pytest.raises(ModelError):
            run(model.generate(ask()))
    with pytest.raises(BudgetExceeded, match="--max-calls 3 is used up"):
        run(model.generate(ask()))


def test_a_cancelled_call_is_charged_and_a_cancelled_wait_is_not() -> None:
    request = ask(max_tokens=100)
    model = ScriptedModel(seconds=60)
    budget = Budget(max_cost_usd=1.5 * worst(request))
    paid = Budgeted(model, budget, PRICE, "m")

    async def main() -> None:
        first = asyncio.ensure_future(paid.generate(request))
        second = asyncio.ensure_future(paid.generate(request))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)

    run(main())
    assert (budget.calls, len(model.requests)) == (1, 1)
    assert budget.spent_usd == pytest.approx(worst(request))


def test_a_wait_that_is_cancelled_as_it_is_granted_gives_its_share_back() -> None:
    async def main() -> None:
        budget = Budget(max_calls=1)
        held = await budget.reserve(None)
        waiting = asyncio.ensure_future(budget.reserve(None))
        await asyncio.sleep(0)
        budget.release(held)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(budget.reserve(None), 1)

    run(main())


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    calls=st.integers(1, 200),
    max_calls=st.none() | st.integers(0, 120),
    dollars=st.none() | st.floats(0, 0.2),
)
def test_no_order_of_events_overspends(seed: int, calls: int, max_calls: int | None, dollars: float | None) -> None:
    """64 callers; answers, failures and cancellations at random. What an honest server would bill is added up."""
    chance = random.Random(seed)
    billed: list[float] = []

    def respond(_: int, request: Request) -> Generation | Exception:
        if chance.random() < 0.2:
            return failure("rate_limit", status=429)
        usage = Usage(
            input_tokens=chance.randint(1, input_ceiling(request)),
            output_tokens=chance.randint(0, request.parameters["max_tokens"]),
        )
        billed.append((usage.input_tokens * PRICE.input + usage.output_tokens * PRICE.output) / 1e6)
        if chance.random() < 0.2:
            return failure(chance.choice(["timeout", "cut", "malformed"]))
        return Generation(text="", usage=usage)

    budget = Budget(max_calls=max_calls, max_cost_usd=dollars)
    paid = Budgeted(ScriptedModel(respond), budget, PRICE, "m")

    async def worker(work: list[int]) -> None:
        while work:
            request = ask("x" * chance.randint(0, 400), max_tokens=chance.randint(1, work.pop()))
            try:
                async with asyncio.timeout(0 if chance.random() < 0.1 else None):
                    await paid.generate(request)
            except (ModelError, TimeoutError):
                pass

    async def main() -> None:
        work = [chance.randint(1, 1000) for _ in range(calls)]
        await asyncio.gather(*(worker(work) for _ in range(64)))

    run(main())
    assert max_calls is None or len(billed) <= budget.calls <= max_calls
    assert dollars is None or sum(billed) <= budget.spent_usd + 1e-9 <= dollars + 2e-9


def test_many_small_sums_are_exact() -> None:
    """0.1 + 0.2 > 0.3 in floating point; a budget of three dimes buys three calls of one."""
    dime = Price(provider="p", model="m", since="2026-01-01", input=0, output=0, per_request=0.1)
    model = ScriptedModel()
    paid = budgeted(model, price=dime, max_cost_usd=0.3)

    async def main() -> None:
        for _ in range(3):
            await paid.generate(ask())
        with pytest.raises(BudgetExceeded):
            await paid.generate(ask())

    run(main())
    assert len(model.requests) == 3


@given(st.text(max_size=300), st.integers(0, 5))
def test_no_byte_level_tokenizer_counts_more_tokens_than_the_ceiling(text: str, tools: int) -> None:
    """One token for each byte is the most that such a vocabulary can make of a text."""
    request = Request(
        messages=(Message("user", text),), parameters={"tools": [{"type": "function", "name": text}] * tools}
    )
    assert input_ceiling(request) >= len(text.encode()) * (1 + tools)


def test_media_named_by_address_have_a_ceiling_of_their_own() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
    pictured = Request(messages=(Message("user", [{"type": "text", "text": "what is it?"}, picture]),))
    assert input_ceiling(pictured) > 50_000

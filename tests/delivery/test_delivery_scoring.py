"""Scores of live and shadowed answers: what is scored, by what, once each, within a budget, and what they decide."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from delivery_house import House, write_project

from proveout.delivery.online import AGREEMENT, LiveScoring, attempt_of
from proveout.delivery.scoring import OnlineScoring
from proveout.delivery.status import status_of
from proveout.project import Online
from proveout.storage import Store, Trace, open_store
from proveout.storage.records import coin
from proveout.testing.faults import Answer, FaultServer

SHADOW = ({"shadow": {"requests": 40}}, {"canary": {"weight": 0.5, "requests": 30}})
POLITE: dict[str, Any] = {"contains": {"any": ["please"], "metric": "polite"}}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """SQLite alone: nothing here depends on the database."""
    with open_store(f"sqlite:///{tmp_path}/store.db") as opened:
        yield opened


def house(store: Store, folder: Path, **options: Any) -> House:
    found = House(store, write_project(folder / "project", **({"steps": SHADOW, "margin": 0.3} | options)))
    found.start()
    found.tick()
    return found


def says(text: str, share: float = 1.0, otherwise: str = "no", seed: int = 1) -> Callable[[], str]:
    random_ = random.Random(seed)
    return lambda: text if random_.random() < share else otherwise


def score(house: House, scoring: OnlineScoring | None = None) -> int:
    """Score until nothing is left; returns how many scores there are now."""
    scoring = scoring or OnlineScoring(house.store, lambda: house.project, house.clock)
    asyncio.run(scoring.run_all())
    scoring.close()
    return len(scores(house.store))


def scores(store: Store) -> list[tuple[str, str, float | None]]:
    return [(one.trace, one.name, one.score) for _, one in store.feedback.after(limit=100_000)]


def status(house: House) -> Any:
    return status_of(house.store, house.service, "production", house.clock.now)


def test_a_shadow_compares_answers_and_a_worse_challenger_is_taken_back_before_anybody_saw_it(
    store: Store, tmp_path: Path
) -> None:
    here = house(store, tmp_path, scorers=["exact_match", POLITE])
    for _ in range(8):
        here.serve(40, says={"base": says("yes please"), "new": says("yes please", 0.5)})
        score(here)
        if not here.tick().active:
            break
    assert here.rollout.status == "rolled_back"
    assert "scorer:polite is worse" in here.rollout.reason
    assert here.release.weights == {here.fingerprint("base"): 1.0}
    assert all(
        set(one.weights) == {here.fingerprint("base")} for one in store.releases.history("production", "answers")
    )
    kept = store.deliveries.failures("answers")
    assert kept
    assert {failure.signal for failure in kept} == {"scorer:polite"}
    assert all((trace := store.traces.get(one.trace)) and trace.shadow_of for one in kept)


def test_agreement_with_the_champion_is_shown_and_decides_only_where_that_is_declared(
    store: Store, tmp_path: Path
) -> None:
    here = house(store, tmp_path)
    here.serve(60, says={"base": says("a"), "new": says("a", 0.5, "b")})
    assert score(here) == 60
    (found,) = [one for one in status(here).signals if one.signal == AGREEMENT]
    assert not found.decides
    assert found.challenger == pytest.approx(0.5, abs=0.2)
    assert here.tick().shown == "canary"

    with open_store(f"sqlite:///{tmp_path}/other.db") as second:
        strict = house(second, tmp_path / "strict", online={"agreement": "90%"})
        strict.serve(120, says={"base": says("a"), "new": says("a", 0.5, "b")})
        score(strict)
        assert strict.tick().status == "rolled_back"
        assert f"{AGREEMENT} is worse: 0.9 to" in strict.rollout.reason


def test_without_kept_content_a_shadow_says_that_nothing_was_compared_and_how_to_switch_it_on(
    store: Store, tmp_path: Path
) -> None:
    here = house(store, tmp_path)
    here.serve(60)
    assert score(here) == 0
    assert here.tick().shown == "canary"
    (advanced,) = [entry for entry in store.audit.after() if entry.action == "advance"]
    assert "was not compared" in advanced.body["reason"]
    assert "content: {capture: all}" in advanced.body["reason"]


def test_declared_scores_that_are_missing_or_late_never_advance(store: Store, tmp_path: Path) -> None:
    here = house(store, tmp_path, online={"scorers": [POLITE]})
    here.serve(200)
    score(here)
    for _ in range(5):
        assert here.tick(60).shown == "shadow"
    assert "scorer:polite (0 of 200 sampled answers)" in status(here).reason
    assert "content: {capture: all}" in status(here).reason
    here.serve(220, says={"base": says("please"), "new": says("please")})
    assert here.tick().shown == "shadow"  # They are kept by now, and not scored yet.
    score(here)
    assert here.tick().shown == "canary"


def test_an_online_scorer_that_cannot_be_used_is_told_by_check_and_nothing_advances_without_it(
    store: Store, tmp_path: Path, proveout: Any
) -> None:
    here = house(store, tmp_path, online={"scorers": ["exact_match"]})
    checked = proveout("check", "-C", here.folder)
    assert checked.code == 2
    assert "online.scorers[0]: exact_match needs an expected answer" in checked.err
    here.serve(200, says={"base": says("a"), "new": says("a")})
    assert score(here) == 0
    assert here.tick().shown == "shadow"


def test_check_names_every_scorer_that_cannot_be_used_with_its_line(tmp_path: Path, proveout: Any) -> None:
    broken: dict[str, Any] = {"regex": {"pattern": "(", "metric": "shape"}}
    folder = write_project(
        tmp_path, scorers=["exact_match", broken], online={"scorers": ["exact_match", broken, {"llm_judge": {}}]}
    )
    found = [line.strip() for line in proveout("check", "-C", folder).err.splitlines()[1:]]
    text = (folder / "services" / "answers" / "service.yaml").read_text().splitlines()
    places = [line.split(":")[1] for line in found]
    assert [text[int(place) - 1].strip(' ",') for place in places[:2]] == ["{", "exact_match"]
    fields = ["scorers[1]", "online.scorers[0]", "online.scorers[1]", "online.scorers[2]"]
    assert [line.split(": ")[1] for line in found] == fields
    assert int(places[0]) < int(places[1]) < int(places[2]) < int(places[3])


def test_served_answers_are_scored_by_a_sample_that_everybody_draws_alike(store: Store, tmp_path: Path) -> None:
    here = house(
        store,
        tmp_path,
        steps=[{"canary": {"weight": 0.5, "requests": 5000}}],
        online={"scorers": [POLITE], "sample": 0.2},
    )
    here.serve(300, says={"base": says("please"), "new": says("please")})
    score(here)
    wanted = {trace.id for _, trace in store.traces.after() if coin(trace.id) < 0.2}
    assert {trace for trace, _, _ in scores(store)} == wanted
    assert 30 < len(wanted) < 90
    assert here.tick().reason.startswith("started")
    assert "of 5,000 requests" in status(here).reason


def test_a_champion_that_nobody_challenges_is_scored_and_taken_back_when_its_answers_degrade(
    store: Store, tmp_path: Path
) -> None:
    folder = write_project(
        tmp_path / "project", fallback="other", margin=0.1, online={"scorers": [POLITE], "sample": 1.0}
    )
    here = House(store, folder)
    here.tick()
    for _ in range(6):
        here.serve(100, says={"base": says("please", 0.95)})
        score(here)
        here.tick()
    assert here.release.weights == {here.fingerprint("base"): 1.0}
    for _ in range(10):
        here.serve(100, says={"base": says("please", 0.3, seed=2), "other": says("please")})
        score(here)
        here.tick()
        if set(here.release.weights) != {here.fingerprint("base")}:
            break
    assert here.release.weights == {here.fingerprint("other"): 1.0}
    assert "scorer:polite rose" in here.rollout.reason


def test_scoring_again_or_by_two_at_once_changes_nothing(store: Store, tmp_path: Path) -> None:
    here = house(store, tmp_path, online={"scorers": [POLITE]})
    here.serve(50, says={"base": says("please"), "new": says("please")})
    first = OnlineScoring(store, lambda: here.project, here.clock)
    asyncio.run(first.run_due())
    second = OnlineScoring(store, lambda: here.project, here.clock)
    assert asyncio.run(second.run_due()) == 0  # The first has the lease.
    first.close()
    score(here)
    once = scores(store)
    assert len(once) == len({(trace, name) for trace, name, _ in once}) == 50 * 2 + 50
    store.events.latest = lambda kind, subject: None  # type: ignore[method-assign]  # As if it were killed before it noted.
    score(here)
    assert scores(store) == once


def judged(server: FaultServer, **online: Any) -> dict[str, Any]:
    judge = {
        "model": {
            "provider": "openai-compatible",
            "name": "judge",
            "url": server.url + "/v1",
            "limits": {"retries": 0},
        },
        "rubric": "Is it polite?",
        "metric": "kind",
        "tries": 1,
        "parameters": {"max_tokens": 50},
    }
    return {"online": {"scorers": [{"llm_judge": judge}], **online}}


def verdict(good: bool) -> Answer:
    message = {"role": "assistant", "content": json.dumps({"reason": "because", "pass": good})}
    return Answer.json(
        {
            "id": "c", "object": "chat.completion", "created": 1, "model": "judge",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 10, "total_tokens": 210},
        }
    )  # fmt: skip


def price(folder: Path) -> None:
    prices = {"provider": "openai-compatible", "model": "judge", "since": "2024-01-01", "input": 1.0, "output": 1.0}
    (folder / "prices.yaml").write_text(json.dumps({"prices": [prices]}))


def test_a_judge_is_asked_within_the_days_budget_also_after_a_restart(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        async with FaultServer(lambda request: verdict("rude" not in request.body.decode())) as server:
            here = await asyncio.to_thread(house, store, tmp_path, **judged(server, max_cost=0.012))
            price(here.folder)
            here.serve(40, says={"base": says("kind"), "new": says("rude")})
            for _ in range(4):
                scoring = OnlineScoring(store, lambda: here.project, here.clock)
                await scoring.run_all()
                await asyncio.to_thread(scoring.close)
            asked = len(server.received)
            assert 20 <= asked <= 57  # At 0.00021 dollars each, with a worst case put aside before each.
            found = status(here)
            assert found.scoring["spent_usd"] == pytest.approx(asked * 0.00021)
            assert found.scoring["spent_usd"] <= 0.012
            assert found.scoring["unscored"]
            values = {name: value for _, name, value in scores(store)}
            assert set(values) == {"judge:kind", AGREEMENT}
            (told,) = {one.comment for _, one in store.feedback.after() if one.name == "judge:kind"}
            assert told == "because"
            here.clock.now += 86_400  # Tomorrow there is money again.
            here.serve(5, says={"base": says("kind"), "new": says("rude")})
            await asyncio.to_thread(score_in_thread, here)
            assert len(server.received) > asked

    asyncio.run(run())


def test_what_a_killed_process_had_put_aside_for_judges_counts_as_spent(tmp_path: Path) -> None:
    url, asked, most = f"sqlite:///{tmp_path}/store.db", 9, 0.02
    (folder := tmp_path / "project").mkdir()

    async def until_killed() -> None:
        calls = [0]

        def answer(request: Any) -> Answer:
            calls[0] += 1
            if calls[0] == asked:
                os.kill(os.getpid(), signal.SIGKILL)
            return verdict(True)

        async with FaultServer(answer) as server:
            with open_store(url) as store:
                here = await asyncio.to_thread(house, store, tmp_path, **judged(server, max_cost=most))
                price(folder)
                here.serve(40, says={"base": says("kind"), "new": says("kind")})
                await OnlineScoring(store, lambda: here.project, here.clock).run_all()

    if (child := os.fork()) == 0:
        asyncio.run(until_killed())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with open_store(url) as store:
        here = House(store, folder)
        here.clock.now += 60  # Its lease is over.
        left_behind = status(here).scoring["spent_usd"]
        assert asked * 0.00021 <= left_behind < most
        score(here)  # The judge is away by now, which costs nothing.
        assert status(here).scoring["spent_usd"] == left_behind


def test_judges_that_fail_and_may_be_on_the_bill_are_in_the_days_sum(store: Store, tmp_path: Path) -> None:
    async def run() -> None:
        async with FaultServer(lambda request: Answer(status=500)) as server:
            here = await asyncio.to_thread(house, store, tmp_path, **judged(server, max_cost=0.01))
            price(here.folder)
            here.serve(5, says={"base": says("kind"), "new": says("kind")})
            await OnlineScoring(store, lambda: here.project, here.clock).run_all()
            assert 0 < status(here).scoring["spent_usd"] <= 0.01

    asyncio.run(run())


def score_in_thread(here: House) -> None:
    score(here)


def test_a_pairwise_judge_compares_a_shadows_pairs_in_both_orders(store: Store, tmp_path: Path) -> None:
    def prefers_kind(request: Any) -> Answer:
        asked = request.body.decode()
        winner = "1" if asked.index("kind words") < asked.index("rude words") else "2"
        message = {"role": "assistant", "content": json.dumps({"reason": "kinder", "winner": winner})}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return Answer.json({"id": "c", "object": "chat.completion", "created": 1, "model": "j", "choices": [choice]})

    async def run() -> None:
        async with FaultServer(prefers_kind) as server:
            model = {"provider": "openai-compatible", "name": "judge", "url": server.url + "/v1"}
            judge = {"pairwise_judge": {"model": model, "rubric": "Which one is more pleasant?", "metric": "duel"}}
            online = {"scorers": [judge], "max_cost": None}
            here = await asyncio.to_thread(house, store, tmp_path, online=online)
            here.serve(30, says={"base": says("kind words"), "new": says("rude words")})
            await asyncio.to_thread(score, here)
            duels = [(trace[0], value) for trace, name, value in scores(store) if name == "judge:duel"]
            assert sorted(duels) == [("s", 0.0)] * 30 + [("t", 1.0)] * 30
            assert (await asyncio.to_thread(here.tick)).status == "rolled_back"
            assert "judge:duel is worse: 1 to 0" in here.rollout.reason

    asyncio.run(run())


def test_a_score_of_which_less_is_better_counts_the_other_way(store: Store, tmp_path: Path) -> None:
    (tmp_path / "project" / "services" / "answers").mkdir(parents=True)
    (tmp_path / "project" / "services" / "answers" / "rude.py").write_text(
        "def score(answer):\n    return answer == 'no'\n"
    )
    scorer = {"python": {"path": "rude.py", "higher_is_better": False, "metric": "rude"}}
    here = house(store, tmp_path, online={"scorers": [scorer]})
    here.serve(60, says={"base": says("yes", 0.8), "new": says("yes")})
    score(here)
    assert here.tick().shown == "canary"  # Less rude than the champion is not worse.
    with open_store(f"sqlite:///{tmp_path}/other.db") as second:
        (tmp_path / "two" / "project" / "services" / "answers").mkdir(parents=True)
        (tmp_path / "two" / "project" / "services" / "answers" / "rude.py").write_text(
            "def score(answer):\n    return answer == 'no'\n"
        )
        worse = house(second, tmp_path / "two", online={"scorers": [scorer]})
        worse.serve(60, says={"base": says("yes"), "new": says("yes", 0.4)})
        score(worse)
        assert worse.tick().status == "rolled_back"
        kept = second.deliveries.failures("answers")
        bad = {trace for trace, name, value in scores(second) if name == "scorer:rude" and value == 1.0}
        assert {failure.trace for failure in kept} == bad


def test_answers_that_miss_the_output_contract_are_found_where_the_gateway_does_not_check_them(
    store: Store, tmp_path: Path
) -> None:
    here = house(store, tmp_path, output={"choices": ["a", "b"]})
    here.serve(80, says={"base": says("a"), "new": says("a", 0.5, "well, a or b")})
    score(here)
    assert here.tick().status == "rolled_back"
    assert "scorer:format is worse" in here.rollout.reason


def test_a_judge_that_is_down_is_asked_again_and_meanwhile_nothing_advances(store: Store, tmp_path: Path) -> None:
    down = [True]

    async def run() -> None:
        async with FaultServer(lambda request: Answer(status=503) if down[0] else verdict(True)) as server:
            here = await asyncio.to_thread(house, store, tmp_path, **judged(server, max_cost=None))
            here.serve(60, says={"base": says("kind"), "new": says("kind")})
            scoring = OnlineScoring(store, lambda: here.project, here.clock)
            await scoring.run_due()
            assert (await asyncio.to_thread(here.tick, 60)).shown == "shadow"
            assert "judge:kind" in status(here).reason
            down[0] = False
            for _ in range(6):
                await scoring.run_due()
                here.clock.now += 10
            await asyncio.to_thread(scoring.close)
            assert len([name for _, name, _ in scores(store) if name == "judge:kind"]) == 120
            assert (await asyncio.to_thread(here.tick)).shown == "canary"

    asyncio.run(run())


def test_the_store_that_is_away_is_waited_for_without_losing_a_score(store: Store, tmp_path: Path) -> None:
    from proveout.storage import StoreError

    here = house(store, tmp_path, online={"scorers": [POLITE]})
    here.serve(20, says={"base": says("please"), "new": says("please")})
    put, calls = store.feedback.put, [0]

    async def failing(feedback: Any) -> None:
        calls[0] += 1
        if calls[0] == 7:
            raise StoreError("unreachable", "store", "it is away", "Wait.")
        await put(feedback)

    store.feedback.put = failing  # type: ignore[method-assign]
    scoring = OnlineScoring(store, lambda: here.project, here.clock)
    with pytest.raises(StoreError):
        asyncio.run(scoring.run_due())
    scoring.close()
    score(here)
    assert len({(trace, name) for trace, name, _ in scores(store)}) == 20 * 2 + 20


@pytest.mark.parametrize(
    ("request_body", "answer", "fields", "value", "asked"),
    [
        ({"messages": [{"role": "user", "content": "hi"}]}, {"message": {"content": "Yes."}}, {}, "Yes.", "hi"),
        ({"messages": []}, "streamed text", {"streamed": True}, "streamed text", ""),
        ({"proveout": {"variables": {"question": "why"}}}, {"message": {"content": "b"}}, {"valid": True}, "b", "why"),
        ({"messages": "what"}, {"message": {"content": None, "tool_calls": [{"id": "1"}]}}, {}, "", ""),
    ],
)  # fmt: skip
def test_an_attempt_is_read_from_what_the_gateway_kept(
    store: Store, tmp_path: Path, request_body: Any, answer: Any, fields: Any, value: str, asked: str
) -> None:
    service = house(store, tmp_path).service
    kept = answer if isinstance(answer, str) else json.dumps({"choices": [answer]})
    trace = Trace(id="t", service="answers", environment="production", **fields)
    attempt = attempt_of(service, service.variants["base"], trace, (json.dumps(request_body), kept))
    assert attempt is not None
    assert (attempt.answer.value, attempt.example.input["question"]) == (value, asked)


@pytest.mark.parametrize("kept", [("{", "x"), ("[]", "x"), ("{}", '{"choices": []}'), ("{}", '{"choices": [7]}')])
def test_content_that_was_cut_or_is_no_answer_is_not_scored(store: Store, tmp_path: Path, kept: Any) -> None:
    service = house(store, tmp_path).service
    trace = Trace(id="t", service="answers", environment="production")
    assert attempt_of(service, service.variants["base"], trace, kept) is None


def test_a_name_under_online_may_be_the_metric_of_a_declared_scorer(store: Store, tmp_path: Path) -> None:
    service = house(store, tmp_path, scorers=["exact_match", POLITE], online={"scorers": ["polite"]}).service
    assert service.online == Online(scorers=(service.scorers[1],))
    assert list(LiveScoring.of(service).each) == ["scorer:polite"]

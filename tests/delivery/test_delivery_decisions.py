"""Decisions: what the evidence must be for each; small simulations of the promises (the large ones are benchmarks)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proveout.delivery.decide import decide
from proveout.delivery.evidence import Agreed, Evidence
from proveout.delivery.kill_switch import KillSwitch
from proveout.delivery.online import Declared
from proveout.delivery.signals import Reading, Verdict, Watch, counts, failed_request
from proveout.delivery.state import (
    Advance,
    Approval,
    Bandit,
    Canary,
    Hold,
    Pause,
    Refused,
    RollBack,
    Rollout,
    Shadow,
    Stop,
    changed,
    ended,
    paused,
    promoted,
    resumed,
    steps_of,
)
from proveout.storage.records import Trace
from proveout.testing.rollout_traffic import CHALLENGER, START, WATCH, World, new_rollout, rates


def reading(verdict: Verdict = "not_worse", signal: str = "errors") -> Reading:
    return Reading(
        signal=signal, champion=0.1, challenger=0.1, low=-0.1, high=0.1, verdict=verdict, n_champion=1_000,
        n_challenger=1_000, blocks=1_000, e_worse=1.0, e_not_worse=1.0, margin=0.02, higher_is_better=False, needs=10,
    )  # fmt: skip


def evidence(**fields: Any) -> Evidence:
    """Enough of everything."""
    usual: dict[str, Any] = {
        "now": START + 10_000,
        "requests": (9_000, 1_000),
        "step_requests": (9_000, 1_000),
        "newest": START + 9_999,
        "signals": (reading(),),
    }
    return Evidence(**{**usual, **fields})


CANARY = Canary(weight=0.1, requests=500)


def test_enough_good_evidence_advances() -> None:
    assert isinstance(decide(new_rollout(CANARY), evidence()), Advance)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"step_requests": (9_000, 499)}, "499 of 500"),
        ({"newest": None}, "no request"),
        ({"newest": START}, "no data"),
        ({"signals": ()}, "no data"),
        ({"signals": (reading(), reading("no_data", "feedback:ok"))}, "feedback:ok"),
        ({"signals": (reading(), reading("undecided", "cost"))}, "cost is undecided (about 10 more)"),
    ],
)
def test_missing_old_scarce_or_undecided_evidence_does_not_advance(fields: dict[str, Any], said: str) -> None:
    action = decide(new_rollout(CANARY), evidence(**fields))
    assert isinstance(action, Hold)
    assert said in action.reason


def test_a_step_in_the_middle_needs_no_proof_but_the_last_one_does() -> None:
    undecided = evidence(signals=(reading("undecided"),))
    assert isinstance(decide(new_rollout(CANARY, Canary(weight=0.5, requests=1)), undecided), Advance)
    assert isinstance(decide(new_rollout(CANARY), undecided), Hold)


def test_time_is_waited_for_too() -> None:
    slow = new_rollout(Canary(weight=0.1, requests=500, duration=20_000.0))
    assert "10,000 s are left" in decide(slow, evidence()).reason
    assert isinstance(decide(slow, evidence(now=START + 20_000, newest=START + 19_999)), Advance)


@pytest.mark.parametrize("held", [False, True])
def test_whatever_threatens_users_rolls_back_even_while_paused(held: bool) -> None:
    state = new_rollout(CANARY, Shadow(requests=1))
    state = paused(state, START, "lunch") if held else state
    worse = decide(state, evidence(signals=(reading(), reading("worse", "feedback:ok"))))
    assert isinstance(worse, RollBack)
    assert worse.signals == ("feedback:ok",)
    assert isinstance(decide(state, evidence(killed="8 failures in a row")), RollBack)


def test_a_wrong_split_stops_the_comparison_for_a_person() -> None:
    action = decide(new_rollout(CANARY), evidence(mismatch=1e4))
    assert isinstance(action, Stop)
    assert changed(new_rollout(CANARY), action, START, 2).status == "paused"


def test_approval_counts_people_and_in_the_middle_only_new_ones() -> None:
    first = new_rollout(Approval(people=2, before=True), CANARY)
    ada, bob = Agreed("ada", START - 5), Agreed("bob", START + 5)
    assert isinstance(decide(first, evidence(approvals=(ada, ada))), Hold)
    assert isinstance(decide(first, evidence(approvals=(ada, bob))), Advance)
    middle = new_rollout(Approval(people=1), CANARY)
    assert isinstance(decide(middle, evidence(approvals=(ada,))), Hold)
    assert isinstance(decide(middle, evidence(approvals=(bob,))), Advance)


def test_a_pause_ends_by_time_or_by_hand() -> None:
    timed = new_rollout(Pause(duration=60.0), CANARY)
    assert isinstance(decide(timed, evidence(now=START + 59)), Hold)
    assert isinstance(decide(timed, evidence(now=START + 60)), Advance)
    endless = new_rollout(Pause(), CANARY)
    assert isinstance(decide(endless, evidence(now=START + 1e9)), Hold)
    assert resumed(endless, START + 9, 2).current == CANARY


def test_a_declared_rollout_becomes_steps_after_the_environments_approval() -> None:
    declared = {"steps": ({"kind": "shadow", "requests": 5}, {"kind": "bandit", "floor": 0.1, "requests": 9})}
    assert steps_of(declared, 2) == (Approval(people=2, before=True), Shadow(requests=5), Bandit(floor=0.1, requests=9))
    assert steps_of(declared, 0)[0] == Shadow(requests=5)


def test_a_rollout_that_is_over_stays_as_it_is() -> None:
    over = ended(new_rollout(CANARY), "aborted", START, 2, "enough")
    assert changed(over, Advance("x"), START, 3) is over
    for act in (lambda: promoted(over, START, 3, ""), lambda: paused(over, START, ""), lambda: resumed(over, START, 3)):
        with pytest.raises(Refused, match="is over"):
            act()


@given(st.lists(st.booleans(), max_size=60))
def test_the_kill_switch_trips_on_eight_in_a_row_or_more_than_half_of_twenty(failures: list[bool]) -> None:
    switch, expected = KillSwitch(), False
    for place, failed in enumerate(failures):
        switch.add(failed)
        last = failures[max(0, place - 19) : place + 1]
        row = failures[max(0, place - 7) : place + 1]
        expected = expected or sum(last) > 10 or (len(row) == 8 and all(row))
        assert (switch.reason is not None) == expected


def trace(**fields: Any) -> Trace:
    usual = {"chosen": "a", "variant": "a", "status": 200, "e2e": 1.0, "output_tokens": 3}
    return Trace(id="t", service="s", environment="e", **{**usual, **fields})


def test_the_clients_own_mistakes_are_not_held_against_a_variant() -> None:
    assert not counts(trace(status=400))
    assert not counts(trace(status=499, error="disconnected"))
    assert counts(trace(status=429, error="rate_limit"))
    assert failed_request(trace(variant="b"))


def test_signals_of_a_request_are_bounded_whatever_it_was(sample_watch: Watch) -> None:
    for one in (
        trace(),
        trace(error="timeout", status=504),
        trace(valid=False, refused=True, finish="length", cost_usd=0.1),
        trace(e2e=50.0, cached=True),
    ):
        for name, value in sample_watch.values(one):
            assert 0 <= value <= 1 or sample_watch.signals[name].kind == "rank"


@pytest.fixture
def sample_watch() -> Watch:
    return Watch(WATCH.signals, {}, 0.02)


def test_a_bandit_moves_traffic_to_the_better_variant_and_keeps_its_floor() -> None:
    world = World(new_rollout(Bandit(floor=0.1, requests=20_000)), rates(0.4, 0.1), seed=1, every=50)
    world.run(3_000)
    assert world.rollout.share > 0.7
    assert world.rollout.share <= 0.9


def test_a_bandit_that_identifies_splits_evenly_and_ends_early_with_a_winner() -> None:
    world = World(new_rollout(Bandit(floor=0.1, requests=20_000, mode="identify")), rates(0.5, 0.1), seed=1, every=50)
    rollout = world.run(4_000)
    assert rollout.status == "promoted"
    assert world.number < 4_000


def test_a_bandit_shown_the_challenger_is_worse_takes_it_back() -> None:
    world = World(new_rollout(Bandit(floor=0.1, requests=20_000)), rates(0.1, 0.4), seed=2, every=50)
    assert world.run(6_000).status == "rolled_back"


def test_evidence_in_shadow_comes_from_pairs() -> None:
    world = World(new_rollout(Shadow(requests=300)), lambda n, challenger, r: {"valid": True}, every=50)
    rollout = world.run(2_000)
    assert rollout.status == "promoted"
    assert world.exposed == 0
    assert world.evidence is not None
    assert world.evidence.requests[0] == world.evidence.requests[1]


def test_a_split_that_is_not_as_intended_is_noticed() -> None:
    world = World(new_rollout(Canary(weight=0.5, requests=10**6)), rates(0.1, 0.1), share_served=0.3, every=100)
    assert world.run(1_500).status == "paused"
    assert "not split as intended" in world.rollout.reason


def test_drift_and_a_ramp_at_once_are_not_taken_for_the_challenger() -> None:
    """Pooled over the steps, the challenger looks worse: it served more when everything was worse."""
    steps = [Canary(weight=weight, requests=requests) for weight, requests in ((0.02, 30), (0.2, 400), (0.5, 10**6))]

    def drifting(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
        return {"ok": random_.random() > (0.05 if number < 1_500 else 0.1 if number < 3_000 else 0.2)}

    outcomes = [World(new_rollout(*steps), drifting, seed=seed, every=100).run(4_500).status for seed in range(6)]
    assert outcomes.count("rolled_back") == 0


def test_late_feedback_is_compared_within_its_own_epoch() -> None:
    steps = (Canary(weight=0.2, requests=100), Canary(weight=0.5, requests=10**6))
    worse = World(new_rollout(*steps), rates(0.1, 0.35), seed=3, every=50, delay=400)
    assert worse.run(4_000).status == "rolled_back"
    equal = World(new_rollout(*steps), rates(0.1, 0.1), seed=3, every=100, delay=400)
    assert equal.run(3_000).status != "rolled_back"


def test_feedback_for_one_variant_only_is_missing_data() -> None:
    def answer(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
        return {} if challenger else {"ok": True}

    world = World(new_rollout(Canary(weight=0.2, requests=50)), answer, every=50)
    assert world.run(2_000).status == "running"
    assert world.evidence is not None
    verdicts = {found.signal: found.verdict for found in world.evidence.signals}
    assert verdicts["feedback:ok"] == "no_data"


def test_a_five_point_drop_is_caught_soon_and_an_equal_challenger_stays() -> None:
    exposed = []
    for seed in range(7):
        world = World(new_rollout(Canary(weight=0.1, requests=10**6)), rates(0.1, 0.15), seed=seed, every=50)
        if world.run(12_000).status == "rolled_back":
            exposed.append(world.exposed)
    assert len(exposed) >= 6
    assert sorted(exposed)[len(exposed) // 2] <= 800
    equal = [
        World(new_rollout(Canary(weight=0.1, requests=10**6)), rates(0.1, 0.1), seed=s, every=200) for s in range(5)
    ]
    assert sum(world.run(3_000).status == "rolled_back" for world in equal) == 0


def slow_copies(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
    """The challenger takes three times as long."""
    return {"e2e": random_.lognormvariate(-1, 0.3) * (3 if challenger else 1), "ok": random_.random() < 0.9}


def test_copies_that_are_slow_are_shown_and_neither_roll_back_nor_count_once_users_see_the_challenger() -> None:
    """Copies are answered beside the answers that users wait for, on the same machine."""
    steps = (Shadow(requests=300), Canary(weight=0.5, requests=400), Canary(weight=0.5, requests=10**6))
    world = World(new_rollout(*steps), slow_copies, every=10)
    while isinstance(world.rollout.current, Shadow):
        world.request()
        world.decide()
    assert world.evidence is not None
    assert world.evidence.step_requests == (300, 300)
    shown = next(found for found in world.evidence.signals if found.signal == "latency")
    assert not shown.decides
    assert shown.e_worse > 1e6
    world.answer = rates(0.1, 0.1)
    assert world.run(3_000).status == "running"
    assert world.rollout.step == 2
    world.answer = slow_copies
    assert world.run(2_000).status == "rolled_back"
    assert world.rollout.reason.startswith("latency is worse")


def crowd(world: World, requests: int, slower: float = 1.0) -> None:
    """Users send at once, in crowds that grow while the machine is slow; they are recorded as they are answered."""
    random_ = random.Random(world.seed)
    load, left = 1.0, requests
    while left > 0 and world.rollout.status == "running":
        if random_.random() < 0.1:
            load = random_.choice([1.0, 1.0, 1.0, 4.0, 8.0])
        waiting = random_.choice([4, 8, 16, 32])
        challengers = [random_.random() < world.rollout.share for _ in range(waiting)]
        times = [
            load * (1 + place / 2) * random_.lognormvariate(0, 0.2) * (slower if challenger else 1.0)
            for place, challenger in enumerate(challengers)
        ]
        for time, challenger in sorted(zip(times, challengers, strict=True)):
            world.number += 1
            world.answer = lambda n, c, r, time=time: {"e2e": time}
            world.serve(challenger)
        world.decide()
        left -= waiting


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_load_that_both_variants_share_is_not_taken_for_the_challengers(weight: float) -> None:
    """Of requests that are sent at once the slow ones are recorded last; so is the one that completes a comparison."""
    differences = []
    for seed in range(4):
        world = World(new_rollout(Canary(weight=weight, requests=10**6)), rates(0.1, 0.1), seed=seed)
        crowd(world, 4_000)
        assert world.rollout.status == "running"
        latency = _found(world, "latency")
        assert latency.low is not None
        assert latency.high is not None
        differences.append((latency.low + latency.high) / 2)
    assert -0.15 < sum(differences) / 4 < -0.03  # Below 0: what is within the margin counts for the challenger.


def test_a_challenger_that_is_slower_is_found_among_shared_load() -> None:
    world = World(new_rollout(Canary(weight=0.25, requests=10**6)), rates(0.1, 0.1), seed=1)
    crowd(world, 3_000, slower=2.5)
    assert world.rollout.reason.startswith("latency is worse")


def _found(world: World, signal: str) -> Reading:
    evidence = world.gathering.evidence(world.rollout, world.now)
    return next(one for one in evidence.signals if one.signal == signal)


Event = tuple[str, int]
ONWARD = ["serve", "serve", "serve", "approve", "wait"]
BACK = ["fail", "reject", "pause", "resume", "promote", "abort"]
EVENTS = st.lists(
    # Mostly what leads on, so that the later steps are reached.
    st.tuples(st.one_of(*[st.sampled_from(ONWARD)] * 5, st.sampled_from(BACK)), st.integers(1, 3)),
    min_size=3,
    max_size=30,
)


BEGINNINGS: list[list[Event]] = [
    [],
    [("serve", 1), ("pause", 1), ("serve", 3)],  # Too little of the shadow, then enough while it is held.
    [("serve", 2)],  # Past the shadow.
    [("serve", 2), ("serve", 3)],  # Enough requests of the canary, whose time is not up.
    [("serve", 2), ("serve", 3), ("wait", 3)],  # All of it is too old by then.
    [("serve", 2), ("serve", 3), ("serve", 3), ("wait", 1), ("serve", 1)],  # At what comes after it.
]
"""Of those who have agreed."""


class Witness:
    """What happened, counted without any of the code that decides."""

    def __init__(self, world: World, people: int) -> None:
        self.world = world
        self.people = people
        self.agreed: dict[str, float] = {}
        self.cleared = False
        self.served: list[tuple[int, float, bool]] = []
        """Requests of the challenger: epoch, time, whether it failed."""
        self.scored = [0, 0]

    def serve(self, requests: int, *, failing: bool = False, one_sided: bool = False) -> None:
        def answer(number: int, challenger: bool, random_: random.Random) -> dict[str, Any]:
            rollout = self.world.rollout
            failed = failing and challenger
            if challenger:
                self.served.append((rollout.epoch, self.world.now, failed))
            scored = len(rollout.weights) == 2 and not (challenger and one_sided)
            self.scored[challenger] += scored
            return {"status": 500 if failed else 200} | ({"ok": True} if scored else {})

        self.world.answer = answer
        for _ in range(requests):
            self.world.request()

    @property
    def in_step(self) -> list[float]:
        return [time for epoch, time, _ in self.served if epoch >= self.world.rollout.step_epoch]

    @property
    def outage(self) -> bool:
        return any(all(one[2] for one in self.served[place : place + 8]) for place in range(len(self.served) - 7))

    def allows(self, action: Advance, before: Rollout, awaited: bool) -> None:
        """What must be true where a rollout goes on."""
        step = before.current
        if isinstance(step, Approval):
            since = 0.0 if step.before else before.step_started
            assert sum(time >= since for time in self.agreed.values()) >= step.people
            self.cleared = True
            return
        assert isinstance(step, Shadow | Canary)
        assert not awaited
        assert len(self.in_step) >= step.requests
        assert self.world.now - max(self.in_step) <= 901
        assert self.world.now >= before.step_started + step.duration
        assert all(self.scored) or not any(self.scored)


@given(
    EVENTS,
    st.integers(1, 3),
    st.sampled_from(BEGINNINGS),
    st.booleans(),
    st.sampled_from(["both", "both", "one_sided", "awaited"]),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_no_sequence_of_events_serves_the_unapproved_or_advances_on_missing_data(
    events: list[Event], people: int, beginning: list[Event], willing: bool, scores: str, middle: bool
) -> None:
    """Users score both variants or only the champion's answers, or a declared score never comes; the `willing` have
    agreed at first.
    """
    awaited = scores == "awaited"
    steps: tuple[Any, ...] = (
        Approval(people=people, before=True),
        Shadow(requests=15),
        Canary(weight=0.5, requests=12, duration=100.0),
    )
    steps = (*steps, Approval(), Canary(weight=0.5, requests=5)) if middle else (*steps, Canary(weight=0.5, requests=5))
    watch = replace(WATCH, expected=(Declared("judge:helpful", True, False),)) if awaited else WATCH
    world = World(new_rollout(*steps), rates(0.0, 0.0), watch=watch)
    witness = Witness(world, people)
    if willing or beginning:
        witness.agreed = {f"p{number}": world.now for number in range(people)}
    look(world, witness, awaited)
    for name, number in [*beginning, *events]:
        before = world.rollout
        if name in ("serve", "fail"):
            witness.serve(10 * number, failing=name == "fail", one_sided=scores == "one_sided")
        elif name == "approve":
            witness.agreed[f"p{number}"] = world.now
        elif name == "wait":
            world.number += (100, 100, 1_000)[number - 1]
        elif name == "reject":
            witness.agreed.clear()
            if before.active:
                world.rollout = ended(before, "aborted", world.now, before.epoch + 1, "rejected")
        else:
            by_hand(world, witness, name)
        if not before.active:
            assert world.rollout is before
        look(world, witness, awaited)


def by_hand(world: World, witness: Witness, name: str) -> None:
    """What a person does: refused only of what is over, and to promote what nobody approved."""
    before, epoch = world.rollout, world.rollout.epoch + 1
    acts: dict[str, Callable[[Rollout], Rollout]] = {
        "pause": lambda rollout: paused(rollout, world.now, ""),
        "resume": lambda rollout: resumed(rollout, world.now, epoch),
        "promote": lambda rollout: promoted(rollout, world.now, epoch, ""),
        "abort": lambda rollout: ended(rollout, "aborted", world.now, epoch, ""),
    }
    try:
        world.rollout = acts[name](before)
    except Refused:
        assert not before.active or (name == "promote" and not witness.cleared)
    else:
        wanted = {"pause": "paused", "resume": "running", "promote": "promoted", "abort": "aborted"}
        assert world.rollout.status == wanted[name]


def look(world: World, witness: Witness, awaited: bool) -> None:
    """One decision, and what must be true before and after it."""
    before = world.rollout
    world.approvals = tuple(Agreed(who, time) for who, time in witness.agreed.items())
    seen = witness.outage
    action = world.decide()
    if not before.active:
        assert world.rollout is before
    elif seen:
        assert isinstance(action, RollBack)
        assert world.rollout.status == "rolled_back"
    elif before.status == "paused":
        assert world.rollout is before
    elif isinstance(action, Advance):
        world.rollout, after = before, world.rollout
        witness.allows(action, before, awaited)
        world.rollout = after
        assert after.step == before.step + 1
    after = world.rollout
    if CHALLENGER.fingerprint in {*after.weights, *after.shadow}:
        assert witness.cleared
    assert math.isclose(sum(after.weights.values()), 1)
    assert msgspec.json.decode(msgspec.json.encode(after), type=Rollout) == after

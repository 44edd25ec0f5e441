"""From traces and feedback to evidence. Traces in the order of commits give the same evidence each time, so that a
controller that was killed reads them again and goes on.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from proveout.delivery.kill_switch import KillSwitch
from proveout.delivery.online import AGREEMENT
from proveout.delivery.signals import (
    ALPHA,
    PURSES,
    SPEED,
    Reading,
    Signal,
    Verdict,
    Watch,
    counts,
    failed_request,
    is_score,
    score_of,
)
from proveout.delivery.state import Rollout, Shadow
from proveout.statistics import Estimate
from proveout.statistics.bandits import Batch
from proveout.statistics.ratio_mismatch import mismatch_evidence
from proveout.statistics.running import Clustering, RunningTest
from proveout.storage.records import Feedback, Trace, coin

CHAMPIONS_PER_BLOCK = 3
"""A single request of the champion would make a poor comparison."""

LEAST_WINDOW = 32
PER_WINDOW = 4
"""Requests of the variant that serves less in one window of traffic, about; and never fewer requests than that."""

MISMATCH_ALPHA = 0.001
"""Chance of ever taking a right split of the traffic for a wrong one."""


WARM_UP = 25
"""The challenger's first requests say nothing of its speed: a model that was just switched on is cold."""

REWARDS_PER_BATCH = 100
"""Rewards that the bandit's confidence sequence takes together."""

_Sums = tuple[float, float, float]
"""Rewards, their sum, and the sum of their squares."""


class Agreed(msgspec.Struct, frozen=True):
    """Somebody approved the challenger's fingerprint at a time."""

    who: str
    time: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision may look at. Pairs of numbers are (champion, challenger).

    `newest` is when the newest request of the challenger in this step came, None without one. `mismatch` is the
    e-value of the traffic's split. `batches` are what the bandit learns from, `epoch_rewards` how many rewards the
    newest epoch has. `unread` counts scores outside of 0 and 1. `late` names declared scores of which this step has
    less than half, each with how many there are.
    """

    now: float
    requests: tuple[int, int] = (0, 0)
    step_requests: tuple[int, int] = (0, 0)
    newest: float | None = None
    signals: tuple[Reading, ...] = ()
    mismatch: float = 1.0
    killed: str | None = None
    approvals: tuple[Agreed, ...] = ()
    batches: tuple[Batch, ...] = ()
    epoch_rewards: int = 0
    unread: int = 0
    late: tuple[str, ...] = ()


class _Value(NamedTuple):
    """One value of one variant. `whose` is the unit, or the request where each is one of its own."""

    arm: int
    value: float
    whose: str
    unit: str | None


Block = tuple[list[_Value], list[_Value]]
"""Values of the champion and of the challenger that are compared with each other."""


@dataclass
class _Comparison:
    """One signal's windows of traffic and its running test."""

    signal: Signal
    test: RunningTest
    open: dict[int, list[_Value]] = field(default_factory=dict[int, list[_Value]])
    clusters: tuple[Clustering, Clustering] = field(default_factory=lambda: (Clustering(), Clustering()))
    counts: list[int] = field(default_factory=lambda: [0, 0])
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0])
    values: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    @classmethod
    def of(cls, signal: Signal) -> _Comparison:
        margin = signal.margin if signal.kind == "rate" else 0.0
        return cls(signal, RunningTest(margin=margin, higher_is_better=signal.higher_is_better, purses=PURSES))

    def note(self, arm: int, value: float) -> None:
        """Count a value, whether or not it will be compared."""
        self.counts[arm] += 1
        if self.signal.kind == "rank":
            self.values[arm].append(value)
        else:
            self.totals[arm] += value

    def add(self, epoch: int, value: _Value, share: float) -> None:
        """Put a value into its epoch's open window, and compare what is in it once it is full. How many requests that
        takes rests on the challenger's share alone and never on who came last or how well, so that it can't favour
        anybody.
        """
        window = self.open.setdefault(epoch, [])
        window.append(value)
        rarer = max(min(share, 1 - share), 1e-6)
        if len(window) >= max(LEAST_WINDOW, math.ceil(PER_WINDOW / rarer)):
            del self.open[epoch]
            for block in _blocks(window):
                self.compare(block)

    def compare(self, block: Block) -> None:
        for arm, side in enumerate(block):
            for _, value, _, unit in side:
                if unit is not None and math.isfinite(value):
                    scale = math.log(value) if self.signal.kind == "rank" and value > 0 else value
                    self.clusters[arm].add(unit, scale, len(self.test))
        self.test.design_effect = max(clusters.design_effect for clusters in self.clusters)
        champion, challenger = ([one.value for one in side] for side in block)
        if self.signal.kind == "rate":
            self.test.add(sum(challenger) / len(challenger) - sum(champion) / len(champion))
            return
        above = sum(_above(one, other, self.signal.margin) for one in challenger for other in champion)
        self.test.add(above / (len(champion) * len(challenger)))

    def verdict(self) -> Verdict:
        if not all(self.counts):
            return "no_data"
        if not self.signal.decides:
            return "undecided"
        if self.test.p_worse <= ALPHA * self.signal.share:
            return "worse"
        return "not_worse" if self.test.p_not_worse <= ALPHA else "undecided"

    def reading(self, intervals: bool) -> Reading:
        found = self.test.difference() if intervals else _NO_INTERVAL
        return Reading(
            signal=self.signal.name,
            champion=self._typical(0),
            challenger=self._typical(1),
            low=None if math.isnan(found.low) else found.low,
            high=None if math.isnan(found.high) else found.high,
            verdict=self.verdict(),
            n_champion=self.counts[0],
            n_challenger=self.counts[1],
            blocks=len(self.test),
            e_worse=self.test.e_worse,
            e_not_worse=self.test.e_not_worse,
            margin=self.signal.margin,
            higher_is_better=self.signal.higher_is_better,
            needs=self._needs(),
            decides=self.signal.decides,
        )

    def _typical(self, arm: int) -> float | None:
        """A rate's mean, a rank's median."""
        if not self.counts[arm]:
            return None
        if self.signal.kind == "rate":
            return self.totals[arm] / self.counts[arm]
        middle = statistics.median(self.values[arm])
        return middle if math.isfinite(middle) else None

    def _needs(self) -> int | None:
        if not self.signal.decides:
            return None
        if self.verdict() != "undecided" or not len(self.test):
            return 0 if self.verdict() in ("worse", "not_worse") else None
        worse, not_worse = self.test.growth
        each = max(self.counts[1] / len(self.test), 1.0)
        found = [
            math.ceil(max(math.log(1 / level) - math.log(max(wealth, 1e-300)), 1.0) / growth * each)
            for growth, level, wealth in (
                (worse, ALPHA * self.signal.share, self.test.e_worse),
                (not_worse, ALPHA, self.test.e_not_worse),
            )
            if growth > 1e-6
        ]
        return min(found, default=None)


class _Seen(msgspec.Struct, frozen=True):
    """What must be known of a trace when feedback for it comes."""

    arm: int
    epoch: int
    unit: str | None
    pair: str | None

    def value(self, trace: str, value: float) -> _Value:
        return _Value(self.arm, value, self.unit or trace, self.unit)


class Gathering:
    """Takes traces and feedback of one rollout in the order of commits, and says what they amount to."""

    def __init__(self, rollout: Rollout, watch: Watch) -> None:
        self._arms = {rollout.champion.fingerprint: 0, rollout.challenger.fingerprint: 1}
        self._first_epoch = rollout.first_epoch
        self._by_user = rollout.unit == "user"
        self._watch = watch
        self._comparisons = {name: _Comparison.of(signal) for name, signal in watch.signals.items()}
        # Copies are answered beside the answers that users wait for: what they take is shown, and is no evidence.
        self._of_copies = {
            name: _Comparison.of(msgspec.structs.replace(watch.signals[name], decides=False))
            for name in SPEED
            if name in watch.signals
        }
        self._declared = {score.name for score in watch.expected}
        self._scores = 0
        self._due: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._came: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for score in watch.expected:
            self._comparison(score.name)
        self._seen: dict[str, _Seen] = {}
        self._scored: set[tuple[str, str]] = set()
        self._pairs: dict[tuple[str, str], _Value] = {}
        self._known_units: set[str] = set()
        self._met = 0
        self._split: dict[int, tuple[list[int], float]] = {}
        self._by_epoch: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        self._rewards: dict[tuple[int, bool], list[tuple[_Sums, _Sums]]] = {}
        self._propensity: dict[int, float] = {}
        self._newest: dict[int, float] = {}
        self._kill = KillSwitch()
        self._paid: str | None = None
        self._unread = 0
        self.worst: dict[str, list[str]] = defaultdict(list)
        """By signal: the challenger's traces with a bad value, newest last, as many as a report can use."""

    def observe(self, trace: Trace) -> None:
        """One more trace; those of other epochs, variants or pinned requests don't count."""
        arm = self._arms.get(trace.chosen)
        if arm is None or trace.epoch < self._first_epoch or not counts(trace):
            return
        shadowed, drawn = trace.shadow_of is not None, trace.propensity < 1
        if arm == 1 and not shadowed and not drawn:
            return  # Asked for by name: nobody drew it.
        unit = trace.unit if self._by_user else None
        pair = trace.shadow_of or (trace.id if arm == 0 else None)
        seen = self._seen[trace.id] = _Seen(arm, trace.epoch, unit, pair)
        self._due[trace.epoch][arm] += self._watch.is_due(trace)
        values = dict(self._watch.values(trace))
        if arm == 1:
            self._met += 1
            if self._met <= WARM_UP:
                values = {name: value for name, value in values.items() if name not in SPEED}
            self._kill.add(failed_request(trace))
            self._newest[trace.epoch] = max(self._newest.get(trace.epoch, 0.0), trace.started + trace.e2e)
            self._keep_worst(trace.id, values)
        if shadowed or not drawn:
            for name, value in values.items():
                self._pair(name, str(pair), seen.value(trace.id, value), trace.epoch)
            return
        self._count(trace, arm, unit)
        self._reward(trace.epoch, False, arm, 1.0 - float(failed_request(trace) or trace.valid is False))
        for name, value in values.items():
            self._comparisons[name].note(arm, value)
            self._comparisons[name].add(trace.epoch, seen.value(trace.id, value), self._propensity[trace.epoch])

    def observe_feedback(self, feedback: Feedback) -> None:
        """A score; of several for one trace and name the first counts, because a bet can't be taken back."""
        seen = self._seen.get(feedback.trace)
        found = score_of(feedback)
        if seen is None:
            return
        if found is None:
            self._unread += 1
            return
        name, value = found
        if (feedback.trace, name) in self._scored:
            return
        self._scored.add((feedback.trace, name))
        self._came[(name, seen.epoch)][seen.arm] += 1
        comparison = self._comparison(name)
        good = value if comparison.signal.higher_is_better else 1 - value
        if seen.arm == 1 and good < 0.5:
            self._keep(name, feedback.trace)
        if name == AGREEMENT:
            self._agree(comparison, seen, seen.value(feedback.trace, value))
        elif seen.epoch in self._propensity:
            comparison.note(seen.arm, value)
            comparison.add(seen.epoch, seen.value(feedback.trace, value), self._propensity[seen.epoch])
            self._paid = self._paid or name
            if name == self._paid:
                self._reward(seen.epoch, True, seen.arm, good)
        elif seen.pair is not None:
            self._pair(name, seen.pair, seen.value(feedback.trace, value), seen.epoch)

    def knows(self, trace: str) -> bool:
        """Whether a trace is one of this rollout's."""
        return trace in self._seen

    def evidence(
        self, rollout: Rollout, now: float, approvals: tuple[Agreed, ...] = (), *, intervals: bool = True
    ) -> Evidence:
        """What is known by now, for the rollout's present step. Intervals decide nothing, and cost the most time."""
        in_step = [counts for epoch, counts in self._by_epoch.items() if epoch >= rollout.step_epoch]
        everywhere = list(self._by_epoch.values())
        newest = [time for epoch, time in self._newest.items() if epoch >= rollout.step_epoch]
        paid = self._paid is not None
        newest_rewards = self._rewards.get((rollout.epoch, paid), ())
        copies = self._of_copies if isinstance(rollout.current, Shadow) else {}
        return Evidence(
            now=now,
            requests=_sums(everywhere),
            step_requests=_sums(in_step),
            newest=max(newest, default=None),
            signals=tuple(
                found.reading(intervals)
                for name, found in {**self._comparisons, **copies}.items()
                if any(found.counts) or name in self._declared
            ),
            mismatch=mismatch_evidence([(counts, (1 - share, share)) for counts, share in self._split.values()]),
            killed=self._kill.reason,
            approvals=approvals,
            batches=self._batches(rollout, paid),
            epoch_rewards=int(sum(sums[0] for both in newest_rewards for sums in both)),
            unread=self._unread,
            late=tuple(self._late(rollout)),
        )

    def _comparison(self, name: str) -> _Comparison:
        """A score's comparison. How sure its verdict must be rests on how many scores came before; agreement that is
        only shown has no part in that.
        """
        comparison = self._comparisons.get(name)
        if comparison is None:
            if name == AGREEMENT and self._watch.agreement is None:
                signal = Signal(name=name, higher_is_better=True, margin=self._watch.quality_margin, decides=False)
            else:
                signal = self._watch.score(name, self._scores)
                self._scores += 1
            comparison = self._comparisons[name] = _Comparison.of(signal)
        return comparison

    def _agree(self, comparison: _Comparison, seen: _Seen, copy: _Value) -> None:
        """Hold a copy's agreement against what it must reach, or against full agreement where that is only shown."""
        if seen.arm == 0:
            return
        wanted = 1.0 if self._watch.agreement is None else self._watch.agreement
        comparison.note(0, wanted)
        comparison.note(1, copy.value)
        comparison.compare(([_Value(0, wanted, copy.whose, None)], [copy]))

    def _late(self, rollout: Rollout) -> Iterator[str]:
        """Declared scores that the present step has too few of: missing ones, and those that are yet to come."""
        epochs = [epoch for epoch in self._due if epoch >= rollout.step_epoch]
        due = _sums([self._due[epoch] for epoch in epochs])
        in_shadow = isinstance(rollout.current, Shadow)
        for score in self._watch.expected:
            if score.pairs and not in_shadow:
                continue
            came = _sums([self._came[(score.name, epoch)] for epoch in epochs])
            wanted = (min(due), min(due)) if score.pairs else due
            arms = (1,) if score.name == AGREEMENT else (0, 1)
            if any(came[arm] * 2 < wanted[arm] or not came[arm] for arm in arms):
                yield f"{score.name} ({min(came[arm] for arm in arms):,} of {min(wanted):,} sampled answers)"

    def _count(self, trace: Trace, arm: int, unit: str | None) -> None:
        """Count a served request, and its unit's draw when it is met first: later ones repeat the same coin."""
        share = trace.propensity if arm == 1 else 1 - trace.propensity
        self._propensity.setdefault(trace.epoch, share)
        self._by_epoch[trace.epoch][arm] += 1
        if unit is not None:
            if unit in self._known_units:
                return
            self._known_units.add(unit)
        counted, _ = self._split.setdefault(trace.epoch, ([0, 0], share))
        counted[arm] += 1

    def _reward(self, epoch: int, paid: bool, arm: int, value: float) -> None:
        """Add to the epoch's open batch; a full one is followed by another, so that an epoch may be long."""
        batches = self._rewards.setdefault((epoch, paid), [])
        if not batches or batches[-1][0][0] + batches[-1][1][0] >= REWARDS_PER_BATCH:
            batches.append(((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
        count, total, squares = batches[-1][arm]
        after = (count + 1, total + value, squares + value * value)
        batches[-1] = (batches[-1][0], after) if arm else (after, batches[-1][1])

    def _batches(self, rollout: Rollout, paid: bool) -> tuple[Batch, ...]:
        """What the present step's bandit learns from."""
        return tuple(
            Batch(
                (int(champion[0]), int(challenger[0])),
                (champion[1], challenger[1]),
                (champion[2], challenger[2]),
                (1 - share, share),
            )
            for epoch, share in sorted(self._propensity.items())
            if epoch >= rollout.step_epoch
            for champion, challenger in self._rewards.get((epoch, paid), ())
        )

    def _pair(self, name: str, pair: str, value: _Value, epoch: int) -> None:
        """Compare an answer with its twin's once both are there."""
        other = self._pairs.pop((name, pair), None)
        if other is None or other.arm == value.arm:
            self._pairs[(name, pair)] = value
            if len(self._pairs) > _MOST_WAITING:
                del self._pairs[next(iter(self._pairs))]
            return
        champion, challenger = (value, other) if value.arm == 0 else (other, value)
        comparison = self._of_copies.get(name) or self._comparisons[name]
        for side in (champion, challenger):
            comparison.note(side.arm, side.value)
        comparison.compare(([champion], [challenger]))
        if name == "errors":
            self._by_epoch[epoch][0] += 1
            self._by_epoch[epoch][1] += 1

    def _keep_worst(self, trace: str, values: dict[str, float]) -> None:
        for name, value in values.items():
            if self._comparisons[name].signal.kind == "rate" and value > 0.5 and not is_score(name):
                self._keep(name, trace)

    def _keep(self, name: str, trace: str) -> None:
        kept = self.worst[name]
        kept.append(trace)
        if len(kept) > _MOST_KEPT:
            del kept[0]


_MOST_KEPT = 200
_NO_INTERVAL = Estimate(math.nan, math.nan, math.nan, 0)
_MOST_WAITING = 100_000


def _blocks(window: list[_Value]) -> Iterator[Block]:
    """Comparisons of the values in a window, in an order that has nothing to do with who was quick or came last: of
    requests that are sent together, the slow ones are recorded last, and so is the one that completes a block. Those
    of one unit stay together; whatever completes no block of its own joins the last one.
    """
    units: dict[str, list[_Value]] = defaultdict(list)
    for value in window:
        units[value.whose].append(value)
    found: list[Block] = []
    open: Block = ([], [])
    for whose in sorted(units, key=lambda whose: (coin(whose), whose)):
        for value in units[whose]:
            open[value.arm].append(value)
        if len(open[0]) >= CHAMPIONS_PER_BLOCK and open[1]:
            found.append(open)
            open = ([], [])
    if found:
        found[-1][0].extend(open[0])
        found[-1][1].extend(open[1])
    elif open[0] and open[1]:
        found.append(open)
    yield from found


def _above(value: float, other: float, margin: float) -> int:
    """Whether a value is above another one with its margin (1) or below that (-1); neither where both failed. Two that
    are free cost the same, which is within any margin.
    """
    if value == other:
        return 0 if math.isinf(value) else -1
    return (value > other * (1 + margin)) - (value < other * (1 + margin))


def _sums(counts: list[list[int]]) -> tuple[int, int]:
    return sum(count[0] for count in counts), sum(count[1] for count in counts)

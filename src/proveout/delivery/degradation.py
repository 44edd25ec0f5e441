"""Watching a champion after its rollout: is it still what it was when it began to serve?

The first requests give a baseline; what comes later is held to the upper end of that estimate plus the service's
margin. So a baseline that was lucky raises no alarm, and one that drifts by less than the margin none either.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping

from proveout.delivery.kill_switch import KillSwitch
from proveout.delivery.signals import Watch, counts, failed_request, is_score, score_of
from proveout.statistics import proportion_interval
from proveout.statistics.detection import Detector
from proveout.storage.records import Feedback, Trace

BASELINE = 500
"""Values of a signal that its baseline is estimated from."""

RARITY = 1e6
"""Values of a signal, on average at least, between two false alarms."""

SLOW = 0.95
"""A request is slow where it takes longer than this quantile of the baseline's, and the latency margin more."""

_KEPT = 100


class ChampionWatch:
    """Takes the traces and feedback of the champion in the order of commits, and says when it has degraded."""

    def __init__(self, champion: str, watch: Watch, known: Mapping[str, float] | None = None) -> None:
        """`known` are baselines that were estimated before: upper limits by signal, and `slow` in seconds."""
        self._champion = champion
        self._watch = watch
        self._kill = KillSwitch()
        self._first: dict[str, list[float]] = defaultdict(list)
        self._times: list[float] = []
        self._detectors: dict[str, Detector] = {}
        self._mine: dict[str, None] = {}
        self._bad: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self.baseline: dict[str, float] = {}
        self.counts: dict[str, int] = defaultdict(int)
        for name, level in (known or {}).items():
            self._know(name, level)

    def observe(self, trace: Trace) -> None:
        """One more request; those of other variants, copies, and the client's own mistakes don't count."""
        if trace.chosen != self._champion or trace.shadow_of is not None or not counts(trace):
            return
        self._mine[trace.id] = None
        if len(self._mine) > 50_000:
            del self._mine[next(iter(self._mine))]
        self._kill.add(failed_request(trace))
        for name, value in self._watch.values(trace):
            if self._watch.signals[name].kind == "rate":
                self._add(name, value, trace.id)
            elif name == "latency":
                self._add_time(value, trace.id)

    def observe_feedback(self, feedback: Feedback) -> None:
        found = score_of(feedback)
        if feedback.trace in self._mine and found is not None and is_score(found[0]):
            bad = 1 - found[1] if self._watch.higher_is_better(found[0]) else found[1]
            self._add(found[0], bad, feedback.trace)

    @property
    def alarm(self) -> str | None:
        """What degraded, in words; None where nothing did."""
        if self._kill.reason is not None:
            return f"kill switch: {self._kill.reason}"
        found = [name for name, detector in self._detectors.items() if detector.alarmed]
        return "; ".join(f"{name} rose above its level of {self.baseline[name]:.3g}" for name in found) or None

    @property
    def offending(self) -> dict[str, tuple[str, ...]]:
        """By signal that alarmed: the newest bad traces."""
        names = ["errors", "timeouts"] if self._kill.reason is not None else []
        names += [name for name, detector in self._detectors.items() if detector.alarmed]
        return {name: tuple(self._bad[name]) for name in names if self._bad[name]}

    def _add(self, name: str, bad: float, trace: str) -> None:
        self.counts[name] += 1
        if bad > 0.5:
            self._bad[name].append(trace)
        detector = self._detectors.get(name)
        if detector is not None:
            detector.add(bad)
            return
        first = self._first[name]
        first.append(bad)
        if len(first) == BASELINE:
            high = proportion_interval(round(sum(first)), BASELINE).high
            margin = self._watch.signals[name].margin if name in self._watch.signals else self._watch.quality_margin
            self._know(name, min(high + margin, 1.0))

    def _add_time(self, seconds: float, trace: str) -> None:
        slow = self.baseline.get("slow")
        if slow is not None:
            self._add("latency", float(seconds > slow), trace)
            return
        self._times.append(seconds)
        if len(self._times) == BASELINE:
            quantile = sorted(self._times)[int(SLOW * BASELINE)]
            if quantile < float("inf"):
                self._know("slow", quantile * (1 + self._watch.signals["latency"].margin))

    def _know(self, name: str, level: float) -> None:
        self.baseline[name] = level
        if name != "slow":
            self._detectors[name] = Detector(level, rarity=RARITY)

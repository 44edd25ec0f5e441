"""What is watched of each variant: every signal bounded, so that one test serves them all.

A rate signal is a score within 0 and 1 of each request. A rank signal (latency, cost) compares times or sums of both
variants: 1 where the challenger's is above the champion's by more than the margin, -1 where it is below that, 0 for
ties; so a few huge values can't decide, and "worse" means worse than the declared margin allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from proveout.project.records import Service
from proveout.storage.records import Feedback, Trace

if TYPE_CHECKING:
    from proveout.delivery.online import Declared, LiveScoring

Verdict = Literal["worse", "not_worse", "undecided", "no_data"]

ALPHA = 0.05
"""Chance of ever rolling back a challenger that is no worse, and of ever promoting one that is worse by a margin."""

QUALITY_SHARE = 0.7
"""What of ALPHA the scores of answers (feedback, judges, scorers) get, those that come first the most."""

_OF_REST = {"errors": 0.4, "timeouts": 0.1, "invalid": 0.15, "slo": 0.1, "latency": 0.1}
_OTHERS = 0.15 / 4

PURSES = (0.05, 0.10, 0.15, 0.25, 0.30, 0.15)
"""What each stake's player starts with: the most where rates differ by some points, which is what a rollout is for."""

DEFAULT_MARGIN = 0.02
LEAST_RELATIVE_MARGIN = 0.10
"""Live latency and cost are held to the declared margin, or to this where it is less: traffic is no test bench."""

SPEED = ("latency", "slo")
"""Signals of how quick a variant is."""

_MEASURES = {"ttft": "ttft", "e2e": "e2e", "stall": "stall"}
_TIMEOUTS = ("timeout", "timed_out", "deadline")
_REFUSED = ("content_filter", "guard", "blocked")


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A signal and how it is judged. `margin` is in its own unit: of a rate, or relative for ranks. `share` is its part
    of the chance of a false rollback; all shares add up to at most 1. One that does not decide is only shown.
    """

    name: str
    kind: Literal["rate", "rank"] = "rate"
    higher_is_better: bool = False
    margin: float = DEFAULT_MARGIN
    share: float = _OTHERS * (1 - QUALITY_SHARE)
    decides: bool = True


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one signal says by now.

    `low` and `high` bound challenger - champion; for ranks they bound how much oftener the challenger is above the
    champion's value with its margin than below. `n` are the requests, `blocks` the comparisons; `needs` about how many
    more requests of the challenger would decide it at this rate, None where no number would.
    """

    signal: str
    champion: float | None
    challenger: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    n_champion: int
    n_challenger: int
    blocks: int
    e_worse: float
    e_not_worse: float
    margin: float
    higher_is_better: bool
    needs: int | None = None
    decides: bool = True


@dataclass(frozen=True, slots=True)
class Watch:
    """What a service's signals are, from its declared objectives and online scorers.

    `scoring` is how live answers are scored; None where the declared scorers can't be used.
    """

    signals: Mapping[str, Signal]
    slo: Mapping[str, float]
    quality_margin: float
    scoring: LiveScoring | None = None
    expected: tuple[Declared, ...] = ()

    @classmethod
    def of(cls, service: Service) -> Watch:
        """The signals that a service's objectives ask for."""
        objectives = service.objectives
        accuracy, latency, cost = (objectives.get(name) for name in ("accuracy", "latency", "cost"))
        quality = accuracy.margin if accuracy is not None and 0 < accuracy.margin < 1 else DEFAULT_MARGIN
        slo: Mapping[str, Any] = (latency.settings.get("slo") or {}) if latency is not None else {}
        slow = max(latency.margin if latency is not None else 0.0, LEAST_RELATIVE_MARGIN)
        dear = max(cost.margin if cost is not None else 0.0, LEAST_RELATIVE_MARGIN)
        rates = ("errors", "timeouts", "invalid", "refusals", "empty", "guard_hits", *(("slo",) if slo else ()))
        signals = [Signal(name=name, margin=quality, share=_share(name)) for name in rates]
        signals += [
            Signal(name="latency", kind="rank", margin=slow, share=_share("latency")),
            Signal(name="cost", kind="rank", margin=dear, share=_share("cost")),
        ]
        limits = {name: float(value) for name, value in slo.items()}
        scoring, expected = _scoring(service)
        return cls({signal.name: signal for signal in signals}, limits, quality, scoring, expected)

    def is_due(self, trace: Trace) -> bool:
        """Whether declared scores of a request are to be waited for."""
        return bool(self.expected) and (self.scoring is None or self.scoring.is_due(trace))

    @property
    def agreement(self) -> float | None:
        """How much of a shadow's answers must agree with the champion's; None where that only is shown."""
        return None if self.scoring is None else self.scoring.online.agreement

    def higher_is_better(self, name: str) -> bool:
        """Which way of a score is good."""
        return next((score.higher_is_better for score in self.expected if score.name == name), True)

    def score(self, name: str, place: int) -> Signal:
        """The signal of a score of answers that came as number `place` (from 0): each gets a quarter of what the one
        before got, so that all together keep to their share however many come.
        """
        share = QUALITY_SHARE * 0.75 * 0.25**place
        return Signal(name=name, higher_is_better=self.higher_is_better(name), margin=self.quality_margin, share=share)

    def values(self, trace: Trace) -> Iterator[tuple[str, float]]:
        """The signals' values of one request; none where it says nothing of the variant (bad input, client gone)."""
        if not counts(trace):
            return
        failed = failed_request(trace)
        timed_out = failed and trace.error in _TIMEOUTS
        yield "errors", float(failed and not timed_out)
        yield "timeouts", float(timed_out)
        if trace.valid is not None and not failed:
            yield "invalid", float(not trace.valid)
        if trace.refused is not None and not failed:
            yield "refusals", float(trace.refused)
        if not failed:
            yield "empty", float(trace.finish == "length" or trace.output_tokens == 0)
        yield "guard_hits", float(_guard_hit(trace))
        if trace.cached:
            return
        yield "latency", math.inf if failed else trace.e2e
        if self.slo:
            yield "slo", float(failed or any(_exceeds(trace, name, limit) for name, limit in self.slo.items()))
        if trace.cost_usd is not None and not failed:
            yield "cost", trace.cost_usd


def _scoring(service: Service) -> tuple[LiveScoring | None, tuple[Declared, ...]]:
    """How a service's live answers are scored, and which scores are waited for. Declared scorers that can't be used
    are waited for under one name, so that nothing advances without them.
    """
    if service.online is None:
        return None, ()
    from proveout.delivery.online import UNUSABLE, LiveScoring

    try:
        scoring = LiveScoring.of(service)
    except ValueError:
        return None, (UNUSABLE,)
    return scoring, scoring.expected


def counts(trace: Trace) -> bool:
    """Whether a request says something about the variant that was chosen: not where the client was at fault."""
    withheld = trace.error == "guard" and bool(trace.variant)  # The answer's fault, not the request's.
    return not (400 <= trace.status < 500 and trace.status not in (408, 429)) or withheld


def _guard_hit(trace: Trace) -> bool:
    """Whether a guard, the gateway's or the provider's, found something in this request or in its answer."""
    said = trace.guards or ""
    return trace.finish in _REFUSED or trace.error in _REFUSED or ':"flag"' in said or ':"block"' in said


def failed_request(trace: Trace) -> bool:
    """Whether the chosen variant gave no answer; one that another had to give for it counts as failed."""
    return trace.error is not None or trace.status >= 500 or (bool(trace.variant) and trace.variant != trace.chosen)


def score_of(feedback: Feedback) -> tuple[str, float] | None:
    """A feedback's signal and value; None where it is no score within 0 and 1."""
    if feedback.score is None or not 0 <= feedback.score <= 1:
        return None
    named = feedback.name.startswith(("judge:", "scorer:"))
    return (feedback.name if named else f"feedback:{feedback.name}"), float(feedback.score)


def is_score(signal: str) -> bool:
    """Whether a signal scores answers: such a one is what a bandit is paid in."""
    return signal.startswith(("feedback:", "judge:", "scorer:"))


def _share(name: str) -> float:
    return (1 - QUALITY_SHARE) * _OF_REST.get(name, _OTHERS)


def _exceeds(trace: Trace, name: str, limit: float) -> bool:
    measure = _MEASURES.get(name.partition("_")[0])
    value: float | None = getattr(trace, measure) if measure is not None else None
    return value is not None and value > limit

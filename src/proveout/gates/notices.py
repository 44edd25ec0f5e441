"""What an expert would want to look at before believing the figures, in sentences. Notices decide nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proveout.evaluation import FailureCollector, ReadingCollector
from proveout.gates.preparation import Comparison
from proveout.gates.scorecard import Notice
from proveout.project import Service

if TYPE_CHECKING:
    from proveout.evaluation.judges import JudgeCalibration

MOST_LEAKS = 3
"""Leaks told one by one; all are counted."""


def failure_notices(failures: FailureCollector, comparison: Comparison) -> list[Notice]:
    """Calls without an answer by cause, answers that could not be read, and answers without a score."""
    names = (comparison.champion.name, comparison.challenger.name)
    notices = [
        Notice(
            kind=f"calls_failed:{kind}",
            message=f"{_counted(count, 'call')} gave no answer ({kind}); for instance: {failures.messages[arm, kind]}",
            variant=names[arm],
            count=count,
        )
        for (arm, kind), count in sorted(failures.calls.items())
    ]
    for arm, count in sorted(failures.parse_failed.items()):
        message = f"{_counted(count, 'answer')} could not be read as the service wants them."
        notices.append(Notice(kind="parse_failed", message=message, variant=names[arm], count=count))
    for arm, count in sorted(failures.unscored.items()):
        message = f"{_counted(count, 'answer')} could not be measured by a scorer"
        because = failures.unscored_because.get(arm)
        message += f"; for instance: {because}" if because else "."
        notices.append(Notice(kind="unscored", message=message, variant=names[arm], count=count))
    return notices


def reading_notices(seen: ReadingCollector, comparison: Comparison) -> list[Notice]:
    """Cut, empty and refused answers, and one text for many inputs."""
    names = (comparison.champion.name, comparison.challenger.name)
    return [
        Notice(kind=reading.sign, message=reading.message, variant=names[arm], count=reading.count)
        for arm, reading in seen.findings()
        if reading.sign != "parse_failed"
    ]


def judge_notices(calibrations: Mapping[str, JudgeCalibration]) -> list[Notice]:
    """How far each judge agrees with people."""
    return [
        Notice(
            kind="judge",
            message=(
                f"Judge {metric}: {calibration.reason}; it agrees with people on {calibration.agreement.value:.1%} "
                f"of {calibration.n:,} outputs ({calibration.agreement.low:.1%} to {calibration.agreement.high:.1%}), "
                f"finds {calibration.sensitivity.value:.1%} of the good ones good "
                f"({calibration.sensitivity.low:.1%} to {calibration.sensitivity.high:.1%}) and "
                f"{calibration.specificity.value:.1%} of the bad ones bad "
                f"({calibration.specificity.low:.1%} to {calibration.specificity.high:.1%})."
            ),
            count=calibration.n,
        )
        for metric, calibration in calibrations.items()
    ]


def leak_notices(service: Service) -> list[Notice]:
    """Examples that stand in two datasets, or in a prompt."""
    from proveout.project import find_leaks

    leaks = find_leaks(service)
    count = sum(1 + leak.more for leak in leaks)
    if not count:
        return []
    told = "; ".join(str(leak) for leak in leaks[:MOST_LEAKS])
    rest = " …" if len(leaks) > MOST_LEAKS else ""
    message = (
        f"{count:,} inputs are used twice where they must be used once (`proveout check` lists them): {told}{rest}"
    )
    return [Notice(kind="leak", message=message, count=count)]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

"""The error budget of a dataset version: every claim ever tried on it gets a share, so that trying until something wins
does not work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from proveout.gates._base import CONFIDENCE_ALPHA, Finding
from proveout.gates.scorecard import LedgerLine
from proveout.statistics import holm_levels, online_level
from proveout.storage import Claim, LedgerEntry, Store

TRY = "claims"
"""All claims of one change on a dataset version are one try: its level is shared among them by Holm's procedure."""


class Subject(msgspec.Struct, frozen=True):
    """Who tries what on which data: what makes a try on the ledger the same one or another."""

    service: str
    champion: str
    challenger: str
    dataset_version: str
    evidence: str
    run: str


class Share(msgspec.Struct, frozen=True):
    """A try's place on the ledger, and the level of each of its claims in the order given."""

    entry: LedgerEntry
    levels: tuple[float, ...]
    tried: tuple[str, ...]


def claim_share(store: Store, subject: Subject, claims: Sequence[Finding]) -> Share:
    """Enter a try on the ledger (or find it there, when the same evidence was judged before) and share its level among
    its claims."""
    p_values = [_p_value(finding) for finding in claims]
    entry = store.ledger.claim(
        Claim(
            dataset_version=subject.dataset_version,
            service=subject.service,
            objective=TRY,
            metric=", ".join(finding.metric for finding in claims),
            champion=subject.champion,
            challenger=subject.challenger,
            evidence=subject.evidence,
            run=subject.run,
            p_value=max(p_values),
        ),
        next_level,
    )
    tried = store.ledger.entries(subject.dataset_version, TRY)
    levels = holm_levels(p_values, entry.level)
    return Share(entry, levels, tuple(dict.fromkeys(other.challenger for other in tried)))


def _p_value(finding: Finding) -> float:
    """1 where nothing could be tested."""
    return 1.0 if finding.test is None or math.isnan(finding.test.p_value) else finding.test.p_value


def next_level(earlier: Sequence[LedgerEntry]) -> float:
    """The level of the next try after these."""
    return online_level([(entry.level, bool(entry.rejected)) for entry in earlier], CONFIDENCE_ALPHA)


def planned_level(store: Store, dataset_version: str) -> float:
    """The level that a new claim on this dataset version would get."""
    return next_level(store.ledger.entries(dataset_version, TRY))


def settle(store: Store, share: Share, *, passed: bool) -> None:
    """Record whether the try's claims were shown: a shown claim hands its level on."""
    store.ledger.settle(share.entry, p_value=share.entry.p_value, rejected=passed)


def ledger_lines(share: Share, claims: Sequence[Finding], names: Mapping[str, str]) -> tuple[LedgerLine, ...]:
    """What the scorecard shows of the ledger. `names` are the service's variants by fingerprint; one that has changed
    or gone since it was tried is shown by its fingerprint."""
    return tuple(
        LedgerLine(
            objective=finding.objective,
            dataset_version=share.entry.dataset_version,
            attempt=share.entry.attempt,
            alpha=level,
            p_value=None if finding.test is None else finding.test.p_value,
            variants=tuple(names.get(variant, variant) for variant in share.tried),
        )
        for finding, level in zip(claims, share.levels, strict=True)
    )

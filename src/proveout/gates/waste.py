"""What both variants' bills were spent on."""

from __future__ import annotations

from collections.abc import Sequence

from proveout.economics.waste import KINDS, Spent, Waste, split_bill
from proveout.gates._base import Evidence
from proveout.gates.pricing import ByToken, Tariff
from proveout.gates.scorecard import WasteShare


def waste(evidence: Evidence, arms: tuple[Tariff, Tariff]) -> tuple[WasteShare, ...]:
    """Both bills, split by use; nothing where neither can be split."""
    champion, challenger = (_bill(spent, tariff) for spent, tariff in zip(evidence.spent, arms, strict=True))
    if champion is None and challenger is None:
        return ()
    shares: list[WasteShare] = []
    for kind in KINDS:
        one, two = (None if bill is None else bill.line(kind) for bill in (champion, challenger))
        shares.append(
            WasteShare(
                kind=kind,
                champion=one and one.percent,
                challenger=two and two.percent,
                champion_tokens=one.tokens if one else 0,
                challenger_tokens=two.tokens if two else 0,
                champion_usd=one.usd if one else 0.0,
                challenger_usd=two.usd if two else 0.0,
                champion_n=_answers(evidence.spent[0]) if one else 0,
                challenger_n=_answers(evidence.spent[1]) if two else 0,
            )
        )
    return tuple(shares)


def _bill(spent: Sequence[Spent], tariff: Tariff) -> Waste | None:
    """None without answers, where they cost nothing, and for machines: their hours have no price by the token."""
    if not spent or not isinstance(tariff, ByToken):
        return None
    found = split_bill(spent, tariff.price, tariff.factor)
    return found if found.usd > 0 else None


def _answers(spent: Sequence[Spent]) -> int:
    return sum(one.answered for one in spent)

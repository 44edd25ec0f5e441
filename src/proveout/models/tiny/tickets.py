"""Synthetic support tickets: the task of the built-in model, and the datasets of the example project.

Everything comes from a seed and the standard library, so the same call always writes the same rows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from proveout.models.tiny.phrasings import KEYWORDS, PHRASINGS

INTENTS: tuple[str, ...] = tuple(PHRASINGS)
"""The ten labels."""

Group = Literal["trained", "new", "unseen"]
GROUPS: tuple[Group, ...] = ("trained", "new", "unseen")

SILVER_NOISE = 0.08
"""Share of silver labels that are replaced by a neighbouring intent."""

_NEIGHBOURS = {
    "refund": "billing",
    "delivery": "order",
    "login": "privacy",
    "billing": "refund",
    "bug": "login",
    "cancel": "privacy",
    "upgrade": "cancel",
    "order": "delivery",
    "privacy": "cancel",
    "praise": "upgrade",
}
"""The intent that a careless labeller confuses with each."""

_ITEMS = (
    "the blue lamp", "my headphones", "a coffee mug", "order 4417", "the laptop bag", "the desk", "my running shoes",
    "a gift card", "the camera", "my backpack", "the winter coat", "order 90210", "the office chair", "two books",
)  # fmt: skip
_FEATURES = (
    "the dashboard", "the calendar", "the monthly report", "the mobile app", "the search", "the export",
    "the team chat", "the photo editor", "the settings page", "the inbox",
)  # fmt: skip
_GREETINGS = (
    "hello",
    "hi team",
    "good morning",
    "hey",
    "dear support",
    "to whom it may concern",
    "sorry to bother you",
)
_CLOSINGS = ("thanks", "please help", "best regards", "let me know soon", "thank you in advance")
_URGENT_CLOSINGS = ("it is urgent", "asap", "this is the third time i write", "i am on a deadline")
_JOINTS = ("also", "by the way", "and one more thing", "ps")

_KEYWORD_FRAMES = (
    "{0}",
    "{0} {1}",
    "about {0} and {1}",
    "{0}, {1}",
    "i write about {0}",
    "a question on {0}",
    "well, {0}",
)

MIXED_SHARE = 0.2
"""Share of the tickets that ask for a second thing."""

_URGENT_SHARE = 0.2
_TYPO_RATE = 0.012
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One way to put an intent: `{item}` and `{feature}` are still open."""

    intent: str
    text: str
    group: Group
    key: str
    """Its name, such as `refund-03`: the cluster of every ticket that is written with it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A customer's message, and what a person would read in it. `second` is the other intent of a ticket that asks
    for two things.
    """

    message: str
    phrasing: Phrasing
    second: str | None
    urgent: bool
    typo: bool

    @property
    def intent(self) -> str:
        """What the customer asks for first: the right label."""
        return self.phrasing.intent

    @property
    def priority(self) -> str:
        return "high" if self.urgent else "normal"

    @property
    def tags(self) -> tuple[str, ...]:
        """The group of its phrasing, `held_out` unless that is `trained`, and `mixed`, `urgent`, `typo` where they
        are true.
        """
        flags = {
            "held_out": self.phrasing.group != "trained",
            "mixed": self.second is not None,
            "urgent": self.urgent,
            "typo": self.typo,
        }
        return (self.phrasing.group, *(name for name, true in flags.items() if true))


def phrasings(*groups: Group) -> tuple[Phrasing, ...]:
    """Every phrasing of these groups (of all groups, without any), intent by intent."""
    wanted = groups or GROUPS
    found: list[Phrasing] = []
    for intent, by_group in PHRASINGS.items():
        numbered = ((group, text) for group in GROUPS for text in getattr(by_group, group))
        found += [
            Phrasing(intent, text, group, f"{intent}-{number:02}")
            for number, (group, text) in enumerate(numbered, start=1)
            if group in wanted
        ]
    return tuple(found)


_TRAINED = phrasings("trained")


def write_ticket(phrasing: Phrasing, source: random.Random, *, mixed: float = MIXED_SHARE) -> Ticket:
    """One ticket in this phrasing: with a greeting, a closing, a second request, typos and punctuation as they come."""
    parts = [_filled(phrasing, source)]
    if source.random() < 0.4:
        parts.insert(0, source.choice(_GREETINGS))
    second = None
    if source.random() < mixed:
        other = source.choice([one for one in _TRAINED if one.intent != phrasing.intent])
        second = other.intent
        parts += [source.choice(_JOINTS), _filled(other, source)]
    urgent = source.random() < _URGENT_SHARE
    if urgent:
        parts.append(source.choice(_URGENT_CLOSINGS))
    elif source.random() < 0.3:
        parts.append(source.choice(_CLOSINGS))
    plain = " ".join(parts)
    message = _with_typos(plain, source)
    typo = message != plain
    if source.random() < 0.4:
        message = message[:1].upper() + message[1:]
    if source.random() < 0.3:
        message += source.choice(".!?")
    return Ticket(message, phrasing, second, urgent, typo)


def endless(source: random.Random, *groups: Group, mixed: float = MIXED_SHARE) -> Iterator[Ticket]:
    """Tickets without end, every intent equally often, in phrasings of these groups (of all groups, without any)."""
    by_intent: dict[str, list[Phrasing]] = {intent: [] for intent in INTENTS}
    for phrasing in phrasings(*groups):
        by_intent[phrasing.intent].append(phrasing)
    while True:
        yield write_ticket(source.choice(by_intent[source.choice(INTENTS)]), source, mixed=mixed)


def keyword_ticket(source: random.Random, *, mixed: float = MIXED_SHARE) -> Ticket:
    """A ticket of mere keywords, which teaches words rather than phrasings. For training only: golden data has none."""
    intent = source.choice(INTENTS)
    text = source.choice(_KEYWORD_FRAMES).format(*source.sample(KEYWORDS[intent], 2))
    return write_ticket(Phrasing(intent, text, "trained", f"{intent}-keywords"), source, mixed=mixed)


def golden(n: int, seed: int, *, per_cluster: int = 2, priority: bool = False) -> list[dict[str, Any]]:
    """`n` rows of a golden dataset, rightly labelled.

    Args:
        n: how many rows.
        seed: other seeds write other tickets in the same phrasings.
        per_cluster: how many rows share a phrasing (their `cluster`) before the next one comes; after all 240 it
            begins again.
        priority: expect `{"intent", "priority"}` rather than the intent alone.
    """
    source = random.Random(f"golden {seed}")
    order = list(phrasings())
    source.shuffle(order)
    rows: list[dict[str, Any]] = []
    for number, ticket in enumerate(_in_turn(order, n, per_cluster, source)):
        expected = {"intent": ticket.intent, "priority": ticket.priority} if priority else ticket.intent
        rows.append(_row(f"golden-{number + 1:05}", ticket, expected))
    return rows


def silver(
    n: int,
    seed: int,
    *,
    beside: Sequence[Mapping[str, Any]] = (),
    per_cluster: int = 3,
    noise: float = SILVER_NOISE,
) -> list[dict[str, Any]]:
    """Rows labelled as a fallible AI would: the share `noise` of the labels is a neighbouring intent.

    Nothing but a coin decides which label is wrong: this stands in for an AI labeller, it is none.

    Args:
        n: how many rows with new tickets, in phrasings that `beside` lacks (in any, where it has all): only those
            add to what people have labelled.
        seed: other seeds write other tickets and other wrong labels.
        beside: golden rows that are labelled too, under their own ids, so that the silver labels' error can be
            measured.
        per_cluster: how many new rows share a phrasing before the next one comes.
        noise: the share of wrong labels.
    """
    source = random.Random(f"silver {seed}")
    labelled = {row["cluster"] for row in beside}
    order = [phrasing for phrasing in phrasings() if phrasing.key not in labelled] or list(phrasings())
    source.shuffle(order)
    new = [
        _row(f"silver-{number + 1:05}", ticket, ticket.intent)
        for number, ticket in enumerate(_in_turn(order, n, per_cluster, source))
    ]
    rows = [dict(row) for row in (*beside, *new)]
    for row in rows:
        if source.random() < noise:
            row["expected"] = _NEIGHBOURS[row["expected"]]
    return rows


def _in_turn(order: Sequence[Phrasing], n: int, per_cluster: int, source: random.Random) -> Iterator[Ticket]:
    """`n` tickets, `per_cluster` in each phrasing before the next one comes; after the last it begins again. No two
    differ by capitals and the last mark alone.
    """
    written: set[str] = set()
    for number in range(n):
        phrasing = order[number // per_cluster % len(order)]
        ticket = write_ticket(phrasing, source)
        while _plain(ticket) in written:
            ticket = write_ticket(phrasing, source)
        written.add(_plain(ticket))
        yield ticket


def _plain(ticket: Ticket) -> str:
    return ticket.message.lower().rstrip(".!?")


def _row(name: str, ticket: Ticket, expected: Any) -> dict[str, Any]:
    return {
        "id": name,
        "input": {"message": ticket.message},
        "expected": expected,
        "cluster": ticket.phrasing.key,
        "tags": list(ticket.tags),
    }


def _filled(phrasing: Phrasing, source: random.Random) -> str:
    return phrasing.text.format(item=source.choice(_ITEMS), feature=source.choice(_FEATURES))


def _with_typos(text: str, source: random.Random) -> str:
    """The text with letters dropped, doubled or mistyped."""
    written: list[str] = []
    for letter in text:
        if letter == " " or source.random() >= _TYPO_RATE:
            written.append(letter)
            continue
        slip = source.randrange(3)
        if slip == 1:
            written.append(letter * 2)
        elif slip == 2:
            written.append(source.choice(_ALPHABET))
    return "".join(written)

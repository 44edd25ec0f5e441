"""What the model is trained on: conversations about generated tickets, as token ids with a weight for each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from proveout.models.tiny.instructions import FORMS, Habit, Instruction, answer
from proveout.models.tiny.tickets import Group, Ticket, endless, keyword_ticket
from proveout.models.tiny.tokenizer import Tokenizer

PROMPT_WEIGHT = 0.1
"""How much a token of the prompt counts in the loss, against one of the answer."""
KEYWORD_SHARE = 0.35
"""Share of the training tickets that are mere keywords."""
MIXED_SHARE = 0.4
"""Share of the training tickets that ask for two things: more than customers do, as that is the hard part of the
prompt.
"""
PART = 12
"""Rows that are computed together. A batch is cut into parts of rows of like length, so that little of it is padding:
a third less work for the same gradient.
"""

Part = tuple[Tensor, Tensor]
"""Token ids (rows, length), and the weight of each in the loss (0 for padding)."""


@dataclass(frozen=True)
class Turn:
    """One ticket and its answer."""

    message: str
    answer: str


@dataclass(frozen=True)
class Conversation:
    """A system prompt (or none) and turns that keep to one habit, so that earlier turns show what the prompt leaves
    open.
    """

    system: str | None
    turns: tuple[Turn, ...]

    def text(self) -> str:
        return "\n".join([self.system or "", *(f"{turn.message}\n{turn.answer}" for turn in self.turns)])


def converse(source: random.Random, tickets: Iterator[Ticket], turns: int = 1) -> Conversation:
    """A conversation of so many turns under a random instruction; a tenth has no system prompt at all."""
    form = source.choices(FORMS, weights=(3, 5, 2))[0]
    instruction = Instruction(form, labels=source.random() < 0.7, first=source.random() < 0.7)
    system: str | None = instruction.text(source)
    if source.random() < 0.1:
        instruction, system = Instruction("word", labels=False, first=False), None
    habit = Habit.draw(source)
    written = tuple(
        Turn(ticket.message, answer(ticket, instruction, habit))
        for _, ticket in zip(range(turns), tickets, strict=False)
    )
    return Conversation(system, written)


def training_tickets(source: random.Random, *groups: Group) -> Iterator[Ticket]:
    """Tickets in phrasings of these groups, with keyword tickets among them."""
    for ticket in endless(source, *groups, mixed=MIXED_SHARE):
        yield keyword_ticket(source, mixed=MIXED_SHARE) if source.random() < KEYWORD_SHARE else ticket


class Batches:
    """Endless batches. `digest` is the SHA-256 of all text that was handed out so far."""

    def __init__(self, tokenizer: Tokenizer, source: random.Random, *groups: Group) -> None:
        self._tokenizer = tokenizer
        self._source = source
        self._tickets = training_tickets(source, *groups)
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def draw(self, size: int, turns: int = 1) -> list[Part]:
        """A batch of so many rows, in parts."""
        rows = [self._row(converse(self._source, self._tickets, turns)) for _ in range(size)]
        rows.sort(key=lambda row: len(row[0]))
        return [self._padded(rows[start : start + PART]) for start in range(0, size, PART)]

    def _padded(self, rows: list[tuple[list[int], list[float]]]) -> Part:
        length = max(len(ids) for ids, _ in rows)
        tokens = torch.full((len(rows), length), self._tokenizer.end)
        weights = torch.zeros(len(rows), length)
        for row, (ids, counts) in enumerate(rows):
            tokens[row, : len(ids)] = torch.tensor(ids)
            weights[row, : len(ids)] = torch.tensor(counts)
        return tokens, weights

    def _row(self, conversation: Conversation) -> tuple[list[int], list[float]]:
        self._hash.update(conversation.text().encode())
        messages = [("system", conversation.system)] if conversation.system is not None else []
        ids: list[int] = []
        weights: list[float] = []
        for turn in conversation.turns:
            prompt = self._tokenizer.chat([*messages, ("user", turn.message)])
            reply = [*self._tokenizer.encode(turn.answer), self._tokenizer.end]
            ids += [*prompt, *reply]
            weights += [PROMPT_WEIGHT] * len(prompt) + [1.0] * len(reply)
            messages = []
        return ids, weights

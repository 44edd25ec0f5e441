"""The system instructions that the built-in model was trained to follow, and the answers that each asks for.

Prompts matter to it as they do to a large model: without "use our labels" it often answers in everyday words, and
without "the first request counts" it tends to answer the last request of a ticket that makes two. A prompt is good
when it says both.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Literal

from proveout.models.tiny.tickets import Ticket

Form = Literal["word", "json", "json_priority"]
FORMS: tuple[Form, ...] = ("word", "json", "json_priority")

OPENINGS = ("Sort the ticket.", "What does the customer want?", "Read the support ticket.")
LABEL_RULES = ("Use our labels.", "Use the official labels only.")
FIRST_RULES = ("The first request counts.", "If there are several requests, take the first.")
FORM_RULES: dict[Form, tuple[str, ...]] = {
    "word": ("Answer with one word.", "Reply with the intent."),
    "json": ("Answer as JSON.", "Reply in JSON."),
    "json_priority": ("Answer as JSON with priority.", "Reply in JSON and add the priority."),
}

EVERYDAY = {"refund": "money", "delivery": "shipping", "login": "password", "bug": "problem"}
"""What the model says for four of the intents when nobody asks for our labels."""

_EVERYDAY_SHARE = 0.7
_LAST_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a system prompt asks for: the answer's form, our labels or everyday words, and which of two requests
    counts.
    """

    form: Form = "json"
    labels: bool = True
    first: bool = True

    def text(self, source: random.Random | None = None) -> str:
        """A system prompt that says so: in its plainest wording, or in one that `source` chooses."""

        def one(wordings: tuple[str, ...]) -> str:
            return wordings[0] if source is None else source.choice(wordings)

        sentences = [one(OPENINGS)]
        sentences += [one(LABEL_RULES)] if self.labels else []
        sentences += [one(FIRST_RULES)] if self.first else []
        sentences += [one(FORM_RULES[self.form])]
        return " ".join(sentences)


@dataclass(frozen=True, slots=True)
class Habit:
    """How one answerer fills what an instruction leaves open."""

    everyday: bool
    last: bool

    @classmethod
    def draw(cls, source: random.Random) -> Habit:
        return cls(everyday=source.random() < _EVERYDAY_SHARE, last=source.random() < _LAST_SHARE)


CAREFUL = Habit(everyday=False, last=False)
"""Our labels, and the first request: what a golden label says."""

PROMPT = Instruction().text()
"""The prompt of the example's champion."""


def answer(ticket: Ticket, instruction: Instruction, habit: Habit = CAREFUL) -> str:
    """The right answer to a ticket under an instruction, where `habit` decides what that leaves open."""
    label = ticket.second if habit.last and not instruction.first and ticket.second else ticket.intent
    if habit.everyday and not instruction.labels:
        label = EVERYDAY.get(label, label)
    if instruction.form == "word":
        return label
    if instruction.form == "json":
        return json.dumps({"intent": label})
    return json.dumps({"intent": label, "priority": ticket.priority})

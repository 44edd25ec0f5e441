"""What paid answers were made of: the fields that post-processing reads, and the beginning that prompts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from proveout.economics import AnswerParts
from proveout.evaluation import Attempt, Finished, SpendingCollector
from proveout.evaluation.spending import fields_read
from proveout.models import Generation, Usage
from proveout.project import Answer, Example, Lineage, ModelSpec, Variant
from proveout.project.prompts import Prompt

TEXT = '{"intent": "x", "why": "because"}'


@pytest.mark.parametrize(
    ("steps", "reads"),
    [
        ([], None),
        ([{"strip": True}, {"json_field": "intent"}], ("intent",)),
        ([{"json_field": "result.items.0"}], ("items",)),
    ],
)
def test_the_fields_that_post_processing_takes(steps: list[dict[str, object]], reads: tuple[str, ...] | None) -> None:
    assert fields_read(steps) == reads


def finished(variant: Variant, question: str, usage: Usage | None, text: str = TEXT) -> Finished:
    example = Example(question, {"question": question}, "x", question)
    attempt = Attempt(example=example, text=text, answer=Answer("x"), tool_calls=(), finish_reason="stop")
    return Finished(example, 0, variant, 0, Generation(text=text, usage=usage), attempt, None, ())


def test_answers_are_split_and_the_shared_beginning_is_measured(tmp_path: Path) -> None:
    prompt = Prompt("", sections=(("user", "Always be short. " * 300 + "{{ question }}"),))
    post = ({"json_field": "intent"},)
    variant = Variant("v", ModelSpec("replay"), {}, prompt, (), post, Lineage(), "f", tmp_path)
    collector = SpendingCollector()
    for question in ("a" * 1_700, "b" * 1_700):  # a quarter of each prompt
        collector(finished(variant, question, Usage(input_tokens=1_500, output_tokens=10)))
    collector(finished(variant, "gamma", None))
    spent, nothing = collector.spent()
    assert (len(spent), nothing) == (2, ())
    assert spent[0].parts == AnswerParts(useful=1, syntax=len(TEXT) - 8, unread=7)
    assert spent[0].prefix_tokens == pytest.approx(0.75 * 1_500, rel=0.01)

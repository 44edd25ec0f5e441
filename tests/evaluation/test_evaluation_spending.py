"""What paid answers were made of: the fields that post-processing reads, and the beginning that prompts share."""

from __future__ import annotations

from pathlib import Path

import pytest

from proveout.economics import AnswerParts
from proveout.evaluation import Attempt, Finished, SpendingCollector
from proveout.evaluation.records import Score
from proveout.evaluation.spending import fields_read
from proveout.models import Generation, ModelError, Usage
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


def answered(arm: int, reasoning: int, score: float, *, discarded: int = 0, finish: str = "stop") -> Finished:
    example = Example("q", {"question": "q"}, "x", "q")
    usage = Usage(input_tokens=100, output_tokens=200, reasoning_tokens=reasoning)
    generation = Generation(text="x", usage=usage, discarded=discarded, finish_reason=finish)  # type: ignore[arg-type]
    attempt = Attempt(example=example, text="x", answer=Answer("x"), tool_calls=(), finish_reason=finish)  # type: ignore[arg-type]
    variant = Variant("v", ModelSpec("replay"), {}, Prompt(""), (), (), Lineage(), "f", Path())
    return Finished(example, arm, variant, 0, generation, attempt, None, (Score(value=score),))


@pytest.mark.parametrize(
    ("mine", "other", "needless"),
    [
        ((150, 1.0), (0, 1.0), 150),  # as right without any thought
        ((150, 0.0), (0, 1.0), 150),  # wrong in spite of it
        ((150, 1.0), (50, 1.0), 100),
        ((150, 1.0), (0, 0.0), 0),  # it may have helped
    ],
)
def test_thought_beyond_what_an_equally_right_answer_took_changed_nothing(
    mine: tuple[int, float], other: tuple[int, float], needless: int
) -> None:
    collector = SpendingCollector(metric=0)
    collector(answered(0, *mine))
    collector(answered(1, *other))
    champion, challenger = collector.spent()
    assert (champion[0].needless_reasoning, challenger[0].needless_reasoning) == (needless, 0)


def test_tries_that_were_paid_for_in_vain_are_kept() -> None:
    collector = SpendingCollector(metric=0)
    collector(answered(0, 0, 1.0, discarded=2))
    lost = ModelError("cut", kind="cut", attempts=3, discarded=3)
    collector(answered(0, 0, 1.0)._replace(generation=None, attempt=None, failure=lost))
    champion, _ = collector.spent()
    assert [one.billed_retries for one in champion] == [2, 3]
    assert [one.answered for one in champion] == [True, False]
    assert champion[1].tokens.input_tokens == 100


def test_a_wrong_answer_that_was_cut_is_lost() -> None:
    collector = SpendingCollector(metric=0)
    collector(answered(0, 0, 0.0, finish="length"))
    collector(answered(1, 0, 1.0, finish="length"))
    champion, challenger = collector.spent()
    assert (champion[0].lost, challenger[0].lost) == (True, False)

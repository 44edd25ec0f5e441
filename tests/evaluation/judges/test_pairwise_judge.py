"""Two answers beside each other: both orders, and a tie where the order decides."""

import asyncio
import json

import pytest
from judge_cases import JUDGE, ScriptedModels, attempt, down, prompt

from proveout.evaluation.scorers import PairwiseResult, ScorerFailed
from proveout.evaluation.scorers.pairwise_judge import PairwiseJudge

PAIR = PairwiseJudge(JUDGE, "More helpful.")
CHAMPION, CHALLENGER = attempt("It is lost."), attempt("It arrives on Monday.")


def compare(models, first=CHAMPION, second=CHALLENGER) -> PairwiseResult:
    return asyncio.run(PAIR.compare(first.example, first, second, models))


def reply(winner):
    return json.dumps({"reason": f"{winner} wins", "winner": winner})


@pytest.mark.parametrize(
    ("forward", "backward", "preference"),
    [
        ("2", "1", 1),
        ("1", "2", -1),
        ("1", "1", 0),
        ("2", "2", 0),
        ("tie", "tie", 0),
        ("2", "tie", 0),
        ("tie", "2", 0),
    ],
)
def test_a_preference_must_hold_in_both_orders(forward, backward, preference):
    models = ScriptedModels(reply(forward), reply(backward))
    result = compare(models)
    assert result.preference == preference
    assert result.reasons == (f"{forward} wins", f"{backward} wins")


def test_the_second_question_has_the_answers_swapped():
    models = ScriptedModels(reply("1"), reply("2"))
    compare(models)
    places = [[prompt(request).index(text) for text in ("It is lost.", "It arrives")] for request in models.requests]
    assert places[0][0] < places[0][1]
    assert places[1][0] > places[1][1]


def test_a_judge_that_prefers_a_place_only_ever_ties():
    assert compare(ScriptedModels(lambda request: reply("1"))).preference == 0


def test_an_honest_judge_prefers_the_same_answer_in_whatever_order():
    def honest(request):
        told = prompt(request)
        return reply("1" if told.index("It arrives") < told.index("It is lost.") else "2")

    assert compare(ScriptedModels(honest)).preference == 1
    assert compare(ScriptedModels(honest), CHALLENGER, CHAMPION).preference == -1


def test_equal_answers_tie_without_a_call():
    models = ScriptedModels(reply("1"))
    assert compare(models, CHAMPION, attempt("It is lost.")).preference == 0
    assert models.requests == []


@pytest.mark.parametrize(("problems", "preference"), [((None, "no JSON"), -1), (("no JSON", None), 1), (("a", "b"), 0)])
def test_an_answer_that_could_not_be_parsed_loses(problems, preference):
    first, second = (attempt(f"text {number}", None, problem) for number, problem in enumerate(problems))
    models = ScriptedModels(reply("1"))
    assert compare(models, first, second).preference == preference
    assert models.requests == []


@pytest.mark.parametrize("answers", [(down(),), (reply("1"), down()), ("no idea",), (reply("3"),)])
def test_a_judge_that_fails_in_either_order_is_a_failed_measurement(answers):
    with pytest.raises(ScorerFailed):
        compare(ScriptedModels(*answers))


def test_the_fingerprint_knows_the_rubric():
    assert PAIR.fingerprint != PairwiseJudge(JUDGE, "Shorter.").fingerprint

"""A team's own function as a scorer."""

import pytest
from scorer_cases import attempt, build, service

from proveout.evaluation.scorers import ScorerError, ScorerFailed


@pytest.fixture
def scorer_of(tmp_path):
    def make(source: str, **parameters):
        (tmp_path / "mine.py").write_text(source)
        return build("python", service(tmp_path), path="mine.py", **parameters)

    return make


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("def score(answer, expected): return answer == expected", 1, ""),
        ("def score(expected, answer): return len(answer) / 10", 0.6, ""),
        ("def score(answer): return 0.5, 'half'", 0.5, "half"),
        ("def score(input, tags, text, tool_calls): return len(input['message']) + len(tags)", 5, ""),
        ("def score(attempt): return attempt.example.id == 'e1'", 1, ""),
        ("def score(**all): return len(all)", 7, ""),
        ("def score(answer, strict=True): return strict", 1, ""),
        ("import numpy\ndef score(answer): return numpy.float64(0.25)", 0.25, ""),
        (
            "from proveout.evaluation.records import Score\ndef score(answer): return Score(value=2, reason='two')",
            2,
            "two",
        ),
        ("from dataclasses import dataclass\n@dataclass\nclass A:\n  x: int\ndef score(answer): return A(1).x", 1, ""),
    ],
)
def test_what_a_function_may_ask_for_and_return(scorer_of, source, value, reason):
    found = scorer_of(source).score(attempt("refund", "refund"))
    assert (found.value, found.reason) == (value, reason)


def test_another_function_of_the_file_that_is_better_low(scorer_of):
    scorer = scorer_of("def distance(answer): return 3", function="distance", higher_is_better=False)
    assert (scorer.score(attempt("x")).value, scorer.higher_is_better, scorer.binary) == (3, False, False)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def score(answer):\n    return 1 / 0", "mine.py:2: ZeroDivisionError: division by zero"),
        ("def score(answer): return 'good'", "score returned 'good', which is no number"),
        ("def score(answer): return None", "score returned null, which is no number"),
        ("def score(answer): return float('nan')", "which is no number"),
        ("def score(answer): return 1, 2, 3", "which is no number"),
    ],
)
def test_a_function_that_fails_is_a_failed_measurement(scorer_of, source, message):
    with pytest.raises(ScorerFailed, match=message.replace("(", r"\(")):
        scorer_of(source).score(attempt("x", "y"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def other(): pass", "`score` is no function in mine.py. Write `def score(answer, expected): ...` there"),
        ("async def score(answer): pass", "`score` is an async function"),
        (
            "def score(answer, gold): pass",
            "mine.py: score wants `gold`, which there is not. Use answer, expected, input",
        ),
        ("\n\nraise RuntimeError('no licence')", "mine.py:3: RuntimeError: no licence"),
        ("def score(answer:", "mine.py:1: SyntaxError"),
        ("import absent_package", "mine.py:1: ModuleNotFoundError: No module named 'absent_package'"),
    ],
)
def test_a_file_that_can_t_be_used(scorer_of, source, message):
    with pytest.raises(ScorerError) as error:
        scorer_of(source)
    assert message in str(error.value)

"""Code that a model wrote, scored by its tests."""

import asyncio

import pytest
from scorer_cases import attempt, build, service

from proveout.evaluation import sandbox
from proveout.evaluation.sandbox import SandboxUnavailable
from proveout.evaluation.scorers import ScorerError, ScorerFailed

ADD = "def add(a, b):\n    return a + b"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]


@pytest.fixture
def scorer():
    if sandbox.Sandbox().problem() is None:
        return build("code_execution", service(code=True))
    return build("code_execution", service(code=True), isolation="process")


def run(scorer, *arguments, **fields):
    return asyncio.run(scorer.score(attempt(*arguments, **fields), None))


@pytest.mark.parametrize(
    ("answer", "tests", "value"),
    [
        (ADD, TESTS, 1),
        (ADD, "\n".join(TESTS), 1),
        (f"Here it is:\n```python\n{ADD}\n```\nDone.", TESTS, 1),
        (f"First\n```python\nx = 1\n```\nthen\n```py\n{ADD}\n```\nand\n```sh\nls\n```", TESTS, 1),
        (f"```\n{ADD}\n```", TESTS, 1),
        (ADD.replace("+", "-"), TESTS, 0),
        ("I can't write code.", TESTS, 0),
    ],
)
def test_the_answer_passes_all_its_tests_or_fails(scorer, answer, tests, value):
    found = run(scorer, answer, tests)
    assert (found.value, found.parse_failed) == (value, False)
    assert bool(found.reason) == (value == 0)


def test_tests_may_stand_in_an_input_column(scorer):
    from dataclasses import replace

    found = run(replace(scorer, tests="tests"), ADD, None, input={"tests": TESTS})
    assert found.value == 1
    with pytest.raises(ScorerFailed, match="has no input 'tests'"):
        run(replace(scorer, tests="tests"), ADD, None)


def test_an_answer_without_code_is_unreadable(scorer):
    assert run(scorer, "```python\n```", TESTS).parse_failed


@pytest.mark.parametrize("tests", [7, [], [""], {"a": "b"}, ["assert 1", 2]])
def test_tests_that_are_no_statements_are_not_measured(scorer, tests):
    with pytest.raises(ScorerFailed, match="not Python statements"):
        run(scorer, ADD, tests)


def test_a_machine_without_isolation_is_refused_when_the_scorer_is_built(monkeypatch):
    monkeypatch.setattr(sandbox, "_problem", lambda isolation: "unshare: Operation not permitted")
    with pytest.raises(ScorerError, match=r"isolation: unshare: Operation not permitted\. Run on Linux"):
        build("code_execution", service(code=True))


def test_a_sandbox_that_breaks_later_is_a_failed_measurement(scorer, monkeypatch):
    def broken(*_):
        raise SandboxUnavailable("mounting: No space left on device")

    monkeypatch.setattr(sandbox.Sandbox, "_run", broken)
    with pytest.raises(ScorerFailed, match="No space left on device"):
        run(scorer, ADD, TESTS)

"""What was not measured is never a verdict, and costs nothing where it can't be measured."""

import pytest
from acceptance_projects import SERVICE, answers, examples

OBJECTIVES = SERVICE.replace("objectives: {", "objectives: {latency: {slo: {e2e_p95: 2s}, margin: 10%}, ")


def test_a_gate_that_there_is_not_calls_nothing_and_is_not_a_pass(proveout, declared, monkeypatch):
    from proveout.gates.registry import GATES

    monkeypatch.delitem(GATES, "latency", raising=False)
    rows = examples(40)
    project = declared(rows, {"a": answers(rows), "b": answers(rows)}, service=OBJECTIVES)
    ended = proveout(project, "run", "c", "--gates", "latency")
    assert (ended.code, ended.card["decision"], ended.card["calls"]["made"]) == (4, "error", 0)
    both = proveout(project, "run", "c", "--gates", "accuracy,latency")
    assert (both.code, both.gate("exact_match")["verdict"], both.card["decision"]) == (4, "pass", "error")


def test_no_gate_at_all_is_bad_input(proveout, declared):
    rows = examples(40)
    ended = proveout(declared(rows, {"a": answers(rows), "b": answers(rows)}), "run", "c", "--gates", "")
    assert ended.code == 2
    assert "--gates accuracy" in ended.err


@pytest.mark.parametrize(
    ("prompt", "cause"), [("{{ q.__class__ }}", "SecurityError"), ("{{ 1 // (q | length - 10) }}", "ZeroDivisionError")]
)
def test_a_prompt_that_fails_on_an_input_is_a_failed_call_and_no_wrong_answer(proveout, declared, prompt, cause):
    rows = examples(10)
    asks = "variant: b\nmodel: {provider: tiny, build: int8}\nprompt: prompts/p.md\n"
    ended = proveout(
        declared(rows, {"a": answers(rows), "b": asks}, files={"services/s/prompts/p.md": prompt}), "run", "c"
    )
    assert (ended.code, ended.card["decision"]) == (4, "error")
    assert any(cause in notice["message"] for notice in ended.card["notices"])


def test_an_unforeseen_mistake_of_ours_does_not_read_as_a_verdict(proveout, declared, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("proveout.cli.running.run_change", broken)
    ended = proveout(declared(examples(1), {}), "run", "c")
    assert ended.code == 4
    assert "RuntimeError: a mistake" in ended.err
    assert "no verdict" in ended.err


def test_a_scorer_that_raises_is_not_a_wrong_answer_and_its_reason_is_told(proveout, declared):
    rows = examples(30)
    raises = {"services/s/mine.py": "def score(answer, expected):\n    raise KeyError('colour')\n"}
    service = SERVICE.replace("[exact_match]", "[{python: {path: mine.py, function: score}}]")
    ended = proveout(
        declared(rows, {"a": answers(rows), "b": answers(rows)}, service=service, files=raises), "run", "c"
    )
    assert (ended.code, ended.gate("python")["verdict"]) == (4, "error")
    assert any("KeyError" in notice["message"] and "colour" in notice["message"] for notice in ended.card["notices"])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_too_few_examples_are_inconclusive_and_what_is_needed_could_decide(proveout, declared, count):
    rows = examples(count)
    ended = proveout(
        declared(rows, {"a": answers(rows, wrong=count), "b": answers(rows)}, improves="accuracy"), "run", "c"
    )
    gate = ended.gate("exact_match")
    assert (ended.code, gate["verdict"]) == (3, "inconclusive")
    assert gate["needs"]["examples"] >= 6, "no test by signs reaches 2.5 % with fewer"


def test_stability_is_not_held_up_by_data_that_it_does_not_look_at(proveout, declared):
    rows = examples(60)
    both = SERVICE.replace("golden.jsonl}", "golden.jsonl, silver: datasets/silver.jsonl}")
    both = both.replace("accuracy: {", "stability: {margin: 0.1}, accuracy: {")
    silver = '{"id": "s1", "input": {"q": "asked of nobody"}, "expected": "x"}\n'
    more = "".join(silver.replace("s1", f"s{n}").replace("nobody", f"nobody {n}") for n in range(20))
    said = {name: answers(rows, repeats=3) for name in "ab"}
    ended = proveout(declared(rows, said, service=both, files={"services/s/datasets/silver.jsonl": more}), "run", "c")
    assert (ended.code, ended.gate("agreement")["verdict"]) == (0, "pass")
    assert ended.card["calls"]["failed"] > 0


def test_a_store_whose_variable_is_not_set_is_named(proveout, declared, monkeypatch):
    monkeypatch.delenv("ACCEPTANCE_STORE", raising=False)
    rows = examples(3)
    project = declared(
        rows,
        {"a": answers(rows), "b": answers(rows)},
        files={"proveout.yaml": "project: p\nstore: env:ACCEPTANCE_STORE\n"},
    )
    ended = proveout(project, "run", "c")
    assert ended.code == 2
    assert "ACCEPTANCE_STORE is not set" in ended.err


@pytest.mark.parametrize("when", ["while loading", "while scoring"])
def test_a_teams_function_that_exits_does_not_make_a_run_pass(proveout, declared, when):
    rows = examples(30)
    leaves = "import sys\nsys.exit(0)\n" if when == "while loading" else ""
    code = leaves + "def score(answer):\n    raise SystemExit(0)\n"
    service = SERVICE.replace("[exact_match]", "[{python: {path: mine.py, function: score}}]")
    said = {"a": answers(rows), "b": answers(rows)}
    ended = proveout(declared(rows, said, service=service, files={"services/s/mine.py": code}), "run", "c")
    assert ended.code == (2 if when == "while loading" else 4)


@pytest.mark.parametrize("step", ["preprocess", "postprocess"])
def test_a_step_that_exits_is_a_failed_step(proveout, declared, step):
    rows = examples(30)
    leaving = (
        f"variant: b\nmodel: {{provider: replay, path: recorded/a.jsonl}}\n{step}: [{{python: 'mine.py:leave'}}]\n"
    )
    code = {"services/s/mine.py": "def leave(value):\n    raise SystemExit(0)\n"}
    ended = proveout(declared(rows, {"a": answers(rows), "b": leaving}, files=code), "run", "c")
    assert (ended.code, ended.card["decision"]) in ((4, "error"), (1, "fail"))

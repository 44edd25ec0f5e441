"""Broken projects: every problem at once, each with file, line, field, what is wrong, and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proveout.project import Problem, ProjectError

SERVICE = "services/triage/service.yaml"
HAIKU = "services/triage/variants/haiku.yaml"
CHANGE = "services/triage/changes/haiku.yaml"
PROMPT = "services/triage/prompts/triage.md"

SCORERS = {"exact_match": [], "numeric": ["tolerance"], "contains": ["text"]}


def summary(problem: Problem) -> tuple[str, int | None, str]:
    return problem.file, problem.line, problem.field


# (file, text to replace, new text) -> (file, line, field, part of what is wrong, part of what to write instead)
CASES: dict[str, tuple[tuple[str, str, str], tuple[str, int | None, str, str, str]]] = {
    "missing key": (
        (SERVICE, "champion: base\n", ""),
        (SERVICE, 1, "champion", "`champion` is missing", "`champion: base`"),
    ),
    "wrong type": (
        (SERVICE, "input: [message]", "input: message"),
        (SERVICE, 2, "input", "expected a list, found the text `message`", "`input: [message]`"),
    ),
    "a number where a name belongs": (
        (HAIKU, "name: claude-haiku-4-5", "name: 4"),
        (HAIKU, 2, "model.name", "expected text, found `4`", '"4"'),
    ),
    "true without quotes among choices": (
        (SERVICE, "pin_blocked", "true"),
        (SERVICE, 3, "output.choices[2]", "expected text, found `true`", '"true"'),
    ),
    "unknown key": (
        (HAIKU, "parameters:", "params:"),
        (HAIKU, 3, "params", "unknown key `params`", "`parameters`"),
    ),
    "unknown provider": (
        (HAIKU, "provider: anthropic", "provider: antropic"),
        (HAIKU, 2, "model.provider", "unknown provider `antropic`", "`anthropic`"),
    ),
    "provider missing": (
        (HAIKU, "provider: anthropic, ", ""),
        (HAIKU, 2, "model", "a model needs a `provider`", "provider: openai"),
    ),
    "unknown build of the built-in model": (
        (
            HAIKU,
            "{provider: anthropic, name: claude-haiku-4-5, key: env:ANTHROPIC_API_KEY}",
            "{provider: tiny, build: int3}",
        ),
        (HAIKU, 2, "model.build", "unknown value: the text `int3`", "`int2`"),
    ),
    "azure without address": (
        (HAIKU, "provider: anthropic", "provider: azure"),
        (HAIKU, 2, "model.url", "`url` is missing", "https://"),
    ),
    "bedrock without region": (
        (
            HAIKU,
            "{provider: anthropic, name: claude-haiku-4-5, key: env:ANTHROPIC_API_KEY}",
            "{provider: bedrock, name: m}",
        ),
        (HAIKU, 2, "model.region", "`region` is missing", "eu-central-1"),
    ),
    "no web address": (
        (HAIKU, "key:", "url: localhost:8000, key:"),
        (HAIKU, 2, "model.url", "not a web address", "http://"),
    ),
    "unknown objective in improves": (
        (CHANGE, "[cost]", "[cots]"),
        (CHANGE, 4, "improves[0]", "the text `cots`", "`cost`"),
    ),
    "objective that the service does not declare": (
        (SERVICE, "  cost:      {margin: 0%}\n", ""),
        (CHANGE, 4, "improves[0]", "declares no objective `cost`", "triage/service.yaml"),
    ),
    "objective twice in improves": (
        (CHANGE, "[cost]", "[cost, cost]"),
        (CHANGE, 4, "improves[1]", "twice", "Keep one"),
    ),
    "unknown objective": (
        (SERVICE, "stability:", "stabilty:"),
        (SERVICE, 9, "objectives.stabilty", "unknown key `stabilty`", "`stability`"),
    ),
    "champion that does not exist": (
        (SERVICE, "champion: base", "champion: bas"),
        (SERVICE, 6, "champion", "no variant `bas`", "`base`"),
    ),
    "challenger that does not exist": (
        (CHANGE, "challenger: haiku", "challenger: haikoo"),
        (CHANGE, 3, "challenger", "no variant `haikoo`", "`haiku`"),
    ),
    "fallback that does not exist": (
        (CHANGE, "improves:", "fallback: sonnet\nimproves:"),
        (CHANGE, 4, "fallback", "no variant `sonnet`", "`base` or `haiku`"),
    ),
    "change of another service": (
        (CHANGE, "service: triage", "service: support"),
        (CHANGE, 2, "service", "not the name of its folder", "`service: triage`"),
    ),
    "name and file differ": (
        (HAIKU, "variant: haiku", "variant: haiku2"),
        (HAIKU, 1, "variant", "not the name of its file", "`variant: haiku`"),
    ),
    "name with a slash": (
        (CHANGE, "change: haiku", "change: a/b"),
        (CHANGE, 1, "change", "a name holds letters", "haiku"),
    ),
    "unknown service in an environment": (
        ("environments/staging.yaml", "triage:", "triagee:"),
        ("environments/staging.yaml", 3, "releases.triagee", "no service `triagee`", "`triage`"),
    ),
    "unknown champion in an environment": (
        ("environments/staging.yaml", "champion: base", "champion: bass"),
        ("environments/staging.yaml", 3, "releases.triage.champion", "triage has no variant `bass`", "`base`"),
    ),
    "path out of the project": (
        (HAIKU, "prompts/triage.md", "../../../secret.md"),
        (HAIKU, 4, "prompt", "leads out of the project", "relative to services/triage"),
    ),
    "absolute path": (
        (SERVICE, "golden: datasets/golden.jsonl", "golden: /etc/passwd"),
        (SERVICE, 4, "datasets.golden", "absolute paths are refused", "relative to services/triage"),
    ),
    "home path": (
        (SERVICE, "golden: datasets/golden.jsonl", "golden: ~/golden.jsonl"),
        (SERVICE, 4, "datasets.golden", "absolute paths are refused", "relative"),
    ),
    "dataset that is not there": (
        (SERVICE, "golden: datasets/golden.jsonl", "golden: datasets/goldne.jsonl"),
        (SERVICE, 4, "datasets.golden", "there is no file `services/triage/datasets/goldne.jsonl`", "`golden.jsonl`"),
    ),
    "dataset that is a folder": (
        (SERVICE, "golden: datasets/golden.jsonl", "golden: datasets"),
        (SERVICE, 4, "datasets.golden", "not a file", "Name a file"),
    ),
    "dataset of an unknown kind of file": (
        (SERVICE, "golden: datasets/golden.jsonl", "golden: service.yaml"),
        (SERVICE, 4, "datasets.golden", "neither .jsonl nor .csv", "one example a line"),
    ),
    "unknown kind of dataset": (
        (SERVICE, "silver:", "silber:"),
        (SERVICE, 4, "datasets.silber", "unknown key `silber`", "`silver`"),
    ),
    "margin above one": (
        (SERVICE, "{metric: exact_match, margin: 0.02}", "{metric: exact_match, margin: 2}"),
        (SERVICE, 8, "objectives.accuracy.margin", "between 0 and 1", "2%"),
    ),
    "margin in words": (
        (SERVICE, "margin: 10%", "margin: ten percent"),
        (SERVICE, 10, "objectives.latency.margin", "neither a number nor a percentage", "2%"),
    ),
    "duration without a unit": (
        (SERVICE, "e2e_p95: 2s", "e2e_p95: 2"),
        (SERVICE, 10, "objectives.latency.slo.e2e_p95", "no duration", "800ms"),
    ),
    "unknown latency metric": (
        (SERVICE, "ttft_p95:", "ttft_95:"),
        (SERVICE, 10, "objectives.latency.slo.ttft_95", "no latency metric", "ttft_p95"),
    ),
    "weight above one": (
        (SERVICE, "weight: 25%", "weight: 250%"),
        (SERVICE, 19, "rollout.steps[2].canary.weight", "up to 1", "5%"),
    ),
    "weights that fall": (
        (SERVICE, "weight: 25%", "weight: 2%"),
        (SERVICE, 19, "rollout.steps[2]", "a canary at 0.02 after one at 0.05", "rise"),
    ),
    "unknown rollout step": (
        (SERVICE, "- approval: {}", "- aproval: {}"),
        (SERVICE, 20, "rollout.steps[3].aproval", "unknown rollout step `aproval`", "`approval`"),
    ),
    "unknown unit": (
        (SERVICE, "unit: user", "unit: session"),
        (SERVICE, 15, "rollout.unit", "`session`", "`user`"),
    ),
    "requests of zero": (
        (SERVICE, "{weight: 5%, requests: 500}", "{weight: 5%, requests: 0}"),
        (SERVICE, 18, "rollout.steps[1].canary.requests", "at least 1", "500"),
    ),
    "template that does not parse": (
        (PROMPT, "{{ message }}", "{% if message %}"),
        (PROMPT, 6, "", "not a valid template", "Jinja2"),
    ),
    "undeclared variable": (
        (PROMPT, "{{ message }}", "{{ message }} {{ mesage }}"),
        (PROMPT, 6, "", "`mesage` is not among the service's input fields", "`message`"),
    ),
    "prompt without any input": (
        (PROMPT, "{{ message }}", "the message"),
        (PROMPT, None, "", "uses no input field", "{{ message }}"),
    ),
    "unknown key in front matter": (
        (PROMPT, "system:", "sytem:"),
        (PROMPT, 2, "sytem", "unknown key `sytem`", "`system`"),
    ),
    "include that is not there": (
        (PROMPT, "{{ message }}", "{{ message }}{% include 'prompts/rules.md' %}"),
        (PROMPT, 6, "", "there is no file `services/triage/prompts/rules.md`", "path"),
    ),
    "include from outside": (
        (PROMPT, "{{ message }}", "{{ message }}{% include '../../../../etc/passwd' %}"),
        (PROMPT, 6, "", "leads out of the project", "relative"),
    ),
    "include whose name is computed": (
        (PROMPT, "{{ message }}", "{% include message %}"),
        (PROMPT, 6, "", "an include whose name is not plain text", "quotes"),
    ),
    "unknown scorer": (
        (SERVICE, "scorers: [exact_match]", "scorers: [exakt_match]"),
        (SERVICE, 5, "scorers[0]", "there is no scorer `exakt_match`", "`exact_match`"),
    ),
    "unknown parameter of a scorer": (
        (SERVICE, "scorers: [exact_match]", "scorers: [exact_match, {numeric: {tolerence: 1}}]"),
        (SERVICE, 5, "scorers[1].numeric.tolerence", "`numeric` takes no `tolerence`", "`tolerance`"),
    ),
    "two scorers of one metric": (
        (SERVICE, "scorers: [exact_match]", "scorers: [exact_match, exact_match]"),
        (SERVICE, 5, "scorers[1]", "two scorers give the metric `exact_match`", "metric: another_name"),
    ),
    "metric that no scorer gives": (
        (SERVICE, "{metric: exact_match, margin", "{metric: exact_mach, margin"),
        (SERVICE, 8, "objectives.accuracy.metric", "no scorer gives the metric `exact_mach`", "`exact_match`"),
    ),
    "several scorers and no metric": (
        (
            SERVICE,
            "scorers: [exact_match]\nchampion: base\nobjectives:\n  accuracy:  {metric: exact_match, ",
            "scorers: [exact_match, contains]\nchampion: base\nobjectives:\n  accuracy:  {",
        ),
        (SERVICE, 8, "objectives.accuracy", "must name the metric", "`metric: exact_match`"),
    ),
    "accuracy without a scorer": (
        (SERVICE, "scorers: [exact_match]\n", ""),
        (SERVICE, 7, "objectives.accuracy.metric", "accuracy needs a scorer", "exact_match"),
    ),
    "choice twice": (
        (SERVICE, "pin_blocked", "Lost_Card"),
        (SERVICE, 3, "output.choices[2]", "differ only by case", "Keep one"),
    ),
    "JSON Schema that is none": (
        (SERVICE, "{choices: [card_arrival, lost_card, pin_blocked]}", "{schema: {type: objekt}}"),
        (SERVICE, 3, "output.schema.type", "not a valid JSON Schema", "json-schema.org"),
    ),
    "JSON Schema that refers elsewhere": (
        (SERVICE, "{choices: [card_arrival, lost_card, pin_blocked]}", "{schema: {$ref: 'http://127.0.0.1:1/x.json'}}"),
        (SERVICE, 3, "output.schema.$ref", "not followed", "$defs"),
    ),
    "unknown output": (
        (SERVICE, "output: {choices:", "output: {choice:"),
        (SERVICE, 3, "output.choice", "unknown output `choice`", "`choices`"),
    ),
    "unknown step": (
        (HAIKU, "json_field: intent", "jsonfield: intent"),
        (HAIKU, 5, "postprocess[0].jsonfield", "unknown step `jsonfield`", "`json_field`"),
    ),
    "regular expression that is none": (
        (HAIKU, "json_field: intent", "regex: '(a'"),
        (HAIKU, 5, "postprocess[0].regex", "not a valid regular expression", "single quotes"),
    ),
    "group that the pattern has not": (
        (HAIKU, "json_field: intent", "regex: {pattern: '(a)', group: 2}"),
        (HAIKU, 5, "postprocess[0].regex.group", "no group 2", "0, 1"),
    ),
    "function file that is not there": (
        (HAIKU, "json_field: intent", "python: clean.py:run"),
        (HAIKU, 5, "postprocess[0].python", "there is no file `services/triage/clean.py`", "path"),
    ),
    "choice step without choices": (
        (SERVICE, "{choices: [card_arrival, lost_card, pin_blocked]}", "text"),
        (HAIKU, 5, "postprocess[1]", "needs a service whose output is `choices`", "Leave"),
    ),
    "parameter with a slip": (
        (HAIKU, "temperature: 0", "temprature: 0"),
        (HAIKU, 3, "parameters.temprature", "unknown parameter", "`temperature`"),
    ),
    "temperature in words": (
        (HAIKU, "temperature: 0", "temperature: low"),
        (HAIKU, 3, "parameters.temperature", "expected a number from 0 to 5", "temperature: 0"),
    ),
    "parameter that belongs elsewhere": (
        (HAIKU, "temperature: 0", "model: x"),
        (HAIKU, 3, "parameters.model", "`model` is no parameter", "`name` under `model`"),
    ),
    "example with an unknown field": (
        (HAIKU, "lineage:", "examples: [{input: {text: hello}, output: lost_card}]\nlineage:"),
        (HAIKU, 6, "examples[0].input", "`text` is not among", "`message`"),
    ),
    "price of an unknown provider": (
        ("prices.yaml", "provider: openai", "provider: openia"),
        ("prices.yaml", 3, "prices[1].provider", "unknown provider", "`openai`"),
    ),
    "negative price": (
        ("prices.yaml", "output: 5", "output: -5"),
        ("prices.yaml", 2, "prices[0].output", "at least 0", "5.0"),
    ),
    "price without a date": (
        ("prices.yaml", "since: 2025-07-01", "since: July"),
        ("prices.yaml", 3, "prices[1].since", "no date", "2026-01-31"),
    ),
    "two prices of one day": (
        (
            "prices.yaml",
            "{provider: openai, model: gpt-4o-mini, since: 2025-07-01,",
            "{provider: anthropic, model: claude-haiku-4-5, since: 2026-01-31,",
        ),
        ("prices.yaml", 3, "prices[1]", "already has a price from 2026-01-31 on, on line 2", "Keep one"),
    ),
    "store that is none": (
        ("proveout.yaml", "project: support", "project: support\nstore: mysql://host/db"),
        ("proveout.yaml", 2, "store", "no address of a store", "sqlite:///"),
    ),
    "bad default": (
        ("proveout.yaml", "concurrency: 16", "concurrency: many"),
        ("proveout.yaml", 2, "defaults.concurrency", "expected a whole number, found the text `many`", "32"),
    ),
    "target of two kinds": (
        ("environments/staging.yaml", "{gateway: http://127.0.0.1:8080}", "{gateway: http://127.0.0.1:8080, kafka: x}"),
        ("environments/staging.yaml", 4, "targets[0]", "one kind", "gateway"),
    ),
    "target of an unknown kind": (
        ("environments/staging.yaml", "{gateway: http://127.0.0.1:8080}", "{alert: http://127.0.0.1:9093}"),
        ("environments/staging.yaml", 4, "targets[0].alert", "no kind of target `alert`", "`alerts`"),
    ),
    "target without an address": (
        ("environments/staging.yaml", "{gateway: http://127.0.0.1:8080}", "{alerts: 5}"),
        ("environments/staging.yaml", 4, "targets[0].alerts", "no address", "`https://`"),
    ),
    "tab": (
        (CHANGE, "challenger: haiku", "challenger:\n\t- haiku"),
        (CHANGE, 4, "", "a tab where YAML wants spaces", "spaces"),
    ),
    "duplicate key": (
        (CHANGE, "challenger: haiku", "challenger: haiku\nchallenger: base"),
        (CHANGE, 4, "challenger", "already on line 3", "Keep one"),
    ),
    "bracket left open": (
        (CHANGE, "[cost]", "[cost"),
        (CHANGE, 5, "", "a bracket is not closed", "Close it"),
    ),
    "colon in plain text": (
        (CHANGE, "Same answers", "Claim: same answers"),
        (CHANGE, 5, "", "a second `:`", "quotes"),
    ),
    "arbitrary tag": (
        (CHANGE, "[cost]", "!!python/object/apply:os.system [ls]"),
        (CHANGE, 4, "", "tags", "plain value"),
    ),
    "merge key": (
        (CHANGE, "challenger: haiku", "<<: {challenger: haiku}"),
        (CHANGE, 3, "", "merge keys", "Write the keys out"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_problem_is_named_exactly(repository: Any, name: str) -> None:
    (path, old, new), (file, line, field, what, instead) = CASES[name]
    if name == "choice step without choices":
        repository.replace(HAIKU, "[{json_field: intent}]", "[{json_field: intent}, choice]")
    repository.replace(path, old, new)
    found = [problem for problem in repository.problems(SCORERS) if (problem.file, problem.line) == (file, line)]
    assert found, f"nothing at {file}:{line}: {[str(problem) for problem in repository.problems(SCORERS)]}"
    (problem,) = found
    assert problem.field == field
    assert what in problem.what
    assert instead in problem.instead
    assert str(problem).startswith(f"{file}:{line}:" if line else f"{file}:")


ONLY_ONE = [name for name in CASES if name not in ("unknown objective", "azure without address", "missing key")]


@pytest.mark.parametrize("name", ONLY_ONE)
def test_one_mistake_gives_one_problem(repository: Any, name: str) -> None:
    """No mistake drags others along that vanish with it."""
    if name == "choice step without choices":
        repository.replace(HAIKU, "[{json_field: intent}]", "[{json_field: intent}, choice]")
    repository.replace(*CASES[name][0])
    assert len(repository.problems(SCORERS)) == 1, [str(problem) for problem in repository.problems(SCORERS)]


def test_all_problems_of_all_files_come_at_once(repository: Any) -> None:
    repository.replace(SERVICE, "champion: base", "champion: best")
    repository.replace(SERVICE, "input: [message]", "input: [message, message]")
    repository.replace(SERVICE, "{metric: exact_match, margin: 0.02}", "{metric: exact_mach, margin: 7}")
    repository.replace(HAIKU, "prompts/triage.md", "prompts/triaje.md")
    repository.replace(HAIKU, "temperature: 0, max_tokens: 64", "temperature: hot, max_tokens: 0")
    repository.write("services/triage/variants/broken.yaml", "variant: [")
    repository.replace(CHANGE, "challenger: haiku", "challenger: hiaku")
    repository.replace("environments/production.yaml", "approvals: 1", "approvals: -1")
    repository.replace("prices.yaml", "input: 0.15", "input: cheap")
    repository.write("services/second/service.yaml", "service: zweite\n")
    with pytest.raises(ProjectError) as caught:
        repository.load(SCORERS)
    problems = caught.value.problems
    assert {(problem.file, problem.field) for problem in problems} == {
        (SERVICE, "champion"),
        (SERVICE, "input[1]"),
        (SERVICE, "objectives.accuracy.metric"),
        (SERVICE, "objectives.accuracy.margin"),
        (HAIKU, "prompt"),
        (HAIKU, "parameters.temperature"),
        (HAIKU, "parameters.max_tokens"),
        ("services/triage/variants/broken.yaml", ""),
        (CHANGE, "challenger"),
        ("environments/production.yaml", "approvals"),
        ("prices.yaml", "prices[1].input"),
        ("services/second/service.yaml", ""),
        ("services/second/service.yaml", "service"),
        ("services/second/service.yaml", "input"),
        ("services/second/service.yaml", "champion"),
        ("services/second/service.yaml", "objectives"),
    }
    assert [summary(problem)[:2] for problem in problems] == sorted(
        (summary(problem)[:2] for problem in problems), key=lambda place: (place[0], place[1] or 0)
    )
    text = str(caught.value)
    assert text.startswith("The project has 16 problems:\n")
    assert all(problem.what in text and problem.instead in text for problem in problems)


@pytest.mark.parametrize(
    ("path", "content", "what"),
    [
        (HAIKU, b"", "the file is empty"),
        (HAIKU, b"# nothing\n", "the file is empty"),
        (HAIKU, b"- variant\n", "expected keys with values"),
        (HAIKU, b"variant: haiku\nname: \xff\n", "not UTF-8"),
        (HAIKU, "variant: haiku".encode("utf-16"), "not UTF-8"),
        (HAIKU, b"variant: \x00\n", "control character"),
        (HAIKU, b"a: 1\n---\nb: 2\n", "a second document"),
        (HAIKU, b"a: " + b"[" * 5000, "nested deeper"),
        (HAIKU, b"variant: haiku\n" + b"# padding\n" * 110_000, "larger than"),
        (HAIKU, b"1: x\n", "a key must be text"),
        (SERVICE, b"\xff\xfe", "not UTF-8"),
        (PROMPT, b"caf\xe9 {{ message }}", "not UTF-8"),
        (PROMPT, b"", "the prompt is empty"),
        (PROMPT, b"---\nroles: true\n---\nHello\n# user\n{{ message }}", "with `roles: true`"),
        ("services/triage/datasets/golden.jsonl", b"", "holds no rows"),
        ("services/triage/datasets/golden.jsonl", b"\n \n\r\n", "holds no rows"),
        ("services/triage/datasets/golden.jsonl", b"\xef\xbb\xbf\n", "holds no rows"),
    ],
)
def test_files_that_cannot_be_read(repository: Any, path: str, content: bytes, what: str) -> None:
    repository.write(path, content)
    problems = repository.problems()
    assert what in problems[0].what if len(problems) == 1 else any(what in problem.what for problem in problems)


def test_an_alias_bomb_is_refused_quickly(repository: Any) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for name, inner in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{inner}'] * 9)}]")
    repository.write(HAIKU, "\n".join(lines))
    (problem,) = repository.problems()[:1]
    assert "aliases counted in full" in problem.what


def test_only_a_function_of_the_teams_own_has_a_margin_above_one(repository: Any) -> None:
    repository.write("services/triage/scorers/mine.py", "def score(answer):\n    return 80.0\n")
    repository.replace(SERVICE, "{metric: exact_match, margin: 0.02}", "{metric: points, margin: 2}")
    repository.replace(
        SERVICE,
        "scorers: [exact_match]",
        "scorers: [{python: {path: scorers/mine.py, function: score, metric: points}}]",
    )
    assert repository.load().services["triage"].objectives["accuracy"].margin == 2
    repository.replace(SERVICE, "metric: points}}]", "metric: points, binary: true}}]")
    with pytest.raises(ProjectError) as caught:
        repository.load()
    assert [problem.field for problem in caught.value.problems] == ["objectives.accuracy.margin"]


def test_aliases_are_read_in_moderation(repository: Any) -> None:
    repository.replace(SERVICE, "stability: {margin: 0.02}", "stability: {margin: &narrow 0.02}")
    repository.replace(SERVICE, "security:  {margin: 0.01}", "security:  {margin: *narrow}")
    assert repository.load().services["triage"].objectives["security"].margin == 0.02


def test_a_header_alone_is_no_data(repository: Any) -> None:
    repository.write("services/triage/datasets/golden.csv", "message,expected\n\n")
    repository.replace(SERVICE, "golden: datasets/golden.jsonl", "golden: datasets/golden.csv")
    (problem,) = repository.problems()
    assert "holds no rows" in problem.what


def test_links_that_lead_out_of_the_project_are_refused(repository: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "golden.jsonl").write_text('{"input": {}}\n')
    (outside / "extra.yaml").write_text("variant: extra\n")
    (repository.root / "services/triage/link").symlink_to(outside)
    (repository.root / "services/triage/variants/extra.yaml").symlink_to(outside / "extra.yaml")
    repository.replace(SERVICE, "golden: datasets/golden.jsonl", "golden: link/golden.jsonl")
    problems = repository.problems()
    assert {(problem.file, problem.what) for problem in problems} == {
        (SERVICE, "this path leads out of the project"),
        ("services/triage/variants/extra.yaml", "this link leads out of the project"),
    }


def test_links_inside_the_project_are_followed(repository: Any) -> None:
    (repository.root / "services/triage/link").symlink_to(repository.root / "services/triage/datasets")
    repository.replace(SERVICE, "golden: datasets/golden.jsonl", "golden: link/golden.jsonl")
    assert repository.problems() == []


def test_a_path_may_leave_the_service_but_not_the_project(repository: Any) -> None:
    repository.write("shared/golden.jsonl", '{"id": "1", "input": {"message": "a"}, "expected": "lost_card"}\n')
    repository.replace(SERVICE, "golden: datasets/golden.jsonl", "golden: ../../shared/golden.jsonl")
    assert repository.load().services["triage"].datasets["golden"].path == repository.root / "shared/golden.jsonl"


def test_yml_files_are_not_passed_over_in_silence(repository: Any) -> None:
    (repository.root / HAIKU).rename(repository.root / "services/triage/variants/haiku.yml")
    files = {problem.file: problem for problem in repository.problems()}
    assert files["services/triage/variants/haiku.yml"].instead == "Rename it to haiku.yaml."
    assert CHANGE in files


def test_a_project_without_services(repository: Any) -> None:
    repository.write("other/proveout.yaml", "project: other\n")
    repository.root = repository.root / "other"
    (problem,) = repository.problems()
    assert (problem.file, problem.what) == ("services", "the project has no service")


def test_a_service_without_its_file_or_variants(repository: Any) -> None:
    repository.write("services/empty/datasets/a.jsonl", "{}")
    repository.write(
        "services/bare/service.yaml",
        "service: bare\ninput: [a]\nchampion: base\nobjectives: {cost: {margin: 0}}\n",
    )
    problems = {problem.file: problem for problem in repository.problems()}
    assert "no such file" in problems["services/empty/service.yaml"].what
    assert problems["services/bare/service.yaml"].what == "the service has no variant"


def test_a_function_is_found_without_being_run(repository: Any) -> None:
    repository.write("services/triage/clean.py", "raise SystemExit('must not run')\ndef clean(text): return text\n")
    repository.replace(HAIKU, "json_field: intent", "python: clean.py:clean")
    repository.load()
    repository.replace(HAIKU, "clean.py:clean", "clean.py:cleen")
    (problem,) = repository.problems()
    assert (problem.what, problem.instead) == ("`clean.py` defines no function `cleen`", "Did you mean `clean`?")
    repository.write("services/triage/clean.py", "x = 1\ndef clean(:\n")
    (problem,) = repository.problems()
    assert summary(problem) == ("services/triage/clean.py", 2, "")


def test_worked_examples_in_a_file_are_checked_line_by_line(repository: Any) -> None:
    repository.write(
        "services/triage/shots.jsonl",
        '{"input": {"message": "a"}, "output": "lost_card"}\n'
        "not json\n"
        '{"input": {"text": "a"}, "output": "lost_card"}\n'
        '{"input": {"message": "a"}}\n',
    )
    repository.replace(HAIKU, "lineage:", "examples: shots.jsonl\nlineage:")
    assert {summary(problem)[1:] for problem in repository.problems()} == {(2, ""), (3, "input"), (4, "output")}


def test_problems_in_a_judge_are_located(repository: Any) -> None:
    repository.replace(
        SERVICE,
        "scorers: [exact_match]",
        "scorers: [exact_match, {llm_judge: {model: {provider: opena, name: x}, rubric: good}}]",
    )
    (problem,) = repository.problems()
    assert summary(problem) == (SERVICE, 5, "scorers[1].llm_judge.model.provider")
    assert problem.instead == "Did you mean `openai`?"

"""json_valid, json_schema, json_fields and tool_call on golden tables."""

import json

import pytest
from scorer_cases import attempt, build, score, service

from proveout.evaluation.scorers import ScorerError, ScorerFailed
from proveout.project.records import OutputContract

VALID = [
    ('{"a": 1}', {}, 1),
    (" [1, 2]\n", {}, 1),
    ("null", {}, 1),
    ('"text"', {}, 1),
    ("[1]", {"kind": "object"}, 0),
    ('{"a": 1}', {"kind": "array"}, 0),
    ({"a": 1}, {"kind": "object"}, 1),
    ("{'a': 1}", {}, 0),
    ('{"a": 1,}', {}, 0),
    ('{"a": NaN}', {}, 0),
    ('{"a": 1} done', {}, 0),
    ('```json\n{"a": 1}\n```', {}, 0),
    ("", {}, 0),
    ("[" * 100_000, {}, 0),
    ('"\ud800"', {}, 0),
]


@pytest.mark.parametrize(("answer", "parameters", "value"), VALID)
def test_json_valid(answer, parameters, value):
    assert score("json_valid", answer, **parameters).value == value


SCHEMA = {
    "type": "object",
    "required": ["intent"],
    "properties": {"intent": {"enum": ["refund", "card"]}, "total": {"$ref": "#/$defs/money"}},
    "additionalProperties": False,
    "$defs": {"money": {"type": "number", "minimum": 0}},
}
MEETS = [
    ('{"intent": "refund"}', 1, False),
    ({"intent": "card", "total": 3}, 1, False),
    ('{"intent": "refund", "total": -1}', 0, False),
    ('{"intent": "refund", "extra": 1}', 0, False),
    ('{"total": 1}', 0, False),
    ("refund", 0, True),
    ("[]", 0, False),
]


@pytest.mark.parametrize(("answer", "value", "unread"), MEETS)
def test_json_schema(answer, value, unread):
    found = score("json_schema", answer, schema=SCHEMA)
    assert (found.value, found.parse_failed) == (value, unread)


def test_a_failed_schema_says_where():
    found = score("json_schema", '{"intent": "refund", "total": -1}', schema=SCHEMA)
    assert found.reason.startswith("$.total: ")
    assert "minimum" in found.reason


def test_the_schema_is_the_service_s_or_a_file_s(tmp_path):
    declared = service(output=OutputContract(schema=SCHEMA))
    assert build("json_schema", declared).score(attempt('{"total": 1}')).value == 0
    (tmp_path / "answer.json").write_text(json.dumps(SCHEMA))
    assert build("json_schema", service(tmp_path), schema_file="answer.json").score(attempt('{"total": 1}')).value == 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "there is no schema. Write `schema:"),
        ({"schema": {"type": "objekt"}}, "Write a JSON Schema"),
        ({"schema": {"$ref": "#/$defs/absent"}}, "the reference `#/\\$defs/absent` leads nowhere"),
        (
            {"schema": {"items": {"$ref": "https://example.com/schema.json"}}},
            "`https://example.com/schema.json` leads nowhere",
        ),
    ],
)
def test_bad_schemas(parameters, message):
    with pytest.raises(ScorerError, match=message):
        build("json_schema", **parameters)


def test_a_schema_file_must_hold_a_schema(tmp_path):
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(ScorerError, match=r"bad.json holds no JSON object"):
        build("json_schema", service(tmp_path), schema_file="bad.json")


FIELDS = [
    ('{"a": 1, "b": "x"}', {"a": 1, "b": "x"}, {}, 1, False),
    ('{"a": 1, "b": "y"}', {"a": 1, "b": "x"}, {}, 0.5, False),
    ('{"a": 1, "b": "y"}', {"a": 1, "b": "x"}, {"require": "all"}, 0, False),
    ('{"a": 1, "b": "y"}', {"a": 1, "b": "x"}, {"fields": ["a"]}, 1, False),
    ('{"a": 1}', {"a": 1, "b": "x"}, {}, 0.5, False),
    ('{"a": 1, "extra": 2}', {"a": 1}, {}, 1, False),
    ('{"a": 1, "b": 2}', {"a": 1}, {"fields": ["a", "b"]}, 0.5, False),
    ('{"a": 1}', {"a": 1}, {"fields": ["a", "b"]}, 1, False),
    ({"o": {"total": 9.99}}, {"o": {"total": 10}}, {"fields": {"o.total": {"tolerance": 0.02}}}, 1, False),
    ({"o": {"total": "$9.99"}}, '{"o": {"total": 10}}', {"fields": {"o.total": {"tolerance": 0.02}}}, 1, False),
    ({"o": 3}, {"o": {"total": 10}}, {"fields": {"o.total": {"relative": 0.1}}}, 0, False),
    ({"a.b": 1}, {"a.b": 1}, {"fields": ["a.b"]}, 1, False),
    ({"i": "Refund"}, {"i": "refund"}, {"fields": {"i": {"ignore_case": True}}}, 1, False),
    ({"i": "Refund"}, {"i": "refund"}, {"fields": {"i": None}}, 0, False),
    ({"i": ["a"]}, {"i": ["a"]}, {}, 1, False),
    ({"i": "a"}, {"i": ["a", "b"]}, {}, 1, False),
    ("[1]", {"a": 1}, {}, 0, True),
    ("talk", {"a": 1}, {}, 0, True),
    ("{}", {}, {}, 1, False),
]


@pytest.mark.parametrize(("answer", "expected", "parameters", "value", "unread"), FIELDS)
def test_json_fields(answer, expected, parameters, value, unread):
    found = score("json_fields", answer, expected, **parameters)
    assert (found.value, found.parse_failed) == (value, unread)


def test_json_fields_is_binary_when_all_are_required():
    assert build("json_fields", require="all").binary
    assert not build("json_fields").binary


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a": {"tolerence": 1}}, "fields: a: there is no option `tolerence`. Did you mean `tolerance`?"),
        ({"a": {"tolerance": -1}}, "tolerance is not a number of at least 0"),
        ({"a": {"ignore_case": 1}}, "ignore_case is not true or false"),
        ({"a": {"ignore_case": True, "tolerance": 1}}, "don't go together"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(ScorerError, match=message):
        build("json_fields", fields=fields)


def test_json_fields_of_an_example_that_expects_no_object():
    with pytest.raises(ScorerFailed, match="no JSON object"):
        score("json_fields", "{}", "refund")
    with pytest.raises(ScorerFailed, match="in a, which is no number"):
        score("json_fields", '{"a": 1}', {"a": "many"}, fields={"a": {"tolerance": 1}})


def openai_call(name, arguments):
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


WEATHER = {"name": "weather", "arguments": {"city": "Paris", "days": 2}}
TIME = {"name": "time", "arguments": {}}
CALLS = [
    ([openai_call("weather", {"city": "Paris", "days": 2})], WEATHER, {}, 1),
    ([openai_call("weather", {"days": 2, "city": "Paris"})], [WEATHER], {}, 1),
    ([openai_call("weather", {"city": "Paris", "days": 3})], WEATHER, {}, 0),
    ([openai_call("weather", {"city": "Paris", "days": 3})], WEATHER, {"arguments": "ignore"}, 1),
    ([openai_call("weather", {"city": "Paris", "days": 2, "unit": "C"})], WEATHER, {}, 0),
    ([openai_call("weather", {"city": "Paris", "days": 2, "unit": "C"})], WEATHER, {"arguments": "subset"}, 1),
    ([openai_call("weather", {"city": "Paris"})], WEATHER, {"arguments": "subset"}, 0),
    ([openai_call("forecast", {"city": "Paris", "days": 2})], WEATHER, {}, 0),
    ([WEATHER, TIME], [WEATHER, TIME], {}, 1),
    ([TIME, WEATHER], [WEATHER, TIME], {}, 0),
    ([TIME, WEATHER], [WEATHER, TIME], {"ordered": False}, 1),
    ([WEATHER, TIME], [WEATHER], {}, 0),
    ([TIME, WEATHER, TIME], [WEATHER], {"extra_calls": True}, 1),
    ([WEATHER], [WEATHER, TIME], {"extra_calls": True}, 0),
    ([TIME], [], {}, 0),
    ([{"name": "time"}], [TIME], {}, 1),
    ([{"name": "time", "arguments": ""}], [TIME], {}, 1),
]


@pytest.mark.parametrize(("calls", "expected", "parameters", "value"), CALLS)
def test_tool_call(calls, expected, parameters, value):
    found = build("tool_call", **parameters).score(attempt("", expected, tool_calls=tuple(calls)))
    assert (found.value, found.parse_failed) == (value, False)


def test_unordered_subsets_are_matched_as_well_as_they_can_be():
    general, special = {"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {"a": 1, "b": 2}}
    scorer = build("tool_call", arguments="subset", ordered=False)
    assert scorer.score(attempt("", [general, special], tool_calls=(special, general))).value == 1
    assert scorer.score(attempt("", [special, special], tool_calls=(special, general))).value == 0


@pytest.mark.parametrize(
    ("answer", "expected", "value"),
    [
        ("just talk", [], 1),
        ("just talk", WEATHER, 0),
        (json.dumps(WEATHER), WEATHER, 1),
        ([WEATHER], WEATHER, 1),
        ("[]", [], 1),
    ],
)
def test_calls_are_found_in_the_answer_where_there_are_no_others(answer, expected, value):
    assert score("tool_call", answer, expected).value == value


@pytest.mark.parametrize("arguments", ["{", "[1]", "7", 7])
def test_bad_arguments_are_unreadable(arguments):
    found = build("tool_call").score(attempt("", WEATHER, tool_calls=({"name": "weather", "arguments": arguments},)))
    assert (found.value, found.parse_failed) == (0, True)


def test_an_expected_call_that_can_t_be_read():
    with pytest.raises(ScorerFailed, match="the expected tool call can't be read"):
        score("tool_call", "", {"tool": "weather"})

"""Prompts: from a Markdown file and an input to messages."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proveout.project import Message, Prompt, PromptError
from proveout.project.prompts import Blanks, Contents, blanks_of, contents, environment_of

SERVICE = "services/triage/service.yaml"
HAIKU = "services/triage/variants/haiku.yaml"
PROMPT = "services/triage/prompts/triage.md"


def rendered(repository: Any, text: str | None = None, **input: Any) -> list[tuple[str, Any]]:
    if text is not None:
        repository.write(PROMPT, text)
    messages = repository.variant().render(input or {"message": "hello"})
    return [(message.role, message.content) for message in messages]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("Sort: {{ message }}\n", [("user", "Sort: hello")]),
        ("---\nrole: user\n---\n\n  Sort: {{ message }}\n\n", [("user", "Sort: hello")]),
        ("---\nrole: system\n---\nSort.", [("system", "Sort."), ("user", "hello")]),
        (
            "---\nsystem: Be {{ message }}.\n---\nSort: {{ message }}",
            [("system", "Be hello."), ("user", "Sort: hello")],
        ),
        ("---\nsystem: Sort.\n---\n", [("system", "Sort."), ("user", "hello")]),
        ("---\n---\nSort: {{ message }}", [("user", "Sort: hello")]),
        ("---\nA line, not front matter: {{ message }}", [("user", "---\nA line, not front matter: hello")]),
        (
            "---\nroles: true\n---\n# system\nSort.\n# user\nOne\n# assistant\nTwo\n# user\n{{ message }}\n",
            [("system", "Sort."), ("user", "One"), ("assistant", "Two"), ("user", "hello")],
        ),
        ("---\nroles: true\n---\n# system\nSort.\n", [("system", "Sort."), ("user", "hello")]),
        (
            "---\nroles: true\nsystem: First.\n---\n# user\n# heading\n{{ message }}\n# assistant\nIntent:",
            [("system", "First."), ("user", "# heading\nhello"), ("assistant", "Intent:")],
        ),
        ("{% if message == 'hello' %}Hi{% else %}{{ message }}{% endif %}", [("user", "Hi")]),
        ("{% set shout = message|upper %}{{ shout }}", [("user", "HELLO")]),
        ("{{ {'a': message, 'b': '<é>'}|tojson }}", [("user", '{"a": "hello", "b": "<é>"}')]),
    ],
)
def test_front_matter_and_roles(repository: Any, text: str, messages: list[tuple[str, str]]) -> None:
    assert rendered(repository, text) == messages


def test_includes_come_from_the_services_folder(repository: Any) -> None:
    repository.write("services/triage/prompts/parts/rules.md", "Rules for {{ message }}{% include 'prompts/end.md' %}")
    repository.write("services/triage/prompts/end.md", "!")
    assert rendered(repository, "{% include 'prompts/parts/rules.md' %} {{ message }}") == [
        ("user", "Rules for hello! hello")
    ]
    before = repository.variant().fingerprint
    repository.write("services/triage/prompts/end.md", "?")
    assert repository.variant().fingerprint != before


def test_worked_examples_stand_before_the_last_question(repository: Any) -> None:
    repository.replace(
        HAIKU,
        "lineage:",
        "preprocess: [strip]\n"
        "examples: [{input: {message: ' a '}, output: lost_card}, {input: b, output: {intent: x}}]\nlineage:",
    )
    turns = [("user", "Q a"), ("assistant", "lost_card"), ("user", "Q b"), ("assistant", '{"intent": "x"}')]
    assert rendered(repository, "---\nsystem: S\n---\nQ {{ message }}") == [
        ("system", "S"),
        *turns,
        ("user", "Q hello"),
    ]
    text = "---\nroles: true\n---\n# user\nFirst\n# assistant\nOk\n# user\nQ {{ message }}\n# assistant\nA:"
    assert rendered(repository, text) == [
        ("user", "First"),
        ("assistant", "Ok"),
        *turns,
        ("user", "Q hello"),
        ("assistant", "A:"),
    ]
    variant = repository.variant()
    assert variant.examples == (
        {"input": {"message": " a "}, "output": "lost_card"},
        {"input": {"message": "b"}, "output": {"intent": "x"}},
    )


def test_worked_examples_from_a_file_are_the_same_as_in_line(repository: Any) -> None:
    repository.replace(HAIKU, "lineage:", "examples: [{input: {message: a}, output: lost_card}]\nlineage:")
    inline = repository.variant()
    repository.write("services/triage/shots.jsonl", '\n{"output": "lost_card", "input": {"message": "a"}}\n\n')
    repository.replace(HAIKU, "[{input: {message: a}, output: lost_card}]", "shots.jsonl")
    assert repository.variant().fingerprint == inline.fingerprint
    assert repository.variant().render({"message": "b"}) == inline.render({"message": "b"})


def without_prompt(repository: Any, fields: str = "[message]") -> None:
    repository.replace(HAIKU, "prompt: prompts/triage.md\n", "")
    repository.replace("services/triage/variants/base.yaml", "prompt: prompts/triage.md\n", "")
    repository.replace(SERVICE, "input: [message]", f"input: {fields}")


def test_without_a_prompt_the_field_is_the_message(repository: Any) -> None:
    without_prompt(repository)
    assert rendered(repository, message="{{ 7 * 7 }}") == [("user", "{{ 7 * 7 }}")]
    assert rendered(repository, message={"a": "é"}) == [("user", '{"a": "é"}')]
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert rendered(repository, message=parts) == [("user", parts)]
    with pytest.raises(PromptError, match="the input has no 'message'"):
        rendered(repository, other="x")


def test_without_a_prompt_several_fields_are_lines(repository: Any) -> None:
    without_prompt(repository, "[name, age]")
    assert rendered(repository, age=3, name="Ann") == [("user", "name: Ann\nage: 3")]


def test_an_inputs_own_messages_pass_as_they_are(repository: Any) -> None:
    without_prompt(repository, "[messages]")
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "4", "tool_call_id": "1"},
    ]
    assert repository.variant().render({"messages": messages}) == (
        Message("system", "Be brief."),
        Message("assistant", "", {"tool_calls": [{"id": "1"}]}),
        Message("tool", "4", {"tool_call_id": "1"}),
    )
    for broken in ([{"content": "x"}], [{"role": "robot", "content": "x"}], ["x"], [{"role": "user", "content": 3}]):
        with pytest.raises(PromptError):
            repository.variant().render({"messages": broken})


def test_a_missing_variable_is_an_error_not_an_empty_text() -> None:
    prompt = Prompt("", (("user", "{{ message }}"),), inputs=("message",))
    with pytest.raises(PromptError, match="'message' is undefined"):
        prompt.render({})
    with pytest.raises(PromptError, match="ZeroDivisionError"):
        Prompt("", (("user", "{{ 1 // n }}"),)).render({"n": 0})


@pytest.mark.parametrize(
    "template",
    [
        "{{ message.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ message.format.__globals__ }}",
        "{{ '{0.__class__}'.format(message) }}",
        "{% for i in range(10000000) %}x{% endfor %}",
        "{{ items.append(1) }}",
    ],
)
def test_templates_are_kept_in_a_sandbox(template: str) -> None:
    with pytest.raises(PromptError):
        Prompt("", (("user", template),)).render({"message": "x", "items": [1]})


@given(st.text())
def test_an_input_is_never_a_template(text: str) -> None:
    prompt = Prompt("", (("system", "S"), ("user", "[{{ message }}]")), inputs=("message",))
    assert prompt.render({"message": text})[1].content == f"[{text}]"
    assert prompt.render({"message": "{% raw %}{{ x }}"})[1].content == "[{% raw %}{{ x }}]"


def test_a_prompt_travels_uncompiled() -> None:
    prompt = Prompt("", (("user", "{% include 'a' %} {{ message }}"),), {"a": "A"}, ("message",))
    before = prompt.render({"message": "x"})
    assert before == (Message("user", "A x"),)
    assert pickle.loads(pickle.dumps(prompt)).render({"message": "x"}) == before


def test_rendering_does_not_change_the_input() -> None:
    given_input = {"message": "x"}
    Prompt("", (("user", "{% set message = 'y' %}{{ message }}"),)).render(given_input)
    assert given_input == {"message": "x"}


PIECES = st.sampled_from(
    [
        "{",
        "}",
        "{{",
        "}}",
        "{{ a }}",
        "{{b}}",
        "{{ a",
        "b }}",
        "{% if a %}",
        "{#",
        "#}",
        "\n",
        "\r\n",
        " ",
        "text",
        "{{ true }}",
    ]
)


@given(st.lists(PIECES, max_size=8).map("".join), st.text(), st.integers() | st.none())
def test_a_template_of_blanks_is_what_jinja_makes_of_it(source: str, a: str, b: object):
    blanks = blanks_of(source)
    if blanks is None or not {*blanks.names} <= {"a", "b"}:
        return
    compiled = environment_of().from_string(source)
    assert Prompt(source, (("user", source),)).render({"a": a, "b": b})[0].content == compiled.render(a=a, b=b)
    looked = contents(source)
    assert isinstance(looked, Contents)
    assert {*looked.variables} == {*blanks.names}


def test_blanks_are_told_from_everything_else():
    assert blanks_of("Ticket: {{ message }}\n") == Blanks(("Ticket: ", ""), ("message",))
    for source in (
        "{{ a | upper }}",
        "{{- a }}",
        "{{{ a }}}",
        "{% set a = 1 %}",
        "{# a #}",
        "{{ none }}",
        "{{ range }}",
    ):
        assert blanks_of(source) is None


def test_a_project_of_blanks_is_rendered_without_jinja():
    program = (
        "import sys; from proveout.project.prompts import Prompt;"
        "Prompt('', (('user', 'Say {{ it }}'),)).render({'it': 1}); print('jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"

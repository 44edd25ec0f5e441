"""Prompts: Jinja2 templates in Markdown files, few-shot examples, and the plain message of a variant without a prompt.

Templates come from the team's files only. Inputs and model outputs are values in them, never templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, cast, get_args

import msgspec

from proveout.project.processing import preprocess
from proveout.project.records import Message, Role

if TYPE_CHECKING:
    from jinja2 import Environment

Renderer = Callable[[Mapping[str, Any]], tuple[Message, ...]]
Section = tuple[Role, str]


class PromptError(ValueError):
    """A prompt can't be rendered for this input; the message says why."""


@dataclass(frozen=True)
class Prompt:
    """A variant's prompt, ready to render.

    `sections` are its messages as roles and templates; without any of the user's, the input itself is the user's
    message, as its one field, as a line for every one of `inputs`, or as its own `messages`. `examples` are pairs of
    input and output that are shown, after the steps of `preprocess`, as earlier turns before the last user message.
    `includes` are the further templates that sections name. Compiled when first rendered, so that it can be copied
    to other processes.
    """

    source: str
    sections: tuple[Section, ...] = ()
    includes: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    examples: tuple[tuple[Mapping[str, Any], Any], ...] = ()
    preprocess: tuple[Mapping[str, Any], ...] = ()

    def render(self, variables: Mapping[str, Any]) -> tuple[Message, ...]:
        """The messages for one input.

        Raises:
            PromptError: a variable is missing, or the template fails on this input.
        """
        return self._renderer(variables)

    @cached_property
    def _renderer(self) -> Renderer:
        templates = [self._template(role, source) for role, source in self.sections]
        last_user = max((index for index, (role, _) in enumerate(self.sections) if role == "user"), default=None)
        head = templates if last_user is None else templates[:last_user]
        question = self._plain if last_user is None else templates[last_user]
        tail = [] if last_user is None else templates[last_user + 1 :]
        if not self.examples:
            return _concatenated([*head, question, *tail])
        turns: list[Message] = []
        for asked, answered in self.examples:
            turns += [*question(preprocess(self.preprocess, asked)), Message("assistant", as_text(answered))]
        shown = tuple(turns)
        return _concatenated([*head, lambda variables: shown, question, *tail])

    def _template(self, role: Role, source: str) -> Renderer:
        """One message's template, by the shortest way from variables to text."""
        blanks = blanks_of(source)
        fill = self._compiled(source) if blanks is None else _filled(blanks)

        def render(variables: Mapping[str, Any]) -> tuple[Message, ...]:
            return (Message(role, fill(variables)),)

        return render

    def _compiled(self, source: str) -> Callable[[Mapping[str, Any]], str]:
        from jinja2 import UndefinedError

        template = environment_of(tuple(sorted(self.includes.items()))).from_string(source)
        generate, context, join = template.root_render_func, template.new_context, "".join

        def fill(variables: Mapping[str, Any]) -> str:
            try:
                return join(generate(context(cast("dict[str, Any]", variables))))
            except UndefinedError as error:
                raise PromptError(f"the prompt can't be filled in: {error.message}") from None
            except Exception as error:
                raise PromptError(f"the prompt can't be filled in: {type(error).__name__}: {error}") from error

        return fill

    def _plain(self, variables: Mapping[str, Any]) -> tuple[Message, ...]:
        messages = variables.get("messages")
        if isinstance(messages, list):
            return tuple(map(_message, messages))
        missing = [name for name in self.inputs if name not in variables]
        if missing:
            raise PromptError(f"the input has no {missing[0]!r}")
        if len(self.inputs) != 1:
            return (Message("user", "\n".join(f"{name}: {as_text(variables[name])}" for name in self.inputs)),)
        value = variables[self.inputs[0]]
        return (Message("user", value if _is_content(value) else as_text(value)),)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_renderer"}


def _concatenated(parts: Sequence[Renderer]) -> Renderer:
    if len(parts) == 1:
        return parts[0]
    return lambda variables: tuple(message for part in parts for message in part(variables))


def as_text(value: Any) -> str:
    """Text as it is; anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _is_content(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, dict) and "type" in part for part in value)


def _message(value: Any) -> Message:
    if not isinstance(value, dict) or value.get("role") not in get_args(Role):
        raise PromptError("each of the input's `messages` needs a `role` of system, user, assistant or tool")
    content = value.get("content")
    if content is not None and not isinstance(content, str | list):
        raise PromptError("a message's `content` must be text or a list of parts")
    extra = {key: item for key, item in value.items() if key not in ("role", "content")}
    return Message(value["role"], "" if content is None else content, extra)


# --- templates

_BLANK = re.compile(r"(?<!\{)\{\{[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*\}\}")
_OPENING = re.compile(r"\{[{%#]")
_OPERATORS = ("and", "elif", "else", "if", "in", "is", "not", "or", "true", "True", "false", "False", "none", "None")
_GLOBALS = ("caller", "cycler", "dict", "joiner", "kwargs", "lipsum", "loop", "namespace", "range", "self", "super")
_MEANT_OTHERWISE = frozenset((*_OPERATORS, *_GLOBALS, "varargs"))
"""Names that are something else than a variable of the input in Jinja2."""


class Blanks(msgspec.Struct, frozen=True):
    """A template that only fills in variables, as most prompts do: text, then a variable and text, and so on. It means
    what Jinja2 makes of it, without the time that loading Jinja2 takes.
    """

    texts: tuple[str, ...]
    names: tuple[str, ...]


def blanks_of(source: str) -> Blanks | None:
    """The blanks of a template; None where it does more than fill them in."""
    source = source.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    pieces = _BLANK.split(source)
    texts, names = tuple(pieces[::2]), tuple(pieces[1::2])
    if any(_OPENING.search(text) for text in texts) or not _MEANT_OTHERWISE.isdisjoint(names):
        return None
    return Blanks(texts, names)


def _filled(blanks: Blanks) -> Callable[[Mapping[str, Any]], str]:
    first, rest = blanks.texts[0], tuple(zip(blanks.names, blanks.texts[1:], strict=True))

    def fill(variables: Mapping[str, Any]) -> str:
        text = first
        try:
            for name, after in rest:
                text += f"{variables[name]!s}{after}"
        except KeyError as error:
            raise PromptError(f"the prompt can't be filled in: {error.args[0]!r} is undefined") from None
        return text

    return fill


@lru_cache(maxsize=64)
def environment_of(includes: tuple[tuple[str, str], ...] = ()) -> Environment:
    """A sandboxed Jinja2 environment that can include these templates, and nothing else."""
    from jinja2 import DictLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, loader=DictLoader(dict(includes)), cache_size=64
    )
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    """JSON as a model should read it: Jinja2's own filter escapes it for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


class Fault(msgspec.Struct, frozen=True):
    """What is wrong in a template, on which of its lines."""

    line: int
    what: str
    instead: str


class Contents(msgspec.Struct, frozen=True):
    """What a template refers to: variables with the first line of each, names that it sets itself, and other
    templates.
    """

    variables: Mapping[str, int]
    names: frozenset[str]
    templates: Mapping[str, int]


def contents(source: str) -> Contents | Fault:
    """What a template refers to, or why it can't be used."""
    blanks = blanks_of(source)
    if blanks is not None:
        return _contents_of(blanks)
    from jinja2 import TemplateSyntaxError, meta, nodes

    environment = environment_of()
    try:
        tree = environment.parse(source)
        undeclared = meta.find_undeclared_variables(tree)
    except TemplateSyntaxError as error:
        return Fault(error.lineno, f"not a valid template: {error.message}", "Mend the Jinja2 syntax.")
    except RecursionError:
        return Fault(1, "not a valid template: nested too deep", "Flatten it.")
    variables: dict[str, int] = {}
    stored = set()
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load":
            stored.add(name.name)
        elif name.name in undeclared:
            variables.setdefault(name.name, name.lineno)
    templates: dict[str, int] = {}
    for node, name in _referenced(tree):
        if name is None:
            return Fault(node.lineno, "an include whose name is not plain text", "Write the template's name in quotes.")
        templates.setdefault(name, node.lineno)
    return Contents(variables, frozenset(stored), templates)


def _contents_of(blanks: Blanks) -> Contents:
    variables: dict[str, int] = {}
    line = 1
    for text, name in zip(blanks.texts, blanks.names, strict=False):
        line += text.count("\n")
        variables.setdefault(name, line)
    return Contents(variables, frozenset(), {})


def _referenced(tree: Any) -> Iterator[tuple[Any, str | None]]:
    from jinja2 import nodes

    for node in tree.find_all((nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)):
        name = node.template.value if isinstance(node.template, nodes.Const) else None
        yield node, name if isinstance(name, str) else None

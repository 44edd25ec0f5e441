"""`variants/NAME.yaml`, and the front matter of a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from proveout.project.problems import suggestion
from proveout.project.shapes._base import Name, Refusal, RelativePath, Shape, Text, checked_by, tag, told_apart_by
from proveout.project.shapes.model import ModelShape
from proveout.project.shapes.money import MachineShape
from proveout.project.shapes.steps import InputStep, OutputStep

_SET_ELSEWHERE = {
    "model": "Write `name` under `model`.",
    "messages": "Write a `prompt`.",
    "stream": "Leave it out; it is set where it matters.",
    "n": "Leave it out; `--repeats` asks again.",
}
_PARAMETERS = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "top_k",
    "top_a",
    "min_p",
    "min_tokens",
    "seed",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
)
_RANGES = {
    "temperature": (0, 5),
    "top_p": (0, 1),
    "max_tokens": (1, 10_000_000),
    "max_completion_tokens": (1, 10_000_000),
}


def _unfit(parameters: dict[str, Any]) -> Iterator[Refusal]:
    import difflib

    for name, value in parameters.items():
        if name in _SET_ELSEWHERE:
            yield Refusal(f"`{name}` is no parameter", _SET_ELSEWHERE[name], (name,))
        elif name not in _PARAMETERS and difflib.get_close_matches(name, _PARAMETERS, n=1, cutoff=0.88):
            yield Refusal(f"unknown parameter `{name}`", suggestion(name, _PARAMETERS), (name,))
        elif name in _RANGES and not _within(value, *_RANGES[name]):
            low, high = _RANGES[name]
            yield Refusal(f"expected a number from {low} to {high:,}", f"Write for example `{name}: {low}`.", (name,))


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _example_input(value: Any) -> str | None:
    return "text" if isinstance(value, str) else "fields" if isinstance(value, dict) else None


class PairShape(Shape):
    """A worked example to show the model."""

    input: Annotated[
        Annotated[str, Tag(tag("text"))] | Annotated[dict[str, Any], Tag(tag("fields"))],
        told_apart_by(
            _example_input, "expected the input's fields", "Write for example `input: {message: Where is my card?}`."
        ),
    ] = Field(
        description="The example's input fields; plain text where there is one field.",
        examples=[{"message": "Where is my card?"}],
    )
    output: Any = Field(description="The answer to show: text, or what is written as JSON.", examples=["card_arrival"])


def _examples(value: Any) -> str | None:
    return "path" if isinstance(value, str) else "list" if isinstance(value, list) else None


ExamplesShape = Annotated[
    Annotated[RelativePath, Tag(tag("path"))] | Annotated[list[PairShape], Tag(tag("list"))],
    told_apart_by(
        _examples, "expected a list or a path", "Write `[{input: {...}, output: ...}]`, or the path of a JSONL file."
    ),
]


class LineageShape(Shape):
    """Where a variant's model came from."""

    kind: Literal["api", "finetuned", "quantised", "engine"] = Field(
        default="api", description="How it came about.", examples=["finetuned"]
    )
    parents: list[Text] = Field(
        default_factory=list, description="The variants or models that it was made from.", examples=[["base"]]
    )
    method: dict[str, Any] = Field(
        default_factory=dict, description="How it was made, in your own keys.", examples=[{"name": "lora", "rank": 8}]
    )


class VariantFile(Shape):
    """A complete, immutable way to serve a service.

    Its fingerprint is the hash of all that its answers depend on: model, address, parameters, prompt with its
    includes, examples, steps, output contract, and the bytes of recordings and of your Python files. Name, comments,
    key, limits, lineage and machines are left out.
    """

    variant: Name = Field(description="The variant's name, the same as the file's.", examples=["haiku"])
    model: ModelShape = Field(
        description="Which model answers, and where.", examples=[{"provider": "anthropic", "name": "claude-haiku-4-5"}]
    )
    parameters: Annotated[dict[str, Any], checked_by(_unfit)] = Field(
        default_factory=dict,
        description="The request's parameters, in OpenAI's names.",
        examples=[{"temperature": 0, "max_tokens": 64}],
    )
    prompt: RelativePath | None = Field(
        default=None,
        description="The prompt's file; without one, the input itself is sent.",
        examples=["prompts/triage.md"],
    )
    examples: ExamplesShape | None = Field(
        default=None,
        description="Worked examples, sent as earlier turns before the last user message: a list, or a JSONL file "
        "of the same.",
        examples=[[{"input": {"message": "Where is my card?"}, "output": "card_arrival"}]],
    )
    preprocess: list[InputStep] = Field(
        default_factory=list,
        description="Steps on the input, before the prompt. Text steps apply to every field that is text.",
        examples=[["strip", {"truncate": 2000}]],
    )
    postprocess: list[OutputStep] = Field(
        default_factory=list,
        description="Steps on the model's text, before it is compared. Without settings: `strip`, `lower`, `upper`, "
        "`first_line` and `last_line` (that are not blank), `json` (the first JSON in the text), `number` (the last "
        "number in the text), `choice` (the one of the service's choices that is meant, case, spaces and punctuation "
        "left out of account).",
        examples=[[{"json_field": "intent"}]],
    )
    lineage: LineageShape = Field(
        default_factory=LineageShape, description="Where the model came from.", examples=[{"kind": "api"}]
    )
    machine: MachineShape | None = Field(
        default=None,
        description="The machines that serve it, where it is a model of your own: paid by the hour, not by the token.",
        examples=[{"host": "h100-x1", "count": 1}],
    )


class PromptFrontMatter(Shape):
    """A prompt: a Jinja2 template in Markdown, whose variables are the service's input fields.

    The text is the user's message. Front matter, the optional first lines between two lines of `---`, can say
    otherwise with the keys below. A template may include others by their path relative to the service's folder.
    Templates run in a sandbox; inputs and a model's outputs are never templates. A variant without a prompt sends
    the input itself: its one field, a line `name: value` for each of several, or the input's own `messages`.
    """

    role: Literal["system", "user"] = Field(
        default="user",
        description="Role of the text. After a `system` text, the input itself follows as the user's message.",
        examples=["user"],
    )
    system: Text | None = Field(
        default=None,
        description="A system message, sent first; a template too.",
        examples=["You sort customers' messages."],
    )
    roles: bool = Field(
        default=False,
        description="The text is split by lines `# system`, `# user` and `# assistant`, each starting a message.",
        examples=[True],
    )

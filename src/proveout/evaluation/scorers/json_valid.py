"""Whether an answer is JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import RIGHT, Scorer, unparsed, unreadable, wrong
from proveout.evaluation.scorers._registry import scorer

_KINDS = {"object": dict, "array": list, "any": object}


@scorer("json_valid")
@dataclass(frozen=True)
class JsonValid(Scorer):
    """1 when the answer is valid JSON and nothing else (RFC 8259: no comments, no NaN, no text around it)."""

    needs_expected = False

    kind: Annotated[Literal["any", "object", "array"], Meta(description="Which kind of JSON.", examples=["object"])] = (
        "any"
    )

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        try:
            value = read_json(attempt.answer.value)
        except ValueError as error:
            return unreadable(str(error))
        if isinstance(value, _KINDS[self.kind]):
            return RIGHT
        return wrong(f"JSON, but no {self.kind}")


def read_json(value: Any) -> Any:
    """The JSON that an answer is: parsed where it is text, as it stands where post-processing has parsed it.

    Raises:
        ValueError: it is no valid JSON.
    """
    if not isinstance(value, str):
        return value
    import orjson

    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None

"""A team's own function as a scorer."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import numbers
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import Scorer, ScorerFailed, shown, unparsed
from proveout.evaluation.scorers._registry import scorer

ARGUMENTS: Mapping[str, Callable[[Attempt], Any]] = {
    "answer": lambda attempt: attempt.answer.value,
    "expected": lambda attempt: attempt.example.expected,
    "input": lambda attempt: attempt.example.input,
    "text": lambda attempt: attempt.text,
    "tags": lambda attempt: attempt.example.tags,
    "tool_calls": lambda attempt: attempt.tool_calls,
    "attempt": lambda attempt: attempt,
}
"""What a team's function may ask for, by the names of its parameters."""


@scorer("python")
@dataclass(frozen=True)
class Python(Scorer):
    """What a function of the team's own returns: a number, true or false, or a number and a reason. The function
    names what it wants to see among `answer`, `expected`, `input`, `text`, `tags`, `tool_calls` and `attempt`. An
    exception in it is a failed measurement, not a 0."""

    path: Annotated[Path, Meta(description="Python file in the project.", examples=["scorers/mine.py"])]
    function: Annotated[str, Meta(description="Function in that file.", examples=["score"])] = "score"
    higher_is_better: Annotated[bool, Meta(description="False where a lower score is better.", examples=[False])] = True
    binary: Annotated[bool, Meta(description="Whether the scores are only 0 and 1.", examples=[True])] = False
    _call: Callable[..., Any] = field(init=False, repr=False, compare=False)
    _wants: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        function = _load(self.path, self.function)
        object.__setattr__(self, "_call", function)
        object.__setattr__(self, "_wants", _wanted(function, self.path, self.function))

    @property
    def needs_expected(self) -> bool:  # type: ignore[override]
        return "expected" in self._wants or "attempt" in self._wants

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        try:
            result = self._call(**{name: ARGUMENTS[name](attempt) for name in self._wants})
        except (Exception, SystemExit) as error:
            raise ScorerFailed(f"{self._place(error)}: {type(error).__name__}: {error}") from error
        return self._score(result)

    def _score(self, result: Any) -> Score:
        if isinstance(result, Score):
            return result
        value, reason = (result[0], result[1]) if isinstance(result, tuple) and len(result) == 2 else (result, "")
        number = float(value) if isinstance(value, numbers.Real) else math.nan
        if not math.isfinite(number):
            raise ScorerFailed(f"{self.path.name}: {self.function} returned {shown(result)}, which is no number")
        return Score(value=number, reason=str(reason))

    def _place(self, error: BaseException) -> str:
        """The team's own line where it failed."""
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == self.path]
        return f"{self.path.name}:{frames[-1].lineno}" if frames else self.path.name


def _load(path: Path, name: str) -> Callable[..., Any]:
    """The function of a file; the file is run as a module of its own, under a name that no import can meet by
    chance."""
    digest = hashlib.blake2b(str(path).encode() + path.read_bytes(), digest_size=8).hexdigest()
    module_name = f"_proveout_scorer_{digest}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"path: {path.name} is no Python file. Write the path of a .py file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            line = next(
                (
                    frame.lineno
                    for frame in reversed(traceback.extract_tb(error.__traceback__))
                    if Path(frame.filename) == path
                ),
                None,
            )
            place = f"{path.name}:{line or getattr(error, 'lineno', None) or 1}"
            raise ValueError(f"path: {place}: {type(error).__name__}: {error}. Mend the file") from error
    function = getattr(module, name, None)
    if not callable(function) or inspect.iscoroutinefunction(function):
        what = "an async function" if callable(function) else "no function"
        raise ValueError(
            f"function: `{name}` is {what} in {path.name}. Write `def {name}(answer, expected): ...` there"
        )
    return function


def _wanted(function: Callable[..., Any], path: Path, name: str) -> tuple[str, ...]:
    wanted: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return tuple(ARGUMENTS)
        if parameter.name in ARGUMENTS and parameter.kind is not parameter.POSITIONAL_ONLY:
            wanted.append(parameter.name)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
            known = ", ".join(ARGUMENTS)
            problem = f"{path.name}: {name} wants `{parameter.name}`, which there is not. Use {known}"
            raise ValueError(f"function: {problem}")
    return tuple(wanted)

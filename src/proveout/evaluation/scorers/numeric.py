"""Whether an answer's number is the expected one, within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from proveout.evaluation.records import Attempt, Score
from proveout.evaluation.scorers._base import (
    RIGHT,
    Scorer,
    ScorerFailed,
    answer_as_text,
    expected_answer,
    shown,
    unparsed,
    unreadable,
    wrong,
)
from proveout.evaluation.scorers._registry import scorer
from proveout.evaluation.scorers.numbers import DecimalMark, Percent, first_number, last_number


@scorer("numeric")
@dataclass(frozen=True)
class Numeric(Scorer):
    """1 when the answer's number is within the tolerance of the expected one (of any, where a list is expected). The
    number is the first after the last `after` marker; without a marker, what stands in `\\boxed{}`, else the last
    number of the text. Currency, thousands separators, fractions, per cent signs and powers are read. An answer
    without a number scores 0 and counts as unreadable."""

    tolerance: Annotated[float, Meta(description="Largest absolute difference.", ge=0, examples=[0.01])] = 0.0
    relative: Annotated[
        float,
        Meta(
            description="Largest difference as a share of the expected number; the wider of both counts.",
            ge=0,
            examples=[0.05],
        ),
    ] = 0.0
    after: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="Text that the number stands after.", examples=["A:"]),
    ] = None
    decimal_mark: Annotated[
        DecimalMark, Meta(description="`.` reads 1,234.5 and `,` reads 1.234,5.", examples=[","])
    ] = "."
    percent: Annotated[
        Percent, Meta(description="`as_written` reads 50% as 50, `divided` as 0.5.", examples=["divided"])
    ] = "as_written"

    def score(self, attempt: Attempt) -> Score:
        failed = unparsed(attempt)
        if failed is not None:
            return failed
        expected = expected_answer(attempt)
        accepted = expected if isinstance(expected, list | tuple) else (expected,)
        answer = self.read(attempt.answer.value if _is_number(attempt.answer.value) else answer_as_text(attempt))
        if answer is None:
            missing = f"no number after {self.after!r}" if self.after else "no number"
            return unreadable(f"{missing} in the answer")
        if any(self.close(answer, self._expected(value, attempt)) for value in accepted):
            return RIGHT
        return wrong(
            f"expected {shown(expected)}, got {answer:g}" if abs(answer) < 1e15 else f"expected {shown(expected)}"
        )

    def read(self, value: Any) -> float | int | None:
        """The number that an answer gives; None where there is none."""
        if _is_number(value):
            return value if abs(value) < float("inf") else None
        if not isinstance(value, str):
            return None
        if self.after is None:
            return last_number(value, mark=self.decimal_mark, percent=self.percent)
        _, marker, rest = value.rpartition(self.after)
        return first_number(rest, mark=self.decimal_mark, percent=self.percent) if marker else None

    def _expected(self, value: Any, attempt: Attempt) -> float | int:
        number = self.read(value)
        if number is None and isinstance(value, str):
            number = last_number(value, mark=self.decimal_mark, percent=self.percent)
        if number is None:
            raise ScorerFailed(f"example {attempt.example.id} expects {shown(value)}, which is no number")
        return number

    def close(self, answer: float | int, expected: float | int) -> bool:
        """Whether a number is within the tolerance of the expected one."""
        if answer == expected:
            return True
        try:
            return abs(answer - expected) <= max(self.tolerance, self.relative * abs(expected))
        except OverflowError:
            return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What every call of a run came to: hundreds of thousands of rows, read page by page."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from proveout.storage.driver import Driver, Row, columns_sql
from proveout.storage.records import Outcome
from proveout.storage.rows import OUTCOMES
from proveout.storage.writer import Writer

Cursor = tuple[str, int, int]
"""Where a page ended: example, repeat, arm."""

_SELECT = f"SELECT {columns_sql(OUTCOMES.columns)} FROM outcomes"  # noqa: S608
_to_json = msgspec.json.Encoder().encode


class Outcomes:
    """Outcomes in the order of example, repeat, arm: what champion and challenger made of one input stand side by
    side.
    """

    def __init__(self, driver: Driver, writer: Writer) -> None:
        self._driver = driver
        self._writer = writer

    async def put(self, outcome: Outcome) -> None:
        """Keep an outcome; returns once it is committed. A second one for the same call changes nothing."""
        await self._writer.put(OUTCOMES, _row(outcome))

    def put_nowait(self, outcome: Outcome) -> None:
        """Queue an outcome; `store.writer.flush()` says whether it was kept."""
        self._writer.put_nowait(OUTCOMES, _row(outcome))

    def page(
        self,
        run: str,
        *,
        after: Cursor | None = None,
        limit: int = 100,
        arm: int | None = None,
        failed: bool | None = None,
    ) -> list[Outcome]:
        """Up to `limit` outcomes of a run, beginning after where another page ended (see `cursor`)."""
        conditions = ["run = ?"]
        values: list[str | int] = [run]
        if after is not None:
            conditions.append("(example, repeat, arm) > (?, ?, ?)")
            values.extend(after)
        if arm is not None:
            conditions.append("arm = ?")
            values.append(arm)
        if failed is not None:
            conditions.append("failure IS NOT NULL" if failed else "failure IS NULL")
        query = f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY example, repeat, arm LIMIT ?"
        return [_outcome(row) for row in self._driver.query(query, (*values, limit))]

    def scan(
        self, run: str, *, arm: int | None = None, failed: bool | None = None, page: int = 2_000
    ) -> Iterator[Outcome]:
        """All outcomes of a run, holding no more than a page in memory."""
        after: Cursor | None = None
        while True:
            found = self.page(run, after=after, limit=page, arm=arm, failed=failed)
            yield from found
            if len(found) < page:
                return
            after = cursor(found[-1])

    def count(self, run: str) -> dict[int, int]:
        """How many outcomes of a run there are, by arm."""
        return dict(self._driver.query("SELECT arm, count(*) FROM outcomes WHERE run = ? GROUP BY arm", (run,)))


def cursor(outcome: Outcome) -> Cursor:
    """Where a page that ends with this outcome ended."""
    return (outcome.example, outcome.repeat, outcome.arm)


def _row(outcome: Outcome) -> Row:
    return (
        outcome.run,
        outcome.example,
        outcome.repeat,
        outcome.arm,
        outcome.variant,
        outcome.call,
        _to_json(outcome.scores).decode(),
        _to_json(outcome.answer).decode(),
        outcome.failure,
    )


def _outcome(row: Row) -> Outcome:
    run, example, repeat, arm, variant, call, scores, answer, failure = row
    return Outcome(
        run=run,
        example=example,
        repeat=repeat,
        arm=arm,
        variant=variant,
        call=None if call is None else bytes(call),
        scores=msgspec.json.decode(scores),
        answer=msgspec.json.decode(answer),
        failure=failure,
    )

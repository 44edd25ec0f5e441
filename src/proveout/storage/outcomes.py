"""What every call of a run came to: hundreds of thousands of rows, read page by page."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import func, literal, select, tuple_

from proveout.storage import tables
from proveout.storage.database import Database, Row
from proveout.storage.records import Outcome
from proveout.storage.writer import Writer

Cursor = tuple[str, int, int]
"""Where a page ended: example, repeat, arm."""

_columns = tables.outcomes.c
_position = tuple_(_columns.example, _columns.repeat, _columns.arm)
_to_json = msgspec.json.Encoder().encode


class Outcomes:
    """Outcomes in the order of example, repeat, arm: what champion and challenger made of one input stand side by
    side.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def put(self, outcome: Outcome) -> None:
        """Keep an outcome; returns once it is committed. A second one for the same call changes nothing."""
        await self._writer.put(tables.outcomes, _row(outcome))

    def put_nowait(self, outcome: Outcome) -> None:
        """Queue an outcome; `store.writer.flush()` says whether it was kept."""
        self._writer.put_nowait(tables.outcomes, _row(outcome))

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
        query = select(tables.outcomes).where(_columns.run == run)
        if after is not None:
            query = query.where(_position > tuple_(*map(literal, after)))
        if arm is not None:
            query = query.where(_columns.arm == arm)
        if failed is not None:
            query = query.where(_columns.failure.is_not(None) if failed else _columns.failure.is_(None))
        query = query.order_by(_columns.example, _columns.repeat, _columns.arm).limit(limit)
        with self._database.reading() as connection:
            return [_outcome(tuple(row)) for row in connection.execute(query)]

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
        query = select(_columns.arm, func.count()).where(_columns.run == run).group_by(_columns.arm)
        with self._database.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


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

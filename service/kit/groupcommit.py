"""Group commit: many callers' rows in one transaction, each caller told after the commit that held its row.

Batching is natural: while one commit is on its way to the disk the next batch gathers. Nothing waits for a
timer. If a batch fails it is retried row by row, so one poison row harms nobody else.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlmodel import Session

from service.kit.database import Database, after_commit
from service.kit.metrics import Count

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_MAX_ROWS = 256

COMMITS = Count("relay_group_commits_total", "Transactions that held many callers' rows.", "writer")
ROWS = Count("relay_group_commit_rows_total", "Rows in those transactions.", "writer")


class GroupCommit(Generic[Row, Answer]):
    """A writer. `flush(session, rows)` is one set-based statement or a few; it returns an answer a row."""

    def __init__(
        self,
        database: Database,
        flush: Callable[[Session, Sequence[Row]], Sequence[Answer]],
        *,
        max_rows: int = _MAX_ROWS,
        name: str = "other",
    ) -> None:
        self._database = database
        self._flush = flush
        self._max_rows = max_rows
        self._name = name
        self._gathered: list[tuple[Row, asyncio.Future[Answer]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def add(self, row: Row) -> Answer:
        """The answer for `row`, after the commit that held it. Raises what its own flush raised."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._gathered.append((row, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await future

    async def drain(self) -> None:
        """Everything added so far is committed or has failed."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait({self._writer})

    async def _write(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered[: self._max_rows], self._gathered[self._max_rows :]
            try:
                answers = await self._database.write(self._flush_all, [row for row, _ in batch])
            except Exception:  # noqa: BLE001 - whatever went wrong, each row gets its own try
                await self._write_one_by_one(batch)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)

    async def _write_one_by_one(self, batch: list[tuple[Row, asyncio.Future[Answer]]]) -> None:
        for row, future in batch:
            try:
                (answer,) = await self._database.write(self._flush_all, [row])
            except Exception as error:  # noqa: BLE001 - it is the caller's to handle
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(answer)

    def _flush_all(self, session: Session, rows: Sequence[Row]) -> Sequence[Answer]:
        """An answer a row, or nothing is written: somebody left without one would wait for ever."""
        answers = self._flush(session, rows)
        if len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        after_commit(session, lambda: self._count(len(rows)))
        return answers

    def _count(self, rows: int) -> None:
        COMMITS.add(self._name)
        ROWS.add(self._name, n=rows)

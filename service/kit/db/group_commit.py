"""Group commit: many callers' rows in one transaction, each caller told after the commit that held its row.

Batching is natural: while one commit is on its way to the disk the next batch gathers. Nothing waits for a
timer. If a batch fails for what a row holds, it is tried again row by row, so that one poison row harms no other. If it
fails for the database's sake, all its callers hear of it at once. What waits is bounded, in number, size and time.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import Session

from service.kit.db.database import Database, after_commit
from service.kit.errors import Overdue, RelayError
from service.kit.telemetry.metrics import Count

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_MAX_ROWS = 256
_MOST_WAITING = 2_000
_MOST_BYTES = 64 * 1024 * 1024
# A row is at fault: cardinality, data, constraints, limits of a program (PostgreSQL manual, appendix A).
_OF_A_ROW = frozenset({"21", "22", "23", "54"})

COMMITS = Count("relay_group_commits_total", "Transactions that held many callers' rows.", "writer")
ROWS = Count("relay_group_commit_rows_total", "Rows in those transactions.", "writer")


class Overfull(RelayError):  # noqa: N818 - it says what is the matter
    """The row was not written: too much waits already, or it has waited too long."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting(Generic[Row, Answer]):
    """A row, its size, and the future that its caller awaits."""

    row: Row
    size: int
    future: asyncio.Future[Answer]


class GroupCommit(Generic[Row, Answer]):
    """A writer. `flush(session, rows)` is one set-based statement or a few; it returns an answer a row.

    `size` measures a row in bytes. `within` is how many seconds a caller waits at most; `None`: as long as it takes.
    """

    def __init__(
        self,
        database: Database,
        flush: Callable[[Session, Sequence[Row]], Sequence[Answer]],
        *,
        max_rows: int = _MAX_ROWS,
        most_waiting: int = _MOST_WAITING,
        most_bytes: int = _MOST_BYTES,
        size: Callable[[Row], int] = lambda _: 0,
        within: float | None = None,
        name: str = "other",
    ) -> None:
        self._database = database
        self._flush = flush
        self._max_rows = max_rows
        self._most_waiting = most_waiting
        self._most_bytes = most_bytes
        self._size = size
        self._within = within
        self._name = name
        self._gathered: list[_Waiting[Row, Answer]] = []
        self._rows = self._bytes = 0  # of all that is gathered or being written
        self._writer: asyncio.Task[None] | None = None

    async def add(self, row: Row) -> Answer:
        """Return the answer for `row`, after the commit that held it. Raise what its own flush raised, or `Overfull`.

        A row whose caller has waited too long may still be written, if its commit was under way.
        """
        waiting = self._gather(row)
        try:
            async with asyncio.timeout(self._within):
                return await waiting.future
        except TimeoutError as error:
            if waiting in self._gathered:
                self._gathered.remove(waiting)
                self._forget(waiting)
            raise Overfull(f"not written within {self._within} s") from error

    def put(self, row: Row) -> "asyncio.Future[Answer]":
        """Return at once what will hold the answer, for a caller with all the time. Raise `Overfull`.

        Answers come in the order in which their rows were put.
        """
        return self._gather(row).future

    @property
    def gathers(self) -> bool:
        """Return True if a batch waits for the commit before it: a row that is put now goes with it."""
        return bool(self._gathered)

    async def drain(self) -> None:
        """Wait until everything added so far is committed or has failed."""
        while self._writer is not None and not self._writer.done():
            await asyncio.wait({self._writer})

    def _gather(self, row: Row) -> _Waiting[Row, Answer]:
        size = self._size(row)
        if self._rows >= self._most_waiting or self._bytes + size > self._most_bytes:
            raise Overfull(f"{self._rows} rows wait to be written")
        waiting: _Waiting[Row, Answer] = _Waiting(row, size, asyncio.get_running_loop().create_future())
        self._gathered.append(waiting)
        self._rows, self._bytes = self._rows + 1, self._bytes + size
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return waiting

    async def _write(self) -> None:
        while self._gathered:
            batch, self._gathered = self._gathered[: self._max_rows], self._gathered[self._max_rows :]
            try:
                answers = await self._database.write(self._flush_all, [each.row for each in batch])
            except Exception as error:  # noqa: BLE001 - it is the callers' to handle
                await self._write_one_by_one(batch, error)
            else:
                for each, answer in zip(batch, answers, strict=True):
                    self._answer(each, answer)
            finally:
                for each in batch:
                    self._forget(each)

    async def _write_one_by_one(self, batch: list[_Waiting[Row, Answer]], failure: Exception) -> None:
        """Try each row alone, until the database itself fails: that is then every further row's failure.

        A row whose caller has gone is left out, for the others wait meanwhile.
        """
        for each in batch:
            if each.future.done():
                continue
            if not _is_a_rows(failure):
                self._fail(each, failure)
                continue
            try:
                (answer,) = await self._database.write(self._flush_all, [each.row])
            except Exception as error:  # noqa: BLE001 - the same
                self._fail(each, error)
                failure = error
            else:
                self._answer(each, answer)

    def _answer(self, waiting: _Waiting[Row, Answer], answer: Answer) -> None:
        if not waiting.future.done():
            waiting.future.set_result(answer)

    def _fail(self, waiting: _Waiting[Row, Answer], error: Exception) -> None:
        if not waiting.future.done():
            waiting.future.set_exception(error)

    def _forget(self, waiting: _Waiting[Row, Answer]) -> None:
        self._rows, self._bytes = self._rows - 1, self._bytes - waiting.size

    def _flush_all(self, session: Session, rows: Sequence[Row]) -> Sequence[Answer]:
        """Return one answer for each row, or write nothing: a caller left without one would wait for ever."""
        answers = self._flush(session, rows)
        if len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        after_commit(session, lambda: self._count(len(rows)))
        return answers

    def _count(self, rows: int) -> None:
        COMMITS.add(self._name)
        ROWS.add(self._name, n=rows)


def _is_a_rows(error: Exception) -> bool:
    """Return True if another row may fare better: the failure is not the database's own."""
    if not isinstance(error, DBAPIError):
        return not isinstance(error, NoConnection | OSError | Overdue)
    if error.connection_invalidated:
        return False
    if (getattr(error.orig, "sqlstate", None) or "")[:2] in _OF_A_ROW:
        return True
    return not isinstance(error, OperationalError | InterfaceError | InternalError)

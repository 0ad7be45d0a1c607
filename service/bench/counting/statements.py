"""Count SQL statements and commits by stage, from outside: the product does not know that it is counted.

A statement is one call of the driver's cursor, `execute` or `executemany`. BEGIN, COMMIT, ROLLBACK and savepoints are
no statements. Commits of write transactions are counted apart, also of those that found nothing to write.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

from service.bench.counting.stages import STAGES, current_stage

_OF_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
_STAGE, _SINCE = "counted_stage", "counted_since"
_OUTSIDE = "outside a transaction"


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage cost."""

    name: str
    statements: int
    commits: int
    cpu_nanoseconds: int


@dataclass(slots=True)
class Counts:
    """What was counted, by stage. The CPU time is that of the database's threads, from BEGIN to the end."""

    statements: Counter[str] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)
    cpu_nanoseconds: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Start again at nothing."""
        for each in (self.statements, self.commits, self.cpu_nanoseconds):
            each.clear()

    @property
    def total(self) -> tuple[int, int]:
        """Statements and commits of all stages together."""
        return self.statements.total(), self.commits.total()

    def by_stage(self) -> list[Stage]:
        """Return a row for each stage, in the order of a detection's way; then what belongs to none."""
        way = list(dict.fromkeys(STAGES.values()))
        counted = dict.fromkeys([*self.statements, *self.commits])
        names = [name for name in way if name in counted] + [name for name in counted if name not in way]
        return [Stage(name, self.statements[name], self.commits[name], self.cpu_nanoseconds[name]) for name in names]

    def __str__(self) -> str:
        rows = [f"{'':32}{'statements':>12}{'commits':>9}"]
        rows += [f"{stage.name:32}{stage.statements:>12}{stage.commits:>9}" for stage in self.by_stage()]
        statements, commits = self.total
        return "\n".join([*rows, f"{'total':32}{statements:>12}{commits:>9}"])


@contextmanager
def counting(engine: Engine, counts: Counts) -> Iterator[None]:
    """Count into `counts` what this engine does while inside."""

    def begin(connection: Connection) -> None:
        connection.info[_STAGE] = current_stage()
        connection.info[_SINCE] = time.thread_time_ns()

    def statement(connection: Connection, _cursor: Any, text: str, *_: Any) -> None:
        if not text.lstrip().upper().startswith(_OF_TRANSACTIONS):
            counts.statements[connection.info.get(_STAGE, _OUTSIDE)] += 1

    def commit(connection: Connection) -> None:
        if connection.get_execution_options().get("relay_writes"):
            counts.commits[connection.info.get(_STAGE, _OUTSIDE)] += 1
        end(connection)

    def end(connection: Connection) -> None:
        since = connection.info.pop(_SINCE, None)
        if since is not None:
            counts.cpu_nanoseconds[connection.info.pop(_STAGE)] += time.thread_time_ns() - since

    # Before the product's own listeners: on PostgreSQL the one for `begin` may already ask something.
    listeners: Sequence[tuple[str, Callable[..., None]]] = [
        ("begin", begin),
        ("before_cursor_execute", statement),
        ("commit", commit),
        ("rollback", end),
    ]
    for name, listener in listeners:
        event.listen(engine, name, listener, insert=True)
    try:
        yield
    finally:
        for name, listener in listeners:
            event.remove(engine, name, listener)

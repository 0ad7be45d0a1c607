"""Many rows in one call of the driver, given as tuples: half of what SQLAlchemy's own executemany costs, and less.

SQLite takes them one by one through `executemany`, which costs nothing there. To PostgreSQL they go as one array a
column, in binary: psycopg escapes arrays of text in Python, and rows one by one are planned one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.types import TypeEngine

from service.kit.db.columns import UtcTime

Row = Sequence[Any]
_Process = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Spoken:
    """The statement as one of the databases hears it, and what becomes of each value before."""

    sql: str
    processes: Sequence[tuple[int, _Process]]
    by_column: bool


class _Many:
    """A statement for many rows. The values of each come in the order of `columns`."""

    def __init__(self, table: Table, *columns: str) -> None:
        self._table = table
        self._columns = columns
        self._spoken: dict[str, _Spoken] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it, if there are any rows."""
        if not rows:
            return
        spoken = self._spoken.get(connection.dialect.name) or self._speak(connection.dialect)
        values = [list(column) for column in zip(*rows, strict=True)]
        for place, process in spoken.processes:
            values[place] = [process(value) for value in values[place]]
        if spoken.by_column:
            connection.exec_driver_sql(spoken.sql, tuple(values))
        else:
            connection.exec_driver_sql(spoken.sql, list(zip(*values, strict=True)))

    def _speak(self, dialect: Dialect) -> _Spoken:
        types = [self._table.c[name].type for name in self._columns]
        processes = [(place, process) for place, kind in enumerate(types) if (process := _processor(kind, dialect))]
        if dialect.name == "postgresql":
            arrays = ", ".join(f"%b::{kind.compile(dialect)}[]" for kind in types)
            spoken = _Spoken(self._from_arrays(f"unnest({arrays})"), processes, by_column=True)
        else:
            spoken = _Spoken(self._one_by_one(), processes, by_column=False)
        self._spoken[dialect.name] = spoken
        return spoken

    def _from_arrays(self, rows: str) -> str:
        raise NotImplementedError

    def _one_by_one(self) -> str:
        raise NotImplementedError


def _processor(kind: TypeEngine[Any], dialect: Dialect) -> _Process | None:
    if isinstance(kind, UtcTime) and dialect.name == "sqlite":
        return _utc_text  # as SQLAlchemy writes it, in a third of its time
    return kind.bind_processor(dialect)


def _utc_text(value: datetime | None) -> str | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a time without a zone")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


class InsertMany(_Many):
    """INSERT. Columns that are not named are NULL, or as the table says."""

    def _from_arrays(self, rows: str) -> str:
        return f"INSERT INTO {self._table.name} ({', '.join(self._columns)}) SELECT * FROM {rows}"  # noqa: S608 - names of ours

    def _one_by_one(self) -> str:
        places = ", ".join("?" * len(self._columns))
        return f"INSERT INTO {self._table.name} ({', '.join(self._columns)}) VALUES ({places})"  # noqa: S608


class UpdateMany(_Many):
    """UPDATE of rows that the caller has locked. The last of `columns` is the key; `fixed` is SQL that sets others."""

    def __init__(self, table: Table, *columns: str, fixed: Sequence[str] = ()) -> None:
        super().__init__(table, *columns)
        self._fixed = fixed

    def _from_arrays(self, rows: str) -> str:
        *changed, key = self._columns
        name = self._table.name
        changes = ", ".join([*(f"{column} = new.{column}" for column in changed), *self._fixed])
        new = f"new({', '.join(self._columns)})"
        return f"UPDATE {name} SET {changes} FROM {rows} AS {new} WHERE {name}.{key} = new.{key}"  # noqa: S608

    def _one_by_one(self) -> str:
        *changed, key = self._columns
        changes = ", ".join([*(f"{column} = ?" for column in changed), *self._fixed])
        return f"UPDATE {self._table.name} SET {changes} WHERE {key} = ?"  # noqa: S608

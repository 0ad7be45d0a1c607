"""Many rows in one call of the driver, given as tuples; and one statement that compares with many values.

The first costs half of what SQLAlchemy's own executemany does, and less.

SQLite takes them one by one through `executemany`, which costs nothing there. To PostgreSQL they go as one array a
column, in binary: psycopg escapes arrays of text in Python, and rows one by one are planned one by one.

SQLAlchemy's `IN` with an expanding parameter is rendered anew for each number of values, and psycopg takes a statement
with many parameters apart each time: at sixty values that took longer than all else. In `among` the values are one
parameter, as text: an array on PostgreSQL, JSON on SQLite.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Dialect, Table, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
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


class Texts(TypeDecorator[Iterable[str]]):
    """Some texts as one parameter."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> str | None:
        """Write them as the database reads them."""
        texts = list(value or ())
        return _array(texts) if dialect.name == "postgresql" else json.dumps(texts)


class _Among(FunctionElement[bool]):
    # Without a type: SQLAlchemy writes `= 1` behind what is Boolean, and then SQLite reads no index.
    inherit_cache = True
    name = "among"


def among(column: Any, parameter: str) -> FunctionElement[bool]:
    """Return the condition that the column is one of the texts that are given for `parameter`."""
    return _Among(column, bindparam(parameter, type_=Texts()))


@compiles(_Among, "postgresql")
def _on_postgresql(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, texts = (compiler.process(part, **how) for part in element.clauses)
    return f"{column} = ANY(CAST({texts} AS text[]))"


@compiles(_Among)
def _on_sqlite(element: _Among, compiler: SQLCompiler, **how: Any) -> str:
    column, texts = (compiler.process(part, **how) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 - a parameter's place


def _array(texts: Iterable[str]) -> str:
    """Write an array as PostgreSQL reads it (manual, §8.15.6): each text quoted, its quotes and backslashes escaped."""
    return "{" + ",".join([f'"{_escaped(text)}"' for text in texts]) + "}"


def _escaped(text: str) -> str:
    if "\\" in text or '"' in text:
        return text.replace("\\", "\\\\").replace('"', '\\"')
    return text

"""A condition that compares a column with many values, in a statement that stays the same for any number of them.

SQLAlchemy's `IN` with an expanding parameter is rendered anew for each number of values, and psycopg takes a statement
with many parameters apart each time: at sixty values that took longer than all else. Here the values are one parameter,
as text: an array on PostgreSQL, JSON on SQLite.
"""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Dialect, Text, TypeDecorator, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


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

"""Copies of one detection with all that hangs on it, row by row: thousands that wait for their vendor, in a second.

The rows are read and written as they are, by no model of this version: so it serves whatever version is measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, String, Table, insert, or_, select

from service.kit.db.database import Database

_SAME_BEGIN, _SAME_END = -12, -4  # of a name: with the end, files stay in their folder


@dataclass(frozen=True)
class Original:
    """Rows by table, in the order in which they can be written; and the names that are another's in a copy."""

    rows: Sequence[tuple[Table, Sequence[Mapping[str, Any]]]]
    names: Sequence[str]
    read_at: datetime

    def also(self, name: str) -> "Original":
        """Return the same with one more name that is another's in a copy."""
        return replace(self, names=[*self.names, name])

    def texts(self) -> Iterator[str]:
        """Yield every text in the rows."""
        for _, rows in self.rows:
            for row in rows:
                yield from (value for value in row.values() if isinstance(value, str))


def read_original(database: Database, *names: str) -> Original:
    """Return all rows in which one of these names stands alone, or the id of a row that was found so."""
    known, metadata = set(names), MetaData()
    with database.reading() as session:
        connection = session.connection()
        metadata.reflect(connection)
        while True:
            rows = [(table, found) for table in metadata.sorted_tables if (found := _naming(connection, table, known))]
            ids = {row["id"] for _, found in rows for row in found if isinstance(row.get("id"), str)}
            if ids <= known:
                return Original(rows, sorted(known), datetime.now(UTC))
            known |= ids


def write_copies(database: Database, original: Original, copies: Sequence[Mapping[str, str]]) -> None:
    """Write the original once for each of `copies`, which has the names' new forms. It begins now."""
    later = datetime.now(UTC) - original.read_at
    with database.writing() as session:
        for table, rows in original.rows:
            session.connection().execute(insert(table), [_copied(row, new, later) for new in copies for row in rows])


def renamed(names: Sequence[str], number: int) -> dict[str, str]:
    """Return another form of each name, as long as it was."""
    return {name: f"{name[:_SAME_BEGIN]}{number:08d}{name[_SAME_END:]}" for name in names}


def copy_files(folder: Path, original: str, copies: Sequence[str]) -> None:
    """Write the files that are called `original` under the other names too, beside it."""
    for path in list(folder.rglob(original)):
        held = path.read_bytes()
        for name in copies:
            path.with_name(name).write_bytes(held)


def _naming(connection: Connection, table: Table, names: set[str]) -> list[dict[str, Any]]:
    texts = [column.in_(names) for column in table.columns if isinstance(column.type, String)]
    return [dict(row) for row in connection.execute(select(table).where(or_(*texts))).mappings()] if texts else []


def _copied(row: Mapping[str, Any], new: Mapping[str, str], later: timedelta) -> dict[str, Any]:
    """Return the row under the new names and at the new time; a number that counts rows is left to the database."""
    return {
        column: _another(value, new, later)
        for column, value in row.items()
        if column != "id" or not isinstance(value, int)
    }


def _another(value: Any, new: Mapping[str, str], later: timedelta) -> Any:
    if isinstance(value, datetime):
        return value + later
    if isinstance(value, str):
        for name, other in new.items():
            value = value.replace(name, other)
    return value

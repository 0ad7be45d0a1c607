"""What steps of `migrations/` are made of where a table may be large and in use: called inside a step, by Alembic."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import text

_BROKEN = text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")


def build_index(name: str, table: str, columns: Sequence[str], *, where: str | None = None) -> None:
    """Build an index while others read and write the table. Do nothing if it is there and whole.

    On PostgreSQL what the step did before is committed by this, so it wants a step of its own. A build that was broken
    off leaves an invalid index, which no query uses: it is dropped first.
    """
    predicate = None if where is None else text(where)
    if not _on_postgres():
        op.create_index(name, table, list(columns), sqlite_where=predicate, if_not_exists=True)
        return
    with op.get_context().autocommit_block():
        _wait_for_whatever_runs()
        if op.get_bind().execute(_BROKEN, {"name": name}).scalar():
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)
        op.create_index(
            name,
            table,
            list(columns),
            postgresql_where=predicate,
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index while others read and write the table. Do nothing if it is not there."""
    if not _on_postgres():
        op.drop_index(name, table, if_exists=True)
        return
    with op.get_context().autocommit_block():
        _wait_for_whatever_runs()
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


def _on_postgres() -> bool:
    return bool(op.get_context().dialect.name == "postgresql")


def _wait_for_whatever_runs() -> None:
    """Wait for older transactions without a limit: such a step blocks no other, and a limit would abort it."""
    op.execute("SET lock_timeout = 0")
    op.execute("SET statement_timeout = 0")

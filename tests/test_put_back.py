"""What a test did to a database of its own is gone before the next one has it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.put_back import OwnDatabases


@pytest.fixture
def databases(postgres_folder: Path) -> Iterator[OwnDatabases]:
    lent = OwnDatabases(postgres_folder)
    yield lent
    lent.close()


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_rows_and_tables_of_a_test_go_and_the_database_is_lent_again(databases: OwnDatabases) -> None:
    with databases.lend("t_put_back_1") as first:
        _run(
            first,
            "CREATE TABLE of_a_test (id serial PRIMARY KEY)",
            "INSERT INTO account (id, name, created_at) VALUES ('acc_1', 'one', now())",
        )
    with databases.lend("t_put_back_2") as second, psycopg.connect(second) as connection:
        assert second == first
        assert connection.execute("SELECT count(*), to_regclass('of_a_test') FROM account").fetchone() == (0, None)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX of_a_test ON account (created_at, id)",
        "ALTER TABLE account ADD COLUMN of_a_test text",
        "ALTER TABLE account ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE account ADD CHECK (name <> 'nobody')",
        "DROP TABLE alembic_version",
        "UPDATE alembic_version SET version_num = 'another'",
        "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END$$",
        "CREATE SCHEMA of_a_test",
    ],
)
def test_a_database_that_differs_in_anything_else_is_dropped(databases: OwnDatabases, change: str) -> None:
    with databases.lend("t_put_back_1") as first:
        _run(first, change)
    with databases.lend("t_put_back_2") as second:
        assert second != first


def test_a_database_that_is_still_used_is_dropped(databases: OwnDatabases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.put_back._LEAVE_SECONDS", 0)
    with databases.lend("t_put_back_1") as first:
        left = psycopg.connect(first)
    with databases.lend("t_put_back_2") as second:
        assert second != first
    left.close()

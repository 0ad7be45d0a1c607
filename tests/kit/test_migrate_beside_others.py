"""On PostgreSQL a migration keeps nobody waiting: not for a table, not while an index is built."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from service.kit.schema.migrate import Courtesy, current_revision, downgrade, upgrade
from service.kit.schema.revisions import MigrationBlocked, head_revision

pytestmark = pytest.mark.own_database

FIRST = "20261121"  # until here there are no data
SMALL = {"account", "alembic_version", "api_key", "budget", "callback_address", "endpoint", "gate", "worker"}
QUICK = Courtesy(lock_seconds=0.2, pause_seconds=0.3, tries=40)


@contextmanager
def holding(url: str, *statements: str) -> Iterator[None]:
    """A transaction of others, open while inside."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield
        connection.rollback()


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """`work` runs while inside, and has ended well at the end."""
    broken: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - told to the test below
            broken.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not thread.is_alive()
    assert broken == []


def until(url: str, question: str) -> None:
    """The server says yes."""
    with psycopg.connect(url, autocommit=True) as connection:
        ends = time.monotonic() + 20
        while not connection.execute(question.encode()).fetchone():
            assert time.monotonic() < ends, question
            time.sleep(0.02)


def test_who_reads_waits_for_a_moment_at_most_behind_a_step_that_waits(postgres_url: str) -> None:
    downgrade(postgres_url, "20261122")
    waits: list[float] = []
    with (
        beside(lambda: upgrade(postgres_url, courtesy=QUICK)),
        holding(postgres_url, "SELECT 1 FROM run LIMIT 1"),
        psycopg.connect(postgres_url) as reader,
    ):
        until(postgres_url, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        for _ in range(20):
            began = time.monotonic()
            reader.execute("SELECT 1 FROM run LIMIT 1")
            reader.rollback()
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
    assert max(waits) < 2
    assert current_revision(postgres_url) == head_revision()


def test_a_table_that_is_never_free_is_said_and_what_was_done_stays(postgres_url: str) -> None:
    downgrade(postgres_url, "20261122")
    with holding(postgres_url, "SELECT 1 FROM run LIMIT 1"), pytest.raises(MigrationBlocked, match="relay migrate"):
        upgrade(postgres_url, courtesy=Courtesy(lock_seconds=0.1, pause_seconds=0, tries=2))
    assert current_revision(postgres_url) == "20261122"
    upgrade(postgres_url)
    assert current_revision(postgres_url) == head_revision()


def test_an_index_is_built_while_others_write(postgres_url: str) -> None:
    downgrade(postgres_url, "20261127")
    with (
        beside(lambda: upgrade(postgres_url, courtesy=QUICK)),
        holding(postgres_url, "LOCK TABLE run IN ROW EXCLUSIVE MODE"),
        psycopg.connect(postgres_url) as writer,
    ):
        until(postgres_url, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'ix_run_'")
        writer.execute("LOCK TABLE run IN ROW EXCLUSIVE MODE NOWAIT")
        writer.rollback()
        time.sleep(2 * QUICK.lock_seconds)  # it waits for longer than a step may wait for a table
    assert current_revision(postgres_url) == head_revision()


def test_an_index_that_was_broken_off_is_built_again(postgres_url: str) -> None:
    broken = "SELECT 1 FROM pg_index WHERE indexrelid = 'ix_run_answer'::regclass AND NOT indisvalid"
    downgrade(postgres_url, "20261128")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_run_answer'::regclass")
        connection.execute("UPDATE alembic_version SET version_num = '20261127'")
        assert connection.execute(broken).fetchone()
        upgrade(postgres_url)
        assert connection.execute(broken).fetchone() is None


def test_a_deployment_that_has_the_indexes_keeps_them(postgres_url: str) -> None:
    found = "SELECT oid FROM pg_class WHERE relname LIKE 'ix_run_%' ORDER BY oid"
    downgrade(postgres_url, "20261128")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        before = connection.execute(found).fetchall()
        connection.execute("UPDATE alembic_version SET version_num = '20261127'")
        upgrade(postgres_url)
        assert set(before) <= set(connection.execute(found).fetchall())  # later steps add some


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Every statement that SQLAlchemy sends while inside."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def complaints(statements: list[str]) -> list[str]:
    """What of a step would keep others waiting on a large table for longer than a moment."""
    made = {found for text in statements for found in re.findall(r"CREATE TABLE (\w+)", text)} | SMALL
    wrong = []
    for statement in statements:
        index = re.match(r"\s*CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).* ON (\w+)", statement)
        altered = re.match(r"\s*ALTER TABLE (\w+) (.*)", statement, flags=re.DOTALL)
        rows = re.match(r"\s*(?:UPDATE|DELETE FROM|INSERT INTO) (\w+)", statement)
        if index and index[1] not in made:
            wrong.append(f"is built under a lock: {statement}")
        if altered and altered[1] not in made and not _is_quick(altered[2]):
            wrong.append(f"reads or writes the table under a lock: {statement}")
        if rows and rows[1] not in made:
            wrong.append(f"touches many rows in a step: {statement}")
    return wrong


def _is_quick(change: str) -> bool:
    """Whether it changes the catalogue alone."""
    quick = r"(ADD COLUMN (?:.*DEFAULT|(?!.*NOT NULL))|DROP |RENAME COLUMN )|.*NOT VALID"
    return bool(re.match(quick, change, flags=re.DOTALL))


def test_no_step_keeps_others_from_a_large_table(postgres_url: str) -> None:
    downgrade(postgres_url, FIRST)
    with recorded() as statements:
        upgrade(postgres_url)
    steps: list[list[str]] = [[]]
    for statement in statements:
        steps[-1].append(statement)
        if statement.startswith("UPDATE alembic_version"):
            steps.append([])
    assert len(steps) >= 8
    assert [wrong for step in steps for wrong in complaints(step)] == []


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX ix_run_line ON run (mode)",
        "CREATE UNIQUE INDEX ix_event_x ON event (id)",
        "ALTER TABLE run ALTER COLUMN state TYPE TEXT",
        "ALTER TABLE run ADD COLUMN x INTEGER NOT NULL",
        "ALTER TABLE delivery ADD CONSTRAINT c CHECK (attempts > 0)",
        "UPDATE run SET state = 'queued'",
    ],
)
def test_a_step_that_would_is_seen(statement: str) -> None:
    assert complaints([statement]) != []

"""Migrations: the same schema as the models on both databases, and safe when several processes start at once."""

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Index, inspect, text
from sqlmodel import SQLModel

from service.kit.db.database import Database
from service.kit.schema.migrate import _INI, current_revision, downgrade, upgrade
from service.kit.schema.revisions import head_revision, is_known

pytestmark = pytest.mark.own_database  # tables of the tests' own


def _differences(url: str) -> list[object]:
    with closing(Database(url)) as database, database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, SQLModel.metadata))


def _tables(url: str) -> set[str]:
    with closing(Database(url)) as database:
        return set(inspect(database.engine).get_table_names())


def _partial_indexes() -> list[tuple[str, str]]:
    indexes = [index for table in SQLModel.metadata.tables.values() for index in table.indexes]
    return [(str(index.name), where) for index in indexes if (where := _where(index))]


def _where(index: Index) -> str:
    predicate = index.dialect_options["postgresql"]["where"]
    return "" if predicate is None else str(predicate)


def test_the_revisions_are_those_that_alembic_finds() -> None:
    steps = ScriptDirectory.from_config(Config(_INI))
    assert head_revision() == steps.get_current_head()
    known = {step.revision for step in steps.walk_revisions()}
    assert len(known) > 10
    assert {is_known(revision) for revision in known - {head_revision()}} == {(True, False)}
    assert (is_known(head_revision()), is_known("20991231")) == ((True, True), (False, False))


def test_head_equals_the_models(database_url: str) -> None:
    assert SQLModel.metadata.tables
    assert _differences(database_url) == []


def test_a_difference_would_be_seen(database: Database, database_url: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE account ADD COLUMN surprise INTEGER"))
    assert _differences(database_url) != []


def test_partial_indexes_are_partial(database: Database) -> None:
    catalogue = (
        "SELECT name, sql AS definition FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if database.is_sqlite
        else "SELECT indexname AS name, indexdef AS definition FROM pg_indexes WHERE schemaname = 'public'"
    )
    with database.engine.connect() as connection:
        found = {row.name: row.definition for row in connection.execute(text(catalogue))}
    expected = _partial_indexes()
    assert len(expected) >= 5
    for name, where in expected:
        _, _, built = found[name].partition(" WHERE ")
        # PostgreSQL writes the predicate its own way: the column and the states it names are what counts.
        assert _words(where) <= _words(built), name


def _words(predicate: str) -> set[str]:
    return set(re.findall(r"\w+", predicate)) - {"IN"}


def test_down_leaves_nothing_and_up_again_is_head(database_url: str) -> None:
    downgrade(database_url)
    assert _tables(database_url) == {"alembic_version"}
    assert current_revision(database_url) is None
    upgrade(database_url)
    assert current_revision(database_url) == head_revision()
    assert _differences(database_url) == []


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    upgrade(database_url)
    assert current_revision(database_url) == head_revision()


def test_a_file_that_is_not_there_has_no_revision_and_is_not_made(tmp_path: Path) -> None:
    assert current_revision(f"sqlite:///{tmp_path}/none.db") is None
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_sqlite_file_is_made_and_nothing_else_left_in_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a/b/relay.db"
    upgrade(url)
    assert current_revision(url) == head_revision()
    left = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert left <= {"relay.db", "relay.db-wal", "relay.db-shm"}


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="in memory"):
        upgrade("sqlite://")


_FOUR_AT_ONCE = """
import os, sys
from service.kit.schema.migrate import upgrade

ids = []
for _ in range(4):
    if not (one := os.fork()):
        upgrade(sys.argv[1])
        sys.exit()
    ids.append(one)
print([os.waitpid(one, 0)[1] for one in ids])
"""


def test_processes_that_migrate_at_once_all_succeed(database_url: str, tmp_path: Path) -> None:
    if database_url.startswith("sqlite"):
        database_url = f"sqlite:///{tmp_path}/fresh/relay.db"
    else:
        downgrade(database_url)
    done = subprocess.run(
        [sys.executable, "-c", _FOUR_AT_ONCE, database_url], capture_output=True, text=True, timeout=110, check=False
    )
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0]\n", "")
    assert current_revision(database_url) == head_revision()


def test_migrating_works_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    upgrade("sqlite:///here.db")
    assert (tmp_path / "here.db").exists()


def test_each_step_has_a_number_of_its_own_and_follows_one_other() -> None:
    files = sorted((Path(__file__).resolve().parents[2] / "migrations" / "versions").glob("*.py"))
    steps = [
        (
            path.name[:8],
            *re.findall(r'^(?:down_)?revision = "?(\w+)"?$', path.read_text(encoding="utf-8"), re.MULTILINE),
        )
        for path in files
    ]
    numbers = [number for number, *_ in steps]
    assert steps == list(zip(numbers, numbers, ["None", *numbers[:-1]], strict=True))
    assert len(set(numbers)) == len(numbers)

"""A column compared with any number of texts, by one statement."""

from collections.abc import Sequence

import pytest
from sqlalchemy import event, select

from service.kit.db.bulk import among
from service.kit.db.database import Database
from tests.kit.things import THING, make_table, put

pytestmark = pytest.mark.own_database  # tables of the tests' own

_ODD = ('a "quoted" one', "a\\backslash", "a,comma {brace}", "NULL", "", " two ", "Żółć 🎵", "it's")


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    make_table(database)
    with database.writing() as session:
        put(session, "a", "b", "c", *_ODD)


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "c", "none"], list(_ODD), [f"no {n}" for n in range(500)]])
def test_those_named_are_found_and_no_others(database: Database, texts: Sequence[str]) -> None:
    found = select(THING.c.id).where(among(THING.c.id, "ids")).order_by(THING.c.id)
    others = select(THING.c.id).where(~among(THING.c.id, "ids"))
    everything = {"a", "b", "c", *_ODD}
    with database.reading() as session:
        assert set(session.connection().execute(found, {"ids": texts}).scalars()) == set(texts) & everything
        assert set(session.connection().execute(others, {"ids": texts}).scalars()) == everything - set(texts)


def test_the_statement_is_the_same_for_any_number(database: Database) -> None:
    seen = set[str]()
    found = select(THING.c.id).where(among(THING.c.id, "ids"))
    event.listen(database.engine, "before_cursor_execute", lambda *told: seen.add(told[2]))
    for count in (0, 1, 50):
        with database.reading() as session:
            session.connection().execute(found, {"ids": [str(n) for n in range(count)]})
    assert len([each for each in seen if each.startswith("SELECT thing")]) == 1

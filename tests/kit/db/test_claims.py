import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import RowMapping, update
from sqlmodel import Session

from service.kit.db.claims import claim
from service.kit.db.database import Database
from tests.kit.things import NOW, THING, make_table, put

pytestmark = pytest.mark.own_database  # tables of the tests' own

_LEASE = timedelta(seconds=30)
_WAITING = "state = 'due'"


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    make_table(database)


def _claim(session: Session, limit: int = 100, now: datetime = NOW) -> Sequence[RowMapping]:
    return claim(session, THING, _WAITING, "state", now=now, lease_until=now + _LEASE, limit=limit)


def _finish(session: Session, row: RowMapping) -> bool:
    ours = (THING.c.id == row["id"]) & (THING.c.lease_token == row["lease_token"])
    done = update(THING).where(ours).values(state="done").returning(THING.c.id)
    return session.connection().execute(done).one_or_none() is not None


async def test_due_rows_are_leased_and_carry_what_was_asked_for(database: Database) -> None:
    await database.write(put, "a", "b")
    rows = await database.write(_claim)
    assert sorted((row["id"], row["state"]) for row in rows) == [("a", "due"), ("b", "due")]
    assert all(row["lease_token"] for row in rows)


async def test_rows_of_another_state_or_not_yet_due_are_left(database: Database) -> None:
    await database.write(put, "finished", state="done")
    await database.write(put, "later", late_by=-timedelta(microseconds=1))
    await database.write(put, "now")
    assert [row["id"] for row in await database.write(_claim)] == ["now"]


async def test_those_that_have_waited_longest_come_first(database: Database) -> None:
    for hours, name in enumerate(["newest", "newer", "older", "oldest"]):
        await database.write(put, name, late_by=timedelta(hours=hours))
    assert {row["id"] for row in await database.write(_claim, 2)} == {"oldest", "older"}


async def test_a_claimed_row_is_not_due_until_its_lease_ends(database: Database) -> None:
    await database.write(put, "a")
    assert await database.write(_claim)
    assert not await database.write(_claim, now=NOW + _LEASE - timedelta(microseconds=1))
    assert await database.write(_claim, now=NOW + _LEASE)


async def test_whoever_lost_the_lease_cannot_record(database: Database) -> None:
    await database.write(put, "a")
    (slow,) = await database.write(_claim)
    (quick,) = await database.write(_claim, now=NOW + _LEASE)
    assert not await database.write(_finish, slow)
    assert await database.write(_finish, quick)


async def test_claimers_at_once_never_get_the_same_row(database: Database) -> None:
    await database.write(put, *(f"{n:03}" for n in range(200)))
    claims = await asyncio.gather(*(database.write(_claim, 25) for _ in range(10)))
    taken = [row["id"] for rows in claims for row in rows]
    assert len(taken) == len(set(taken)) == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_claimer_passes_over_what_another_is_just_claiming(database: Database) -> None:
    with database.writing() as session:
        put(session, "a", "b", "c")
    with database.writing() as first, database.writing() as second:
        one, other = _claim(first, 2), _claim(second, 2)
    assert len(one) == 2
    assert len(other) == 1

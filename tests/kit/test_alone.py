"""Rows that are dealt with one at a time: one that fails harms no other, and takes up no place of the next looks."""

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service.kit.alone import MOST_LEFT_OUT, ROWS_FAILED, Alone
from service.kit.database import Overdue

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _among(rows: list[str], limit: int = 100) -> Callable[[Collection[str]], Awaitable[list[str]]]:
    async def find(left_out: Collection[str]) -> list[str]:
        return [row for row in rows if row not in left_out][:limit]

    return find


async def _act(row: str, done: list[str]) -> None:
    if row.startswith("bad"):
        raise ValueError("unreadable")
    done.append(row)


async def test_a_hundred_rows_that_fail_do_not_take_the_places_of_the_others() -> None:
    rows, done, alone = [*(f"bad{n}" for n in range(100)), "good"], list[str](), Alone("here")
    before = ROWS_FAILED.value("here")
    with capture_logs() as logs:
        rounds = 1
        while await alone.deal(_among(rows), lambda row: _act(row, done), NOW):
            rounds += 1
    assert (done, rounds, ROWS_FAILED.value("here") - before) == (["good"], 2, 100)
    assert [line["row_id"] for line in logs] == rows[:100]
    assert [line["exc_info"] is not None for line in logs] == [True, *[False] * 99]
    assert {line["error"] for line in logs} == {"ValueError: unreadable"}


async def test_one_that_fails_is_tried_again_after_a_pause_that_grows_and_forgets_it_once_it_succeeds() -> None:
    alone, tried = Alone("here"), list[datetime]()

    async def act(_: str) -> None:
        tried.append(now)
        if len(tried) != 3:
            raise ValueError

    for second in range(0, 600, 30):
        now = _at(second)
        await alone.deal(_among(["row"]), act, now)
    assert tried == [_at(0), _at(60), _at(180), _at(210), _at(270), _at(390)]


@pytest.mark.parametrize(
    "error", [OperationalError("SELECT", {}, sqlite3.OperationalError("disk I/O error")), Overdue("no answer")]
)
async def test_what_the_database_itself_fails_at_is_no_rows_fault(error: Exception) -> None:
    alone = Alone("here")

    async def act(_: str) -> None:
        raise error

    with pytest.raises(type(error)):
        await alone.deal(_among(["row"]), act, NOW)
    assert not alone.left_out(NOW)


async def test_what_is_left_out_has_a_bound() -> None:
    alone = Alone("here")
    rows = [f"bad{n}" for n in range(MOST_LEFT_OUT + 5)]
    with capture_logs():
        await alone.each(rows, lambda row: _act(row, []), NOW)
    assert set(alone.left_out(NOW)) == set(rows[5:])

"""Rows that are dealt with one at a time: one that fails harms no other, and takes up no place of the next looks."""

import sqlite3
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from service.kit.db import alone as module
from service.kit.db.alone import ROWS_FAILED, Alone
from service.kit.errors import Overdue

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


async def test_more_than_a_thousand_rows_that_fail_do_not_take_the_places_of_the_others() -> None:
    rows, done, alone = [*(f"bad{n}" for n in range(1_100)), "good"], list[str](), Alone("here")
    with capture_logs():
        rounds = 1
        while rounds < 20 and await alone.deal(_among(rows), lambda row: _act(row, done), NOW):
            rounds += 1
    assert (done, rounds) == (["good"], 12)


async def test_more_rows_than_can_be_left_out_are_left_alone_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LEFT_OUT", 10)
    rows, alone = [f"bad{n}" for n in range(30)], Alone("here")
    for now, failures in ((NOW, 1), (_at(1), None), (_at(60), 2), (_at(120), None)):
        with capture_logs() as logs:
            rounds = 1
            while rounds < 20 and await alone.deal(_among(rows, 5), lambda row: _act(row, []), now):
                rounds += 1
        assert rounds < 20
        assert {line["failures"] for line in logs} == ({failures} if failures else set())
        assert len({line["row_id"] for line in logs}) == len(logs)


async def test_a_loop_that_can_note_no_more_rows_waits_for_its_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LEFT_OUT", 10)
    monkeypatch.setattr(module, "MOST_RESTING", 10)
    rows, alone = [f"bad{n}" for n in range(30)], Alone("here")
    with capture_logs():
        rounds = 1
        while rounds < 20 and await alone.deal(_among(rows, 5), lambda row: _act(row, []), NOW):
            rounds += 1
    assert rounds == 3


@pytest.mark.parametrize("ahead", [[], ["first"]])
async def test_a_row_that_takes_too_long_each_time_is_left_alone_after_the_second(ahead: list[str]) -> None:
    alone, done = Alone("here"), list[str]()

    async def act(row: str) -> None:
        if row == "slow":
            raise Overdue("the database did not answer in time")
        done.append(row)

    for _ in range(2):
        assert "good" not in done
        with pytest.raises(Overdue), capture_logs():
            await alone.deal(_among([*ahead, "slow", "good"]), act, NOW)
    await alone.deal(_among([*ahead, "slow", "good"]), act, NOW)
    assert done[-1] == "good"
    assert alone.left_out(NOW) == {"slow"}


async def test_a_database_that_is_too_slow_for_one_row_and_then_for_another_blames_neither() -> None:
    alone = Alone("here")

    async def act(_: str) -> None:
        raise Overdue("the database did not answer in time")

    for row in ("one", "other", "one", "other"):
        with pytest.raises(Overdue):
            await alone.deal(_among([row]), act, NOW)
    assert not alone.left_out(NOW)


async def test_what_is_left_out_and_what_is_known_have_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LEFT_OUT", 10)
    monkeypatch.setattr(module, "MOST_RESTING", 20)
    alone, rows = Alone("here"), [f"bad{n}" for n in range(25)]
    with capture_logs() as logs:
        await alone.each(rows, lambda row: _act(row, []), NOW)
        assert set(alone.left_out(NOW)) == set(rows[15:])
        await alone.each(rows[4:6], lambda row: _act(row, []), NOW)
    assert [line["failures"] for line in logs[25:]] == [1, 1]

"""Callbacks are stored: once each, so many a subject, and what was rejected within bounds."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta

from sqlmodel import col, select

from service.bench.counting.statements import Counts, counting
from service.callbacks.intake import MAX_PER_SUBJECT, Arrived, callbacks_seen, store_callbacks
from service.callbacks.models import Callback
from service.callbacks.quarantine import (
    MAX_FROM_STRANGERS,
    MAX_QUARANTINED,
    QUARANTINED_BYTES,
    STRANGER,
    STRANGERS_BYTES,
    Strangers,
)
from service.kit.db.database import Database
from tests.detections.rows import alter
from tests.detections.scripted import NOW


def _arrived(body: bytes = b"{}", subject: str = "run_1", **changes: object) -> Arrived:
    plain = Arrived("live", "asc", subject, None, body, {"content-type": "application/json"}, "url_token", NOW)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the test names fields of `Arrived`


def _store(database: Database, *batch: Arrived) -> list[bool]:
    with database.writing() as session:
        return list(store_callbacks(session, batch))


def _rows(database: Database) -> list[Callback]:
    with database.reading() as session:
        return list(session.exec(select(Callback).order_by(col(Callback.id))))


def test_a_callback_is_stored_as_it_came_and_due_at_once(database: Database) -> None:
    headers = {"content-type": "application/json", "x-mippia-timestamp": "1", "authorization": "Bearer secret"}
    assert _store(database, _arrived(b'{"a":1}', job_id="j1", headers=headers)) == [True]
    (row,) = _rows(database)
    assert (row.body, row.body_sha256) == (b'{"a":1}', hashlib.sha256(b'{"a":1}').hexdigest())
    assert (row.state, row.due_at, row.received_at, row.job_id, row.times_received) == ("due", NOW, NOW, "j1", 1)
    assert row.headers_json == '{"content-type": "application/json", "x-mippia-timestamp": "1"}'


def test_the_time_of_any_vendors_signature_is_kept_and_not_a_crowd_of_them(database: Database) -> None:
    crowd = {f"x-{letter}-timestamp": "9" * 300 for letter in "abcdefghijklmnop"}
    assert _store(database, _arrived(b"{}", headers={"x-further-timestamp": "7", "x-further-signature": "s", **crowd}))
    (row,) = _rows(database)
    kept = json.loads(row.headers_json)
    assert (kept.pop("x-further-timestamp"), len(kept)) == ("7", 7)
    assert {len(value) for value in kept.values()} == {200}
    assert "x-further-signature" not in kept


def test_the_same_body_again_is_counted_and_not_stored(database: Database) -> None:
    assert _store(database, _arrived(), _arrived()) == [True, False]
    assert _store(database, _arrived()) == [False]
    assert [(row.times_received, row.overflow_count, row.state) for row in _rows(database)] == [(3, 0, "due")]


def test_two_bodies_of_one_second_are_two_callbacks(database: Database) -> None:
    assert _store(database, _arrived(b"1"), _arrived(b"2")) == [True, True]


def test_the_same_body_for_another_subject_vendor_or_mode_is_another_callback(database: Database) -> None:
    others = [_arrived(subject="run_2"), _arrived(vendor="aippim"), _arrived(mode="test")]
    assert _store(database, _arrived(), *others) == [True] * 4


def test_twenty_bodies_a_subject_are_kept_and_the_rest_is_counted(database: Database) -> None:
    batch = [_arrived(b"%d" % n) for n in range(30)]
    assert _store(database, *batch[:15]) == [True] * 15
    assert _store(database, *batch[15:]) == [True] * 5 + [False] * 10
    assert _store(database, batch[29], batch[0]) == [False, False]
    rows = _rows(database)
    assert (len(rows), sum(row.overflow_count for row in rows)) == (MAX_PER_SUBJECT, 11)
    assert [row.body for row in rows if row.times_received == 2] == [b"0"]


def test_a_batch_is_two_statements_however_many_it_holds(database: Database) -> None:
    counts = Counts()
    with counting(database.engine, counts):
        assert _store(database, *(_arrived(b"%d" % n, f"run_{n}") for n in range(50))) == [True] * 50
    # On PostgreSQL the third wakes who thinks about them.
    assert counts.total == (2 if database.is_sqlite else 3, 1)


def test_a_full_subject_takes_no_room_from_another(database: Database) -> None:
    _store(database, *(_arrived(b"%d" % n) for n in range(25)))
    assert _store(database, _arrived(subject="run_2")) == [True]


def test_what_was_rejected_is_kept_in_part_and_never_due(database: Database) -> None:
    body = b"x" * (QUARANTINED_BYTES + 1)
    _store(database, _arrived(body, subject="quarantine", quarantined=True, note="why"))
    (row,) = _rows(database)
    assert (len(row.body), row.state, row.due_at, row.note) == (QUARANTINED_BYTES, "quarantined", None, "why")
    assert row.body_sha256 == hashlib.sha256(body).hexdigest()


def _rejected(first: int, last: int, **changes: object) -> list[Arrived]:
    """One a second, with the signature wrong."""
    return [
        _arrived(b"%d" % n, "", quarantined=True, received_at=NOW + timedelta(seconds=n), **changes)
        for n in range(first, last)
    ]


def _bodies(database: Database, **about: str) -> list[int]:
    return sorted(
        int(row.body)
        for row in _rows(database)
        if row.state == "quarantined" and all(getattr(row, name) == value for name, value in about.items())
    )


def test_of_a_thousand_rejected_ones_a_vendor_the_oldest_make_room(database: Database) -> None:
    assert _store(database, *_rejected(0, 600)) == [True] * 600
    assert _store(database, *_rejected(600, 1_100)) == [True] * 500
    assert _bodies(database) == list(range(100, 1_100))
    assert len(_rows(database)) == MAX_QUARANTINED
    assert _store(database, *_rejected(0, 1, vendor="aippim"), _arrived(b"authentic")) == [True, True]
    assert _store(database, *_rejected(1_100, 1_101)) == [
        True
    ]  # the vendor's real one is kept, however many came before
    assert _bodies(database, vendor="asc") == list(range(101, 1_101))


def test_test_mode_takes_no_room_from_live_mode(database: Database) -> None:
    _store(database, *_rejected(0, 3))
    _store(database, *_rejected(0, 1_005, mode="test"))
    assert (_bodies(database, mode="live"), len(_bodies(database, mode="test"))) == ([0, 1, 2], MAX_QUARANTINED)


def test_strangers_have_a_small_share_that_costs_no_vendor_its_own(database: Database) -> None:
    strange = _rejected(0, 60, note=STRANGER)
    assert _store(database, *strange[:40]) == [True] * 40
    assert _store(database, *strange[40:], *_rejected(100, 103)) == [True] * 10 + [False] * 10 + [True] * 3
    assert _store(database, strange[0], strange[59]) == [False, False]
    rows = _rows(database)
    assert len([row for row in rows if row.note == STRANGER]) == MAX_FROM_STRANGERS
    assert {(row.times_received, row.overflow_count) for row in rows} == {
        (1, 0)
    }  # not even a count is written for them
    assert _store(database, *_rejected(200, 200 + MAX_QUARANTINED)) == [True] * MAX_QUARANTINED
    assert len([row for row in _rows(database) if row.note == STRANGER]) == MAX_FROM_STRANGERS
    assert _store(database, *_rejected(0, 1, note=STRANGER, vendor="aippim")) == [True]


def test_of_a_stranger_little_is_kept(database: Database) -> None:
    _store(database, _arrived(b"x" * 100_000, "", quarantined=True, note=STRANGER))
    assert [len(row.body) for row in _rows(database)] == [STRANGERS_BYTES]


def test_beyond_their_share_strangers_are_counted_in_memory_and_an_hour_later_asked_anew() -> None:
    strangers = Strangers()
    passed = [strangers.may_be_kept("asc", NOW) for _ in range(MAX_FROM_STRANGERS + 10)]
    assert passed == [True] * MAX_FROM_STRANGERS + [False] * 10
    assert strangers.may_be_kept("aippim", NOW)
    assert not strangers.may_be_kept("asc", NOW + timedelta(minutes=59))
    assert strangers.may_be_kept("asc", NOW + timedelta(minutes=60))


def test_the_run_shows_how_many_it_was_sent_and_how_many_were_the_same(database: Database) -> None:
    _store(database, *(_arrived(b"%d" % n) for n in range(22)), _arrived(b"0"), _arrived(b"1"))
    alter(database, _rows(database), run_id="run_1")
    with database.reading() as session:
        assert callbacks_seen(session, ["run_1", "run_2"]) == {"run_1": (24, 2)}

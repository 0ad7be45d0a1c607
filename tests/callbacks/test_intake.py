"""Callbacks are stored: once each, so many a subject, and what was rejected within bounds."""

import hashlib
import json
from dataclasses import replace

from sqlmodel import col, func, select

from service.callbacks.intake import (
    MAX_PER_SUBJECT,
    MAX_QUARANTINED,
    QUARANTINED_BYTES,
    Arrived,
    callbacks_seen,
    store_callbacks,
)
from service.callbacks.models import Callback
from service.kit.database import Database
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
    assert (row.state, row.due_at, row.received_at, row.job_id, row.seen) == ("due", NOW, NOW, "j1", 1)
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
    assert [(row.seen, row.more, row.state) for row in _rows(database)] == [(3, 0, "due")]


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
    assert (len(rows), sum(row.more for row in rows)) == (MAX_PER_SUBJECT, 11)
    assert [row.body for row in rows if row.seen == 2] == [b"0"]


def test_a_full_subject_takes_no_room_from_another(database: Database) -> None:
    _store(database, *(_arrived(b"%d" % n) for n in range(25)))
    assert _store(database, _arrived(subject="run_2")) == [True]


def test_what_was_rejected_is_kept_in_part_and_never_due(database: Database) -> None:
    body = b"x" * (QUARANTINED_BYTES + 1)
    _store(database, _arrived(body, subject="quarantine", quarantined=True, note="why"))
    (row,) = _rows(database)
    assert (len(row.body), row.state, row.due_at, row.note) == (QUARANTINED_BYTES, "quarantined", None, "why")
    assert row.body_sha256 == hashlib.sha256(body).hexdigest()


def test_a_thousand_rejected_ones_a_vendor_are_kept_and_the_rest_is_counted(database: Database) -> None:
    def rejected(vendor: str, first: int, last: int) -> list[Arrived]:
        bodies = [b"%d" % n for n in range(first, last)]
        return [_arrived(body, "quarantine", vendor=vendor, quarantined=True) for body in bodies]

    _store(database, *rejected("asc", 0, 600))
    _store(database, *rejected("asc", 600, 1100))
    assert _store(database, *rejected("aippim", 0, 1)) == [True]
    with database.reading() as session:
        counted = session.exec(select(func.count(), func.sum(Callback.more)).where(Callback.vendor == "asc")).one()
    assert tuple(map(int, counted)) == (MAX_QUARANTINED, 100)
    assert _store(database, _arrived(b"authentic")) == [True]


def test_the_run_shows_how_many_it_was_sent_and_how_many_were_the_same(database: Database) -> None:
    _store(database, *(_arrived(b"%d" % n) for n in range(22)), _arrived(b"0"), _arrived(b"1"))
    alter(database, _rows(database), run_id="run_1")
    with database.reading() as session:
        assert callbacks_seen(session, ["run_1", "run_2"]) == {"run_1": (24, 2)}

"""What goes by age: each kind only past its time, in slices, and never what is still needed."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlmodel import Session, SQLModel, col, func, select, text
from structlog.testing import capture_logs

from service.accounts.models import Audit, Idempotency
from service.callbacks.models import Callback
from service.kit.db.database import Database
from service.kit.db.patience import Patience
from service.kit.errors import Overdue
from service.kit.ids import new_id
from service.kit.process.heartbeat import Worker
from service.media.models import Media, MediaChunk
from service.media.store import DatabaseStore
from service.retention import rows
from service.retention.prune import Pruner, Retention, mark_due_media
from service.runs.load.lock import lock_detection
from service.runs.state.models import Detection, Observation, RawBody, Revision
from service.webhooks.models import Attempt, Delivery
from tests.detections.rows import Hands, add_media, world
from tests.detections.scripted import NOW, asc, job, said

DAY = timedelta(days=1)


def _pruner(database: Database, clock: Hands, **changes: Any) -> Pruner:
    return Pruner(database, DatabaseStore(database), Retention(), clock, **changes)


def _count(database: Database, model: type[SQLModel]) -> int:
    with database.reading() as session:
        return session.exec(select(func.count()).select_from(model)).one()


def _put(database: Database, *added: SQLModel) -> None:
    with database.writing() as session:
        session.add_all(added)


def _callback(state: str, received_at: datetime, expires_at: datetime | None = None) -> Callback:
    callback_id = new_id("cbk")
    return Callback(
        id=callback_id, mode="live", vendor="asc", subject=callback_id, body_sha256="0", body=b"{}", headers_json="{}",
        authenticity="url_token", state=state, received_at=received_at, expires_at=expires_at,
    )  # fmt: skip


def _raw(at: datetime) -> RawBody:
    return RawBody(owner_id=new_id("run"), sha256="0", body=b"{}", content_type="", created_at=at)


def _attempt(at: datetime) -> Attempt:
    return Attempt(
        id=new_id("att"), delivery_id=new_id("dlv"), endpoint_id="we_1", n=1, started_at=at, phases_json="{}",
        explanation="",
    )  # fmt: skip


def _delivery(ended_at: datetime | None) -> Delivery:
    return Delivery(
        id=new_id("dlv"), account_id="acc_1", mode="live", endpoint_id="we_1", event_id=new_id("evt"), event_position=1,
        lane="fresh", state="held" if ended_at is None else "succeeded", created_at=NOW - 1000 * DAY, ended_at=ended_at,
    )  # fmt: skip


def _record(at: datetime) -> Idempotency:
    return Idempotency(
        account_id="a", mode="live", route="r", key=str(at), fingerprint="", status=200, answer=b"", expires_at=at
    )


def _worker(at: datetime) -> Worker:
    return Worker(id=new_id("wrk"), kind="", started_at=at, heartbeat_at=at)


_SECOND = timedelta(seconds=1)
_AGED: Sequence[tuple[str, SQLModel, SQLModel]] = [
    # what it is, one whose time is up, one that has a second left
    ("raw answer", _raw(NOW - 90 * DAY), _raw(NOW - 90 * DAY + _SECOND)),
    ("attempt", _attempt(NOW - 30 * DAY), _attempt(NOW - 30 * DAY + _SECOND)),
    ("delivery", _delivery(NOW - 365 * DAY), _delivery(NOW - 365 * DAY + _SECOND)),
    ("delivery that has not ended", _delivery(NOW - 365 * DAY), _delivery(None)),
    ("first answer", _record(NOW), _record(NOW + _SECOND)),
    ("worker", _worker(NOW - DAY), _worker(NOW - DAY + _SECOND)),
    ("rejected", _callback("quarantined", NOW - 30 * DAY), _callback("quarantined", NOW - 30 * DAY + _SECOND)),
    ("parked too long", _callback("ignored", NOW - DAY, NOW), _callback("ignored", NOW - DAY, NOW + _SECOND)),
    *(
        (state, _callback(state, NOW - 90 * DAY), _callback(state, NOW - 90 * DAY + _SECOND))
        for state in ("applied", "late", "conflict", "stuck")
    ),
]


@pytest.mark.parametrize(("old", "young"), [case[1:] for case in _AGED], ids=[case[0] for case in _AGED])
async def test_what_is_old_enough_goes_and_nothing_else(database: Database, old: SQLModel, young: SQLModel) -> None:
    kind = type(old)
    kept = kind(**young.model_dump())
    _put(database, kind(**old.model_dump()), kept)
    await _pruner(database, Hands()).step()
    with database.reading() as session:
        (left,) = session.exec(select(kind)).all()
    assert left.model_dump() == kept.model_dump()


async def test_single_looks_go_by_age_once_their_detection_is_erased(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    here.submit("asc")
    erased, kept = here.runs()
    looks = [(erased.id, 366), (erased.id, 364), (kept.id, 366)]
    _put(
        database,
        *(
            Observation(run_id=run_id, n=n, via="poll", at=NOW - days * DAY, effect="none")
            for n, (run_id, days) in enumerate(looks, 1)
        ),
    )
    with database.writing() as session:
        session.get_one(Detection, erased.detection_id).erased_at = NOW
    await _pruner(database, Hands()).step()
    with database.reading() as session:
        assert session.exec(select(Observation.n).order_by(col(Observation.n))).all() == [2, 3]


@pytest.mark.parametrize("state", ["due", "parked"])
async def test_a_callback_that_waits_is_kept_whatever_its_age(database: Database, state: str) -> None:
    _put(database, _callback(state, NOW - 900 * DAY, NOW - 800 * DAY))
    await _pruner(database, Hands()).step()
    assert _count(database, Callback) == 1


async def test_it_goes_in_slices_as_far_as_the_time_allows(database: Database) -> None:
    _put(database, *(_attempt(NOW - (31 + n) * DAY) for n in range(5)))
    with database.writing() as session:
        assert rows.drop(session, rows.attempts(NOW - 30 * DAY), 2) == 2
    with database.reading() as session:
        assert max(session.exec(select(Attempt.started_at))) == NOW - 31 * DAY, "the oldest go first"
    await _pruner(database, Hands(), slice=2, seconds_a_kind=0).step()
    assert _count(database, Attempt) == 3
    await _pruner(database, Hands(), slice=2).step()
    assert _count(database, Attempt) == 0


async def test_audio_goes_at_its_end_with_its_bytes_and_name_and_leaves_id_and_hash(database: Database) -> None:
    with database.writing() as session:
        media = add_media(session, delete_after=NOW)
        young = add_media(session, delete_after=NOW + _SECOND, sha256="1" * 64)
    await _pruner(database, Hands()).step()
    with database.reading() as session:
        gone = session.get_one(Media, media.id)
        assert list(session.exec(select(MediaChunk.media_id))) == [young.id]
        assert session.get_one(Media, young.id).erased_at is None
    assert (gone.erased_at, gone.name, gone.sha256, gone.delete_after) == (NOW, "", media.sha256, None)


async def test_audio_that_a_running_detection_needs_is_kept(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    with database.writing() as session:
        media = session.get_one(Media, here.detection(detection_id).media_id)
        media.delete_after = NOW
    pruner = _pruner(database, here.clock)
    await pruner.step()
    assert _count(database, MediaChunk) == 1
    here.clock.turn(45)
    await here.poll()
    here.clock.turn(24 * 3600 - 1)
    await pruner.step()
    assert _count(database, MediaChunk) == 1
    here.clock.turn(1)
    await pruner.step()
    assert _count(database, MediaChunk) == 0


async def test_a_process_that_died_between_mark_and_deletion_leaves_nothing_behind(database: Database) -> None:
    with database.writing() as session:
        add_media(session, delete_after=NOW)
    assert len(await database.write(mark_due_media, NOW, 10)) == 1
    assert _count(database, MediaChunk) == 1
    await _pruner(database, Hands()).step()
    assert _count(database, MediaChunk) == 0
    assert await database.write(mark_due_media, NOW, 10) == []


async def test_results_are_erased_after_their_time_and_that_is_on_record(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc", metadata={"isrc": "DE"})
    await here.dispatch()
    pruner = _pruner(database, here.clock)
    here.clock.turn(365 * 86_400)
    await pruner.step()
    assert here.detection(detection_id).erased_at is None
    here.clock.turn(1)
    for _ in range(2):
        await pruner.step()
    assert (here.detection(detection_id).metadata_json, here.detection(detection_id).verdict) == ("{}", "ai_generated")
    with database.reading() as session:
        lines = session.exec(select(Audit.actor, Audit.action, Audit.subject)).all()
    assert lines == [("relay", "detection.erased", detection_id)]


async def test_one_kind_that_fails_stops_no_other(database: Database) -> None:
    class Broken(DatabaseStore):
        async def delete(self, media_id: str) -> None:
            raise OSError(media_id)

    with database.writing() as session:
        add_media(session, delete_after=NOW)
    _put(database, _attempt(NOW - 31 * DAY))
    await Pruner(database, Broken(database), Retention(), Hands()).step()
    assert (_count(database, Attempt), _count(database, MediaChunk)) == (0, 1)


def _broken(orig: Exception) -> OperationalError:
    return OperationalError("DELETE", {}, orig)


def _fail_for_raw_bodies(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = rows.drop

    def failing(session: Session, old: rows.Old, limit: int) -> int:
        if old.model is RawBody:
            raise error
        return real(session, old, limit)

    monkeypatch.setattr(rows, "drop", failing)


@pytest.mark.parametrize(
    "error",
    [
        Overdue("the database did not answer in time"),
        NoConnectionError(),
        _broken(errors.QueryCanceled()),
        _broken(errors.DeadlockDetected()),
        _broken(errors.DiskFull()),
    ],
    ids=lambda error: type(getattr(error, "orig", error)).__name__,
)
async def test_one_kind_that_takes_too_long_stops_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _fail_for_raw_bodies(monkeypatch, error)
    _put(database, _attempt(NOW - 31 * DAY), _raw(NOW - 91 * DAY))
    with capture_logs() as logs:
        await _pruner(database, Hands()).step()
    assert _count(database, Attempt) == 0
    assert [line["kind"] for line in logs if line["event"] == "retention.failed"] == ["raw_bodies"]


async def test_rows_locked_for_too_long_stop_no_other_kind(postgres_url: str) -> None:
    patience = Patience(statement=0.5, lock=0)
    with closing(Database(postgres_url)) as holding, closing(Database(postgres_url, patience=patience)) as database:
        _put(database, _attempt(NOW - 31 * DAY))
        with holding.writing() as session, capture_logs() as logs:
            session.connection().execute(text("LOCK TABLE raw_body"))
            await _pruner(database, Hands()).step()
            assert [line["kind"] for line in logs if line["event"] == "retention.failed"] == ["raw_bodies"]
        assert _count(database, Attempt) == 0


async def test_while_the_database_is_away_no_further_kind_is_tried(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_for_raw_bodies(monkeypatch, _broken(errors.ConnectionFailure()))
    _put(database, _attempt(NOW - 31 * DAY), _raw(NOW - 91 * DAY))
    with pytest.raises(OperationalError):
        await _pruner(database, Hands()).step()
    assert _count(database, Attempt) == 1


@pytest.mark.parametrize("size", [1, 10])
async def test_a_result_that_cannot_be_erased_keeps_no_other(database: Database, size: int) -> None:
    here = world(database, asc(submits=[said("ai"), said("ai")]))
    bad, good = here.submit("asc"), here.submit("asc")
    await here.dispatch()
    with database.writing() as session:
        session.exec(select(Revision).where(Revision.detection_id == bad)).one().result = "{"
        session.get_one(Detection, bad).completed_at = NOW - _SECOND
    here.clock.turn(365 * 86_400 + 1)
    await _pruner(database, here.clock, slice=size).step()
    assert (here.detection(bad).erased_at, here.detection(good).erased_at) == (None, here.clock())


@pytest.mark.parametrize("size", [1, 10])
async def test_audio_that_cannot_be_deleted_keeps_no_other(database: Database, size: int) -> None:
    class Stuck(DatabaseStore):
        async def delete(self, media_id: str) -> None:
            if media_id == first.id:
                raise OSError(media_id)
            await super().delete(media_id)

    with database.writing() as session:
        first = add_media(session, delete_after=NOW - _SECOND)
        add_media(session, delete_after=NOW, sha256="1" * 64)
    await Pruner(database, Stuck(database), Retention(), Hands(), slice=size).step()
    with database.reading() as session:
        assert list(session.exec(select(MediaChunk.media_id))) == [first.id]


async def test_rows_another_worker_is_at_are_left_to_it(postgres_url: str) -> None:
    database = Database(postgres_url)
    _put(database, _attempt(NOW - 31 * DAY))

    def hold(session: Session) -> None:
        session.exec(select(Attempt).with_for_update()).one()
        asyncio.run_coroutine_threadsafe(_pruner(database, Hands()).step(), loop).result(20)

    loop = asyncio.get_running_loop()
    await database.write(hold)
    assert _count(database, Attempt) == 1
    await _pruner(database, Hands()).step()
    assert _count(database, Attempt) == 0
    database.close()


async def test_a_detection_asked_again_is_not_erased_under_its_feet(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc", metadata={"isrc": "DE"})
    await here.dispatch()
    with database.writing() as session:
        lock_detection(session, detection_id).completed_at = None
    here.clock.turn(400 * 86_400)
    await _pruner(database, here.clock).step()
    assert here.detection(detection_id).erased_at is None

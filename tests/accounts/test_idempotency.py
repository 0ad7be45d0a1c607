"""A repeated POST does nothing and gets the first answer: among threads, after a crash, only where it is the same."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, func, select

from service.accounts.idempotency import KEPT, ApiAnswer, IdempotentAnswer, RequestIdentity, answer_once, first_answer
from service.accounts.models import Audit, Idempotency
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.security.sealing import SealBroken, Sealer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SEALER = Sealer(["secret " * 6])
ASKED = RequestIdentity("acc_1", "live", "POST /v1/things", "key 1", "digest 1")
DEADLINE_SECONDS = 20


def work(session: Session) -> ApiAnswer:
    """Something is made: a line that can be counted."""
    session.add(Audit(actor="key_1", action="thing.created", subject="thing_1", at=NOW))
    return ApiAnswer(
        201, {"id": "thing_1", "secret": "whsec_canary", "ratio": 0.1, "name": "ü"}, {"Location": "/things/1"}
    )


def ask(
    database: Database, asked: RequestIdentity = ASKED, now: datetime = NOW, work: Callable[[Session], ApiAnswer] = work
) -> IdempotentAnswer:
    with database.writing() as session:
        return answer_once(session, asked, work, SEALER, now)


def made(database: Database) -> int:
    with database.reading() as session:
        return session.exec(select(func.count()).select_from(Audit)).one()


def records(database: Database) -> list[Idempotency]:
    with database.reading() as session:
        return list(session.exec(select(Idempotency)))


def test_a_repeated_request_gets_the_first_answer_and_does_nothing(database: Database) -> None:
    first, second = ask(database), ask(database, now=NOW + KEPT - timedelta(seconds=1))
    assert (first.replayed, second.replayed) == (False, True)
    assert second.answer == first.answer
    assert made(database) == 1
    with database.reading() as session:
        assert first_answer(session, ASKED, SEALER, NOW) == first.answer


def test_an_answer_without_a_body_is_kept_too(database: Database) -> None:
    ask(database, work=lambda _: ApiAnswer(204, None))
    assert ask(database).answer == ApiAnswer(204, None)


def test_the_same_key_with_another_request_is_refused(database: Database) -> None:
    ask(database)
    with pytest.raises(CallerError) as refused:
        ask(database, replace(ASKED, fingerprint="digest 2"))
    assert (refused.value.status, refused.value.code) == (422, "idempotency_key_reused")
    assert made(database) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, account_id="acc_2"),
        replace(ASKED, mode="test"),
        replace(ASKED, route="POST /v1/others"),
        replace(ASKED, key="key 2"),
    ],
)
def test_another_account_mode_route_or_key_is_another_request(database: Database, other: RequestIdentity) -> None:
    assert [ask(database).replayed, ask(database, replace(other, fingerprint="digest 2")).replayed] == [False, False]
    assert made(database) == 2


def test_after_a_day_the_key_is_free_for_any_request(database: Database) -> None:
    ask(database)
    again = replace(ASKED, fingerprint="digest 2")
    assert ask(database, again, NOW + KEPT).replayed is False
    assert ask(database, again, NOW + KEPT).replayed is True
    assert len(records(database)) == 1


def test_work_that_fails_leaves_neither_what_it_made_nor_a_record(database: Database) -> None:
    def refuse(session: Session) -> ApiAnswer:
        work(session)
        raise CallerError("no", "No.")

    with pytest.raises(CallerError, match="No"):
        ask(database, work=refuse)
    assert (made(database), records(database)) == (0, [])
    assert ask(database, replace(ASKED, fingerprint="digest 2")).replayed is False


def test_a_crash_in_the_middle_leaves_no_lock_behind(database: Database) -> None:
    def die(session: Session) -> ApiAnswer:
        work(session)
        session.flush()
        if database.is_sqlite:
            raise OperationalError("the process died", {}, Exception())
        session.connection().execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        raise AssertionError("the connection lives")

    with pytest.raises(OperationalError):
        ask(database, work=die)
    assert made(database) == 0
    assert ask(database).replayed is False


def test_a_twin_is_told_to_wait_or_waits_itself_and_then_gets_the_first_answer(database: Database) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(session: Session) -> ApiAnswer:
        begun.set()
        assert release.wait(DEADLINE_SECONDS)
        return work(session)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(ask, database, work=slow)
        assert begun.wait(DEADLINE_SECONDS)
        twin = threads.submit(ask, database)
        if not database.is_sqlite:  # there writers queue, so no twin can look while the first is at work
            refused = twin.exception(DEADLINE_SECONDS)
            assert isinstance(refused, CallerError)
            assert (refused.status, refused.code) == (409, "idempotency_key_in_use")
        release.set()
        assert first.result(DEADLINE_SECONDS).replayed is False
        if database.is_sqlite:
            assert twin.result(DEADLINE_SECONDS).replayed is True
    assert ask(database).replayed is True
    assert made(database) == 1


def test_a_crowd_of_twins_makes_one_thing(database: Database) -> None:
    together = threading.Barrier(8)

    def one_of_many() -> str:
        together.wait(DEADLINE_SECONDS)
        try:
            return "again" if ask(database).replayed else "new"
        except CallerError as refused:
            return refused.code

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(one_of_many) for _ in range(8)]
        outcomes = [future.result(DEADLINE_SECONDS) for future in futures]
    assert outcomes.count("new") == 1
    assert set(outcomes) <= {"new", "again", "idempotency_key_in_use"}
    assert made(database) == 1


def test_the_answer_is_sealed_for_its_own_request(database: Database) -> None:
    ask(database)
    (record,) = records(database)
    assert b"whsec_canary" not in record.answer
    with database.writing() as session:  # somebody copies it to where another account would read it
        copied = record.model_dump(exclude={"id"}) | {"account_id": "acc_2"}
        session.add(Idempotency(**copied))
    with pytest.raises(SealBroken):
        ask(database, replace(ASKED, account_id="acc_2"))
    assert made(database) == 1

"""How far the feed shows: up to the oldest transaction that may still write here; a neighbour's holds nothing back."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import Session

from service.events import feed
from service.events.backlog import events_waiting
from service.events.feed import BEGINNING, Mark, find_event, mark_of, newest_mark, next_mark, read_feed, read_page
from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from tests import postgres
from tests.detections.scripted import NOW
from tests.events.settling import seen_at_last, settle

_WRITERS, _EACH = 8, 12


@pytest.fixture
def here(postgres_url: str) -> Iterator[Database]:
    """Ours."""
    with closing(Database(postgres_url)) as opened:
        yield opened


@pytest.fixture
def neighbour(postgres_folder: Path) -> Iterator[Database]:
    """Another database of the same server."""
    with (
        postgres.fresh_database(postgres_folder, postgres.unused_name("neighbour")) as address,
        closing(Database(address)) as opened,
    ):
        yield opened


def _record(session: Session) -> str:
    draft = Draft("acc_1", "live", EventType.DETECTION_COMPLETED, {"n": 1})
    (recorded,) = Outbox().record(session, [draft], NOW)
    return recorded.id


def _put(database: Database) -> str:
    with database.writing() as session:
        return _record(session)


def _read(database: Database, after: Mark = BEGINNING) -> list[str]:
    return [event_id for event_id, _ in _page(database, after)]


def _shown(database: Database, expected: list[str]) -> list[str]:
    """Read until `expected` is shown, or for some seconds, and return the last look."""
    return seen_at_last(lambda: _read(database), expected)


def _page(database: Database, after: Mark) -> list[tuple[str, Mark]]:
    with database.reading() as session:
        rows = read_feed(session, "acc_1", "live", after, limit=1000)
        return [(row.id, next_mark([row], after)) for row in rows]


def test_an_open_transaction_in_another_database_holds_nothing_back(here: Database, neighbour: Database) -> None:
    with neighbour.writing() as stranger:
        _record(stranger)
        made = [_put(here) for _ in range(3)]
        assert _shown(here, made) == made
        assert seen_at_last(lambda: _newest_known(here), ["known"]) == ["known"]


def _newest_known(database: Database) -> list[str]:
    with database.reading() as session:
        return ["known"] if newest_mark(session, "acc_1", "live") != BEGINNING else []


def test_a_reader_without_rights_over_the_neighbour_sees_past_it_too(here: Database, neighbour: Database) -> None:
    role = f"plain_{uuid.uuid4().hex[:12]}"
    with here.writing() as session:
        for statement in (f"CREATE ROLE {role}", f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"):
            session.connection().execute(text(statement))
    try:
        with neighbour.writing() as stranger:
            _record(stranger)
            made = [_put(here)]

            def look() -> list[str]:
                with here.reading() as session:
                    session.connection().execute(text(f"SET LOCAL ROLE {role}"))
                    return [row.id for row in read_feed(session, "acc_1", "live", BEGINNING, limit=9)]

            assert seen_at_last(look, made) == made
    finally:
        with here.writing() as session:
            for statement in (f"DROP OWNED BY {role}", f"DROP ROLE {role}"):
                session.connection().execute(text(statement))


def test_a_writer_here_that_began_before_and_writes_its_event_late_is_not_skipped(here: Database) -> None:
    with here.writing() as slow:
        slow.connection().execute(text("SELECT pg_current_xact_id()"))  # it has its number, and no event yet
        late = _put(here)
        assert _read(here) == []
        early = _record(slow)
    settle(here)
    assert _shown(here, [early, late]) == [early, late]


def test_a_reader_that_knows_an_event_not_shown_yet_is_not_sent_back_to_the_beginning(here: Database) -> None:
    made = [_put(here) for _ in range(3)]
    settle(here)
    with here.writing() as slow:
        early = _record(slow)
        late = _put(here)
        with here.reading() as session:
            event = find_event(session, "acc_1", "live", late)
            assert event is not None
            known = mark_of(event)
        assert _read(here, known) == []
    settle(here)
    assert _read(here, known) == []
    assert _shown(here, [*made, early, late]) == [*made, early, late]


@pytest.fixture
def looks(here: Database) -> Iterator[Callable[[Session, int], None]]:
    """Have a session's looks at a neighbour find its transaction ended, from the one of this number on."""
    activity = """
        CREATE SCHEMA looks;
        CREATE SEQUENCE looks.taken;
        CREATE FUNCTION looks.pg_stat_get_activity(integer) RETURNS TABLE (backend_xid xid, datid oid) LANGUAGE sql AS
        $$
            SELECT backend_xid, datid FROM pg_catalog.pg_stat_get_activity(NULL), nextval('looks.taken') AS number
            WHERE number < current_setting('looks.ended')::int
        $$
    """
    with here.writing() as session:
        session.connection().execute(text(activity))

    def ended(session: Session, number: int) -> None:
        connection = session.connection()
        connection.execute(text("SELECT setval('looks.taken', 1, false)"))
        connection.execute(text("SELECT set_config('looks.ended', :number, true)"), {"number": str(number)})
        connection.execute(text("SET LOCAL search_path = looks, public, pg_catalog"))

    yield ended
    with here.writing() as session:
        session.connection().execute(text("DROP SCHEMA looks CASCADE"))


def test_a_neighbour_that_ends_in_the_middle_of_a_look_sends_no_reader_back(
    here: Database, neighbour: Database, looks: Callable[[Session, int], None]
) -> None:
    old = _put(here)
    settle(here)
    with neighbour.writing() as stranger:
        _record(stranger)
        new = _put(here)
        assert _shown(here, [old, new]) == [old, new]
        (_, known) = _page(here, BEGINNING)[-1]

        def look() -> list[str]:
            with here.writing() as session:
                looks(session, 1)
                assert read_feed(session, "acc_1", "live", known, limit=9) == []
                return [row.id for row in read_feed(session, "acc_1", "live", BEGINNING, limit=9)]

        assert seen_at_last(look, [old]) == [old], "less than before, for the moment"


def test_a_neighbour_that_ends_in_the_middle_of_a_page_hides_no_event_of_it(
    here: Database, neighbour: Database, looks: Callable[[Session, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WINDOW", 3)
    with neighbour.writing() as stranger:
        _record(stranger)
        made = [_put(here) for _ in range(3)]

        def look() -> list[str]:
            with here.writing() as session:
                looks(session, 2)
                rows, _, _ = read_page(session, "acc_1", "live", BEGINNING, pattern="detection.*", limit=9)
                return [row.id for row in rows]

        assert seen_at_last(look, made) == made


def test_what_is_written_and_not_shown_yet_is_counted_with_its_age(here: Database) -> None:
    with here.writing() as slow:
        _record(slow)
        _put(here)
        with here.reading() as session:
            (held,) = events_waiting(session)
        assert (held.state, held.count, held.oldest_at) == ("events_not_shown", 1, NOW)
    settle(here)  # until none is counted


def test_on_one_database_with_one_writer_nothing_is_held_back(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        made = _put(database)
        assert _read(database) == [made]
        with database.reading() as session:
            assert [one.count for one in events_waiting(session)] == [0]


def test_under_eight_writers_a_reader_sees_each_event_once_and_in_one_order(
    here: Database, neighbour: Database
) -> None:
    written: list[str] = []

    def write(number: int) -> None:
        for n in range(_EACH):
            with here.writing() as session:
                if (n + number) % 2:
                    session.connection().execute(text("SELECT pg_current_xact_id(), pg_sleep(0.002)"))
                some = [_record(session)]
                session.connection().execute(text("SELECT pg_sleep(0.001)"))
                some.append(_record(session))
            written.extend(some)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(_WRITERS)]
    seen: list[str] = []
    after = BEGINNING
    with neighbour.writing() as stranger:
        _record(stranger)
        for writer in writers:
            writer.start()
        deadline = time.monotonic() + 60
        while True:
            alive = any(writer.is_alive() for writer in writers)
            page = _page(here, after)
            seen += [event_id for event_id, _ in page]
            after = page[-1][1] if page else after
            if not alive and not page and (len(seen) >= 2 * _WRITERS * _EACH or time.monotonic() > deadline):
                break
    assert len(seen) == len(set(seen)) == 2 * _WRITERS * _EACH
    assert sorted(seen) == sorted(written)
    assert _shown(here, seen) == seen

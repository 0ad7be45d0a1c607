"""The audio behind `source.url`: fetched once, tried again for a while, and without it no verdict."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_network

import pytest

from service.detections.changes import expire_overdue
from service.kit.db.database import Database
from service.kit.http.guard import GuardPolicy
from service.kit.http.guarded import guarded_session
from service.media import ingest
from service.media.models import Media
from service.media.store import DatabaseStore
from service.vendor_calls.fetch_source import Failure, SourceFetcher, claim_sources, record_failure, record_source
from service.verdicts.votes import OutcomeReason, Rule
from tests.detections.rows import SOUND, World, add_media, world
from tests.detections.scripted import NOW, aippim, asc
from tests.loopback import Peer, Script, answer, peer, read_request
from tests.waiting import until

_LOOPBACK = GuardPolicy(allow=(ip_network("127.0.0.0/8"),), https_only=False)
_LATER = NOW + timedelta(minutes=3)


@dataclass
class _Answers:
    """A loopback server that answers by the path."""

    at: Peer
    asked: list[str]


@asynccontextmanager
async def _server(**answers: bytes) -> AsyncIterator[_Answers]:
    asked: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, _, _ = await read_request(reader)
        path = line.split(" ")[1].strip("/").partition(".")[0]
        asked.append(path)
        if path != "silence":
            writer.write(answers.get(path, answer(b"", status="503 Later", headers="connection: close\r\n")))

    script: Script = handle
    async with peer(script) as listening:
        yield _Answers(listening, asked)


@asynccontextmanager
async def _fetcher(here: World, guard: GuardPolicy = _LOOPBACK) -> AsyncIterator[SourceFetcher]:
    session = guarded_session(guard, total_seconds=None, connect_seconds=5)
    async with session:
        yield SourceFetcher(here.database, here.policy, DatabaseStore(here.database), session, guard, here.clock)


async def _all(fetcher: SourceFetcher) -> None:
    while await fetcher.step():
        pass


async def test_the_bytes_are_hashed_and_the_runs_are_queued(database: Database) -> None:
    here = world(database, asc(), aippim())
    async with _server(song=answer(SOUND)) as server, _fetcher(here) as fetcher:
        detection_id = here.submit("asc", "aippim/pro", source_url=f"{server.at.url}/song.ai.wav", source_name="s")
        await _all(fetcher)
        assert server.asked == ["song"]
    detection = here.detection(detection_id)
    assert (detection.source_state, detection.due_at) == ("ready", None)
    assert [(run.state, run.due_at) for run in here.runs()] == [("queued", NOW)] * 2
    with database.reading() as session:
        media = session.get_one(Media, detection.media_id)
    assert (media.sha256, media.name, media.delete_after) == (sha256(SOUND).hexdigest(), "song.ai.wav", None)


async def test_a_source_in_trouble_is_tried_three_times_and_then_the_detection_failed(database: Database) -> None:
    here = world(database, asc(), aippim())
    async with _server() as server, _fetcher(here) as fetcher:
        detection_id = here.submit("asc", "aippim/pro", source_url=f"{server.at.url}/down.wav", source_name="s")
        for tries, wait in ((1, 10), (2, 20)):
            await _all(fetcher)
            detection = here.detection(detection_id)
            assert (detection.source_tries, detection.due_at) == (tries, here.clock() + timedelta(seconds=wait))
            assert detection.status == "queued"
            here.clock.turn(wait)
        await _all(fetcher)
        assert len(server.asked) == 3
    _failed(here, detection_id, "source_unreachable")


def _failed(here: World, detection_id: str, reason: str) -> None:
    (result,) = here.results(detection_id)
    assert (result["status"], result["verdict"], result["outcome_reason"]) == ("failed", "not_analyzed", reason)
    assert {(run.state, run.reason_code) for run in here.runs()} == {("skipped", reason)}
    assert here.events().count("detection.failed") == 1
    assert set(here.events()) == {"detector.completed", "detection.failed"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "source_unreachable"),
        ("part", "source_unreachable"),
        ("made", "source_unreachable"),
        ("page", "unsupported_format"),
        ("empty", "invalid_file"),
        ("big", "file_too_large"),
    ],
)
async def test_what_will_not_be_better_later_fails_at_once(
    database: Database, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.vendor_calls.fetch_source.MAX_BYTES", 5000)
    here = world(database, asc())
    answers = {
        "gone": answer(b"", status="404 Not Found"),
        "part": answer(
            SOUND[:900], status="206 Partial Content", headers=f"content-range: bytes 0-899/{len(SOUND)}\r\n"
        ),
        "made": answer(SOUND, status="201 Created"),
        "page": answer(b"<html>" * 50),
        "empty": answer(b""),
        "big": answer(bytes(6000)),
    }
    async with _server(**answers) as server, _fetcher(here) as fetcher:
        detection_id = here.submit("asc", source_url=f"{server.at.url}/{name}.wav", source_name="s")
        await _all(fetcher)
        assert server.asked == [name]
    _failed(here, detection_id, reason)
    assert ingest.MAX_BYTES > 5000


async def test_a_refused_address_looks_like_any_unreachable_source(database: Database) -> None:
    here = world(database, asc())
    async with _server(song=answer(SOUND)) as server, _fetcher(here, GuardPolicy(https_only=False)) as fetcher:
        detection_id = here.submit("asc", source_url=f"{server.at.url}/song.wav", source_name="s")
        await _all(fetcher)
        assert server.asked == []
    _failed(here, detection_id, "source_unreachable")
    (result,) = here.results(detection_id)
    assert "127.0.0.1" not in str(result)


async def test_one_slow_source_holds_up_no_other(database: Database) -> None:
    here = world(database, asc())
    async with _server(song=answer(SOUND)) as server, _fetcher(here) as fetcher:
        slow = here.submit("asc", source_url=f"{server.at.url}/silence.wav", source_name="s")
        fetching = asyncio.create_task(_all(fetcher))
        await until(lambda: "silence" in server.asked)
        quick = here.submit("asc", source_url=f"{server.at.url}/song.wav", source_name="s")
        await until(lambda: here.detection(quick).source_state == "ready")
        assert here.detection(slow).source_state == "due"
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)
        assert fetcher._under_way == set()
    assert here.detection(slow).lease_token is not None


def _claimed(here: World, detection_id: str) -> str:
    with here.database.writing() as session:
        claimed = claim_sources(session, now=here.clock(), lease_until=_LATER, limit=9)
        (detection,) = (one for one in claimed if one.id == detection_id)
        return detection.lease_token or ""


def test_a_download_whose_worker_died_is_begun_again(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://x.example/a.wav", source_name="a.wav")
    first = _claimed(here, detection_id)
    with database.writing() as session:
        assert claim_sources(session, now=NOW, lease_until=_LATER, limit=9) == []
    here.clock.now = _LATER
    assert _claimed(here, detection_id) != first
    assert here.detection(detection_id).source_tries == 2


def test_a_download_whose_lease_was_lost_records_nothing(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://x.example/a.wav", source_name="a.wav")
    _claimed(here, detection_id)
    failure = Failure(OutcomeReason.SOURCE_UNREACHABLE, retryable=False, detail="")
    with database.writing() as session:
        media = add_media(session)
        record_source(session, detection_id, "somebody else's", media.id, here.policy, NOW)
        record_failure(session, detection_id, "somebody else's", failure, here.policy, NOW)
    assert (here.detection(detection_id).source_state, here.run().state) == ("due", "sourcing")


def test_a_failure_after_the_deadline_ended_it_says_nothing_more(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://x.example/a.wav", source_name="a.wav")
    token = _claimed(here, detection_id)
    with database.writing() as session:
        expire_overdue(session, here.run().id, here.policy, NOW)
    before = (here.results(detection_id), here.events())
    failure = Failure(OutcomeReason.SOURCE_UNREACHABLE, retryable=False, detail="")
    with database.writing() as session:
        record_failure(session, detection_id, token, failure, here.policy, NOW)
    assert (here.results(detection_id), here.events()) == before
    assert here.detection(detection_id).source_state == "failed"


def test_of_a_cascade_only_the_first_is_queued(database: Database) -> None:
    here = world(database, asc(), aippim())
    detection_id = here.submit(
        "asc", "aippim/pro", rule=Rule.CASCADE, source_url="https://x.example/a.wav", source_name="a.wav"
    )
    assert [run.state for run in here.runs()] == ["sourcing", "reserved"]
    token = _claimed(here, detection_id)
    with database.writing() as session:
        record_source(session, detection_id, token, add_media(session).id, here.policy, NOW)
    assert [run.state for run in here.runs()] == ["queued", "reserved"]

"""Media links over a real socket: the bytes, any stretch of them, and one and the same 404 for every refusal."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session

from service.api.context import Context
from service.api.from_vendors.media_links import ROUTES, Span, span_of
from service.kit.db.database import Database
from service.media.links import MediaGrant
from tests.api.doors import NOW, app_of, context_on, served

DATA = bytes(range(256)) * 3000
LATER = NOW + timedelta(hours=1)


@dataclass
class Runs:
    """Stands for the runs: which may be fetched, and how often it was."""

    media_id: str = "med_one"
    alive: bool = True
    fetched: list[tuple[str, str, bool]] = field(default_factory=list)

    def open(self, _session: Session, run_id: str, mode: str, now: datetime, counts: bool) -> MediaGrant | None:
        assert now == NOW
        self.fetched.append((run_id, mode, counts))
        return MediaGrant(self.media_id, len(DATA), "audio/mpeg") if self.alive else None


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def context(database: Database, tmp_path: Path, runs: Runs) -> Context:
    context = context_on(database, tmp_path, open_link=runs.open)
    (tmp_path / "data").write_bytes(DATA)
    finish = asyncio.run(context.store.put("med_one", tmp_path / "data"))
    with database.writing() as session:
        finish(session)
    return context


@pytest.fixture
def client(context: Context) -> Iterator[httpx.Client]:
    with served(app_of(ROUTES, context)) as open_client:
        yield open_client


def path(context: Context, name: str = "run_1.mp3", expires_at: datetime = LATER) -> str:
    return context.media_links.link("run_1", "test", name, expires_at).removeprefix("http://127.0.0.1")


def test_a_link_gives_the_bytes_and_says_how_to_treat_them(client: httpx.Client, context: Context, runs: Runs) -> None:
    answer = client.get(path(context))
    assert answer.status_code == 200
    assert answer.content == DATA
    assert runs.fetched == [("run_1", "test", True)]
    wanted = {
        "content-type": "audio/mpeg",
        "content-length": str(len(DATA)),
        "content-disposition": 'attachment; filename="run_1.mp3"',
        "accept-ranges": "bytes",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    assert wanted.items() <= dict(answer.headers).items()


def test_head_tells_the_same_without_bytes_and_is_not_counted(
    client: httpx.Client, context: Context, runs: Runs
) -> None:
    answer = client.head(path(context), headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["cache-control"] == "no-store"
    assert runs.fetched == [("run_1", "test", False)]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=262140-262150", 262140, 262151),
        ("bytes=700000-", 700000, len(DATA)),
        ("bytes=-5", len(DATA) - 5, len(DATA)),
        ("bytes=-9999999", 0, len(DATA)),
        ("bytes=5-99999999", 5, len(DATA)),
    ],
)
def test_a_range_gives_just_that_stretch(
    client: httpx.Client, context: Context, asked: str, start: int, end: int
) -> None:
    answer = client.get(path(context), headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == DATA[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={len(DATA)}-", f"bytes={len(DATA)}-{len(DATA) + 5}", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(client: httpx.Client, context: Context, asked: str) -> None:
    answer = client.get(path(context), headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(DATA)}"


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-1", "items=0-1", "bytes=", "bytes=-", "bytes=a-b", "0-1"])
def test_other_ranges_are_ignored_and_the_whole_is_sent(client: httpx.Client, context: Context, asked: str) -> None:
    answer = client.get(path(context), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_a_range_on_a_condition_we_cannot_judge_is_ignored(client: httpx.Client, context: Context) -> None:
    answer = client.get(path(context), headers={"Range": "bytes=0-1", "If-Range": '"x"'})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_every_refusal_looks_the_same(client: httpx.Client, context: Context, runs: Runs) -> None:
    refused = [
        client.get("/media/forged/run_1.mp3", headers={"X-Request-ID": "r"}),
        client.get(path(context, expires_at=NOW), headers={"X-Request-ID": "r"}),
    ]
    assert runs.fetched == []  # a stranger without a token of ours costs no transaction
    runs.alive = False
    refused.append(client.get(path(context), headers={"X-Request-ID": "r"}))
    runs.alive, runs.media_id = True, "med_gone"
    refused.append(client.get(path(context), headers={"X-Request-ID": "r"}))
    assert {answer.status_code for answer in refused} == {404}
    assert len({answer.text for answer in refused}) == 1
    assert client.head("/media/forged/run_1.mp3").status_code == 404


def test_a_strange_name_cannot_forge_headers(client: httpx.Client, context: Context) -> None:
    answer = client.get(path(context, 'é"\r\nSet-Cookie: a=b;.mp3'))
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A9%22Set-Cookie%3A%20a%3Db%3B.mp3"


@given(st.text(max_size=40) | st.from_regex(r"\Abytes=\d{0,20}-\d{0,20}\Z", alphabet="bytes=-0123456789"))
def test_any_range_header_gives_a_stretch_within_the_bytes_or_is_ignored(header: str) -> None:
    span = span_of(header, 100)
    assert span is None or 0 <= span.start <= 100
    assert span is None or span.end <= 100


def test_an_empty_stretch_is_told_from_no_range() -> None:
    assert span_of("bytes=100-", 100) == Span(100, 100)
    assert span_of("bytes=0-0", 100) == Span(0, 1)
    assert span_of("", 100) is None

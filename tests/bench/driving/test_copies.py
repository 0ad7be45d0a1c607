"""Copies of rows are rows of their own, at another time, and nothing else is written."""

from datetime import UTC, datetime
from typing import Any

from sqlmodel import select

from service.bench.driving.copies import read_original, renamed, write_copies
from service.kit.db.database import Database
from service.media.models import Media, MediaChunk

_SHA = "0123456789abcdef" * 4
_AT = datetime(2026, 1, 1, tzinfo=UTC)


def _media(media_id: str, sha256: str) -> Media:
    values: dict[str, Any] = {"account_id": "acc_one", "mode": "live", "name_key": "", "name": "a.wav", "format": "wav"}
    return Media(id=media_id, sha256=sha256, bytes=5, content_type="audio/wav", created_at=_AT, **values)


def test_what_hangs_on_a_row_is_copied_with_it(database: Database) -> None:
    one = "med_01m8nwe2p8fkn9h2v174gqv7vm"
    with database.writing() as session:
        session.add_all(
            [_media(one, _SHA), _media("med_another", "f" * 64), MediaChunk(media_id=one, n=0, data=b"sound")]
        )
    original = read_original(database, one).also(_SHA)
    copies = [renamed(original.names, number) for number in (1, 2)]
    write_copies(database, original, copies)
    with database.reading() as session:
        media = {each.id: each for each in session.exec(select(Media))}
        chunks = {each.media_id: each.data for each in session.exec(select(MediaChunk))}
    assert media.keys() == {one, "med_another", *(each[one] for each in copies)}
    assert {media[each[one]].sha256 for each in copies} == {each[_SHA] for each in copies}
    assert {len(each[one]) for each in copies} == {len(one)}
    assert chunks == dict.fromkeys([one, *(each[one] for each in copies)], b"sound")
    assert all(media[each[one]].created_at > _AT for each in copies)

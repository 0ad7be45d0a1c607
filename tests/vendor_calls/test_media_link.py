"""A media link opens while its run lives, twenty times."""

from datetime import timedelta
from typing import Any

import pytest

from service.kit.db.database import Database
from service.media.models import Media
from service.vendor_calls.media_link import MAX_FETCHES, open_link
from tests.detections.rows import PLAN, World, alter, world
from tests.detections.scripted import NOW, asc


def _opened(here: World, *, mode: str = "live", seconds: float = 0, counts: bool = True) -> str | None:
    with here.database.writing() as session:
        grant = open_link(session, here.run().id, mode, NOW + timedelta(seconds=seconds), counts)
    return grant.content_type if grant else None


def test_the_link_opens_twenty_times_and_looking_at_the_head_uses_none_up(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    for _ in range(30):
        assert _opened(here, counts=False) == "audio/wav"
    assert [_opened(here) for _ in range(MAX_FETCHES + 2)] == ["audio/wav"] * 20 + [None] * 2
    assert here.run().media_fetches == 20


def test_the_link_dies_with_its_run(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], ended_at=NOW, state="succeeded")
    assert (_opened(here), _opened(here, counts=False)) == (None, None)


def test_the_link_dies_at_the_deadline(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    assert _opened(here, seconds=PLAN.deadline - 1) == "audio/wav"
    assert _opened(here, seconds=PLAN.deadline) is None


def test_a_link_of_the_other_mode_opens_nothing_and_counts_nothing(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    assert _opened(here, mode="test") is None
    assert here.run().media_fetches == 0


@pytest.mark.parametrize("change", [{"erased_at": NOW}])
def test_erased_media_is_not_given_out(database: Database, change: dict[str, Any]) -> None:
    here = world(database, asc())
    media_id = here.detection(here.submit("asc")).media_id
    with database.writing() as session:
        media = session.get_one(Media, media_id)
    alter(database, [media], **change)
    assert _opened(here) is None


def test_an_unknown_run_opens_nothing(database: Database) -> None:
    with database.writing() as session:
        assert open_link(session, "run_nobody", "live", NOW, counts=True) is None

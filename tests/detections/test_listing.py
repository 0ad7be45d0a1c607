"""Lists of detections: filters hold together, the newest come first, and a page costs as much as a row."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import event

from service.detections.queries import DetectionFilter, find_detection, list_detections, result_of, summaries
from service.detectors.enums import Verdict
from service.kit.db.database import Database
from service.kit.paging import Page, PagePosition
from service.verdicts.verdict import DetectionStatus
from tests.detections.rows import ACCOUNT, World, policy_of
from tests.detections.scripted import NOW, aippim, asc, job, said


def _world(database: Database) -> World:
    return World(database, policy_of(aippim(), asc(submits=[said("ai"), said("human"), job("j1")])))


def _listed(here: World, *, page: Page | None = None, mode: str = "live", **wanted: Any) -> list[str]:
    with here.database.reading() as session:
        rows = list_detections(session, ACCOUNT, mode, DetectionFilter(**wanted), page or Page(100), here.clock())
        return [row.id for row in rows]


@pytest.fixture
async def here(database: Database) -> World:
    return _world(database)


async def _three(here: World) -> tuple[str, str, str]:
    """One that ended as machine-made, one as not, one under way; a second apart."""
    made = []
    for number in range(3):
        made.append(here.submit("asc", external_id=f"x{number}"))
        await here.dispatch()
        here.clock.turn(1)
    return made[0], made[1], made[2]


async def test_the_newest_come_first_and_a_page_goes_on_where_the_last_ended(here: World) -> None:
    first, second, third = await _three(here)
    assert _listed(here) == [third, second, first]
    assert _listed(here, page=Page(1)) == [third, second]  # one more tells that there are more
    assert _listed(here, page=Page(5, PagePosition(NOW + timedelta(seconds=1), second))) == [first]


async def test_each_filter_leaves_out_what_it_should(here: World) -> None:
    first, second, third = await _three(here)
    assert _listed(here, status=DetectionStatus.COMPLETED) == [second, first]
    assert _listed(here, status=DetectionStatus.RUNNING) == [third]
    assert _listed(here, verdict=Verdict.AI_GENERATED) == [first]
    assert _listed(here, external_id="x1") == [second]
    assert _listed(here, detector="asc") == [third, second, first]
    assert _listed(here, detector="aippim/standard") == []
    assert _listed(here, mode="test") == []
    assert _listed(here, status=DetectionStatus.COMPLETED, verdict=Verdict.NO_AI_DETECTED, external_id="x1") == [second]
    assert _listed(here, status=DetectionStatus.RUNNING, verdict=Verdict.NO_AI_DETECTED) == []


async def test_spans_of_time_fit_together_without_a_gap_or_an_overlap(here: World) -> None:
    await _three(here)
    moments = [NOW + timedelta(milliseconds=500 * number) for number in range(7)]
    parts = [
        found for begin, end in pairwise(moments) for found in _listed(here, created_after=begin, created_before=end)
    ]
    assert sorted(parts) == sorted(_listed(here))


async def test_stuck_is_what_should_have_been_answered_by_now(here: World) -> None:
    _, _, third = await _three(here)
    answer_by = here.detection(third).answer_by_at
    here.clock.now = answer_by - timedelta(milliseconds=1)
    assert _listed(here, stuck=True) == []
    here.clock.now = answer_by
    assert _listed(here, stuck=True) == [third]


async def test_a_list_shows_each_as_it_shows_alone(here: World) -> None:
    ids = await _three(here)
    with here.database.reading() as session:
        rows = list_detections(session, ACCOUNT, "live", DetectionFilter(), Page(100), here.clock())
        shown = summaries(session, rows, here.policy)
    with here.database.reading() as session:
        found = [find_detection(session, ACCOUNT, "live", one) for one in reversed(ids)]
        alone = [result_of(session, one, here.policy, full=False) for one in found if one is not None]
    assert shown == alone


async def test_a_page_of_many_takes_as_many_queries_as_a_page_of_one_of_each(here: World) -> None:
    await _three(here)
    for _ in range(5):
        here.submit("asc", "aippim/standard")
    counted: list[str] = []
    event.listen(here.database.engine, "before_cursor_execute", lambda *args: counted.append(args[2]))

    def cost(created_before: datetime | None) -> int:
        counted.clear()
        with here.database.reading() as session:
            wanted = DetectionFilter(created_before=created_before)
            rows = list_detections(session, ACCOUNT, "live", wanted, Page(100), here.clock())
            summaries(session, rows, here.policy)
        return len(counted)

    assert cost(None) == cost(NOW + timedelta(seconds=2.5))

"""One vendor that says two things of one run, by two ways or by one way twice."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.kit.db.database import Database
from tests.detections.rows import World, world
from tests.detections.scripted import Answer, asc, job, said


async def _world(database: Database, fetches: Sequence[Answer] = (), **plan: Any) -> tuple[World, str]:
    """A run that its vendor has taken."""
    here = world(database, asc(submits=[job("j1", 20)], fetches=fetches), **plan)
    detection_id = here.submit("asc")
    await here.dispatch()
    return here, detection_id


@pytest.mark.parametrize(
    ("called", "fetched"), [("ai", "human"), ("human", "ai"), ("short", "human"), ("broken", "ai")]
)
async def test_a_callback_that_the_fetch_contradicts_is_a_conflict_and_asks_for_review(
    database: Database, called: str, fetched: str
) -> None:
    here, detection_id = await _world(database, [said(fetched)])
    here.clock.turn(3)
    here.arrive(here.run().id, {"said": called}, job_id="j1")
    await here.callbacks()
    await here.poll()
    (result,) = here.results(detection_id)
    assert result["verdict"] == {"ai": "ai_generated", "human": "no_ai_detected"}[fetched], "the fetch decides"
    assert [each["kind"] for each in result["conflicts"]] == ["vendor_internal"]
    assert result["review"]["required"] is True


async def test_two_callbacks_that_contradict_each_other_are_a_conflict(database: Database) -> None:
    here, detection_id = await _world(database, trust="payload")
    for word in ("ai", "human"):
        here.arrive(here.run().id, {"said": word}, job_id="j1")
        await here.callbacks()
    *_, result = here.results(detection_id)
    assert result["verdict"] == "ai_generated", "the first that counts decides"
    assert [each["kind"] for each in result["conflicts"]] == ["vendor_internal"]
    assert result["review"]["required"] is True


async def test_an_answer_that_a_late_callback_contradicts_is_a_conflict(database: Database) -> None:
    here, detection_id = await _world(database, [said("human")])
    here.clock.turn(45)
    await here.poll()
    assert here.run().state == "succeeded"
    here.clock.turn(1)
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    *_, result = here.results(detection_id)
    assert result["verdict"] == "no_ai_detected", "what was fetched stands"
    assert [each["kind"] for each in result["conflicts"]] == ["vendor_internal"]
    assert result["review"]["required"] is True

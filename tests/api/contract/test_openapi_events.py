"""Events that the sandbox does not bring about in a minute are as the document describes them."""

import json
from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from service.api.contract.document import document
from service.api.routes import ROUTES
from service.detections.changes import emit_delayed
from service.events.models import Event
from service.kit.db.database import Database
from service.webhooks.endpoints.health import DisablePolicy, judge
from tests.api.promise import Promise
from tests.detections.rows import world
from tests.detections.scripted import aippim, asc, job, raw, said
from tests.webhooks.rows import NOW, outbox, put_endpoint, set_endpoint


def _event(database: Database, kind: str) -> dict[str, Any]:
    with database.reading() as session:
        (body,) = session.exec(select(Event.body).where(col(Event.type) == kind))
    found: dict[str, Any] = json.loads(body)
    return found


async def test_a_delay_is_as_described(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")]))
    detection_id = here.submit("asc", answer_within_seconds=100)
    await here.dispatch()
    here.clock.turn(90)
    with database.writing() as session:
        assert emit_delayed(session, detection_id, here.policy, here.clock())
    Promise(document(ROUTES)).check_event(_event(database, "detection.delayed"))


async def test_a_call_for_review_is_as_described(database: Database) -> None:
    human = aippim(prepares=[raw({"ref": "u"})], submits=[job("a1")], fetches=[said("human")])
    here = world(database, human, asc(submits=[job("j1")], fetches=[said("ai")]))
    here.submit("asc", "aippim/pro")
    await here.dispatch()
    here.clock.turn(60)
    await here.poll()
    event = _event(database, "review.required")
    assert event["data"]["review"]["reasons"] == ["detector_disagreement"]
    Promise(document(ROUTES)).check_event(event)


def test_a_failing_endpoint_is_as_described(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    set_endpoint(database, endpoint_id, failing_since=NOW - timedelta(hours=60), failures=20)
    with database.writing() as session:
        judge(session, endpoint_id, outbox(), DisablePolicy(), NOW)
    Promise(document(ROUTES)).check_event(_event(database, "webhook_endpoint.failing"))

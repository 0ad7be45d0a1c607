"""What was said before the deciding answer is in the result where that one is silent."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from service.detectors.enums import RunStatus
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.kit.db.database import Database
from service.vendors.aippim import Aippim, AippimSettings
from service.vendors.asc import Asc, AscSettings
from tests.detections.rows import World, world
from tests.detections.scripted import Scripted, asc, job, raw, said
from tests.vendors.contract import exchange, sample

SUBMITTED, COMPLETED = datetime(2026, 3, 30, 14, 24, tzinfo=UTC), datetime(2026, 3, 30, 14, 25, tzinfo=UTC)


@dataclass
class Telling(Scripted):
    """A vendor whose first answers and callbacks say what the body's `facts` hold."""

    def parse_beside(self, raw: Raw) -> Reading | None:
        return self._with_facts(Reading(status=RunStatus.PENDING), raw)

    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        found = super().read(raw, detector)
        return self._with_facts(found, raw) if isinstance(found, Reading) else found

    def _with_facts(self, found: Reading, raw: Raw) -> Reading:
        return Reading.model_validate(found.model_dump() | json.loads(raw.body).get("facts", {}))


async def _detected(database: Database, callback: dict[str, Any] | None, fetched: dict[str, Any]) -> dict[str, Any]:
    """The detector's part of the result, after a submission that told its time, a callback and a fetch."""
    taken = {"vendor_submitted_at": SUBMITTED.isoformat(), "refs": {"other": {"estimated_time_sec": "30"}}}
    first = raw({"job": "j1", "estimate": 30, "facts": taken})
    vendor = Telling(submits=[first], fetches=[raw({"said": "human", "facts": fetched})])
    here: World = world(database, vendor)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(3)
    if callback is not None:
        here.arrive(here.run().id, {"said": "human", "facts": callback}, job_id="j1")
        await here.callbacks()
    here.clock.turn(100)
    await here.poll()
    (result,) = here.results(detection_id)
    found: dict[str, Any] = result["detectors"][0]
    assert found["verdict"] == "no_ai_detected"
    return found


async def test_a_callback_that_is_confirmed_leaves_its_time_and_its_names(database: Database) -> None:
    called = {
        "vendor_completed_at": COMPLETED.isoformat(),
        "refs": {"other": {"event": "analysis.complete", "analysis_id": "ana_9", "certificate.id": "cert_9"}},
    }
    found = await _detected(database, called, {})
    assert found["timing"]["vendor_submitted_at"] == "2026-03-30T14:24:00.000Z"
    assert found["timing"]["vendor_completed_at"] == "2026-03-30T14:25:00.000Z"
    assert found["refs"]["other"] == {"estimated_time_sec": "30", "event": "analysis.complete"}, "nothing that proves"


async def test_what_the_deciding_answer_says_stands(database: Database) -> None:
    called = {"vendor_completed_at": SUBMITTED.isoformat(), "refs": {"other": {"event": "analysis.complete"}}}
    own = {"vendor_completed_at": COMPLETED.isoformat(), "refs": {"other": {"event": "done"}}}
    found = await _detected(database, called, own)
    assert found["timing"]["vendor_completed_at"] == "2026-03-30T14:25:00.000Z"
    assert found["refs"]["other"] == {"estimated_time_sec": "30", "event": "done"}


async def test_without_a_callback_there_is_what_the_submission_said(database: Database) -> None:
    found = await _detected(database, None, {})
    assert found["timing"]["vendor_submitted_at"] == "2026-03-30T14:24:00.000Z"
    assert found["timing"]["vendor_completed_at"] is None


async def test_a_vendor_that_says_no_more_is_asked_for_no_more(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(100)
    await here.poll()
    (result,) = here.results(detection_id)
    assert result["detectors"][0]["refs"]["other"] == {}


@pytest.mark.parametrize(
    ("vendor", "name", "other", "submitted_at"),
    [
        ("aippim", "upload_reply", {"musicId": "cd75b87f-cad9-4dfd-a49f-8a2d34408a0e", "title": "track"}, None),
        (
            "aippim",
            "submit_reply",
            {"filepath": "uploads/task_20251204052920_J8uNdq5z.mp3"},
            datetime(2025, 12, 4, 5, 29, 20, tzinfo=UTC),
        ),
        ("asc", "submit_reply", {"estimated_time_sec": "30"}, None),
    ],
)
def test_the_first_answers_of_vendors_with_jobs_say_more(
    vendor: str, name: str, other: dict[str, str], submitted_at: datetime | None
) -> None:
    adapters: dict[str, Any] = {
        "aippim": Aippim(AippimSettings(), exchange()),
        "asc": Asc(AscSettings(), exchange()),
    }
    found = adapters[vendor].parse_beside(raw(sample(vendor, name)))
    assert found.refs.other == other
    if submitted_at is not None:
        assert found.vendor_submitted_at == submitted_at
    assert adapters[vendor].parse_beside(raw({}, 500)) is None

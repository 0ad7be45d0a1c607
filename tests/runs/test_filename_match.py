"""What an answer names of the vendor's own: another of its detectors than was asked is a contradiction, and no more."""

from typing import Any

import pytest

from service.detectors.enums import ConflictKind, ReasonCode, RunStatus, Verdict
from service.detectors.port import Refused
from service.detectors.reading import Reading
from service.kit.db.database import Database
from service.runs.filename_match import as_asked
from service.runs.state.models import Run
from tests.detections.rows import world
from tests.detections.scripted import aippim, job, raw, said

OFFERED = ("aippim/standard", "aippim/pro")
SAID = Reading(status=RunStatus.SUCCEEDED, verdict=Verdict.NO_AI_DETECTED, tier="pro")


def run(detector: str = "aippim/standard") -> Run:
    row: dict[str, Any] = {"id": "run_1", "vendor": "aippim", "detector": detector}
    return Run(**row)


@pytest.mark.parametrize("tier", ["pro", " PRO"])
def test_another_detector_than_was_asked_is_a_conflict_and_the_verdict_stands(tier: str) -> None:
    found = as_asked("aippim", "aippim/standard", SAID.model_copy(update={"tier": tier}), OFFERED)
    assert isinstance(found, Reading)
    assert (found.verdict, found.tier) == (Verdict.NO_AI_DETECTED, tier)
    assert [(each.kind, each.detail) for each in found.conflicts] == [
        (ConflictKind.VENDOR_INTERNAL, "asked as aippim/standard, answered as aippim/pro")
    ]


@pytest.mark.parametrize("tier", ["standard", "Standard", None, "ai-detection-standard", ""])
def test_the_one_that_was_asked_and_a_name_nobody_knows_are_none(tier: str | None) -> None:
    said_so = SAID.model_copy(update={"tier": tier})
    assert as_asked("aippim", "aippim/standard", said_so, OFFERED) == said_so


def test_where_nothing_is_decided_nothing_contradicts() -> None:
    running = Reading(status=RunStatus.RUNNING, tier="pro")
    refused = Refused(ReasonCode.VENDOR_ERROR, "later", retryable=True)
    assert (
        as_asked("aippim", "aippim/standard", running, OFFERED),
        as_asked("aippim", "aippim/standard", refused, OFFERED),
    ) == (running, refused)


async def test_a_poll_that_is_answered_for_another_detector_asks_for_review(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")], fetches=[said("human")])
    monkeypatch.setattr(vendor, "detectors", OFFERED)
    monkeypatch.setattr(vendor, "read", lambda *_: SAID)
    here = world(database, vendor)
    detection_id = here.submit("aippim/standard")
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    (result,) = here.results(detection_id)
    assert (result["verdict"], result["review"]["reasons"]) == ("no_ai_detected", ["vendor_internal"])
    assert [each["kind"] for each in result["conflicts"]] == ["vendor_internal"]

"""An answer to a billed request that nobody can read is one of unknown outcome: it is asked for once more, marked."""

from typing import Any

import pytest
from sqlmodel import col, select

from service.billing.models import Entry
from service.detectors.port import Raw
from service.kit.db.database import Database
from service.vendors import VENDORS
from tests.detections.rows import World, policy_of
from tests.detections.scripted import NOW
from tests.vendors.contract import exchange, raw, sample

GOOD = {
    "pex": sample("pex", "detect_reply"),
    "modulate": sample("modulate", "batch_reply"),
    "asc/sync": sample("asc", "analyze_reply"),
}
UNREADABLE = {"empty": b"", "page": b"<!doctype html>", "cut": b'{"status": "ok", "is_ai"'}


class Answering:
    """A vendor's real adapter, whose submissions are answered as told, the last answer again and again."""

    def __init__(self, database: Database, detector: str, *answers: Raw) -> None:
        vendor = VENDORS[detector.partition("/")[0]]
        adapter: Any = vendor.adapter(vendor.settings(), exchange())
        self._answers = [*answers]
        self.asked = 0
        adapter.submit = self._submit
        adapter.prepare = self._prepare
        self.here = World(database, policy_of(adapter))
        self.detection_id = self.here.submit(detector)

    async def _submit(self, _ask: object) -> Raw:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    async def _prepare(self, _ask: object) -> Raw:
        return raw(sample("aippim", "upload_reply"))

    async def work(self, times: int) -> None:
        for _ in range(times):
            await self.here.dispatch()
            self.here.clock.turn(120)

    def charges(self) -> list[str]:
        with self.here.database.reading() as session:
            return list(session.exec(select(Entry.kind).order_by(col(Entry.id))))


@pytest.mark.parametrize("how", UNREADABLE)
@pytest.mark.parametrize("detector", GOOD)
async def test_one_that_was_garbled_once_brings_its_verdict_and_may_have_been_charged_twice(
    database: Database, detector: str, how: str
) -> None:
    vendor = Answering(database, detector, raw(UNREADABLE[how]), raw(GOOD[detector]))
    await vendor.work(1)
    run = vendor.here.run()
    assert (run.state, run.waiting_for) == ("unknown", "unknown_outcome")
    await vendor.work(2)
    (result,) = vendor.here.results(vendor.detection_id)
    assert result["verdict"] == "ai_generated"
    assert result["detectors"][0]["possible_duplicate_charge"] is True
    assert (vendor.asked, vendor.charges()) == (2, ["charge", "possible_duplicate"])


@pytest.mark.parametrize("detector", GOOD)
async def test_one_that_is_garbled_again_fails_and_is_never_asked_for_a_third_time(
    database: Database, detector: str
) -> None:
    vendor = Answering(database, detector, raw(b"<!doctype html>"))
    await vendor.work(40)
    (result,) = vendor.here.results(vendor.detection_id)
    (part,) = result["detectors"]
    assert (vendor.asked, part["status"], part["reason_code"]) == (2, "failed", "schema_mismatch")
    assert part["possible_duplicate_charge"] is True
    assert result["verdict"] == "not_analyzed"


@pytest.mark.parametrize("body", [{}, {"status": "pending"}, b"<!doctype html>"])
@pytest.mark.parametrize("detector", ["aippim/standard", "asc"])
async def test_a_job_that_was_taken_without_its_name_is_waited_for_and_then_asked_for_once_more(
    database: Database, detector: str, body: object
) -> None:
    vendor = Answering(database, detector, raw(body), raw(sample(detector.partition("/")[0], "submit_reply")))
    await vendor.work(1)
    run = vendor.here.run()
    assert (vendor.asked, run.state, run.waiting_for) == (1, "unknown", "unknown_outcome")
    await vendor.work(1)
    run = vendor.here.run()
    assert (vendor.asked, run.state, run.resubmitted) == (2, "waiting", True)
    assert run.submitted_at == NOW

"""A vendor where we are out of credit: one run learns it, the others wait and say so, and one at a time tries again."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from structlog.testing import capture_logs

from service.kit.db.database import Database
from service.kit.telemetry.metrics import counted
from service.quotas.models import Gate
from service.quotas.vendor_health import Health, health_of
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, aippim, asc, job, raw, said

_UNPAID = raw({"error": "payment_required"}, 402)
_OUT_OF_CREDIT = 'relay_vendors_out_of_credit_total{vendor="asc",mode="live"}'


def states(here: World) -> list[tuple[str, str | None]]:
    return [(run.state, run.waiting_for) for run in sorted(here.runs(), key=lambda run: run.id)]


def gate_of(here: World) -> Gate:
    with here.database.reading() as session:
        gate = session.exec(select(Gate)).one()
        session.expunge_all()
        return gate


async def in_turn(here: World, *detectors: str) -> None:
    for detector in detectors:
        here.submit(detector)
        await here.dispatch()


@pytest.mark.parametrize(
    "refusal",
    [
        _UNPAID,
        raw({}, 402, retry_after="900"),
        raw({"error": "forbidden", "message": "Your balance is too low"}, 403),
        raw({"error": {"code": "payment_overdue", "message": "Please settle your invoice"}}, 403),
        raw({"message": "Not enough credits left"}, 429, retry_after="5"),
    ],
)
async def test_of_three_runs_in_turn_one_is_sent_and_two_wait(database: Database, refusal: Any) -> None:
    vendor = asc(submits=[refusal])
    here = world(database, vendor)
    await in_turn(here, "asc", "asc", "asc")
    assert vendor.times("submit") == 1
    assert states(here) == [("failed", None), *[("queued", "quota_exceeded")] * 2]
    assert here.runs()[0].reason_code == "quota_exceeded" or here.runs()[1].reason_code == "quota_exceeded"
    told = health_of(gate_of(here), here.policy.catalogue.configured_in("live")[0].policy.limits, NOW)
    assert (told.health, told.last_error) == (Health.DEGRADED, "quota_exceeded")


async def test_an_upload_that_is_refused_for_credit_tells_the_same(database: Database) -> None:
    vendor = aippim(prepares=[_UNPAID])
    here = world(database, vendor)
    await in_turn(here, "aippim/standard", "aippim/pro")
    assert (vendor.times("prepare"), states(here)) == (1, [("failed", None), ("queued", "quota_exceeded")])


async def test_it_is_an_error_in_the_log_and_counted_once_for_a_pause(database: Database) -> None:
    before = counted().get(_OUT_OF_CREDIT, 0)
    vendor = asc(submits=[_UNPAID, _UNPAID])
    here = world(database, vendor)
    with capture_logs() as logs:
        for _ in range(2):
            here.submit("asc")  # both leave before the first answer is known
        await here.dispatch()
    assert vendor.times("submit") == 2
    assert [log["log_level"] for log in logs if log["event"] == "vendor.out_of_credit"] == ["error"]
    assert counted()[_OUT_OF_CREDIT] == before + 1


async def test_after_the_pause_one_run_tries_and_the_others_wait_for_its_answer(database: Database) -> None:
    vendor = asc(submits=[_UNPAID, _UNPAID])
    here = world(database, vendor)
    await in_turn(here, "asc", "asc", "asc", "asc")
    here.clock.turn(900)
    with capture_logs() as logs:
        await here.dispatch()
    assert vendor.times("submit") == 2
    assert states(here) == [*[("failed", None)] * 2, *[("queued", "quota_exceeded")] * 2]
    assert [log["log_level"] for log in logs if log["event"] == "vendor.out_of_credit"] == ["error"]
    told = health_of(gate_of(here), here.policy.catalogue.configured_in("live")[0].policy.limits, here.clock())
    assert told.last_error == "quota_exceeded"


async def test_once_a_submission_is_taken_again_all_go(database: Database) -> None:
    vendor = asc(submits=[_UNPAID, *(job(f"j{n}") for n in range(3))])
    here = world(database, vendor)
    await in_turn(here, "asc", "asc", "asc", "asc")
    here.clock.turn(900)
    for _ in range(2):
        await here.dispatch()
    assert states(here) == [("failed", None), *[("waiting", None)] * 3]
    told = health_of(gate_of(here), here.policy.catalogue.configured_in("live")[0].policy.limits, here.clock())
    assert (told.health, told.last_error) == (Health.OK, None)


async def test_a_vendor_that_stays_silent_to_the_trial_is_tried_again_later(database: Database) -> None:
    vendor = asc(submits=[_UNPAID, raw({}, 503), job("j1")])
    here = world(database, vendor)
    await in_turn(here, "asc", "asc")
    for turn in (900, 239):
        here.clock.turn(turn)
        await here.dispatch()
    assert vendor.times("submit") == 2
    here.clock.turn(1)
    await here.dispatch()
    assert states(here) == [("failed", None), ("waiting", None)]


async def test_what_was_paid_for_is_still_asked_for_and_does_not_lift_the_pause(database: Database) -> None:
    vendor = asc(submits=[job("j1"), _UNPAID], fetches=[said("running"), said("ai")])
    here = world(database, vendor)
    await in_turn(here, "asc", "asc", "asc")
    for turn in (45, 30):
        here.clock.turn(turn)
        await here.poll()
        await here.dispatch()
    assert vendor.times("fetch") == 2
    assert states(here) == [("succeeded", None), ("failed", None), ("queued", "quota_exceeded")]


async def test_a_job_that_ended_for_want_of_credit_holds_up_the_submissions_after_it(database: Database) -> None:
    vendor = asc(submits=[job("j1")], fetches=[said("unpaid")])
    here = world(database, vendor)
    await in_turn(here, "asc")
    here.clock.turn(45)
    await here.poll()
    assert (here.run().state, here.run().reason_code) == ("failed", "quota_exceeded")
    await in_turn(here, "asc")
    assert (vendor.times("submit"), states(here)) == (1, [("failed", None), ("queued", "quota_exceeded")])


async def test_a_poll_that_is_refused_for_credit_does_not_end_the_run_that_was_paid_for(database: Database) -> None:
    vendor = asc(submits=[job("j1")], fetches=[_UNPAID, said("ai")])
    here = world(database, vendor)
    await in_turn(here, "asc")
    here.clock.turn(45)
    await here.poll()
    assert states(here) == [("waiting", "quota_exceeded")]
    await in_turn(here, "asc")
    assert states(here)[1] == ("queued", "quota_exceeded")
    here.clock.turn(30)
    await here.poll()
    assert states(here)[0] == ("succeeded", None)


async def test_a_run_that_waited_for_credit_until_its_deadline_has_failed_for_it(database: Database) -> None:
    vendor = asc(submits=[_UNPAID])
    here = world(database, vendor)
    await in_turn(here, "asc", "asc")
    alter(database, [run for run in here.runs() if run.state == "queued"], deadline_at=NOW + timedelta(seconds=60))
    here.clock.turn(3600)
    await here.dispatch()
    assert {(run.state, run.reason_code) for run in here.runs()} == {("failed", "quota_exceeded")}


async def test_a_plan_that_does_not_include_it_is_shown_and_logged_and_holds_up_nothing(database: Database) -> None:
    vendor = asc(submits=[raw({"error": "plan_required", "message": "Pro plan or higher"}, 403), job("j1")])
    here = world(database, vendor)
    with capture_logs() as logs:
        await in_turn(here, "asc")
    told = health_of(gate_of(here), here.policy.catalogue.configured_in("live")[0].policy.limits, NOW)
    assert (told.health, told.last_error, told.since) == (Health.DEGRADED, "access_denied", NOW)
    assert [log["log_level"] for log in logs if log["event"] == "vendor.access_denied"] == ["error"]
    await in_turn(here, "asc")
    assert states(here) == [("failed", None), ("waiting", None)]
    told = health_of(gate_of(here), here.policy.catalogue.configured_in("live")[0].policy.limits, NOW)
    assert (told.health, told.last_error) == (Health.OK, None)

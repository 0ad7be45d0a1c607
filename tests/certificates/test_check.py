"""A certificate a callback spoke of: the vendor is asked, and then it is on record and told of, once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from service.certificates.check import CertificateChecker
from service.certificates.issue import CertificateRequest, record_certificate, want_certificate
from service.detectors.catalogue import Limits
from service.detectors.extensions import IssuedCertificate as Issued
from service.kit.db.database import Database
from service.runs.load.lock import lock_detection
from service.runs.state.models import Certificate
from tests.certificates.certifying import HOLDS, ISSUED, Certifying, analysed, certifying
from tests.detections.rows import World, world
from tests.detections.scripted import Answer, job, lost, raw, said

READY = {**ISSUED, "event": "certificate.ready", "timestamp": "2026-11-20T12:00:00Z"}


async def _answered(database: Database, looks: Sequence[Answer] = (), **plan: Any) -> tuple[World, Certifying]:
    """A run that has succeeded, and a vendor that will be asked about certificates."""
    vendor = certifying(submits=[job("j1")], fetches=[analysed()], looks=looks)
    here = world(database, vendor, **plan)
    here.submit("asc")
    await here.dispatch()
    here.clock.turn(50)
    await here.poll()
    return here, vendor


def _rows(here: World) -> Sequence[Certificate]:
    with here.database.reading() as session:
        return session.exec(select(Certificate)).all()


async def _check(here: World) -> None:
    await CertificateChecker(here.database, here.policy, here.clock).step()


def _want(here: World) -> CertificateRequest:
    with here.database.writing() as session:
        detection = lock_detection(session, here.run().detection_id)
        wanted = want_certificate(session, detection, None, "pdf", here.policy, here.clock())
    assert isinstance(wanted, CertificateRequest)
    return wanted


def _record(here: World, wanted: CertificateRequest) -> Certificate:
    with here.database.writing() as session:
        issued = Issued("cert_1", verification_url=ISSUED["verification_url"])
        return record_certificate(session, wanted, issued, here.policy, here.clock())


@pytest.mark.parametrize("named", [{"job_id": "j1"}, {"job_id": "j1", "analysis_id": "ana_1"}])
async def test_an_announced_certificate_is_told_of_once_the_vendor_confirms_it(
    database: Database, named: dict[str, str]
) -> None:
    here, vendor = await _answered(database, [raw(HOLDS)])
    here.arrive("j1", {**READY, **named}, job_id="j1")
    await here.callbacks()
    assert ("certificate.ready" in here.events(), [row.state for row in _rows(here)]) == (False, ["announced"])
    await _check(here)
    (row,) = _rows(here)
    assert (row.state, row.certificate_id, row.download_url) == ("ready", "cert_1", ISSUED["download_url"])
    assert (vendor.wanted, here.events()[-1]) == (["cert_1"], "certificate.ready")
    here.arrive("j1", {**READY, **named, "again": 1}, job_id="j1")
    await here.callbacks()
    await _check(here)
    assert (here.events().count("certificate.ready"), len(vendor.wanted)) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        raw({**HOLDS, "valid": False}),
        raw({**HOLDS, "prediction": "human"}),
        raw({"error": "unauthorized"}, 401),
        raw({"error": "bad"}, 400),
    ],
)
async def test_one_that_does_not_hold_or_is_of_another_verdict_is_dropped_without_a_word(
    database: Database, answer: Answer
) -> None:
    here, _ = await _answered(database, [answer])
    here.arrive("j1", {**READY, "job_id": "j1"}, job_id="j1")
    await here.callbacks()
    await _check(here)
    assert (list(_rows(here)), "certificate.ready" in here.events()) == ([], False)


@pytest.mark.parametrize("answer", [raw({}, 503), raw({}, 404), lost(), raw([])])
async def test_a_vendor_that_does_not_say_is_asked_again_later_and_at_last_no_more(
    database: Database, answer: Answer
) -> None:
    here, vendor = await _answered(database, [answer] * 8)
    here.arrive("j1", {**READY, "job_id": "j1"}, job_id="j1")
    await here.callbacks()
    await _check(here)
    (row,) = _rows(here)
    assert (row.state, row.due_at) == ("announced", here.clock() + timedelta(seconds=15))
    await _check(here)
    assert len(vendor.wanted) == 1
    for _ in range(40):
        here.clock.turn(600)
        await _check(here)
    assert (list(_rows(here)), len(vendor.wanted)) == ([], 8)


async def test_a_closed_gate_puts_it_off(database: Database) -> None:
    here, vendor = await _answered(database, limits=Limits(daily_quota=2))
    here.arrive("j1", {**READY, "job_id": "j1"}, job_id="j1")
    await here.callbacks()
    await _check(here)
    (row,) = _rows(here)
    assert (row.state, row.due_at) == (
        "announced",
        here.clock().replace(hour=0, minute=0, second=0) + timedelta(days=1),
    )
    assert vendor.wanted == []


async def test_a_certificate_of_nobody_is_parked_and_asks_nothing(database: Database) -> None:
    here, vendor = await _answered(database)
    here.arrive("cert_1", READY)
    await here.callbacks()
    await _check(here)
    assert (here.callback_states(), list(_rows(here)), vendor.wanted) == (["parked"], [], [])


async def test_a_callback_that_outruns_the_answer_to_our_wish_is_matched_and_tells_nothing_twice(
    database: Database,
) -> None:
    here, vendor = await _answered(database)
    wanted = _want(here)
    here.arrive("cert_1", READY)
    await here.callbacks()
    assert here.callback_states() == ["parked"]
    _record(here, wanted)
    await here.callbacks()
    await _check(here)
    assert (here.callback_states(), here.events().count("certificate.ready"), vendor.wanted) == (["applied"], 1, [])


async def test_one_that_was_announced_first_becomes_ready_by_our_own_answer(database: Database) -> None:
    here, vendor = await _answered(database)
    wanted = _want(here)
    here.arrive("cert_1", {**READY, "analysis_id": "ana_1"})
    await here.callbacks()
    assert sorted(row.state for row in _rows(here)) == ["announced", "asking"]
    _record(here, wanted)
    assert [row.state for row in _rows(here)] == ["ready"]
    await _check(here)
    assert (here.events().count("certificate.ready"), vendor.wanted) == (1, [])


async def test_one_that_was_announced_and_confirmed_first_is_the_one_our_wish_gets(database: Database) -> None:
    here, _ = await _answered(database, [raw(HOLDS)])
    wanted = _want(here)
    here.arrive("cert_1", {**READY, "analysis_id": "ana_1"})
    await here.callbacks()
    await _check(here)
    _record(here, wanted)
    assert [row.state for row in _rows(here)] == ["ready"]
    assert here.events().count("certificate.ready") == 1


async def test_an_analysis_that_only_a_callback_names_is_not_certified(database: Database) -> None:
    vendor = certifying(submits=[job("j1")], fetches=[said("ai")])
    here = world(database, vendor)
    here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "ai", "other": {"analysis_id": "ana_forged"}}, job_id="j1")
    await here.callbacks()
    await here.poll()
    with pytest.raises(Exception, match="reported no id for this analysis"):
        _want(here)


async def test_a_run_that_has_not_succeeded_has_no_certificate(database: Database) -> None:
    vendor = certifying(submits=[job("j1")])
    here = world(database, vendor)
    here.submit("asc")
    await here.dispatch()
    here.arrive("j1", {**READY, "job_id": "j1"}, job_id="j1")
    await here.callbacks()
    assert (here.callback_states(), list(_rows(here))) == (["late"], [])


async def test_a_callback_can_announce_only_so_many_of_one_run(database: Database) -> None:
    here, _ = await _answered(database)
    for n in range(8):
        here.arrive("j1", {**READY, "job_id": "j1", "certificate_id": f"cert_{n}"}, job_id="j1")
    await here.callbacks()
    assert len(_rows(here)) == 5


async def test_one_that_cannot_be_asked_about_holds_up_no_other(database: Database) -> None:
    here, vendor = await _answered(database, [ValueError("not of this world"), raw(HOLDS)])
    for n in (1, 2):
        here.arrive("j1", {**READY, "certificate_id": f"cert_{n}", "job_id": "j1"}, job_id="j1")
    await here.callbacks()
    await _check(here)
    assert len(vendor.wanted) == 2

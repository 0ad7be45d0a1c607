"""`/v1/detections/{id}/certificate`: issued once, told once, looked up; and every way in which there is none."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from service.accounts.api_keys import account_named, create
from service.api.v1 import certificates, detections, events
from service.detectors.catalogue import Limits
from service.detectors.exchange import Failure, NotSent
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.quotas.models import Gate
from service.runs.state.models import Certificate
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.certificates.certifying import HOLDS, ISSUED, Certifying, analysed, certifying
from tests.detections.rows import PLAN, World, add_media, alter, policy_of
from tests.detections.scripted import Answer, aippim, job, lost, raw, said


@dataclass
class Door:
    """The doors, a caller, and a detection that its vendor has answered."""

    client: httpx.AsyncClient
    here: World
    vendor: Certifying
    key: dict[str, str]
    detection_id: str

    @property
    def path(self) -> str:
        return f"/v1/detections/{self.detection_id}/certificate"

    async def ask(self, body: object = None, key: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        return await self.client.post(self.path, headers=(key or self.key) | headers, json=body or {})

    async def look(self, key: dict[str, str] | None = None) -> httpx.Response:
        return await self.client.get(self.path, headers=key or self.key)

    def rows(self) -> Sequence[Certificate]:
        with self.here.database.reading() as session:
            return session.exec(select(Certificate)).all()


@asynccontextmanager
async def opened(database: Database, folder: Path, vendor: Certifying, **plan: Any) -> AsyncIterator[Door]:
    """Let the vendor's one run be submitted, and polled once, if the script goes so far."""
    plans = replace(PLAN, **plan)
    here = World(database, policy_of(vendor, aippim(), plan=plans))
    sealer = Sealer(["k" * 32])
    context = replace(context_on(database, folder), policy=here.policy, clock=here.clock, sealer=sealer)
    key = bearer(database)
    with database.writing() as session:
        account = account_named(session, "Acme", NOW).id
        media_id = add_media(session, account=account).id
    detection_id = here.submit("asc", account_id=account, source_url=None, media_id=media_id)
    await here.dispatch()
    here.clock.turn(50)
    await here.poll()
    routes = [*detections.ROUTES, *certificates.ROUTES, *events.ROUTES]
    async with client_of(app_of(routes, context)) as client:
        yield Door(client, here, vendor, key, detection_id)


def answered(*, certificate: Sequence[Answer] = (), look: Sequence[Answer] = ()) -> Certifying:
    return certifying(submits=[job("j1")], fetches=[analysed()], certificates=certificate, looks=look)


async def test_a_certificate_is_issued_told_and_shown_with_the_detection(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED, 201)])) as door:
        before = door.here.results(door.detection_id)
        made = await door.ask({"detector": "asc", "format": "pdf"})
        assert made.status_code == 201, made.text
        assert made.headers["location"] == door.path
        assert made.json() == {
            "certificate_id": "cert_1",
            "detection_id": door.detection_id,
            "run_id": door.here.run().id,
            "detector": "asc",
            "format": "pdf",
            "verification_url": ISSUED["verification_url"],
            "download_url": ISSUED["download_url"],
            "expires_at": "2027-11-20T12:00:00.000Z",
            "issued_at": None,
            "ready_at": "2026-11-20T12:00:50.000Z",
        }
        assert door.vendor.wanted == ["ana_1.pdf"]
        assert door.here.events()[-1] == "certificate.ready"
        feed = await door.client.get("/v1/events?type=certificate.ready", headers=door.key)
        (event,) = feed.json()["data"]
        assert event["data"] == {
            "detection_id": door.detection_id, "run_id": door.here.run().id, "certificate": made.json(),
        }  # fmt: skip
        now = (await door.client.get(f"/v1/detections/{door.detection_id}", headers=door.key)).json()
        assert now["detectors"][0]["refs"]["other"] == {
            "analysis_id": "ana_1",
            "certificate.id": "cert_1",
            "certificate.verification_url": ISSUED["verification_url"],
            "certificate.download_url": ISSUED["download_url"],
            "certificate.expires_at": "2027-11-20T12:00:00.000Z",
        }
        assert (now["revision"], door.here.results(door.detection_id)) == (1, before), "no revision, no word changed"


async def test_another_request_gets_the_same_one_and_asks_nobody(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED)])) as door:
        made = await door.ask()
        again = await door.ask()
        assert (again.status_code, again.json()) == (200, made.json())
        assert door.here.events().count("certificate.ready") == 1


async def test_one_that_has_expired_is_asked_for_anew(database: Database, tmp_path: Path) -> None:
    old = {**ISSUED, "expires_at": "2026-11-20T12:00:51Z"}
    new = {**ISSUED, "certificate_id": "cert_2"}
    async with opened(database, tmp_path, answered(certificate=[raw(old), raw(new)])) as door:
        await door.ask()
        door.here.clock.turn(2)
        assert (await door.ask()).json()["certificate_id"] == "cert_2"
        assert door.here.events().count("certificate.ready") == 2


async def test_the_same_key_again_gets_the_first_answer_again(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED)])) as door:
        first, again = [await door.ask(None, None, **{"Idempotency-Key": "k"}) for _ in range(2)]
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize(
    ("vendor", "code"),
    [
        (certifying(submits=[job("j1")], fetches=[said("running")]), "not_certifiable"),
        (certifying(submits=[job("j1")], fetches=[said("broken")]), "not_certifiable"),
        (certifying(submits=[job("j1")], fetches=[said("ai")]), "analysis_unknown"),
    ],
)
async def test_where_there_can_be_none_it_is_a_conflict(
    database: Database, tmp_path: Path, vendor: Certifying, code: str
) -> None:
    vendor = certifying(submits=[*vendor.submits], fetches=[*vendor.fetches])
    async with opened(database, tmp_path, vendor) as door:
        refused = await door.ask()
        assert (refused.status_code, refused.json()["code"]) == (409, code)
        assert (door.rows(), door.vendor.wanted) == ([], [])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"format": "docx"}, "/format"),
        ({"detector": "pex"}, "/detector"),
        ({"detector": ""}, "/detector"),
        ({"x": 1}, "/x"),
    ],
)
async def test_a_bad_body_is_named(database: Database, tmp_path: Path, body: dict[str, object], pointer: str) -> None:
    async with opened(database, tmp_path, answered()) as door:
        refused = await door.ask(body)
        assert refused.status_code == 422
        assert [each["pointer"] for each in refused.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("trouble", "retry_after"),
    [
        (raw({}, 500), "30"),
        (raw({}, 429, retry_after="77"), "77"),
        (raw({"error": "not_found", "message": "Analysis not found"}, 404), None),
        (raw({"error": "unauthorized"}, 401), None),
        (raw({}), None),
        (lost(), "30"),
        (NotSent("not sent (refused)", Failure.REFUSED), "30"),
    ],
)
async def test_a_vendor_that_fails_is_a_failed_dependency_and_the_next_request_may_ask(
    database: Database, tmp_path: Path, trouble: Answer, retry_after: str | None
) -> None:
    async with opened(database, tmp_path, answered(certificate=[trouble, raw(ISSUED)])) as door:
        refused = await door.ask()
        assert (refused.status_code, refused.json()["code"]) == (424, "vendor_error")
        assert refused.headers.get("retry-after") == retry_after
        assert door.rows() == []
        with database.writing() as session:
            for gate in session.exec(select(Gate)):
                session.delete(gate)  # what the failure told the gate is not what is looked at here
        assert (await door.ask()).status_code == 201


async def test_a_gate_that_is_closed_lets_no_certificate_through(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(), limits=Limits(daily_quota=2)) as door:
        refused = await door.ask()
        assert (refused.status_code, refused.json()["code"]) == (424, "quota_exceeded")
        assert int(refused.headers["retry-after"]) == 11 * 3600 + 59 * 60 + 10
        assert (door.vendor.wanted, door.rows()) == ([], [])


async def test_asking_counts_at_the_gate(database: Database, tmp_path: Path) -> None:
    vendor = answered(certificate=[raw(ISSUED)], look=[raw(HOLDS)])
    async with opened(database, tmp_path, vendor, limits=Limits(daily_quota=100)) as door:
        await door.ask()
        await door.look()
        with database.reading() as session:
            assert [gate.window_used for gate in session.exec(select(Gate))] == [4], "submitted, polled, asked, looked"


async def test_while_one_request_asks_another_is_told_to_wait(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED)])) as door:
        await door.ask()
        alter(database, door.rows(), state="asking", due_at=door.here.clock.now.replace(minute=2), lease_token="other")
        refused = await door.ask()
        assert (refused.status_code, refused.json()["code"]) == (409, "certificate_in_progress")
        assert refused.headers["retry-after"] == "5"


async def test_what_a_dead_process_was_asking_for_is_asked_for_again(database: Database, tmp_path: Path) -> None:
    new = {**ISSUED, "certificate_id": "cert_2"}
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED), raw(new)])) as door:
        await door.ask()
        alter(database, door.rows(), state="asking", due_at=NOW, lease_token="dead", certificate_id=None)
        assert (await door.ask()).json()["certificate_id"] == "cert_2"
        assert len(door.rows()) == 1


async def test_a_look_asks_the_vendor_whether_it_holds(database: Database, tmp_path: Path) -> None:
    vendor = answered(certificate=[raw(ISSUED)], look=[raw(HOLDS), raw({**HOLDS, "valid": False})])
    async with opened(database, tmp_path, vendor) as door:
        made = (await door.ask()).json()
        for valid in (True, False):
            found = await door.look()
            assert found.status_code == 200
            assert found.json() == {
                **made,
                "valid": valid,
                "checked_at": "2026-11-20T12:00:50.000Z",
                "reason_code": None,
                "reason_text": None,
            }


@pytest.mark.parametrize(
    ("trouble", "code"), [(raw({}, 503), "vendor_error"), (lost(), None), (raw({}), "schema_mismatch")]
)
async def test_a_vendor_that_does_not_say_leaves_it_open(
    database: Database, tmp_path: Path, trouble: Answer, code: str | None
) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED)], look=[trouble])) as door:
        await door.ask()
        found = (await door.look()).json()
        assert (found["valid"], found["checked_at"], found["reason_code"]) == (None, None, code)
        assert found["certificate_id"] == "cert_1"


async def test_without_one_there_is_nothing_to_look_at(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered()) as door:
        missing = await door.look()
        assert (missing.status_code, missing.json()["code"]) == (404, "no_certificate")


async def test_a_certificate_is_nobody_elses(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED)])) as door:
        await door.ask()
        with database.writing() as session:
            other = create(session, account_named(session, "Other", NOW).id, "live", NOW).text
        for key in ({"Authorization": f"Bearer {other}"}, bearer(database, mode="test")):
            for refused in (await door.ask(key=key), await door.look(key)):
                assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


async def test_erasing_takes_the_certificate_with_it(database: Database, tmp_path: Path) -> None:
    async with opened(database, tmp_path, answered(certificate=[raw(ISSUED)])) as door:
        await door.ask()
        erased = await door.client.delete(f"/v1/detections/{door.detection_id}", headers=door.key)
        assert (erased.status_code, door.rows()) == (204, [])
        assert (await door.look()).json()["code"] == "no_certificate"
        assert (await door.ask()).json()["code"] == "erased"
        feed = await door.client.get("/v1/events?type=certificate.ready", headers=door.key)
        assert "cert_1" not in feed.text

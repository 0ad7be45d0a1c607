"""ASC at the account's address: matched by its job, as authentic as its address, and confirmed by a fetch as always."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from service.api.from_vendors.callbacks import ROUTES
from service.callbacks.addresses import RunAddress, address_token, rotate_address, sign_address
from service.callbacks.intake import store_callbacks
from service.callbacks.models import Callback
from service.kit.db.database import Database
from service.kit.db.group_commit import GroupCommit
from service.kit.security.sealing import Sealer
from tests.api.doors import NOW, TOKENS, app_of, client_of, context_on
from tests.certificates.certifying import ISSUED, Certifying
from tests.detections.rows import World, world
from tests.detections.scripted import job, said
from tests.vendors.contract import sample

SEALER = Sealer(["k" * 32])


@dataclass
class Door:
    """ASC's two addresses: the account's, and that of its run `j1`."""

    client: httpx.AsyncClient
    here: World
    vendor: Certifying
    account: str
    run: str

    async def say(self, path: str, body: Any) -> int:
        content = json.dumps({"said": "ai", **body}).encode()
        answer = await self.client.post(path, content=content, headers={"content-type": "application/json"})
        return answer.status_code

    def rows(self) -> list[tuple[str, str, str]]:
        with self.here.database.reading() as session:
            rows = session.exec(select(Callback).order_by(col(Callback.id)))
            return [(row.subject, row.authenticity, row.state) for row in rows]


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    vendor = Certifying(submits=[job("job_abc123def456")], fetches=[said("human")])
    here = world(database, vendor)
    here.submit("asc")
    await here.dispatch()
    with database.writing() as session:
        token = address_token(session, "live", "asc", SEALER, NOW)
    run = sign_address(TOKENS, RunAddress("live", "asc", here.run().id), here.run().deadline_at)
    intake = GroupCommit(database, store_callbacks, name="callbacks")
    context = replace(context_on(database, tmp_path), policy=here.policy, intake=intake, sealer=SEALER)
    async with client_of(app_of(ROUTES, context)) as client:
        yield Door(client, here, vendor, f"/callbacks/asc/{token}", f"/callbacks/asc/{run}")
    await intake.drain()


async def test_a_callback_at_the_accounts_address_is_matched_by_its_job_and_confirmed(door: Door) -> None:
    assert await door.say(door.account, sample("asc", "callback_complete")) == 200
    await door.here.callbacks()
    assert door.rows() == [("job_abc123def456", "url_token", "applied")]
    await door.here.poll()
    run = door.here.run()
    assert (run.state, run.confirmed_by_fetch) == ("succeeded", True)
    assert door.here.detection(run.detection_id).verdict == "no_ai_detected", "the fetch counts, not the callback"


async def test_the_runs_own_address_stays_and_both_together_are_one_and_a_duplicate(door: Door) -> None:
    for path in (door.run, door.account):
        assert await door.say(path, sample("asc", "callback_complete")) == 200
    await door.here.callbacks()
    await door.here.poll()
    (result,) = door.here.results(door.here.run().detection_id)
    obtained = result["detectors"][0]["obtained"]
    assert (obtained["callbacks_seen"], obtained["duplicates"], door.vendor.times("fetch")) == (2, 1, 1)


async def test_a_job_of_nobody_is_parked_there_and_never_fetched_for(door: Door) -> None:
    assert await door.say(door.account, {"event": "analysis.complete", "job_id": "job_other"}) == 200
    await door.here.callbacks()
    assert door.rows() == [("job_other", "url_token", "parked")]
    assert door.vendor.times("fetch") == 0


async def test_a_certificate_is_stored_under_its_own_name(door: Door) -> None:
    assert await door.say(door.account, {**ISSUED, "event": "certificate.ready"}) == 200
    assert door.rows() == [("cert_1", "url_token", "due")]


@pytest.mark.parametrize("body", [{}, {"event": "analysis.complete"}, {"event": "certificate.ready"}])
async def test_what_names_neither_is_rejected(door: Door, body: dict[str, object]) -> None:
    assert await door.say(door.account, body) == 401


async def test_a_retired_or_made_up_address_is_refused(door: Door) -> None:
    with door.here.database.writing() as session:
        rotate_address(session, "live", "asc", SEALER, overlap=NOW - NOW, now=NOW)
    for path in (door.account, "/callbacks/asc/made-up", "/callbacks/asc/a.b.c"):
        assert await door.say(path, sample("asc", "callback_complete")) == 401

"""`POST /callbacks/{detector}/{token}`: every row of the contract's table, with the real adapters at the door."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import Session, col, select
from structlog.testing import capture_logs

from service.api.from_vendors.callbacks import ACKNOWLEDGED, CALLBACKS, ROUTES, callback_kind
from service.callbacks.addresses import RunAddress, address_token, sign_address
from service.callbacks.intake import Arrived, store_callbacks
from service.callbacks.models import Callback
from service.detectors.exchange import Exchange
from service.kit.db.database import Database
from service.kit.db.group_commit import GroupCommit
from service.kit.security.sealing import Sealer
from service.runs.state.models import Run
from service.timeline.callbacks import called_back
from service.vendors.aippim import Aippim, AippimSettings
from service.vendors.asc import Asc, AscSettings
from tests.api.doors import NOW, TOKENS, app_of, client_of, context_on
from tests.detections.rows import PLAN, World, alter, policy_of

_SEALER = Sealer(["k" * 32])
_SECRET = "old-secret"
_JSON = {"content-type": "application/json"}
_STAMP = int(NOW.timestamp())


@dataclass
class Door:
    """The door with a run of each vendor behind it: AIPPIM has its task `t1`, ASC its job `j1`."""

    client: httpx.AsyncClient
    here: World
    aippim: str
    asc: str
    run_id: str

    def rows(self) -> list[Callback]:
        with self.here.database.reading() as session:
            return list(session.exec(select(Callback).order_by(col(Callback.id))))

    def states(self) -> list[tuple[str, str]]:
        return [(row.vendor, row.state) for row in self.rows()]

    async def said(self, body: object, **headers: str) -> httpx.Response:
        """AIPPIM says something, signed as told."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.client.post(self.aippim, content=content, headers={**_JSON, **headers})

    async def told(self, body: object) -> httpx.Response:
        """ASC says something of its run."""
        return await self.told_raw(json.dumps(body).encode(), "application/json")

    async def told_raw(self, body: bytes, media_type: str) -> httpx.Response:
        """ASC says something else to its run's address."""
        return await self.client.post(self.asc, content=body, headers={"content-type": media_type})


def signed(task: str, *, secret: str = _SECRET, at: int = _STAMP) -> dict[str, str]:
    """Sign as AIPPIM's documents say, written here independently."""
    digest = hmac.new(secret.encode(), f"{at}:{task}".encode(), hashlib.sha256).hexdigest()
    return {"x-mippia-timestamp": str(at), "x-mippia-signature": digest}


def _token_for(run_id: str, *, vendor: str = "asc", hours: float = 7) -> str:
    return sign_address(TOKENS, RunAddress("live", vendor, run_id), NOW + timedelta(hours=hours))


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    exchange = Exchange(timeout_seconds=5)
    aippim = Aippim(AippimSettings(base_url="http://vendor.invalid", api_key="key"), exchange)
    adapters = (aippim, Asc(AscSettings(), exchange))
    policy = policy_of(*adapters, plan=replace(PLAN, webhook_secrets=("new-secret", _SECRET)))
    here = World(database, policy)
    detection_id = here.submit("aippim/standard", "asc")
    first, second = here.runs(detection_id)
    alter(database, [first], state="waiting", vendor_job_id="t1", due_at=NOW + timedelta(seconds=45))
    alter(database, [second], state="waiting", vendor_job_id="j1", due_at=NOW + timedelta(seconds=45))
    with database.writing() as session:
        account = address_token(session, "live", "aippim", _SEALER, NOW)
    intake: GroupCommit[Arrived, bool] = GroupCommit(database, store_callbacks)
    context = replace(context_on(database, tmp_path), policy=policy, intake=intake, clock=here.clock)
    async with client_of(app_of(ROUTES, context)) as client:
        run_address = f"/callbacks/asc/{_token_for(second.id)}"
        yield Door(client, here, f"/callbacks/aippim/{account}", run_address, second.id)
        await intake.drain()


async def test_an_address_check_is_echoed_and_stored_nowhere(door: Door) -> None:
    found = await door.said({"type": "url_verification", "challenge": "c-1"})
    assert (found.status_code, found.json(), door.rows()) == (200, {"challenge": "c-1"}, [])


async def test_an_authentic_callback_is_stored_before_it_is_acknowledged(door: Door) -> None:
    body = {"task_id": "t1", "status": "success"}
    found = await door.said(body, **signed("t1"))
    assert (found.status_code, door.states()) == (200, [("aippim", "due")])
    (row,) = door.rows()
    assert (json.loads(row.body), row.subject, row.job_id, row.authenticity) == (body, "t1", "t1", "partial_hmac")
    assert (await door.told({"job_id": "j1", "prediction": "ai"})).status_code == 200
    assert door.rows()[1].authenticity == "url_token"


async def test_nothing_is_acknowledged_that_could_not_be_stored(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(Session, "commit", full)
        found = await door.said({"task_id": "t1"}, **signed("t1"))
    assert (found.status_code, found.headers["retry-after"]) == (503, "10")
    assert found.headers["content-type"] == "application/problem+json"
    assert door.rows() == []
    assert (await door.said({"task_id": "t1"}, **signed("t1"))).status_code == 200
    assert door.states() == [("aippim", "due")]


async def test_a_database_that_is_down_is_our_fault_also_before_the_token_is_known(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_args: object, **_kwargs: object) -> None:
        raise OSError("no database")

    monkeypatch.setattr(Database, "read", down)
    assert (await door.said({"task_id": "t1"}, **signed("t1"))).status_code == 503


async def test_a_duplicate_is_acknowledged_and_changes_nothing(door: Door) -> None:
    for _ in range(3):
        assert (await door.said({"task_id": "t1"}, **signed("t1"))).status_code == 200
    (row,) = door.rows()
    assert (row.times_received, row.state) == (3, "due")


async def test_a_callback_of_an_unknown_run_is_parked(door: Door) -> None:
    assert (await door.said({"task_id": "t9", "status": "success"}, **signed("t9"))).status_code == 200
    await door.here.callbacks()
    assert door.states() == [("aippim", "parked")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed("t1", secret="wrong"),
        signed("t2"),
        signed("t1", at=_STAMP - 301),
        signed("t1", at=_STAMP + 301),
        {**signed("t1"), "x-mippia-signature": ""},
        {**signed("t1"), "x-mippia-signature": signed("t1")["x-mippia-signature"][:32]},
        {**signed("t1"), "x-mippia-timestamp": f"{_STAMP}.0"},
        {"x-mippia-timestamp": str(_STAMP)},
    ],
)
async def test_a_bad_missing_or_stale_signature_is_quarantined_and_touches_no_run(
    door: Door, headers: dict[str, str]
) -> None:
    before = door.here.runs()
    assert (await door.said({"task_id": "t1", "status": "success"}, **headers)).status_code == 401
    await door.here.callbacks()
    assert (door.states(), door.here.runs()) == ([("aippim", "quarantined")], before)


async def test_a_bad_signature_is_kept_with_the_job_it_named(door: Door) -> None:
    assert (await door.said({"task_id": "t1", "status": "success"}, **signed("t2"))).status_code == 401
    assert [(row.subject, row.job_id) for row in door.rows()] == [("", "t1")]


@pytest.mark.parametrize("secret", ["new-secret", "old-secret"])
async def test_every_secret_of_a_rotation_holds(door: Door, secret: str) -> None:
    assert (await door.said({"task_id": "t1"}, **signed("t1", secret=secret))).status_code == 200


async def test_a_body_that_names_two_tasks_is_quarantined(door: Door) -> None:
    assert (await door.said({"task_id": "t1", "taskId": "t2"}, **signed("t1"))).status_code == 401
    assert [(row.state, row.note) for row in door.rows()] == [("quarantined", "the body contradicts itself")]


async def test_a_forged_expired_or_foreign_token_is_quarantined_and_touches_no_run(door: Door) -> None:
    expired, foreign = _token_for(door.run_id, hours=-1), _token_for(door.run_id, vendor="aippim")
    tokens = ["forged", "a.b", expired, foreign, door.asc.rpartition("/")[2][:-1] + "B", "%00", "%F0%9F%98%80"]
    for n, token in enumerate(tokens):
        body = json.dumps({"job_id": "j1", "n": n}).encode()
        found = await door.client.post(f"/callbacks/asc/{token}", content=body, headers=_JSON)
        assert (found.status_code, found.json()["code"]) == (401, "callback_rejected")
    found = await door.client.post("/callbacks/aippim/forged", content=b"{}", headers={**_JSON, **signed("t1")})
    assert found.status_code == 401
    await door.here.callbacks()
    assert {state for _, state in door.states()} == {"quarantined"}
    assert len(door.rows()) == len(tokens) + 1
    assert [run.state for run in door.here.runs()] == ["waiting", "waiting"]


async def test_a_run_that_has_the_right_token_but_not_the_right_job_is_a_conflict(door: Door) -> None:
    before = door.here.runs()
    assert (await door.told({"job_id": "j2", "prediction": "ai"})).status_code == 200
    await door.here.callbacks()
    assert (door.states(), door.here.runs()) == ([("asc", "conflict")], before)


async def test_a_name_too_long_to_be_kept_is_quarantined(door: Door) -> None:
    assert (await door.told({"job_id": "ü" * 1001, "prediction": "ai"})).status_code == 401
    task = "ü" * 1001
    assert (await door.said({"task_id": task}, **signed(task))).status_code == 401
    assert {state for _, state in door.states()} == {"quarantined"}


async def test_a_late_callback_is_taken_and_changes_nothing(door: Door) -> None:
    alter(door.here.database, door.here.runs(), state="succeeded", ended_at=NOW, due_at=None)
    before = door.here.runs()
    assert (await door.told({"job_id": "j1", "prediction": "human", "ai_score": 2})).status_code == 200
    await door.here.callbacks()
    assert (door.states(), door.here.runs(), door.here.events()) == ([("asc", "late")], before, [])


async def test_a_claimed_end_makes_the_run_due_and_processing_does_not(door: Door) -> None:
    await door.said({"task_id": "t1", "status": "processing"}, **signed("t1"))
    await door.here.callbacks()
    assert door.here.runs()[0].due_at == NOW + timedelta(seconds=45)
    await door.said({"task_id": "t1", "status": "success"}, **signed("t1"))
    await door.here.callbacks()
    assert (door.here.runs()[0].due_at, door.here.runs()[0].state) == (NOW, "waiting")


@pytest.mark.parametrize("vendor", ["nobody", "pex", "modulate", "ASC"])
async def test_a_vendor_without_callbacks_is_not_there(door: Door, vendor: str) -> None:
    found = await door.client.post(f"/callbacks/{vendor}/token", content=b"not json")
    assert (found.status_code, door.rows()) == (404, [])


async def test_the_kind_of_address_is_the_vendors(door: Door) -> None:
    catalogue = door.here.policy.catalogue
    assert [callback_kind(catalogue, name) for name in ("aippim", "asc", "pex")] == ["account", "run", None]


async def test_a_body_that_is_no_single_object_is_malformed(door: Door) -> None:
    bodies = [b"", b"{", b"[]", b"1", b'{"a":1,"a":2}', b'{"a":NaN}', b"\xff", b'{"a":"\\u0000"}', b"[" * 5000]
    for body in [*bodies, b'{"a":' * 70 + b"1" + b"}" * 70]:
        found = await door.said(body, **signed("t1"))
        assert (found.status_code, found.json()["code"]) == (400, "malformed_json"), body[:20]
    assert {(row.state, row.subject, row.run_id) for row in door.rows()} == {("quarantined", "", None)}
    assert all((row.note or "").startswith("unreadable: ") for row in door.rows())


async def test_a_vendor_that_changes_its_format_is_seen(door: Door) -> None:
    before = CALLBACKS.value("asc", "rejected"), door.here.runs()
    for body, media_type in ((b"<done/>", "application/xml"), (b"{", "application/json")):
        assert (await door.told_raw(body, media_type)).status_code in (415, 400)
    assert [(row.vendor, row.state, row.run_id, row.body) for row in door.rows()] == [
        ("asc", "quarantined", door.run_id, b"<done/>"),
        ("asc", "quarantined", door.run_id, b"{"),
    ]
    assert (CALLBACKS.value("asc", "rejected") - before[0], door.here.runs()) == (2, before[1])
    with door.here.database.reading() as session:
        assert door.here.policy.callbacks_seen(session, [door.run_id]) == {}
        runs = session.exec(select(Run)).all()
        told = list(called_back(session, runs, NOW, {}))
    assert {(fact.kind, fact.run_id) for fact in told} == {("callback.rejected", door.run_id)}
    assert len(told) == 2


async def test_a_body_may_have_one_mebibyte(door: Door) -> None:
    def of(size: int) -> bytes:
        return b'{"task_id":"t1"}' + b" " * (size - 16)

    assert (await door.said(of(1_048_576), **signed("t1"))).status_code == 200
    assert (await door.said(of(1_048_577), **signed("t1"))).status_code == 413


async def test_json_is_what_is_taken_and_what_is_assumed(door: Door) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert (await door.said(b"{}", **{"content-type": media_type})).status_code == 415
    for n, headers in enumerate(({}, {"content-type": "application/json; charset=utf-8"})):
        body = json.dumps({"task_id": "t1", "n": n}).encode()
        found = await door.client.post(door.aippim, content=body, headers={**signed("t1"), **headers})
        assert found.status_code == 200


async def test_refusals_come_in_their_order(door: Door) -> None:
    big, text = b"x" * 1_048_577, {"content-type": "text/plain"}
    assert (await door.client.post("/callbacks/pex/t", content=big, headers=text)).status_code == 404
    assert (await door.client.post(door.aippim, content=big, headers=text)).status_code == 413
    assert (await door.client.post(door.aippim, content=b"{", headers=text)).status_code == 415
    assert (await door.client.post(door.aippim, content=b"{", headers=_JSON)).status_code == 400
    assert (await door.client.post(door.aippim, content=b"{}", headers=_JSON)).status_code == 401
    assert (await door.client.post("/callbacks/aippim/forged", content=b"{", headers=text)).status_code == 401
    assert (await door.client.get(door.aippim)).status_code == 405


async def test_of_one_run_twenty_bodies_are_kept_and_all_are_acknowledged(door: Door) -> None:
    answers = [(await door.told({"job_id": "j1", "n": n})).status_code for n in range(23)]
    assert answers == [200] * 23
    rows = door.rows()
    assert (len(rows), sum(row.overflow_count for row in rows)) == (20, 3)


async def test_what_is_quarantined_is_cut_and_shows_no_secret(door: Door) -> None:
    body = json.dumps({"task_id": "t1", "pad": "x" * 100_000}).encode()
    found = await door.said(body, **{**signed("t1", secret="w"), "authorization": "Bearer canary", "cookie": "canary"})
    (row,) = door.rows()
    assert (found.status_code, len(row.body), "canary" in row.headers_json) == (401, 65_536, False)
    assert signed("t1", secret="w")["x-mippia-signature"] not in row.headers_json


async def test_a_stranger_writes_fifty_rows_and_no_more(door: Door) -> None:
    before = CALLBACKS.value("asc", "rejected")
    for number in range(80):
        found = await door.client.post("/callbacks/asc/forged", content=b"%d" % (number % 60), headers=_JSON)
        assert (found.status_code, found.json()["code"]) == (401, "callback_rejected")
    assert (len(door.rows()), CALLBACKS.value("asc", "rejected") - before) == (50, 80)
    assert (await door.told_raw(b"{", "application/json")).status_code == 400
    assert len(door.rows()) == 51


async def test_a_run_reads_back_what_it_was_sent(door: Door) -> None:
    await door.told({"job_id": "j1", "status": "processing"})
    await door.told({"job_id": "j1", "status": "processing"})
    await door.here.callbacks()
    with door.here.database.reading() as session:
        found: Any = door.here.policy.callbacks_seen(session, [run.id for run in session.exec(select(Run))])
    assert found == {door.run_id: (2, 1)}


async def test_a_callback_is_one_wide_line_and_counted_by_what_became_of_it(door: Door) -> None:
    outcomes = ("taken", "duplicate", "rejected")
    measured = ACKNOWLEDGED.count("aippim")
    before = [CALLBACKS.value("asc", "taken"), *(CALLBACKS.value("aippim", outcome) for outcome in outcomes)]
    with capture_logs() as logs:
        await door.told({"job_id": "j1", "prediction": "ai"})
        for _ in range(2):
            await door.said({"task_id": "t1"}, **signed("t1"))
        await door.said({"task_id": "t1"}, **signed("t1", secret="wrong"))
    after = [CALLBACKS.value("asc", "taken"), *(CALLBACKS.value("aippim", outcome) for outcome in outcomes)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1, 1]
    assert ACKNOWLEDGED.count("aippim") == measured + 2
    told, said, _, rejected = [line for line in logs if line["event"].startswith("callback.")]
    assert told.items() >= {"run_id": door.run_id, "job_id": "j1", "vendor": "asc", "mode": "live"}.items()
    assert said.items() >= {"subject": "t1", "job_id": "t1", "authenticity": "partial_hmac", "took_ms": 0}.items()
    assert rejected.items() >= {"outcome": "rejected", "job_id": "t1", "vendor": "aippim"}.items()

"""`/v1/webhook-endpoints`: an account keeps its endpoints, sees their secrets once, and never those of others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from service.accounts.api_keys import account_named, create
from service.accounts.models import Audit
from service.api.v1.endpoints import ROUTES
from service.kit.db.database import Database
from service.kit.http.guard import GuardPolicy
from service.kit.ids import is_id
from service.kit.security.signatures import new_secret
from service.webhooks.models import EndpointSecret
from service.webhooks.sending.signing import open_secrets, webhook_headers
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.webhooks.rows import SEALER

PATH = "/v1/webhook-endpoints"
ASKED: dict[str, Any] = {"url": "https://customer.example/in", "events": ["detection.*"]}
UNHEARD_OF = "we_01jd8x6z3xe6ntqkzjv4m6q4pn"


@asynccontextmanager
async def door(database: Database, headers: dict[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of the account `Acme` before the live guard."""
    context = replace(context_on(database, Path("unused")), sealer=SEALER, guard=GuardPolicy())
    async with client_of(app_of(ROUTES, context)) as client:
        client.headers.update(bearer(database) if headers is None else headers)
        yield client


def stranger(database: Database) -> dict[str, str]:
    """Return the headers of another account's caller."""
    with database.writing() as session:
        key = create(session, account_named(session, "Other", NOW).id, "live", NOW)
    return {"Authorization": f"Bearer {key.text}"}


def pointers(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 422, answer.text
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_a_new_endpoint_is_shown_with_its_secret_once(database: Database) -> None:
    asked = ASKED | {"description": "Production", "headers": {"X-Key": "sesame"}, "rate_limit_per_second": 9}
    async with door(database) as client:
        answer = await client.post(PATH, json=asked)
        body = answer.json()
        endpoint_id, secret = body["id"], body.pop("secret")
        again = await client.get(answer.headers["location"])
        listed = await client.get(PATH)
    assert answer.status_code == 201
    assert is_id(endpoint_id, "we")
    assert body == {
        "id": endpoint_id,
        "url": "https://customer.example/in",
        "events": ["detection.*"],
        "description": "Production",
        "headers": {"X-Key": "********"},
        "rate_limit_per_second": 9,
        "status": "enabled",
        "disabled_reason": None,
        "created_at": "2026-11-20T12:00:00.000Z",
    }
    assert again.json() == body
    assert listed.json() == {"data": [body], "has_more": False, "next_cursor": None}
    with database.reading() as session:
        kept = session.exec(select(EndpointSecret)).one()
    assert open_secrets(SEALER, [(kept.id, kept.sealed)]) == [secret]


async def test_it_may_begin_disabled(database: Database) -> None:
    async with door(database) as client:
        body = (await client.post(PATH, json=ASKED | {"disabled": True})).json()
    assert (body["status"], body["disabled_reason"]) == ("disabled", "by_owner")


async def test_what_is_made_and_deleted_is_on_record(database: Database) -> None:
    async with door(database) as client:
        endpoint_id = (await client.post(PATH, json=ASKED)).json()["id"]
        await client.delete(f"{PATH}/{endpoint_id}")
    with database.reading() as session:
        lines = session.exec(select(Audit.action).where(Audit.subject == endpoint_id).order_by(col(Audit.id))).all()
    assert lines == ["endpoint.created", "endpoint.deleted"]


async def test_everything_that_is_wrong_is_said_at_once(database: Database) -> None:
    wrong = {
        "url": "https://169.254.169.254/latest",
        "events": ["detection.*", "detection.unheard", "nothing.*"],
        "headers": {"X-Fine": "yes", "Host": "elsewhere", "X-Split": "a\r\nb", "X Y": "z"},
        "rate_limit_per_second": True,
        "disabled": "yes",
        "colour": "blue",
    }
    async with door(database) as client:
        found = pointers(await client.post(PATH, json=wrong))
        assert (await client.get(PATH)).json()["data"] == []
    assert sorted(found) == [
        "/colour",
        "/disabled",
        "/events/1",
        "/events/2",
        "/headers/Host",
        "/headers/X Y",
        "/headers/X-Split",
        "/rate_limit_per_second",
        "/url",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/in",
        "https://10.1.2.3/in",
        "https://[::1]/in",
        "https://[::ffff:169.254.169.254]/in",
        "https://2130706433/in",
        "http://customer.example/in",
        "https://user:password@customer.example/in",
        "https://customer.example:22/in",
        "ftp://customer.example/in",
        "customer.example",
        "https://",
        "",
        "https://customer.example/" + "x" * 2048,
        7,
        None,
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_an_address_that_may_not_be_dialled_is_refused_at_url(database: Database, url: object) -> None:
    async with door(database) as client:
        assert pointers(await client.post(PATH, json=ASKED | {"url": url})) == ["/url"]


@pytest.mark.parametrize("missing", ["url", "events"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_url_and_events_are_required(database: Database, missing: str) -> None:
    asked = {name: value for name, value in ASKED.items() if name != missing}
    async with door(database) as client:
        assert pointers(await client.post(PATH, json=asked)) == [f"/{missing}"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Webhook-Id": "mine"},
        {"webhook-signature": "v1,mine"},
        {"Content-Length": "3"},
        {"Content-Encoding": "gzip"},
        {"Transfer-Encoding": "chunked"},
        {"User-Agent": "me"},
        {"": "empty"},
        {"X-Key": ""},
        {"X-Key": "ż"},
        {"X-Key": " padded"},
        {"X-Key": "x" * 1001},
        {f"X-{n}": "y" for n in range(21)},
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_headers_that_are_ours_or_cannot_be_sent_are_refused(database: Database, headers: dict[str, str]) -> None:
    async with door(database) as client:
        (found,) = pointers(await client.post(PATH, json=ASKED | {"headers": headers}))
    assert found.startswith("/headers")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_headers_that_differ_by_case_alone_are_refused_and_both_named(database: Database) -> None:
    twice = {"X-Dup": "1", "X-Other": "2", "x-dup": "3", "x-DUP": "3"}
    async with door(database) as client:
        made = (await client.post(PATH, json=ASKED)).json()["id"]
        for answer in (
            await client.post(PATH, json=ASKED | {"headers": twice}),
            await client.patch(f"{PATH}/{made}", json={"headers": twice}),
        ):
            (fault,) = answer.json()["errors"]
            assert (answer.status_code, fault["pointer"]) == (422, "/headers")
            assert "X-Dup, x-dup, x-DUP" in fault["detail"]
            assert "X-Other" not in fault["detail"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_no_header_that_a_webhook_carries_can_be_asked_for_in_any_case(database: Database) -> None:
    sent = webhook_headers("evt_1", b"{}", [new_secret()], NOW)
    async with door(database) as client:
        for name in sent:
            for written in (name, name.title(), name.upper()):
                answer = await client.post(PATH, json=ASKED | {"headers": {written: "mine"}})
                assert (answer.status_code, pointers(answer)) == (422, [f"/headers/{written}"])


@pytest.mark.parametrize(("raw", "status"), [(b"[]", 400), (b'{"url":1,"url":2}', 400), (b"\xff", 400), (b"{", 400)])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_what_is_no_json_object_is_400(database: Database, raw: bytes, status: int) -> None:
    async with door(database) as client:
        answer = await client.post(PATH, content=raw, headers={"Content-Type": "application/json"})
        other = await client.post(PATH, content=raw, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, other.status_code) == (status, 415)


async def test_the_list_goes_through_all_pages(database: Database) -> None:
    async with door(database) as client:
        made = [(await client.post(PATH, json=ASKED)).json()["id"] for _ in range(5)]
        seen: list[str] = []
        cursor: dict[str, str] = {}
        for expected in (2, 2, 1):
            page = (await client.get(PATH, params={"limit": "2"} | cursor)).json()
            assert len(page["data"]) == expected
            seen += [endpoint["id"] for endpoint in page["data"]]
            cursor = {"cursor": page["next_cursor"]}
        assert (page["has_more"], page["next_cursor"]) == (False, None)
        refused = await client.get(PATH, params={"limit": "0", "cursor": "made-up"})
    assert seen == sorted(made, reverse=True)
    assert [error["pointer"] for error in refused.json()["errors"]] == ["limit", "cursor"]


async def test_a_cursor_of_another_account_is_refused(database: Database) -> None:
    async with door(database) as client:
        for _ in range(2):
            await client.post(PATH, json=ASKED)
        cursor = (await client.get(PATH, params={"limit": "1"})).json()["next_cursor"]
    async with door(database, stranger(database)) as client:
        assert (await client.get(PATH, params={"cursor": cursor})).status_code == 422


async def test_what_was_deleted_is_gone(database: Database) -> None:
    async with door(database) as client:
        place = f"{PATH}/{(await client.post(PATH, json=ASKED)).json()['id']}"
        first, second = await client.delete(place), await client.delete(place)
        read, listed = await client.get(place), await client.get(PATH)
    assert (first.status_code, first.content) == (204, b"")
    assert (second.status_code, read.status_code) == (404, 404)
    assert listed.json()["data"] == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_what_is_somebody_elses_or_of_the_other_mode_is_not_there(database: Database, method: str) -> None:
    async with door(database) as client:
        place = f"{PATH}/{(await client.post(PATH, json=ASKED)).json()['id']}"
    for headers in (stranger(database), bearer(database, mode="test")):
        async with door(database, headers) as client:
            answer = await client.request(method, place)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert (await client.get(PATH)).json()["data"] == []
    async with door(database) as client:
        assert (await client.get(place)).status_code == 200


@pytest.mark.parametrize("endpoint_id", [UNHEARD_OF, "we_", "%00", "we_%00", "%F0%9F%8E%B5", "det_" + UNHEARD_OF[3:]])
async def test_what_never_was_is_not_there(database: Database, endpoint_id: str) -> None:
    async with door(database) as client:
        assert (await client.get(f"{PATH}/{endpoint_id}")).status_code == 404
        assert (await client.delete(f"{PATH}/{endpoint_id}")).status_code == 404


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_each_door_asks_for_its_scope(database: Database, method: str) -> None:
    reads = method == "GET"
    place = PATH if method == "POST" else f"{PATH}/{UNHEARD_OF}"
    lacking, having = (f"endpoints:{word}" for word in (("write", "read") if reads else ("read", "write")))
    async with door(database, bearer(database, scopes=[lacking, "admin"])) as client:
        answer = await client.request(method, place, json=None if reads else ASKED)
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
        assert (await client.get(PATH)).status_code == (403 if reads else 200)
    async with door(database, bearer(database, scopes=[having])) as client:
        assert (await client.request(method, place, json=None if reads else ASKED)).status_code in (201, 404)
    async with door(database, {}) as client:
        assert (await client.request(method, place)).status_code == 401

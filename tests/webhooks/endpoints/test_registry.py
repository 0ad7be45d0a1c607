"""Endpoints as their owner knows them: secrets and headers sealed at rest, and gone when they are deleted."""

from datetime import timedelta

import pytest
from sqlmodel import select

from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.ids import is_id
from service.kit.paging import Page, PagePosition
from service.webhooks.endpoints.registry import (
    MOST,
    NewEndpoint,
    create_endpoint,
    delete_endpoint,
    find_endpoint,
    list_endpoints,
    shown,
)
from service.webhooks.models import Endpoint, EndpointSecret
from service.webhooks.queue.record import record_attempts
from service.webhooks.sending.signing import open_secrets
from tests.webhooks.rows import (
    ACCOUNT,
    NOW,
    SEALER,
    claimed,
    deliveries,
    draft,
    finished,
    outbox,
    put,
    put_endpoint,
    states,
)

_UNHEARD_OF = "we_01jd8x6z3xe6ntqkzjv4m6q4pn"


def test_a_new_endpoint_is_shown_without_anything_secret(database: Database) -> None:
    asked = NewEndpoint(
        ACCOUNT, "live", "https://customer.example/in", ["detection.*"], "Production", {"X-Key": "sesame"}, 5
    )
    with database.writing() as session:
        endpoint, _ = create_endpoint(session, asked, SEALER, NOW)
    view = shown(endpoint, SEALER)
    assert is_id(view.pop("id"), "we")
    assert view == {
        "url": "https://customer.example/in",
        "events": ["detection.*"],
        "description": "Production",
        "headers": {"X-Key": "********"},
        "rate_limit_per_second": 5,
        "status": "enabled",
        "disabled_reason": None,
        "created_at": "2026-11-20T12:00:00.000Z",
    }


def test_what_is_secret_is_sealed_at_rest(database: Database) -> None:
    _, secret = put_endpoint(database, headers={"X-Key": "open sesame"})
    with database.reading() as session:
        endpoint, kept = session.exec(select(Endpoint)).one(), session.exec(select(EndpointSecret)).one()
    assert open_secrets(SEALER, [(kept.id, kept.sealed)]) == [secret]
    assert secret.encode() not in kept.sealed
    assert b"sesame" not in (endpoint.sealed_headers or b"")
    assert (kept.valid_from, kept.valid_until) == (NOW, None)


def test_it_may_begin_disabled(database: Database) -> None:
    with database.writing() as session:
        asked = NewEndpoint(ACCOUNT, "live", "https://customer.example/in", ["*"], disabled=True)
        endpoint, _ = create_endpoint(session, asked, SEALER, NOW)
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "by_owner")


@pytest.mark.parametrize(("account", "mode"), [("acc_2", "live"), (ACCOUNT, "test")])
def test_others_and_the_other_mode_do_not_find_it(database: Database, account: str, mode: str) -> None:
    endpoint_id, _ = put_endpoint(database)
    with database.reading() as session:
        assert find_endpoint(session, ACCOUNT, "live", endpoint_id) is not None
        assert find_endpoint(session, account, mode, endpoint_id) is None
        assert list_endpoints(session, account, mode, Page(10)) == []


@pytest.mark.parametrize("endpoint_id", ["", "we_", "we_\0", _UNHEARD_OF, "det_" + _UNHEARD_OF[3:], "we_" + "é" * 26])
def test_what_was_never_there_is_not_found(database: Database, endpoint_id: str) -> None:
    with database.reading() as session:
        assert find_endpoint(session, ACCOUNT, "live", endpoint_id) is None


def test_the_list_is_newest_first_and_goes_on_where_it_stopped(database: Database) -> None:
    with database.writing() as session:
        made = []
        for n in range(5):
            asked = NewEndpoint(ACCOUNT, "live", "https://customer.example/in", ["*"])
            made.append(create_endpoint(session, asked, SEALER, NOW + timedelta(seconds=n // 2))[0])
    newest_first = sorted(made, key=lambda each: (each.created_at, each.id), reverse=True)
    with database.reading() as session:
        first = list_endpoints(session, ACCOUNT, "live", Page(2))
        last = first[1]
        rest = list_endpoints(session, ACCOUNT, "live", Page(10, PagePosition(last.created_at, last.id)))
    assert [each.id for each in first] == [each.id for each in newest_first[:3]]
    assert [each.id for each in rest] == [each.id for each in newest_first[2:]]


def test_deleted_it_is_neither_found_nor_listed_and_nothing_waits_for_it(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database, headers={"X-Key": "sesame"})
    put(database, draft(), draft(), draft("det_2"))
    claimed(database, limit=1)
    with database.writing() as session:
        delete_endpoint(session, session.get_one(Endpoint, endpoint_id), NOW)
    assert states(database) == ["skipped"] * 3
    assert {(each.due_at, each.lease_token, each.ended_at) for each in deliveries(database)} == {(None, None, NOW)}
    with database.reading() as session:
        assert find_endpoint(session, ACCOUNT, "live", endpoint_id) is None
        assert list_endpoints(session, ACCOUNT, "live", Page(10)) == []
        assert session.get_one(Endpoint, endpoint_id).sealed_headers is None


def test_what_had_been_delivered_stays_delivered(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        record_attempts(outbox())(session, [finished(claim)])
        delete_endpoint(session, session.get_one(Endpoint, endpoint_id), NOW)
    assert states(database) == ["succeeded"]


def test_an_account_has_so_many_endpoints_in_a_mode_and_no_more(database: Database) -> None:
    made = [put_endpoint(database)[0] for _ in range(MOST)]
    with pytest.raises(CallerError) as caught:
        put_endpoint(database)
    assert (caught.value.status, caught.value.code) == (409, "too_many_endpoints")
    put_endpoint(database, mode="test")
    put_endpoint(database, account_id="acc_2")
    with database.writing() as session:
        delete_endpoint(session, session.get_one(Endpoint, made[0]), NOW)
    put_endpoint(database)

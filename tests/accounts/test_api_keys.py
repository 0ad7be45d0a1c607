"""A key opens its account until it is revoked or has expired, and is stored only as its hash."""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from sqlmodel import Session, select

from service.accounts.api_keys import (
    DEFAULT_SCOPES,
    Caller,
    account_named,
    authenticate,
    create,
    list_keys,
    note_use,
    revoke,
)
from service.accounts.models import ApiKey, Audit
from service.kit.db.database import Database
from service.kit.errors import CallerError

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def account(database: Database) -> str:
    return (await database.write(account_named, "Acme", NOW)).id


def used_at(session: Session) -> datetime | None:
    return session.exec(select(ApiKey.last_used_at)).one()


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_a_key_shows_whose_it_is_and_what_it_may(database: Database, account: str, mode: str) -> None:
    made = await database.write(create, account, mode, NOW)
    assert re.fullmatch(rf"vr_{mode}_[A-Za-z0-9_-]{{32,}}", made.text)
    assert await database.read(authenticate, made.text, NOW) == Caller(
        account, made.row.id, mode, frozenset(DEFAULT_SCOPES), use_is_noted=False
    )


async def test_the_key_itself_is_stored_nowhere(database: Database, account: str) -> None:
    made = await database.write(create, account, "live", NOW)
    (row,) = await database.read(list_keys, account)
    assert row.sha256 == sha256(made.text.encode()).hexdigest()
    assert made.text.startswith(row.prefix)
    assert made.text.endswith(row.last_four)
    assert made.text[len(row.prefix) : -4] not in repr(row)


async def test_two_keys_differ_and_admin_is_given_only_when_asked_for(database: Database, account: str) -> None:
    plain = await database.write(create, account, "live", NOW)
    admin = await database.write(create, account, "live", NOW, scopes=["admin"])
    assert plain.text != admin.text
    callers = [await database.read(authenticate, key.text, NOW) for key in (plain, admin)]
    assert [caller and caller.may("admin") for caller in callers] == [False, True]
    assert callers[1] is not None
    assert not callers[1].may("detections:read")


@pytest.mark.parametrize("text", ["", "vr_live_", "vr_live_ü", "x" * 10_000, "vr_live_" + "a" * 43])
async def test_what_is_no_key_opens_nothing(database: Database, account: str, text: str) -> None:
    await database.write(create, account, "live", NOW)
    assert await database.read(authenticate, text, NOW) is None


async def test_an_expired_key_opens_nothing_from_that_instant_on(database: Database, account: str) -> None:
    made = await database.write(create, account, "live", NOW, expires_at=NOW + SECOND)
    assert await database.read(authenticate, made.text, NOW) is not None
    assert await database.read(authenticate, made.text, NOW + SECOND) is None


async def test_a_revoked_key_opens_nothing_and_keeps_the_time_of_the_first_revocation(
    database: Database, account: str
) -> None:
    made = await database.write(create, account, "live", NOW)
    await database.write(revoke, made.row.id, NOW, actor="operator")
    again = await database.write(revoke, made.row.id, NOW + SECOND)
    assert await database.read(authenticate, made.text, NOW) is None
    assert again.revoked_at == NOW


async def test_revoking_what_does_not_exist_is_not_found(database: Database) -> None:
    with pytest.raises(CallerError) as caught:
        await database.write(revoke, "key_none", NOW)
    assert caught.value.status == 404


async def test_use_is_noted_at_most_once_a_minute(database: Database, account: str) -> None:
    made = await database.write(create, account, "live", NOW)
    for offset, expected, noted in [(0, 0, True), (59, 0, True), (60, 60, True)]:
        at = NOW + offset * SECOND
        before = await database.read(authenticate, made.text, at)
        assert before is not None
        assert before.use_is_noted is (offset == 59)
        await database.write(note_use, made.row.id, at)
        assert await database.read(used_at) == NOW + expected * SECOND
        after = await database.read(authenticate, made.text, at)
        assert after is not None
        assert after.use_is_noted is noted


async def test_making_and_revoking_leave_one_audit_line_each(database: Database, account: str) -> None:
    made = await database.write(create, account, "test", NOW)
    await database.write(revoke, made.row.id, NOW)
    await database.write(revoke, made.row.id, NOW)
    lines = await database.read(lambda session: session.exec(select(Audit).order_by("id")).all())
    assert [(line.action, line.subject, line.mode) for line in lines[1:]] == [
        ("api_key.created", made.row.id, "test"),
        ("api_key.revoked", made.row.id, "test"),
    ]


@pytest.mark.parametrize(("mode", "scopes"), [("prod", ["admin"]), ("live", ["everything"])])
async def test_unknown_modes_and_scopes_are_refused(
    database: Database, account: str, mode: str, scopes: list[str]
) -> None:
    with pytest.raises(CallerError):
        await database.write(create, account, mode, NOW, scopes=scopes)


async def test_keys_are_listed_newest_first_for_one_account_or_all(database: Database, account: str) -> None:
    other = (await database.write(account_named, "Other", NOW)).id
    first = await database.write(create, account, "live", NOW)
    second = await database.write(create, account, "live", NOW + SECOND)
    third = await database.write(create, other, "live", NOW + 2 * SECOND)
    assert [row.id for row in await database.read(list_keys, account)] == [second.row.id, first.row.id]
    assert [row.id for row in await database.read(list_keys)] == [third.row.id, second.row.id, first.row.id]

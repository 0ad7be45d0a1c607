"""The same name is always the same account."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlmodel import Session, select

from service.accounts.api_keys import account_named
from service.accounts.models import Account, Audit
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.ids import is_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def audit_actions(session: Session) -> list[str]:
    return list(session.exec(select(Audit.action)).all())


async def test_the_same_name_twice_is_the_same_account(database: Database) -> None:
    first = await database.write(account_named, "Acme", NOW)
    second = await database.write(account_named, " Acme ", NOW)
    other = await database.write(account_named, "acme", NOW)
    assert is_id(first.id, "acc")
    assert first.id == second.id != other.id
    assert first.created_at == NOW
    assert await database.read(audit_actions) == ["account.created"] * 2


async def test_many_at_once_get_one_account(database: Database) -> None:
    accounts = await asyncio.gather(*(database.write(account_named, "Acme", NOW) for _ in range(12)))
    assert len({account.id for account in accounts}) == 1
    assert len(await database.read(lambda session: session.exec(select(Account)).all())) == 1


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "a\nb", "\ud800", "x" * 256])
async def test_a_name_that_cannot_be_kept_is_refused(database: Database, name: str) -> None:
    with pytest.raises(CallerError):
        await database.write(account_named, name, NOW)

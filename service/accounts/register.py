"""Accounts by their names. Keys live in `api_keys`."""

import unicodedata
from datetime import datetime

from sqlmodel import Session, col, select

from service.accounts.models import Account, Audit
from service.kit.db.database import insert_ignoring_conflicts
from service.kit.errors import CallerError
from service.kit.ids import new_id

_MAX_NAME_CHARACTERS = 255


def account_named(session: Session, name: str, now: datetime) -> Account:
    """Return the account of this name; make it if there is none. The same name is always the same account.

    Raises `CallerError` for a name that is empty, too long or not printable.
    """
    name = _checked(name)
    connection, table = session.connection(), Account.metadata.tables["account"]
    fresh = {"id": new_id("acc"), "name": name, "created_at": now}
    made = connection.execute(insert_ignoring_conflicts(connection, table).values(fresh).returning(table.c.id)).scalar()
    if made is not None:
        session.add(Audit(account_id=made, actor="operator", action="account.created", subject=made, at=now))
    # A statement of its own: it also sees the row that another transaction has committed while we waited for it.
    return session.exec(select(Account).where(col(Account.name) == name)).one()


def _checked(name: str) -> str:
    name = name.strip()
    printable = not any(unicodedata.category(character)[0] == "C" for character in name)
    if not name or len(name) > _MAX_NAME_CHARACTERS or not printable:
        raise CallerError("invalid_name", f"An account's name is 1 to {_MAX_NAME_CHARACTERS} printable characters.")
    return name

"""API keys: made, recognised, listed and revoked here.

A key is 256 random bits, so its plain SHA-256 is enough to store: guessing it is hopeless.
"""

import secrets
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlmodel import Session, col, or_, select, update

from service.accounts.models import Account, ApiKey, Audit
from service.kit.db.database import insert_ignoring_conflicts
from service.kit.errors import CallerError, not_found
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


DEFAULT_SCOPES = ("detections:read", "detections:write", "endpoints:read", "endpoints:write", "secrets:read")
SCOPES = frozenset({*DEFAULT_SCOPES, "admin"})
MODES = ("live", "test")

LONGEST_LABEL = 100
_RANDOM_BYTES = 32
_LONGEST_KEY = 200
_PREFIX_CHARACTERS = len("vr_live_") + 4
_USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is the key itself, seen here and never again."""

    row: ApiKey
    text: str


@dataclass(frozen=True, slots=True)
class Caller:
    """The account that a key belongs to, and the key's mode and scopes."""

    account_id: str
    key_id: str
    mode: str
    scopes: frozenset[str]
    use_is_noted: bool = True  # false: `note_use` is due

    def may(self, scope: str) -> bool:
        """Return True if the key carries this scope. `admin` is a scope of its own and implies no other."""
        return scope in self.scopes


def create(
    session: Session,
    account_id: str,
    mode: str,
    now: datetime,
    *,
    scopes: Collection[str] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
    label: str | None = None,
    actor: str = "operator",
) -> NewKey:
    """Make a key of this account. Raise `CallerError` for a mode or scope that does not exist, or too long a label."""
    _check_words(mode, scopes)
    if label is not None and not (label.isprintable() and 0 < len(label) <= LONGEST_LABEL):
        raise CallerError("invalid_label", f"A key's label is 1 to {LONGEST_LABEL} printable characters.")
    text = f"vr_{mode}_{secrets.token_urlsafe(_RANDOM_BYTES)}"
    row = ApiKey(
        id=new_id("key"),
        account_id=account_id,
        mode=mode,
        sha256=_digest(text),
        prefix=text[:_PREFIX_CHARACTERS],
        last_four=text[-4:],
        scopes=" ".join(sorted(scopes)),
        label=label,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    _note(session, row, actor, "api_key.created", now)
    return NewKey(row, text)


def authenticate(session: Session, key_text: str, now: datetime) -> Caller | None:
    """Return the owner of this key; `None` if it is unknown, revoked or expired. Writes nothing: see `note_use`."""
    if len(key_text) > _LONGEST_KEY or not key_text.isascii():
        return None
    row = session.exec(select(ApiKey).where(col(ApiKey.sha256) == _digest(key_text))).one_or_none()
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    noted = row.last_used_at is not None and row.last_used_at > now - _USE_NOTED_EVERY
    return Caller(row.account_id, row.id, row.mode, frozenset(row.scopes.split()), use_is_noted=noted)


def note_use(session: Session, key_id: str, now: datetime) -> None:
    """Set `last_used_at` to `now`, unless it is less than a minute old: a busy key must not write at every request."""
    last = col(ApiKey.last_used_at)
    due = or_(last.is_(None), last <= now - _USE_NOTED_EVERY)
    session.exec(update(ApiKey).where(col(ApiKey.id) == key_id, due).values(last_used_at=now))


def list_keys(session: Session, account_id: str | None = None) -> Sequence[ApiKey]:
    """Return the keys of one account, or of all, newest first; revoked ones too."""
    query = select(ApiKey).order_by(col(ApiKey.created_at).desc(), col(ApiKey.id).desc())
    return session.exec(query if account_id is None else query.where(col(ApiKey.account_id) == account_id)).all()


def revoke(session: Session, key_id: str, now: datetime, *, actor: str = "operator") -> ApiKey:
    """Revoke the key; a second time changes nothing. Raise `CallerError` 404 where there is no such key."""
    row = session.exec(select(ApiKey).where(col(ApiKey.id) == key_id).with_for_update()).one_or_none()
    if row is None:
        raise not_found("API key")
    if row.revoked_at is None:
        row.revoked_at = now
        session.add(row)
        _note(session, row, actor, "api_key.revoked", now)
    return row


def _check_words(mode: str, scopes: Collection[str]) -> None:
    if mode not in MODES:
        raise CallerError("invalid_mode", f"The mode of a key is one of {', '.join(MODES)}.")
    if unknown := sorted(set(scopes) - SCOPES):
        raise CallerError(
            "invalid_scope", f"No such scope: {', '.join(unknown)}. There are {', '.join(sorted(SCOPES))}."
        )


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _note(session: Session, row: ApiKey, actor: str, action: str, now: datetime) -> None:
    line = Audit(account_id=row.account_id, mode=row.mode, actor=actor, action=action, subject=row.id, at=now)
    session.add(line)

"""Account-level callback addresses: a stored random secret each, with its own rotation.

Stored, not derived, so that rotating `SECRET_KEYS` does not silently cut a vendor off.
"""

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from service.callbacks.models import CallbackAddress
from service.kit.db.database import Database, advisory_lock
from service.kit.ids import new_id
from service.kit.security.resealing import Sealed
from service.kit.security.sealing import Sealer
from service.kit.security.tokens import BadToken, Tokens

PURPOSE = "callback-address"
_REMEMBERED = timedelta(minutes=1)
_MOST_REMEMBERED = 1_000


def address_token(session: Session, mode: str, vendor: str, sealer: Sealer, now: datetime) -> str:
    """Return the secret part of the vendor's present address; make it at the first call."""
    advisory_lock(session, f"callback-address:{mode}:{vendor}")
    row = _present(session, mode, vendor)
    return sealer.open(PURPOSE, row.id, row.sealed_token).decode() if row else _new(session, mode, vendor, sealer, now)


def rotate_address(
    session: Session, mode: str, vendor: str, sealer: Sealer, *, overlap: timedelta, now: datetime
) -> str:
    """Make and return a fresh secret; the one before it is still taken for `overlap`."""
    advisory_lock(session, f"callback-address:{mode}:{vendor}")
    if (before := _present(session, mode, vendor)) is not None:
        before.valid_until = now + overlap
    return _new(session, mode, vendor, sealer, now)


def mode_of_address(session: Session, vendor: str, token: str, now: datetime) -> str | None:
    """Return the mode this token is an address of; `None` for an unknown token, or one that was retired."""
    found = find_address(session, vendor, token, now)
    return found[0] if found else None


def find_address(session: Session, vendor: str, token: str, now: datetime) -> tuple[str, datetime | None] | None:
    """Return the mode this token is an address of and when it ends; `None` if it is none, or one that was retired."""
    statement = select(CallbackAddress.mode, CallbackAddress.valid_until).where(
        CallbackAddress.token_sha256 == _digest(token),
        CallbackAddress.vendor == vendor,
        or_(col(CallbackAddress.valid_until).is_(None), col(CallbackAddress.valid_until) > now),
    )
    return session.exec(statement).first()


class KnownAddresses:
    """The account addresses at which callbacks came lately: each is looked up once a minute, and not for each callback.

    Only good ones are remembered, so that strangers fill nothing up. One that is retired at once is taken for up to a
    minute more.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[str, datetime, datetime]] = OrderedDict()

    async def mode(self, database: Database, vendor: str, token: str, now: datetime) -> str | None:
        """Return the mode this token is an address of, or `None`."""
        known = self._known.get((vendor, token))
        if known is not None and known[1] <= now < known[2]:  # a clock that was set back has it looked up again
            return known[0]
        found = await database.read(find_address, vendor, token, now)
        if found is None:
            self._known.pop((vendor, token), None)
            return None
        mode, ends_at = found
        until = now + _REMEMBERED
        self._known[vendor, token] = mode, now, until if ends_at is None else min(until, ends_at)
        while len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
        return mode


def _present(session: Session, mode: str, vendor: str) -> CallbackAddress | None:
    statement = select(CallbackAddress).where(
        CallbackAddress.mode == mode, CallbackAddress.vendor == vendor, col(CallbackAddress.valid_until).is_(None)
    )
    return session.exec(statement).first()


def _new(session: Session, mode: str, vendor: str, sealer: Sealer, now: datetime) -> str:
    token, row_id = secrets.token_urlsafe(24), new_id("cad")
    session.add(
        CallbackAddress(
            id=row_id,
            mode=mode,
            vendor=vendor,
            token_sha256=_digest(token),
            sealed_token=sealer.seal(PURPOSE, row_id, token.encode()),
            created_at=now,
        )
    )
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


_PURPOSE = "callback"


@dataclass(frozen=True, slots=True)
class RunAddress:
    """What the token in such an address says."""

    mode: str
    vendor: str
    run_id: str


def sign_address(tokens: Tokens, address: RunAddress, expires_at: datetime) -> str:
    """Return the token; it cannot be made up without our keys."""
    return tokens.sign(_PURPOSE, [address.mode, address.vendor, address.run_id], expires_at=expires_at)


def read_address(tokens: Tokens, token: str, now: datetime) -> RunAddress:
    """Return what the token carries. Raise `BadToken` if it is forged, expired, or something else."""
    match tokens.read(_PURPOSE, token, now=now):
        case [str(mode), str(vendor), str(run_id)]:
            return RunAddress(mode, vendor, run_id)
    raise BadToken("signed by us, but no callback address")


SEALED = (Sealed(CallbackAddress, "id", "sealed_token", PURPOSE, lambda row: str(row.id)),)

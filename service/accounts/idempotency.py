"""The record that makes a repeated POST harmless: its first answer, kept for a day under a key of the caller's.

It is written in the transaction of what the POST makes: both are there, or neither, and a crash leaves no lock behind.
What a refused POST was told is not kept, so a mended one may use the same key. HTTP is the doors' business, and that
expired records go is `retention`'s.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, delete, select

from service.accounts.models import Idempotency
from service.kit.db.database import try_advisory_lock
from service.kit.errors import CallerError
from service.kit.security.resealing import Sealed
from service.kit.security.sealing import Sealer

KEPT = timedelta(hours=24)
PURPOSE = "idempotency"


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What a request is answered with. `body` is what JSON can carry; `None`: no body at all."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """A POST that may come again: whose it is, where it went, its key, and a digest of all it said."""

    account_id: str
    mode: str
    route: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class IdempotentAnswer:
    """The answer; `replayed` says that it is the first one again, and that nothing was done."""

    answer: ApiAnswer
    replayed: bool


def answer_once(
    session: Session, asked: RequestIdentity, work: Callable[[Session], ApiAnswer], sealer: Sealer, now: datetime
) -> IdempotentAnswer:
    """Return what `work(session)` answered, now or at the first request.

    Raises `CallerError`: 409 while another transaction is at it, 422 where the key came with another request before;
    and whatever `work` raises. On SQLite writers are alone: a twin waits, and finds the first answer.
    """
    if not try_advisory_lock(session, f"{PURPOSE}/{owner_of(asked)}"):
        detail = "The first request with this Idempotency-Key is still in progress. Send this one again in a moment."
        raise CallerError("idempotency_key_in_use", detail, status=409, headers={"Retry-After": "1"})
    first = first_answer(session, asked, sealer, now)
    if first is not None:
        return IdempotentAnswer(first, replayed=True)
    session.exec(delete(Idempotency).where(*_same(asked)))  # one that has expired
    answer = work(session)
    kept = json.dumps({"body": answer.body, "headers": dict(answer.headers)}).encode()
    session.add(
        Idempotency(
            account_id=asked.account_id,
            mode=asked.mode,
            route=asked.route,
            key=asked.key,
            fingerprint=asked.fingerprint,
            status=answer.status,
            answer=sealer.seal(PURPOSE, owner_of(asked), kept),
            expires_at=now + KEPT,
        )
    )
    return IdempotentAnswer(answer, replayed=False)


def first_answer(session: Session, asked: RequestIdentity, sealer: Sealer, now: datetime) -> ApiAnswer | None:
    """Return the answer to the first request with this key; `None` where there was none within a day.

    Raise `CallerError` 422 where the key came with another request, and `SealBroken` where no key opens the answer
    any more: to do the work again would be worse.
    """
    record = session.exec(select(Idempotency).where(*_same(asked), col(Idempotency.expires_at) > now)).one_or_none()
    if record is None:
        return None
    if record.fingerprint != asked.fingerprint:
        detail = "This Idempotency-Key was used with a different request before. Use a new key for each new request."
        raise CallerError("idempotency_key_reused", detail)
    kept = json.loads(sealer.open(PURPOSE, owner_of(record), record.answer))
    return ApiAnswer(record.status, kept["body"], kept["headers"])


def owner_of(record: RequestIdentity | Idempotency) -> str:
    """Return what a sealed answer is bound to. The key comes last: only it may contain any character."""
    return f"{record.account_id}\n{record.mode}\n{record.route}\n{record.key}"


def _same(asked: RequestIdentity) -> tuple[Any, ...]:
    return (
        col(Idempotency.account_id) == asked.account_id,
        col(Idempotency.mode) == asked.mode,
        col(Idempotency.route) == asked.route,
        col(Idempotency.key) == asked.key,
    )


SEALED = (Sealed(Idempotency, "id", "answer", PURPOSE, owner_of),)

"""Taking callbacks in: judged without the database, stored many in one transaction, acknowledged after the commit.

Nothing here touches a run. What was taken in is thought about later, in `process`.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update
from sqlmodel import Session, col, func, select

from service.callbacks.models import CALLBACK_COLUMNS, Callback, CallbackHandOff, ClaimedCallback
from service.callbacks.quarantine import (
    QUARANTINED_BYTES,
    STRANGER,
    STRANGERS_BYTES,
    drop_oldest,
    room_for_strangers,
)
from service.kit.db.columns import table_of
from service.kit.db.database import after_commit, insert_ignoring_conflicts_on, notify_on_commit
from service.kit.ids import new_id
from service.runs.state.lifecycle import CallbackState

TOPIC = "callbacks"
MAX_PER_SUBJECT = 20
_HANDED_BYTES = 64 * 1024  # a larger body is not kept in memory until its turn comes
# Each vendor's signature names its time in a header of its own. A stranger may send any number of those.
_KEPT_HEADERS = re.compile("content-type|user-agent|x-request-id|x-[a-z]{1,24}-timestamp")
_MOST_HEADERS = 8

Key = tuple[str, str, str, str]
Subject = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A callback as it came, judged. `subject` is the run or the vendor's job it speaks of.

    `run_id` is whose address a rejected one came to, where it was one run's own.
    """

    mode: str
    vendor: str
    subject: str
    job_id: str | None
    body: bytes
    headers: Mapping[str, str]
    authenticity: str
    received_at: datetime
    quarantined: bool = False
    note: str | None = None
    run_id: str | None = None

    @property
    def stranger(self) -> bool:
        """Return True if it came without a good token."""
        return self.quarantined and self.note == STRANGER

    @property
    def kept_bytes(self) -> bytes:
        """What of the body is stored."""
        if self.quarantined:
            return self.body[: STRANGERS_BYTES if self.stranger else QUARANTINED_BYTES]
        return self.body

    @property
    def key(self) -> Key:
        """What makes it the same as another: two callbacks of one second may differ by nothing but the body."""
        return (*self.about, hashlib.sha256(self.body).hexdigest())

    @property
    def about(self) -> Subject:
        """The id of what it is about."""
        return (self.mode, self.vendor, self.subject)


def store_callbacks(
    session: Session, batch: Sequence[Arrived], hand_off: CallbackHandOff | None = None
) -> Sequence[bool]:
    """Write a batch of `GroupCommit`; each answer says whether the callback is new. Others are counted.

    What is new is handed to this process's processor, if it has one with room, already leased.
    """
    keyed = [(arrived, arrived.key) for arrived in batch]
    kept = _within_limits(session, keyed)
    fresh = _store(session, {key: _row(arrived, key) for arrived, key in kept}, hand_off)
    _make_room(session, [arrived for arrived, key in kept if key in fresh])
    answers = _are_new(keyed, fresh)
    again = [key for (arrived, key), new in zip(keyed, answers, strict=True) if not (new or arrived.stranger)]
    if again:
        _count_again(session, again, beyond=_keys(keyed) - _keys(kept))
    return answers


def _store(session: Session, rows: Mapping[Key, dict[str, Any]], hand_off: CallbackHandOff | None) -> set[Key]:
    """Write those that are new, and let them be thought about; return their keys."""
    due = [row for row in rows.values() if row["due_at"] is not None]
    leased = _lease(due, hand_off)
    fresh = _insert(session, rows)
    if hand_off is not None and leased:
        claimed = [_claimed(row) for key, row in rows.items() if key in fresh and row["due_at"] is not None]
        after_commit(session, lambda: hand_off.take(claimed))
    elif due:
        notify_on_commit(session, TOPIC)
    return fresh


def _keys(keyed: Iterable[tuple[Arrived, Key]]) -> set[Key]:
    return {key for _, key in keyed}


def _make_room(session: Session, stored: Iterable[Arrived]) -> None:
    """Let the oldest of those rejected go out for those that came in."""
    rejected = (arrived for arrived in stored if arrived.quarantined and not arrived.stranger)
    drop_oldest(session, ((arrived.mode, arrived.vendor) for arrived in rejected))


def _are_new(keyed: Sequence[tuple[Arrived, Key]], fresh: Collection[Key]) -> list[bool]:
    """Return whether each is stored by this batch: of two that are the same the first is."""
    unclaimed, answers = set(fresh), []
    for _, key in keyed:
        answers.append(key in unclaimed)
        unclaimed.discard(key)
    return answers


def _lease(due: Sequence[dict[str, Any]], hand_off: CallbackHandOff | None) -> bool:
    """Lease these rows for this process's processor, if it has one that takes them all."""
    if hand_off is None or not due or any(len(row["body"]) > _HANDED_BYTES for row in due):
        return False
    if (lease := hand_off.reserve(len(due))) is None:
        return False
    for row in due:
        row["lease_token"], row["due_at"] = lease
    return True


def callbacks_seen(session: Session, run_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """By run: how many authentic callbacks spoke of it, and how many of those were the same again."""
    rows = session.exec(
        select(
            Callback.run_id,
            func.sum(Callback.times_received + Callback.overflow_count),
            func.sum(Callback.times_received - 1),
        )
        .where(col(Callback.run_id).in_(run_ids), col(Callback.state) != CallbackState.QUARANTINED.value)
        .group_by(col(Callback.run_id))
    )
    return {run_id: (int(seen), int(same)) for run_id, seen, same in rows if run_id is not None}


def _insert(session: Session, rows: Mapping[Key, dict[str, Any]]) -> set[Key]:
    if not rows:
        return set()
    # In one order, here and below: of two batches with the same callbacks neither waits for a row and holds another.
    ordered = [rows[key] for key in sorted(rows)]
    connection = session.connection()
    stored = connection.execute(_INSERT[connection.dialect.name], ordered)
    return {(row[0], row[1], row[2], row[3]) for row in stored}


def _row(arrived: Arrived, key: Key) -> dict[str, Any]:
    mode, vendor, subject, digest = key
    kept = [(name, value[:200]) for name, value in arrived.headers.items() if _KEPT_HEADERS.fullmatch(name)]
    headers = dict(kept[:_MOST_HEADERS])
    return {
        "id": new_id("cbk"),
        "mode": mode,
        "vendor": vendor,
        "subject": subject,
        "job_id": arrived.job_id,
        "run_id": arrived.run_id,
        "body_sha256": digest,
        "body": arrived.kept_bytes,
        "headers_json": json.dumps(headers),
        "authenticity": arrived.authenticity,
        "state": (CallbackState.QUARANTINED if arrived.quarantined else CallbackState.DUE).value,
        "note": arrived.note,
        "received_at": arrived.received_at,
        "times_received": 1,
        "overflow_count": 0,
        "tries": 0,
        "due_at": None if arrived.quarantined else arrived.received_at,
        "lease_token": None,
    }


def _claimed(row: Mapping[str, Any]) -> ClaimedCallback:
    return ClaimedCallback(**{column.name: row[column.name] for column in CALLBACK_COLUMNS})


def _count_again(session: Session, again: Sequence[Key], *, beyond: set[Key]) -> None:
    """Count the same body on its row, and a further body, beyond what is kept, on the first row for all."""
    _execute(session, _SAME_BODY, (_binds(key) for key in sorted(again) if key not in beyond))
    _execute(session, _FURTHER_BODY, (_binds(key, digest=False) for key in sorted(again) if key in beyond))


def _execute(session: Session, statement: Any, binds: Iterable[dict[str, str]]) -> None:
    if parameters := list(binds):
        session.connection().execute(statement, parameters)


def _binds(key: Key, *, digest: bool = True) -> dict[str, str]:
    binds = dict(zip(("the_mode", "the_vendor", "the_subject"), key[:3], strict=True))
    return binds | {"the_digest": key[3]} if digest else binds


def _within_limits(session: Session, keyed: Sequence[tuple[Arrived, Key]]) -> list[tuple[Arrived, Key]]:
    """Those there is still room for: so many a subject, so many strangers' ones a vendor. Known bodies pass.

    Of the other rejected ones all pass: the oldest make room.
    """
    stored = _stored(session, {arrived.about for arrived, _ in keyed if not arrived.quarantined})
    vendors = {arrived.vendor for arrived, _ in keyed if arrived.stranger}
    room = Counter({vendor: room_for_strangers(session, vendor) for vendor in vendors})
    return [(arrived, key) for arrived, key in keyed if _fits(arrived, key, stored, room)]


def _fits(arrived: Arrived, key: Key, stored: dict[Subject, set[str]], room: Counter[str]) -> bool:
    if arrived.stranger:
        room[arrived.vendor] -= 1
        return room[arrived.vendor] >= 0
    if arrived.quarantined:
        return True
    bodies = stored.setdefault(arrived.about, set())
    bodies.add(key[3])
    if len(bodies) <= MAX_PER_SUBJECT:
        return True
    bodies.discard(key[3])
    return False


def _stored(session: Session, subjects: set[Subject]) -> dict[Subject, set[str]]:
    found: dict[Subject, set[str]] = {}
    if subjects:
        modes, vendors, names = (sorted({subject[place] for subject in subjects}) for place in range(3))
        rows = session.connection().execute(_STORED, {"modes": modes, "vendors": vendors, "subjects": names})
        for mode, vendor, subject, digest in rows:
            found.setdefault((mode, vendor, subject), set()).add(digest)
    return found


# Built once: to build them anew would cost more than all else that a batch does.
_CALLBACK = table_of(Callback)
_KEY = (_CALLBACK.c.mode, _CALLBACK.c.vendor, _CALLBACK.c.subject, _CALLBACK.c.body_sha256)
_INSERT = {name: insert_ignoring_conflicts_on(name, _CALLBACK).returning(*_KEY) for name in ("postgresql", "sqlite")}
# Mode and vendor stand first in the unique index: without them every callback ever stored would be looked at.
_STORED = select(*_KEY).where(
    _CALLBACK.c.mode.in_(bindparam("modes", expanding=True)),
    _CALLBACK.c.vendor.in_(bindparam("vendors", expanding=True)),
    _CALLBACK.c.subject.in_(bindparam("subjects", expanding=True)),
)
_OF_SUBJECT = (
    _CALLBACK.c.mode == bindparam("the_mode"),
    _CALLBACK.c.vendor == bindparam("the_vendor"),
    _CALLBACK.c.subject == bindparam("the_subject"),
)
_SAME_BODY = (
    update(_CALLBACK)
    .where(*_OF_SUBJECT, _CALLBACK.c.body_sha256 == bindparam("the_digest"))
    .values(times_received=_CALLBACK.c.times_received + 1)
)
_FURTHER_BODY = (
    update(_CALLBACK)
    .where(_CALLBACK.c.id == select(func.min(_CALLBACK.c.id)).where(*_OF_SUBJECT).scalar_subquery())
    .values(overflow_count=_CALLBACK.c.overflow_count + 1)
)

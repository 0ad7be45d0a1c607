"""What callbacks make of their runs, many in one transaction: decided on, saved, and each in the state it is in now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlmodel import Session

from service.callbacks.correlate import (
    Match,
    correlate,
    correlation_lock_key,
    keys_of,
    names_of,
    pass_keys,
)
from service.callbacks.intake import TOPIC
from service.callbacks.models import Callback, ClaimedCallback
from service.callbacks.queries import ERASED
from service.callbacks.states import CALLBACK, DECIDED, CallbackInput
from service.detectors.reading import Reading
from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.runs.decide.workbench import Decision
from service.runs.inputs import CallbackEnd, CallbackReceived, VendorAnswer
from service.runs.load.load import load
from service.runs.load.load_related import complete_facts
from service.runs.load.snapshot import FactsNeededError, Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.save import save
from service.runs.state.lifecycle import CallbackState
from service.runs.step import Done, Missed, decide_all

_MAX_TRIES = 5
_PARKED = "parked until its run knew the job"

_CALLBACK = table_of(Callback)
_HAD_EFFECT = (CallbackState.APPLIED.value, CallbackState.LATE.value)
_STORED = select(
    _CALLBACK.c.id, _CALLBACK.c.lease_token, _CALLBACK.c.run_id, _CALLBACK.c.body_sha256, _CALLBACK.c.subject,
    _CALLBACK.c.state,
)  # fmt: skip
_STILL_OURS = _STORED.where(_CALLBACK.c.id.in_(bindparam("ids", expanding=True)))
# Two looks in one statement; by OR, SQLite would read the whole table.
_OURS_OR_SAID_BEFORE = _STILL_OURS.union_all(
    _STORED.where(
        _CALLBACK.c.run_id.in_(bindparam("runs", expanding=True)),
        _CALLBACK.c.body_sha256.in_(bindparam("hashes", expanding=True)),
        _CALLBACK.c.state.in_(_HAD_EFFECT),
    )
)
_SETTLE = (
    update(_CALLBACK)
    .where(_CALLBACK.c.id == bindparam("the_id"))
    .values(
        state=bindparam("state"),
        note=bindparam("note"),
        run_id=bindparam("run_id"),
        due_at=bindparam("due_at"),
        expires_at=bindparam("expires_at"),
        lease_token=None,
    )
)
_COUNT_DOUBLE = (
    update(_CALLBACK)
    .where(_CALLBACK.c.id == bindparam("the_id"))
    .values(
        times_received=_CALLBACK.c.times_received + bindparam("received"),
        overflow_count=_CALLBACK.c.overflow_count + bindparam("overflow"),
    )
)
_DROP = delete(_CALLBACK).where(_CALLBACK.c.id == bindparam("the_id"))
_ERASE = update(_CALLBACK).where(_CALLBACK.c.id == bindparam("the_id")).values(ERASED)
_FAILED = update(_CALLBACK).where(_CALLBACK.c.id == bindparam("the_id"), _CALLBACK.c.lease_token == bindparam("token"))
_TRY_AGAIN = _FAILED.values(tries=_CALLBACK.c.tries + 1)
_STUCK = CALLBACK.advance(CallbackState.DUE, CallbackInput.GIVEN_UP).value
_GIVE_UP = _FAILED.values(tries=_CALLBACK.c.tries + 1, state=_STUCK, due_at=None, lease_token=None)


@dataclass(frozen=True, slots=True)
class ReadCallback:
    """A claimed callback, whose it is, and what its vendor says of that run; `None` where it speaks of none."""

    callback: ClaimedCallback
    match: Match
    answer: VendorAnswer | None


def process_callbacks(
    session: Session, ready: Sequence[ReadCallback], policy: DetectionPolicy, now: datetime, *, wait: bool
) -> list[str | Exception | None]:
    """Let the callbacks have their effect; return the state that each is in now.

    `merged`: one that said the same came before. `None`: another transaction has its run's rows now.
    """
    known, strangers = _told_apart(ready, policy)
    inputs = [_input(each) for each in known]
    facts = any(_claims_an_end(each) for each in known)
    before = load(session, inputs, policy, now, wait=wait, facts=facts) if inputs else Snapshot({}, {})
    connection = session.connection()
    stored = _stored(connection, ready, known, before)
    ours = _still_ours(ready, stored)
    doubled = _doubled(known, before, ours, stored)
    wanted = [each for each in known if _is_new(each, ours, doubled)]
    happened = [_input(each) for each in wanted]
    try:
        done, decisions, after = decide_all(before, happened, policy, now)
    except FactsNeededError:
        before = complete_facts(session, before, policy)
        done, decisions, after = decide_all(before, happened, policy, now)
    ends = _ends_of_others(ready, ours)
    settled = _all_settled(wanted, done, ends, policy)
    strangers = [each for each in strangers if each.id in ours]
    _pass_all_keys(connection, strangers, decisions, after)
    settled += _park(session, strangers, ends, policy, now)
    # Before the runs: what is parked here is woken again by what they learn in this very batch.
    _write(connection, settled, _merges(known, ours, doubled))
    if inputs:
        save(session, before, decisions, policy, now)
    return [ends[each.callback.id] for each in ready]


def _told_apart(
    ready: Sequence[ReadCallback], policy: DetectionPolicy
) -> tuple[list[ReadCallback], list[ClaimedCallback]]:
    """Return those whose run is known and whose vendor is configured, and the others."""
    known = [each for each in ready if each.match.run_id is not None and _is_configured(each, policy)]
    return known, [each.callback for each in ready if each not in known]


def _ends_of_others(ready: Sequence[ReadCallback], ours: set[str]) -> dict[str, str | Exception | None]:
    """Return what became of those that are not decided on: they are merged, or another's."""
    return {each.callback.id: "merged" if each.callback.id in ours else "lease_lost" for each in ready}


def _input(ready: ReadCallback) -> CallbackReceived:
    callback, match = ready.callback, ready.match
    if match.run_id is None:
        raise ValueError("a callback without a run is parked")
    new = callback.run_id is None
    counts = (callback.times_received + callback.overflow_count, callback.times_received - 1) if new else (0, 0)
    return CallbackReceived(
        match.run_id,
        callback.id,
        callback.received_at,
        callback.job_id,
        ready.answer,
        by_name=match.by_name,
        announced=match.announced,
        certificate_known=match.certificate_known,
        counts=counts,
    )


def _claims_an_end(ready: ReadCallback) -> bool:
    """Return True if a result is likely to be composed."""
    parsed = ready.answer.parsed if ready.answer is not None else None
    return isinstance(parsed, Reading) and parsed.claims_an_end


def _is_configured(ready: ReadCallback, policy: DetectionPolicy) -> bool:
    return policy.catalogue.configured(ready.callback.mode, ready.callback.vendor) is not None


def _stored(
    connection: Connection, ready: Sequence[ReadCallback], known: Sequence[ReadCallback], before: Snapshot
) -> Sequence[Any]:
    """Return these callbacks, read under their runs' locks, and earlier ones with the same body for these runs."""
    ids = [each.callback.id for each in ready]
    runs = sorted({run_id for each in known if (run_id := _final_run(each, before))})
    if not runs:
        return connection.execute(_STILL_OURS, {"ids": ids}).all()
    hashes = sorted({each.callback.body_sha256 for each in known})
    return connection.execute(_OURS_OR_SAID_BEFORE, {"ids": ids, "runs": runs, "hashes": hashes}).all()


def _still_ours(ready: Sequence[ReadCallback], stored: Sequence[Any]) -> set[str]:
    """Return the callbacks whose lease is ours."""
    found = {row.id: row.lease_token for row in stored}
    return {each.callback.id for each in ready if found.get(each.callback.id, "") == each.callback.lease_token}


_Doubles = dict[str, str]


def _doubled(known: Sequence[ReadCallback], before: Snapshot, ours: set[str], stored: Sequence[Any]) -> _Doubles:
    """Which callbacks say what came for their run at another address of ours before, and which one that was."""
    runs = {each.callback.id: _final_run(each, before) for each in known}
    said = {(row.run_id, row.body_sha256): (row.id, row.subject) for row in stored if row.state in _HAD_EFFECT}
    doubled: _Doubles = {}
    for each in known:
        callback = each.callback
        key = (runs[callback.id], callback.body_sha256)
        first = said.get(key)
        if first is not None and first[0] != callback.id and first[1] != callback.subject:
            doubled[callback.id] = first[0]
        elif callback.id in ours and key[0] is not None:
            said.setdefault(key, (callback.id, callback.subject))
    return doubled


def _final_run(ready: ReadCallback, before: Snapshot) -> str | None:
    run_id = ready.match.run_id
    while run_id is not None and run_id in before.successors:
        run_id = before.successors[run_id]
    return run_id


def _is_new(ready: ReadCallback, ours: set[str], doubled: _Doubles) -> bool:
    return ready.callback.id in ours and ready.callback.id not in doubled


def _merges(known: Sequence[ReadCallback], ours: set[str], doubled: _Doubles) -> list[tuple[ClaimedCallback, str]]:
    return [
        (each.callback, doubled[each.callback.id])
        for each in known
        if each.callback.id in ours and each.callback.id in doubled
    ]


def _all_settled(
    decided: Sequence[ReadCallback],
    done: Sequence[Done | Missed],
    ends: dict[str, str | Exception | None],
    policy: DetectionPolicy,
) -> list[dict[str, Any]]:
    """Return the rows of those that stand differently now; `ends` gets what became of each."""
    rows = (_settled(each.callback, result, ends, policy) for each, result in zip(decided, done, strict=True))
    return [row for row in rows if row is not None]


def _settled(
    callback: ClaimedCallback, result: Done | Missed, ends: dict[str, str | Exception | None], policy: DetectionPolicy
) -> dict[str, Any] | None:
    """Return the callback's row as it is now; `None` where it stays as it was."""
    if isinstance(result, Missed):
        ends[callback.id] = None
        return None
    if result.error is not None:
        ends[callback.id] = result.error
        return None
    end: CallbackEnd = result.outcome
    ends[callback.id] = end.state.value
    note = end.note or (_PARKED if end.state is CallbackState.PARKED else callback.note)
    return {**_row(callback, DECIDED[end.state], note, end.run_id, policy), "erase": end.erase}


def _row(
    callback: ClaimedCallback, happening: CallbackInput, note: str | None, run_id: str | None, policy: DetectionPolicy
) -> dict[str, Any]:
    """Return the row of a claimed callback, which is due, after this happened to it."""
    return {
        "the_id": callback.id,
        "state": CALLBACK.advance(CallbackState.DUE, happening).value,
        "note": note,
        "run_id": run_id or callback.run_id,
        "due_at": None,
        "expires_at": callback.received_at + timedelta(seconds=policy.catalogue.longest_deadline()),
        "erase": False,
    }


def _pass_all_keys(
    connection: Connection, strangers: Sequence[ClaimedCallback], decisions: Sequence[Decision], after: Snapshot
) -> None:
    """Take the keys of the names that are about to be parked and of those that runs learn, in one order."""
    known = {run_id for decision in decisions for run_id in decision.names_known}
    taught = [after.runs[run_id] for run_id in sorted(known)]
    parked = (correlation_lock_key(each.mode, each.vendor, each.subject) for each in strangers)
    pass_keys(connection, [*parked, *keys_of(taught, names_of(connection, taught))])


def _park(
    session: Session,
    strangers: Sequence[ClaimedCallback],
    ends: dict[str, str | Exception | None],
    policy: DetectionPolicy,
    now: datetime,
) -> list[dict[str, Any]]:
    """Park callbacks of runs that we do not know yet.

    Their run may be learning its job just now: both pass the name's key, and one of the two sees the other. What is
    found only then comes with the next batch, because a detection is locked first of all.
    """
    if not strangers:
        return []
    rows: list[dict[str, Any]] = []
    for callback, match in zip(strangers, correlate(session, strangers, policy.catalogue), strict=True):
        found = match.run_id is not None and policy.catalogue.configured(callback.mode, callback.vendor) is not None
        happening = CallbackInput.FOUND if found else CallbackInput.PARKED
        row = _row(callback, happening, callback.note if found else _PARKED, None, policy)
        ends[callback.id] = row["state"]
        rows.append({**row, "due_at": now if found else None})
        if found:
            notify_on_commit(session, TOPIC)
    return rows


def _write(
    connection: Connection, settled: Sequence[dict[str, Any]], merges: Sequence[tuple[ClaimedCallback, str]]
) -> None:
    erased = [{"the_id": row["the_id"]} for row in settled if row["erase"]]
    if settled:
        ordered = sorted(settled, key=lambda row: str(row["the_id"]))
        connection.execute(_SETTLE, [{name: row[name] for name in row if name != "erase"} for row in ordered])
    if erased:
        connection.execute(_ERASE, erased)
    if merges:
        doubles = [
            {"the_id": first, "received": callback.times_received, "overflow": callback.overflow_count}
            for callback, first in merges
        ]
        connection.execute(_COUNT_DOUBLE, doubles)
        connection.execute(_DROP, [{"the_id": callback.id} for callback, _ in merges])


def note_failure(session: Session, one: ClaimedCallback) -> None:
    """Count a try that failed; the fifth puts the callback aside as `stuck`."""
    statement = _GIVE_UP if one.tries + 1 >= _MAX_TRIES else _TRY_AGAIN
    session.connection().execute(statement, {"the_id": one.id, "token": one.lease_token})

"""Gates' rows, made where they are missing and locked until the transaction ends; and requests that belong to no run.

Always locked in the order of their names, all at once, and last: a transaction with a gate's lock waits for no other
row. So two workers never wait for one another. A request for the quota or a certificate passes the gate too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import tuple_
from sqlmodel import Session, col, select

from service.detectors.catalogue import Limits
from service.kit.db.columns import table_of
from service.kit.db.database import after_commit, insert_ignoring_conflicts
from service.kit.telemetry.metrics import Count
from service.quotas.circuit import Circuit
from service.quotas.feedback import GateFeedback, apply_feedback, news_of
from service.quotas.gates import OUT_OF_CREDIT, Purpose, Throttled, acquire, check_gate, leave_later
from service.quotas.models import Gate

log = structlog.get_logger()

CIRCUITS_OPENED = Count("relay_circuits_opened_total", "Circuits that opened towards a vendor.", "vendor", "mode")
UNPAID = Count("relay_vendors_out_of_credit_total", "Times a vendor wanted to be paid first.", "vendor", "mode")

_A_SECOND = timedelta(seconds=1)
_EVERY_GATE = select(Gate).execution_options(populate_existing=True)

GateKey = tuple[str, str]
"""Mode and vendor, as the catalogue has them."""


def read_gates(session: Session) -> dict[GateKey, Gate]:
    """Return every gate, unlocked: enough to see which ones have to be locked."""
    return {(gate.mode, gate.vendor): gate for gate in session.exec(_EVERY_GATE)}


def lock_gates(
    session: Session, keys: Collection[GateKey], known: Mapping[GateKey, Gate] | None = None
) -> dict[GateKey, Gate]:
    """Lock these vendors' gates until this transaction ends, and return them. `known`: all there are, as read in it."""
    if not keys:
        return {}
    session.flush()
    if known is None:
        known = read_gates(session)
    missing = sorted(set(keys) - known.keys())
    if not missing and session.connection().dialect.name == "sqlite":
        return {key: known[key] for key in keys}  # a writer there writes alone
    _make(session, missing)
    return _locked(session, keys)


@dataclass(frozen=True, slots=True)
class GateUpdate:
    """What a vendor's answer, or its absence, tells its gate."""

    key: GateKey
    limits: Limits
    feedback: GateFeedback


def record_updates(session: Session, feedback: Sequence[GateUpdate], now: datetime) -> bool:
    """Apply the vendors' feedback to their gates; return True if runs are queued behind one of them.

    Call last: gates are locked after all other rows. That a vendor simply answers changes nothing while its circuit is
    closed, and locks nothing; nor does what a sandbox vendor says, which speaks of its own run alone.
    """
    session.flush()
    gates = read_gates(session)
    counting = [each for each in feedback if each.limits.answers_tell_of_all]
    changing = {each.key for each in counting if _would_change(gates.get(each.key), each.feedback)}
    gates |= lock_gates(session, changing, gates)
    for each in counting:
        if each.key in changing:
            _apply(session, gates[each.key], each, now)
    session.flush()
    return any(each.key in gates and gates[each.key].queue_until is not None for each in feedback)


def record_feedback(session: Session, key: GateKey, limits: Limits, feedback: GateFeedback, now: datetime) -> bool:
    """Apply one answer's feedback; see `record_updates`."""
    return record_updates(session, [GateUpdate(key, limits, feedback)], now)


def _apply(session: Session, gate: Gate, each: GateUpdate, now: datetime) -> None:
    if (trouble := news_of(gate, each.feedback, now)) is not None:
        after_commit(session, partial(_report_trouble, each.key, trouble))
    if apply_feedback(gate, each.limits, each.feedback, now):
        after_commit(session, partial(_report_opened, each.key, each.feedback, gate))


def note_leaving(session: Session, key: GateKey, limits: Limits, charged_at: datetime, now: datetime) -> None:
    """Count a request in the second in which it leaves, not in that of `charged_at`. Call last."""
    if limits.per_minute is not None and now - charged_at >= _A_SECOND:
        leave_later(lock_gates(session, [key])[key], charged_at, now)
        session.flush()


def _make(session: Session, missing: Sequence[GateKey]) -> None:
    if missing:
        connection = session.connection()
        rows = [Gate(vendor=vendor, mode=mode).model_dump() for mode, vendor in missing]
        connection.execute(insert_ignoring_conflicts(connection, table_of(Gate)).values(rows))


def _locked(session: Session, keys: Collection[GateKey]) -> dict[GateKey, Gate]:
    query = select(Gate).where(tuple_(col(Gate.mode), col(Gate.vendor)).in_(sorted(keys)))
    ordered = query.order_by(col(Gate.mode), col(Gate.vendor)).with_for_update()
    found = session.exec(ordered.execution_options(populate_existing=True))
    return {(gate.mode, gate.vendor): gate for gate in found}


def _would_change(gate: Gate | None, feedback: GateFeedback) -> bool:
    """Return True if the answer is news to this gate: also a plain one is, where there was trouble."""
    if not feedback.plain:
        return True
    if gate is None:
        return False
    troubled = gate.circuit != Circuit.CLOSED or gate.failures > 0 or gate.last_error is not None
    return troubled or (feedback.taken and gate.closed_for == OUT_OF_CREDIT)


def _report_trouble(key: GateKey, news: str) -> None:
    mode, vendor = key
    if news != OUT_OF_CREDIT:
        log.error("vendor.access_denied", vendor=vendor, mode=mode)
        return
    UNPAID.add(vendor, mode)
    log.error("vendor.out_of_credit", vendor=vendor, mode=mode)


def _report_opened(key: GateKey, feedback: GateFeedback, gate: Gate) -> None:
    mode, vendor = key
    CIRCUITS_OPENED.add(vendor, mode)
    reason = "key_refused" if feedback.key_refused else "failures"
    log.error(
        "vendor.circuit_opened", vendor=vendor, mode=mode, reason=reason, opened=gate.opened, until=gate.circuit_until
    )


def admit_request(session: Session, key: GateKey, limits: Limits, now: datetime) -> Throttled | None:
    """Count one request that leaves now, or return why it may not. Call last: gates are locked after all other rows."""
    gate = lock_gates(session, [key])[key]
    hold = check_gate(gate, limits, Purpose.POLL, now)
    if hold is None:
        acquire(gate, limits, now)
        session.flush()
    return hold


def quota_request_is_due(session: Session, key: GateKey, now: datetime, *, apart: timedelta) -> bool:
    """Return True if `admit_quota_request` may admit a request: read without a lock, since mostly it would not."""
    gate = read_gates(session).get(key)
    return gate is not None and _is_due(gate, now, apart)


def admit_quota_request(session: Session, key: GateKey, limits: Limits, now: datetime, *, apart: timedelta) -> bool:
    """Count a request for the vendor's quota and return True, or return False if none should leave now.

    One leaves only if other requests went since the last one, at least `apart` ago, and the circuit is closed.
    """
    gate = lock_gates(session, [key])[key]
    if gate.circuit != Circuit.CLOSED or not _is_due(gate, now, apart):
        return False
    if check_gate(gate, limits, Purpose.POLL, now) is not None:
        return False
    acquire(gate, limits, now)
    gate.quota_checked_at, gate.quota_checked_used = now, gate.window_used
    session.flush()
    return True


def _is_due(gate: Gate, now: datetime, apart: timedelta) -> bool:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if gate.window_started_at is None or gate.window_started_at < today or not gate.window_used:
        return False
    if gate.quota_checked_at is None or gate.quota_checked_at < today:
        return gate.quota_checked_at is None or now - gate.quota_checked_at >= apart
    return now - gate.quota_checked_at >= apart and gate.window_used > (gate.quota_checked_used or 0)

"""The health of an endpoint: count outcomes, warn, disable, and report the recovery.

Only the endpoint's own failures count. An attempt that failed through a fault of ours says nothing. The events go to
the account's other endpoints and to the feed; the endpoint itself could not take them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select as core_select
from sqlmodel import Session, col, or_, select

from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.clock import rfc3339
from service.kit.db.bulk import among
from service.kit.db.columns import table_of
from service.webhooks.models import Endpoint
from service.webhooks.states import ENDPOINT, REASONS, EndpointInput, EndpointState

DISABLED_PERCENT = 100
_WARNED_AT_PERCENT = (90, 75, 50)


@dataclass(frozen=True, slots=True)
class DisablePolicy:
    """The conditions to disable an endpoint: every attempt has failed for so long, and there were so many of them."""

    disable_after: timedelta = timedelta(days=5)
    least_failures: int = 20

    @property
    def first_warning_after(self) -> timedelta:
        """Return how long an endpoint must have failed before anything is done about it."""
        return self.disable_after * min(_WARNED_AT_PERCENT) / 100


@dataclass(frozen=True, slots=True)
class FailureStreak:
    """The failures of an endpoint since `failing_since`, with no success among them."""

    failing_since: datetime | None = None
    failures: int = 0
    warned_percent: int = 0


def after_attempts(streak: FailureStreak, outcomes: Iterable[tuple[datetime, bool]]) -> FailureStreak:
    """Return the streak after these attempts: when each ended, in order, and if it succeeded."""
    for ended_at, succeeded in outcomes:
        if succeeded:
            streak = FailureStreak()
        else:
            since = streak.failing_since or ended_at
            streak = FailureStreak(since, streak.failures + 1, streak.warned_percent)
    return streak


def percent_due(streak: FailureStreak, policy: DisablePolicy, now: datetime) -> int | None:
    """Return the warning to give now (50, 75, 90), 100 if the endpoint is to be disabled, or `None`.

    Percents are of the time after which it is disabled. Of warnings that were missed only the latest is given.
    """
    if streak.failing_since is None:
        return None
    lasted = now - streak.failing_since
    if lasted >= policy.disable_after and streak.failures >= policy.least_failures:
        return DISABLED_PERCENT
    for percent in _WARNED_AT_PERCENT:
        if lasted >= policy.disable_after * percent / 100:
            return percent if percent > streak.warned_percent else None
    return None


def lock_endpoints(session: Session, failed: set[str], succeeded: set[str]) -> dict[str, Endpoint]:
    """Lock the endpoints that attempts can change: all that failed; of those that succeeded, the failing ones.

    Return them by id. A healthy endpoint is never written. Endpoints are locked before deliveries, in order of id.
    """
    how = {"failed": list(failed), "succeeded": list(succeeded)}
    locked = list(session.connection().execute(_TO_CHANGE, how).scalars())
    if not locked:
        return {}
    found = select(Endpoint).where(col(Endpoint.id).in_(locked)).order_by(col(Endpoint.id))
    return {endpoint.id: endpoint for endpoint in session.exec(found.execution_options(populate_existing=True))}


def apply_outcomes(
    session: Session, outbox: Outbox, endpoint: Endpoint, outcomes: Sequence[tuple[datetime, bool]]
) -> None:
    """Count these outcomes (when each ended, and if it succeeded), and report a recovery."""
    if endpoint.status != EndpointState.ENABLED:
        return  # what was under way when it was disabled; enabling it resets its failures
    _keep(endpoint, after_attempts(_streak(endpoint), outcomes))
    taken_at = max((ended_at for ended_at, succeeded in outcomes if succeeded), default=None)
    if endpoint.failure_reported and taken_at is not None:
        endpoint.failure_reported = False
        _emit(session, outbox, endpoint, EventType.ENDPOINT_RECOVERED, {"recovered_at": rfc3339(taken_at)}, taken_at)


def switch_off(session: Session, outbox: Outbox, endpoint: Endpoint, happening: EndpointInput, now: datetime) -> None:
    """Disable the endpoint, which is locked, because of this, and report it to the account."""
    reason = REASONS[happening].value
    endpoint.status = ENDPOINT.advance(EndpointState(endpoint.status), happening).value
    endpoint.disabled_reason = reason
    endpoint.failure_reported = True
    session.flush()
    more = {"disabled_reason": reason, "disabled_at": rfc3339(now)}
    _emit(session, outbox, endpoint, EventType.ENDPOINT_DISABLED, more, now)


def reset_failures(endpoint: Endpoint) -> None:
    """Forget the failures so far; that they were reported to the account is kept."""
    _keep(endpoint, FailureStreak())


def endpoints_to_judge(session: Session, policy: DisablePolicy, now: datetime) -> list[str]:
    """Return the ids of enabled endpoints that are to be warned of or disabled now."""
    long_ago = now - policy.first_warning_after
    failing = select(Endpoint).where(
        Endpoint.status == EndpointState.ENABLED.value, col(Endpoint.failing_since) <= long_ago
    )
    return [each.id for each in session.exec(failing) if percent_due(_streak(each), policy, now) is not None]


def judge(session: Session, endpoint_id: str, outbox: Outbox, policy: DisablePolicy, now: datetime) -> None:
    """Give the warning that is due for this endpoint, or disable it."""
    endpoint = lock_endpoints(session, {endpoint_id}, set()).get(endpoint_id)
    if endpoint is None or endpoint.status != EndpointState.ENABLED or endpoint.deleted_at is not None:
        return
    streak = _streak(endpoint)
    percent = percent_due(streak, policy, now)
    if percent == DISABLED_PERCENT:
        switch_off(session, outbox, endpoint, EndpointInput.FAILING, now)
    elif percent is not None and streak.failing_since is not None:
        _keep(endpoint, replace(streak, warned_percent=percent))
        endpoint.failure_reported = True
        more = {
            "failing_since": rfc3339(streak.failing_since),
            "failures": streak.failures,
            "percent": percent,
            "disables_at": rfc3339(streak.failing_since + policy.disable_after),
        }
        _emit(session, outbox, endpoint, EventType.ENDPOINT_FAILING, more, now)


def in_order(outcomes: Iterable[tuple[datetime, bool]]) -> list[tuple[datetime, bool]]:
    """Sort the outcomes by time; of one moment the successes last, in the endpoint's favour."""
    return sorted(outcomes)


def _streak(endpoint: Endpoint) -> FailureStreak:
    return FailureStreak(endpoint.failing_since, endpoint.failures, endpoint.warned_percent)


def _keep(endpoint: Endpoint, streak: FailureStreak) -> None:
    endpoint.failing_since = streak.failing_since
    endpoint.failures = streak.failures
    endpoint.warned_percent = streak.warned_percent


def _emit(
    session: Session, outbox: Outbox, endpoint: Endpoint, kind: EventType, more: Mapping[str, Any], now: datetime
) -> None:
    data = {"endpoint_id": endpoint.id, "url": endpoint.url, **more}
    outbox.record(session, [Draft(endpoint.account_id, endpoint.mode, kind, data, not_to=endpoint.id)], now)


def _to_change_statement() -> Any:
    """Built once: every batch of attempts asks it, and mostly finds none."""
    endpoint = table_of(Endpoint)
    failed = among(endpoint.c.id, "failed")
    recovering = or_(endpoint.c.failing_since.is_not(None), endpoint.c.failure_reported)
    succeeded = among(endpoint.c.id, "succeeded") & recovering
    # FOR NO KEY UPDATE lets fan-outs pass: of two that are disabled at once each gets the other's event.
    wanted = core_select(endpoint.c.id).where(or_(failed, succeeded)).order_by(endpoint.c.id)
    return wanted.with_for_update(key_share=True)


_TO_CHANGE = _to_change_statement()

"""What can happen to a delivery and to an endpoint stands in two tables, and nowhere else in this room."""

import ast
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import Session

from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.machine import InvalidTransitionError
from service.webhooks import models, states
from service.webhooks.endpoints.registry import delete_endpoint
from service.webhooks.models import Delivery, Endpoint
from service.webhooks.queue.bulk_moves import (
    bring_forward,
    drop_deliveries_of,
    hold_deliveries,
    postpone,
    spread_out,
    unblock,
)
from service.webhooks.queue.claim import claim_deliveries, hold_claimed, release_claims
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.queue.record import record_attempts
from service.webhooks.queue.requeue import recover, release_held, resend
from service.webhooks.states import (
    DELIVERY,
    ENDED,
    ENDPOINT,
    UNFINISHED,
    DeliveryInput,
    DeliveryState,
    EndpointInput,
    EndpointState,
)
from tests.webhooks.rows import LEASE, NOW, claimed, draft, finished, outbox, put, put_endpoint

Verb = Callable[[Session, ClaimedDelivery], object]

_ROOM = Path(states.__file__).parent
# Words of others that are spelled alike: classes of errors, what customers read.
_OTHER_WORDS = {
    "attempt.py": {"blocked"},
    "explain.py": {"blocked"},
    "stats.py": {"blocked", "held", "succeeded"},
    "trouble.py": {"succeeded"},
}
_LATER = NOW + timedelta(minutes=1)
DUE, BLOCKED, HELD = DeliveryState.DUE, DeliveryState.BLOCKED, DeliveryState.HELD
EXHAUSTED, SKIPPED = DeliveryState.EXHAUSTED, DeliveryState.SKIPPED


def test_what_cannot_happen_raises() -> None:
    with pytest.raises(InvalidTransitionError, match="taken cannot happen to a delivery that is held"):
        DELIVERY.advance(HELD, DeliveryInput.TAKEN)
    with pytest.raises(InvalidTransitionError, match="gone cannot happen to an endpoint that is disabled"):
        ENDPOINT.advance(EndpointState.DISABLED, EndpointInput.GONE)


def test_sources_are_the_states_in_which_an_input_can_happen() -> None:
    assert DELIVERY.sources(DeliveryInput.TAKEN) == (DUE,)
    assert DELIVERY.sources(DeliveryInput.PASSED_OVER) == (BLOCKED, HELD)
    assert UNFINISHED == (DUE, BLOCKED, HELD)
    assert set(UNFINISHED) | set(ENDED) == set(DeliveryState)


def test_the_predicates_of_the_indexes_are_states() -> None:
    predicates = {models.DELIVERY_WAITING: DUE, models.DELIVERY_HELD: HELD, models.DELIVERY_BLOCKED: BLOCKED}
    for predicate, state in predicates.items():
        assert predicate == f"state = '{state}'"


def _literals(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_no_state_is_written_out_elsewhere_in_the_room() -> None:
    words = {*DeliveryState, *EndpointState, *states.DisabledReason}
    found = {
        (path.name, literal)
        for path in _ROOM.glob("*.py")
        if path.name != "states.py"
        for literal in _literals(path)
        if literal in words - _OTHER_WORDS.get(path.name, set())
    }
    assert found == set()


def _endpoint(session: Session, claim: ClaimedDelivery) -> Endpoint:
    return session.get_one(Endpoint, claim.endpoint_id)


def _disable(session: Session, claim: ClaimedDelivery) -> None:
    _endpoint(session, claim).status = EndpointState.DISABLED.value
    session.flush()


def _hold(session: Session, claim: ClaimedDelivery) -> None:
    _disable(session, claim)
    hold_deliveries(session, claim.endpoint_id, _LATER + LEASE)


def _put_aside(session: Session, claim: ClaimedDelivery) -> None:
    _disable(session, claim)
    hold_claimed(session, {claim.delivery_id: claim.lease_token}, _LATER)


def _record(status: int | None, *, again: bool = True) -> Verb:
    return lambda session, claim: record_attempts(outbox())(session, [finished(claim, status, again=again)])


def _resend(session: Session, claim: ClaimedDelivery) -> None:
    with suppress(CallerError):
        resend(session, session.get_one(Delivery, claim.delivery_id), _LATER)


_VERBS: dict[str, tuple[Verb, set[DeliveryState]]] = {
    "claim": (
        lambda session, _: claim_deliveries(session, now=_LATER, lease_until=_LATER + LEASE, limit=9),
        {DUE},
    ),
    "hand back": (lambda session, claim: release_claims(session, [(claim, _LATER)]), {DUE}),
    "put aside": (_put_aside, {DUE}),
    "hold": (_hold, {DUE}),
    "taken": (_record(200), {DUE}),
    "failed": (_record(500), {DUE}),
    "used up": (_record(500, again=False), {DUE}),
    "gone": (_record(410), {DUE}),
    "defer": (lambda session, claim: postpone(session, claim.endpoint_id, _LATER, _LATER + LEASE), {DUE}),
    "line up": (lambda session, claim: spread_out(session, [((0, claim.delivery_id), _LATER + LEASE)], _LATER), {DUE}),
    "bring forward": (
        lambda session, claim: bring_forward(session, claim.endpoint_id, NOW - LEASE),
        {DUE},
    ),
    "unblock": (lambda session, _: unblock(session, ["det_1"], _LATER), {BLOCKED}),
    "release": (lambda session, claim: release_held(session, claim.endpoint_id, _LATER), {HELD}),
    "resend": (_resend, {*ENDED, BLOCKED}),  # and where nothing older is there, one that is blocked goes too
    "recover": (
        lambda session, claim: recover(session, _endpoint(session, claim), NOW, _LATER, NOW - LEASE),
        {EXHAUSTED, SKIPPED, DUE},
    ),
    "erase": (lambda session, _: drop_deliveries_of(session, "det_1", _LATER), set(UNFINISHED)),
    "delete": (
        lambda session, claim: delete_endpoint(session, _endpoint(session, claim), _LATER),
        set(UNFINISHED),
    ),
}
_FREE = {"defer", "line up", "bring forward", "recover"}  # they move rows that are nobody's


@pytest.mark.parametrize("state", list(DeliveryState))
@pytest.mark.parametrize("name", list(_VERBS))
def test_a_delivery_in_any_other_state_is_untouched(database: Database, name: str, state: DeliveryState) -> None:
    verb, sources = _VERBS[name]
    put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        delivery = session.get_one(Delivery, claim.delivery_id)
        delivery.state, delivery.due_at = state.value, NOW
        if name in _FREE:
            delivery.lease_token = None
        if name == "recover":
            delivery.attempts = 1
    before = _row(database)
    with database.writing() as session:
        verb(session, claim)
    assert (_row(database) != before) is (state in sources)


def _row(database: Database) -> dict[str, Any]:
    table = table_of(Delivery)
    with database.reading() as session:
        return dict(session.connection().execute(select(table)).mappings().one())

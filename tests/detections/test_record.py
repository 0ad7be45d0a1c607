"""Writing down how far a submission came: each verb is fenced, and none undoes what another did."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from service.detections.hold import hold_run
from service.detections.note_try import Outcome, Try
from service.detections.observe import Sighting
from service.detections.record import (
    begin_submit,
    expire_run,
    give_up,
    record_accepted,
    record_answer,
    record_deferred,
    record_lost_sight,
    record_prepared,
)
from service.detectors.port import Accepted, Prepared, Refused
from service.detectors.words import Authenticity, ReasonCode, Via
from service.kit.database import Database
from service.runs.models import Observation, Run
from tests.detections.rows import PLAN, World, alter, world
from tests.detections.scripted import NOW, asc, said

_LATER = NOW + timedelta(seconds=95)
_BUSY = Refused(ReasonCode.RATE_LIMITED, "slow down", retryable=True)
_SIGHTING = Sighting(Via.SYNC, said("ai"), asc().read(said("ai"), "asc"), Authenticity.TLS_FETCH)
_ACCEPTED, _DEFERRED, _ANSWERED = (
    Try(outcome, NOW, raw=said("ai")) for outcome in (Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.ANSWERED)
)

Verb = Callable[[Session, World, str], Any]
_VERBS: dict[str, Verb] = {
    "prepared": lambda session, here, token: record_prepared(session, here.run().id, token, Prepared("m")),
    "begun": lambda session, here, token: begin_submit(session, here.run().id, token, NOW, _LATER),
    "accepted": lambda session, here, token: record_accepted(
        session, here.run().id, token, Accepted("j1"), _ACCEPTED, PLAN, here.policy, NOW
    ),
    "answered": lambda session, here, token: record_answer(
        session, here.run().id, token, _SIGHTING, _ANSWERED, here.policy, NOW
    ),
    "deferred": lambda session, here, token: record_deferred(
        session, here.run().id, token, _BUSY, _DEFERRED, here.policy, NOW
    ),
    "lost": lambda session, here, token: record_lost_sight(
        session, here.run().id, token, "why", PLAN, here.policy, NOW
    ),
    "given up": lambda session, here, token: give_up(session, here.run().id, token, here.policy, NOW),
}


def _held(database: Database, **values: Any) -> World:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], lease_token="ours", due_at=_LATER, **values)
    return here


@pytest.mark.parametrize("verb", _VERBS)
def test_who_lost_the_lease_writes_nothing(database: Database, verb: str) -> None:
    here = _held(database)
    before = here.run()
    with database.writing() as session:
        assert not _VERBS[verb](session, here, "stale")
    assert (here.run(), here.events()) == (before, [])
    with database.reading() as session:
        assert session.exec(select(Observation)).all() == []


@pytest.mark.parametrize("verb", _VERBS)
def test_who_has_the_lease_writes(database: Database, verb: str) -> None:
    here = _held(database)
    before = here.run()
    with database.writing() as session:
        _VERBS[verb](session, here, "ours")
    assert here.run() != before


@pytest.mark.parametrize("verb", _VERBS)
def test_nothing_is_written_of_a_run_that_has_ended(database: Database, verb: str) -> None:
    here = _held(database, state="timed_out", ended_at=NOW)
    before = here.run()
    with database.writing() as session:
        assert not _VERBS[verb](session, here, "ours")
    assert here.run() == before


def test_holding_gives_the_run_as_it_is_now(database: Database) -> None:
    here = _held(database)
    with database.writing() as session:
        stale = session.get_one(Run, here.run().id)
        stale.polls = 7
        session.flush()
        held = hold_run(session, stale.id, "ours")
        assert held is not None
        assert held[1].polls == 7


def test_references_of_both_steps_are_kept(database: Database) -> None:
    here = _held(database)
    with database.writing() as session:
        record_prepared(session, here.run().id, "ours", Prepared("m", {"title": "T"}))
        record_accepted(
            session, here.run().id, "ours", Accepted("j1", other={"filepath": "/f"}), _ACCEPTED, PLAN, here.policy, NOW
        )
    assert here.run().refs_json == '{"title": "T", "filepath": "/f"}'


def test_an_accepted_run_forgets_why_it_waited(database: Database) -> None:
    here = _held(database, last_refusal="rate_limited", waiting_for="rate_limited", reason_text="slow down")
    with database.writing() as session:
        record_accepted(session, here.run().id, "ours", Accepted("j1"), _ACCEPTED, PLAN, here.policy, NOW)
    run = here.run()
    assert (run.last_refusal, run.waiting_for, run.reason_text) == (None, None, None)


def test_a_run_is_never_due_after_its_deadline(database: Database) -> None:
    here = _held(database, deadline_at=NOW + timedelta(seconds=2))
    with database.writing() as session:
        record_deferred(session, here.run().id, "ours", _BUSY, _DEFERRED, here.policy, NOW)
    assert here.run().due_at == NOW + timedelta(seconds=2)


@pytest.mark.parametrize(
    ("values", "end"),
    [
        ({}, ("timed_out", "no_callback_no_result")),
        ({"last_refusal": "rate_limited"}, ("failed", "rate_limited")),
        ({"state": "waiting", "last_refusal": "schema_mismatch"}, ("failed", "schema_mismatch")),
        ({"state": "waiting", "confirmation_requested_at": NOW}, ("timed_out", "unverified_callback")),
        ({"state": "unknown", "submit_started_at": NOW}, ("timed_out", "no_callback_no_result")),
    ],
)
def test_a_run_whose_time_is_up_says_what_is_true(
    database: Database, values: dict[str, Any], end: tuple[str, str]
) -> None:
    here = _held(database, **values)
    with database.writing() as session:
        held = hold_run(session, here.run().id, "ours")
        assert held is not None
        expire_run(session, *held, here.policy, NOW)
    run = here.run()
    assert ((run.state, run.reason_code), run.via, run.observation_n) == (end, None, None)

"""Writing down how far a submission came: each input is fenced, and none undoes what another did."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from service.billing.models import Entry
from service.detectors.enums import Authenticity, ReasonCode, Via
from service.detectors.port import Accepted, Prepared, Refused
from service.kit.db.database import Database
from service.runs import inputs
from service.runs.inputs import (
    AnsweredAtOnce,
    Deferred,
    GivenUp,
    Input,
    Leaving,
    NotTaken,
    OutcomeUnknown,
    OverBudget,
    PartialAnswer,
    Released,
    SubmissionAttempt,
    SubmissionOutcome,
    Uploaded,
    VendorAccepted,
    VendorAnswer,
)
from service.runs.state.models import Observation, Run
from service.runs.step import step_one
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, asc, said

_LATER = NOW + timedelta(seconds=95)
_BUSY = Refused(ReasonCode.RATE_LIMITED, "slow down", retryable=True)
_ANSWER = VendorAnswer(Via.SYNC, said("ai"), asc().read(said("ai"), "asc"), Authenticity.TLS_FETCH)
_ACCEPTED, _DEFERRED, _ANSWERED = (
    SubmissionAttempt(outcome, NOW, raw=said("ai"))
    for outcome in (SubmissionOutcome.ACCEPTED, SubmissionOutcome.DEFERRED, SubmissionOutcome.ANSWERED)
)
_LOST = ("lease_lost", False, None)

_INPUTS: dict[str, Callable[[str, str], Input]] = {
    "uploaded": lambda run_id, token: Uploaded(run_id, token, Prepared("m")),
    "leaving": lambda run_id, token: Leaving(run_id, token, _LATER),
    "over budget": OverBudget,
    "not taken": lambda run_id, token: NotTaken(run_id, token, ReasonCode.FILE_TOO_LARGE, "too large"),
    "accepted": lambda run_id, token: VendorAccepted(run_id, token, Accepted("j1"), _ACCEPTED),
    "answered": lambda run_id, token: AnsweredAtOnce(run_id, token, _ANSWER, _ANSWERED),
    "deferred": lambda run_id, token: Deferred(run_id, token, _BUSY, _DEFERRED),
    "unknown": lambda run_id, token: OutcomeUnknown(run_id, token, "why"),
    "part": lambda run_id, token: PartialAnswer(run_id, token, _ANSWER),
    "given up": GivenUp,
    "released": Released,
}
_KEPT = {"accepted": ["late"], "answered": ["late", "late"]}
"""What a vendor said is never thrown away, whoever brings it: how it stands on record."""


def _held(database: Database, **values: Any) -> World:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], lease_token="ours", due_at=_LATER, **values)
    return here


def _step(here: World, happened: Input) -> Any:
    with here.database.writing() as session:
        return step_one(session, happened, here.policy, NOW)


def _effects(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.exec(select(Observation.effect).order_by(col(Observation.n))))


@pytest.mark.parametrize("name", _INPUTS)
def test_who_lost_the_lease_moves_nothing(database: Database, name: str) -> None:
    here = _held(database)
    before = here.run()
    assert _step(here, _INPUTS[name](before.id, "stale")) in _LOST
    assert (here.run(), here.events(), _effects(database)) == (before, [], _KEPT.get(name, []))


@pytest.mark.parametrize("name", _INPUTS)
def test_who_has_the_lease_writes(database: Database, name: str) -> None:
    here = _held(database)
    before = here.run()
    _step(here, _INPUTS[name](before.id, "ours"))
    assert here.run() != before or _effects(database) == ["partial"]


@pytest.mark.parametrize("state", ["failed", "skipped"])
@pytest.mark.parametrize("name", _INPUTS)
def test_nothing_moves_a_run_that_has_ended(database: Database, name: str, state: str) -> None:
    here = _held(database, state=state, ended_at=NOW)
    before = here.run()
    assert _step(here, _INPUTS[name](before.id, "ours")) in _LOST
    assert (here.run(), here.events(), _effects(database)) == (before, [], _KEPT.get(name, []))


@pytest.mark.parametrize("name", [name for name in _INPUTS if name != "answered"])
def test_only_an_answer_moves_a_run_whose_time_ran_out(database: Database, name: str) -> None:
    here = _held(database, state="timed_out", ended_at=NOW)
    before = here.run()
    assert _step(here, _INPUTS[name](before.id, "ours")) in _LOST
    assert (here.run(), here.events()) == (before, [])


def test_an_answer_moves_a_run_whose_time_ran_out(database: Database) -> None:
    here = _held(database, state="timed_out", ended_at=NOW)
    assert _step(here, _INPUTS["answered"](here.run().id, "ours")) == "lease_lost"
    assert (here.run().state, _effects(database)) == ("succeeded", ["late", "answer_succeeded"])


@pytest.mark.parametrize("name", [name for name in _INPUTS if name != "part"])
def test_the_same_input_again_changes_nothing(database: Database, name: str) -> None:
    """Where the connection is lost while a batch commits nobody knows whether it did, and it is put again."""
    here = _held(database)
    happened = _INPUTS[name](here.run().id, "ours")

    def once() -> tuple[Run, list[str], list[str], int]:
        _step(here, happened)
        with database.reading() as session:
            charges = len(session.exec(select(Entry)).all())
        return here.run(), here.events(), _effects(database), charges

    assert once() == once()


def test_every_input_of_a_submission_is_tried_here() -> None:
    of_a_lease = {each for each in vars(inputs).values() if isinstance(each, type) and _is_leased(each)}
    assert {type(each("run_1", "ours")) for each in _INPUTS.values()} == of_a_lease - {
        inputs.Polled, inputs.PollReleased
    }  # fmt: skip


def _is_leased(kind: type) -> bool:
    return issubclass(kind, inputs.LeasedInput) and kind is not inputs.LeasedInput


def test_a_step_goes_on_from_the_run_as_it_is_now(database: Database) -> None:
    here = _held(database)
    with database.writing() as session:
        known = session.get_one(Run, here.run().id)
        known.polls = 7  # not in the database yet
        step_one(session, Uploaded(known.id, "ours", Prepared("m")), here.policy, NOW)
        assert (known.polls, known.prepared_ref) == (7, "m")
    assert (here.run().polls, here.run().prepared_ref) == (7, "m")


def test_references_of_both_steps_are_kept(database: Database) -> None:
    here = _held(database)
    run_id = here.run().id
    with database.writing() as session:
        step_one(session, Uploaded(run_id, "ours", Prepared("m", {"title": "T"})), here.policy, NOW)
        accepted = VendorAccepted(run_id, "ours", Accepted("j1", other={"filepath": "/f"}), _ACCEPTED)
        step_one(session, accepted, here.policy, NOW)
    assert here.run().refs_json == '{"title": "T", "filepath": "/f"}'


def test_an_accepted_run_forgets_why_it_waited(database: Database) -> None:
    here = _held(database, last_refusal="rate_limited", waiting_for="rate_limited", reason_text="slow down")
    _step(here, _INPUTS["accepted"](here.run().id, "ours"))
    run = here.run()
    assert (run.last_refusal, run.waiting_for, run.reason_text) == (None, None, None)


def test_a_run_is_never_due_after_its_deadline(database: Database) -> None:
    here = _held(database, deadline_at=NOW + timedelta(seconds=2))
    _step(here, _INPUTS["deferred"](here.run().id, "ours"))
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
    assert _step(here, GivenUp(here.run().id, "ours")) == "given_up"
    run = here.run()
    assert ((run.state, run.reason_code), run.via, run.observation_n) == (end, None, None)

"""What a submission leaves in the ledger and in the result, and what a budget lets through."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import col, select

from service.accounts.api_keys import account_named
from service.billing.budgets import set_budget
from service.billing.models import Entry
from service.billing.prices import load_prices
from service.detectors.port import Capabilities, Needs
from service.kit.clock import seconds
from service.kit.db.database import Database
from service.runs.inputs import Begun, Leaving
from service.runs.step import Done, Work, step, step_one
from service.vendor_calls.admission import claim_submissions
from tests.detections.rows import PLAN, World, policy_of
from tests.detections.scripted import NOW, Answer, Scripted, aippim, job, lost, not_sent, raw, said
from tests.detections.sharing import ask, call_off, only, recording


def priced(database: Database, *adapters: Scripted, **plan: Any) -> World:
    return World(database, replace(policy_of(*adapters, plan=replace(PLAN, **plan)), prices=load_prices()))


def vendor(submits: list[Answer], fetches: tuple[Answer, ...] = ()) -> Scripted:
    """AIPPIM, whose price is known, with the upload done at the first try."""
    return aippim(prepares=[raw({"ref": "m"})] * 9, submits=submits, fetches=fetches)


def entries(database: Database) -> list[tuple[str, int | None, bool | None]]:
    with database.reading() as session:
        return [
            (row.kind, row.amount_micros, row.billed) for row in session.exec(select(Entry).order_by(col(Entry.id)))
        ]


def budget(database: Database, amount: int) -> str:
    with database.writing() as session:
        owner = account_named(session, "Label", NOW)
        set_budget(session, owner.id, "live", "USD", amount, NOW)
        return owner.id


async def test_what_a_run_cost_stands_in_its_result(database: Database) -> None:
    here = priced(database, vendor([job("t1")], (said("ai"),)))
    detection = here.submit("aippim/standard")
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    (result,) = here.results(detection)
    assert result["detectors"][0]["cost"] == {"amount": "0.20", "currency": "USD", "basis": "estimate", "billed": True}
    assert result["totals"]["cost"] == [{"currency": "USD", "amount": "0.20", "basis": "estimate"}]


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (not_sent(), []),
        (raw({}, 503), []),
        (raw({}, 422), []),
        (lost(), [("charge", 200_000, None)]),
        (said("human"), [("charge", 200_000, True)]),
        (said("short"), [("charge", 200_000, None)]),
        (job("t1"), [("charge", 200_000, True)]),
    ],
)
async def test_a_row_stays_where_the_vendor_took_it_or_may_have(
    database: Database, answer: Answer, rows: list[tuple[str, int | None, bool | None]]
) -> None:
    here = priced(database, vendor([answer]))
    here.submit("aippim/standard")
    await here.dispatch()
    assert entries(database) == rows


async def test_a_refused_submission_costs_nothing_in_the_result(database: Database) -> None:
    here = priced(database, vendor([raw({}, 422)]))
    detection = here.submit("aippim/standard")
    await here.dispatch()
    (result,) = here.results(detection)
    assert result["totals"]["cost"] == []
    assert result["detectors"][0]["status"] == "failed"


async def test_a_repeated_submission_may_cost_twice(database: Database) -> None:
    here = priced(database, vendor([lost(), job("t1")], (said("ai"),)))
    detection = here.submit("aippim/standard")
    await here.dispatch()
    here.clock.turn(90)
    await here.dispatch()
    assert entries(database) == [("charge", 200_000, None), ("possible_duplicate", 200_000, True)]
    here.clock.turn(45)
    await here.poll()
    (result,) = here.results(detection)
    assert result["detectors"][0]["cost"] == {"amount": "0.40", "currency": "USD", "basis": "estimate", "billed": None}
    assert result["totals"]["cost"] == [{"currency": "USD", "amount": "0.40", "basis": "estimate"}]


async def test_an_unknown_submission_that_a_callback_finds_was_taken(database: Database) -> None:
    here = priced(database, vendor([lost()]))
    here.submit("aippim/standard")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "running"}, vendor="aippim", job_id="t1")
    await here.callbacks()
    assert (here.run().state, entries(database)) == ("waiting", [("charge", 200_000, True)])


async def test_a_submission_that_a_callback_finds_for_another_run_was_taken(database: Database) -> None:
    """Its own detection was called off while nobody knew; who asked the same goes on with it."""
    here = priced(database, vendor([lost()]))
    media_id = recording(here)
    first, second = (ask(here, media_id, "aippim/standard") for _ in range(2))
    await here.dispatch()
    call_off(here, first)
    here.arrive(only(here, first).id, {"said": "running"}, vendor="aippim", job_id="t1")
    await here.callbacks()
    assert (only(here, second).vendor_job_id, entries(database)) == ("t1", [("charge", 200_000, True)])


async def test_a_submission_whose_worker_died_may_have_been_charged_and_its_repetition_too(database: Database) -> None:
    here = priced(database, vendor([job("t1")]))
    here.submit("aippim/standard")
    with database.writing() as session:
        ((one,), _) = claim_submissions(session, here.policy.catalogue, now=NOW, limit=5)
        leaving = Leaving(one.run.id, one.token, NOW + seconds(60))
        assert isinstance(step_one(session, leaving, here.policy, NOW), Begun)
    await here.dispatch()
    assert entries(database) == [("charge", 200_000, None)]
    here.clock.turn(60)
    await here.dispatch()
    assert (here.run().state, entries(database)) == ("unknown", [("charge", 200_000, None)])
    here.clock.turn(30)
    await here.dispatch()
    assert (here.run().state, here.run().resubmitted) == ("waiting", True)
    assert entries(database) == [("charge", 200_000, None), ("possible_duplicate", 200_000, True)]


async def test_what_cannot_be_known_is_said_to_be_unknown(database: Database) -> None:
    unpriced = Scripted("pex", ("pex",), Capabilities(frozenset({"wav"}), Needs.UPLOAD), submits=[said("ai")])
    here = priced(database, unpriced)
    detection = here.submit("pex")
    await here.dispatch()
    (result,) = here.results(detection)
    assert result["detectors"][0]["cost"] == {"amount": None, "currency": None, "basis": "unknown", "billed": True}
    assert result["totals"]["cost"] == [{"currency": None, "amount": None, "basis": "unknown"}]


async def test_a_run_that_would_exceed_the_budget_fails_before_anything_leaves(database: Database) -> None:
    asked = vendor([job("t1")])
    here = priced(database, asked)
    owner = budget(database, 399_999)
    first = here.submit("aippim/standard", account_id=owner, media={"account": owner})
    await here.dispatch()
    second = here.submit("aippim/standard", account_id=owner, media={"account": owner})
    await here.dispatch()
    assert here.runs(first)[0].state == "waiting"
    run = here.runs(second)[0]
    assert (run.state, run.reason_code, run.retryable) == ("failed", "budget_exceeded", False)
    assert "0.20 are spent" in (run.reason_text or "")
    assert asked.times("prepare") == 1, "nor is anything uploaded for it"
    assert (asked.times("submit"), here.detection(second).status) == (1, "failed")
    (result,) = here.results(second)
    assert result["detectors"][0]["cost"]["amount"] == "0.00"


async def test_a_repetition_over_the_budget_waits_for_the_first_ones_callback(database: Database) -> None:
    asked = vendor([lost()])
    here = priced(database, asked)
    owner = budget(database, 200_000)
    here.submit("aippim/standard", account_id=owner, media={"account": owner})
    await here.dispatch()
    here.clock.turn(90)
    await here.dispatch()
    run = here.run()
    assert (run.state, run.due_at, asked.times("submit")) == ("unknown", run.deadline_at, 1)


def _six_about_to_leave(here: World) -> list[Leaving]:
    """Six runs of an account whose budget is enough for two, each with its own worker."""
    owner = budget(here.database, 500_000)
    for _ in range(6):
        here.submit("aippim/standard", account_id=owner, media={"account": owner})
    with here.database.writing() as session:
        claimed, _ = claim_submissions(session, here.policy.catalogue, now=NOW, limit=9)
    return [Leaving(one.run.id, one.token, NOW + seconds(95)) for one in claimed]


async def test_two_workers_cannot_both_spend_the_last_of_a_budget(database: Database) -> None:
    here = priced(database, vendor([]))
    leaving = _six_about_to_leave(here)
    begun = await asyncio.gather(*(database.write(step_one, each, here.policy, NOW) for each in leaving))
    assert [each for each in begun if not isinstance(each, Begun)] == ["over_budget"] * 4
    assert len(entries(database)) == 2


def test_nor_do_several_of_one_batch(database: Database) -> None:
    here = priced(database, vendor([]))
    work = [Work(each) for each in _six_about_to_leave(here)]
    with database.writing() as session:
        done = step(session, work, here.policy, NOW, wait=False)
    begun = [each.result() for each in done if isinstance(each, Done)]
    assert [isinstance(each, Begun) for each in begun] == [True] * 2 + [False] * 4
    charges = {each.charge_id for each in begun if isinstance(each, Begun)}
    assert (len(charges), begun[2:], len(entries(database))) == (2, ["over_budget"] * 4, 2)


async def test_only_who_holds_the_run_may_charge_it(database: Database) -> None:
    here = priced(database, vendor([]))
    here.submit("aippim/standard")
    leaving = Leaving(here.run().id, "another", NOW + seconds(95))
    word = await database.write(step_one, leaving, here.policy, NOW)
    assert (word, entries(database)) == ("lease_lost", [])


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("has_budget", [True, False])
async def test_a_price_that_is_not_known_passes_a_budget_unless_the_operator_says_no(
    database: Database, passes: bool, has_budget: bool
) -> None:
    sender = Scripted("pex", ("pex",), Capabilities(frozenset({"wav"}), Needs.UPLOAD), submits=[said("ai")])
    here = World(database, replace(policy_of(sender), prices=load_prices(unknown_passes=passes)))
    owner = budget(database, 10**9) if has_budget else "acc_1"
    detection = here.submit("pex", account_id=owner, media={"account": owner})
    await here.dispatch()
    run = here.run()
    if passes or not has_budget:
        assert (run.state, sender.times("submit")) == ("succeeded", 1)
        return
    assert (run.state, run.reason_code, sender.times("submit")) == ("failed", "budget_exceeded", 0)
    (result,) = here.results(detection)
    assert "not known" in result["detectors"][0]["reason_text"]

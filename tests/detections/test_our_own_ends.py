"""A run that ended by our own decision does not claim that its vendor said so."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from service.accounts.api_keys import account_named
from service.billing.budgets import set_budget
from service.billing.prices import load_prices
from service.detections.changes import cancel
from service.detectors.catalogue import Limits
from service.kit.db.database import Database
from service.runs.load.lock import lock_detection
from tests.detections.rows import PLAN, World, policy_of
from tests.detections.scripted import NOW, aippim, asc, not_sent, raw, said

_OURS = {"via": None, "authenticity": "none"}


async def _wrong_format(database: Database) -> str:
    return await _refused(database, format="mp3")


async def _too_large(database: Database) -> str:
    return await _refused(database, bytes=1001)


async def _refused(database: Database, **media: Any) -> str:
    """ASC cannot take it, AIPPIM can, and answers."""
    other = aippim(prepares=[raw({"ref": "m"})], submits=[said("ai")])
    here = World(database, policy_of(asc(), other))
    detection = here.submit("asc", "aippim/pro", media=media)
    await here.dispatch()
    return detection


async def _over_budget(database: Database) -> str:
    here = World(database, replace(policy_of(aippim()), prices=load_prices()))
    with database.writing() as session:
        owner = account_named(session, "Label", NOW)
        set_budget(session, owner.id, "live", "USD", 1, NOW)
    detection = here.submit("aippim/standard", account_id=owner.id, media={"account": owner.id})
    await here.dispatch()
    return detection


async def _held_at_the_gate(database: Database) -> str:
    here = World(database, policy_of(asc(), plan=replace(PLAN, limits=Limits(daily_quota=0))))
    detection = here.submit("asc")
    await _until_the_deadline(here)
    return detection


async def _never_sent(database: Database) -> str:
    here = World(database, policy_of(asc(submits=[not_sent()] * 99)))
    detection = here.submit("asc")
    await _until_the_deadline(here)
    return detection


async def _called_off(database: Database) -> str:
    here = World(database, policy_of(asc()))
    detection = here.submit("asc")
    with database.writing() as session:
        cancel(session, lock_detection(session, detection), here.policy, NOW)
    return detection


async def _until_the_deadline(here: World) -> None:
    for _ in range(40):
        await here.dispatch()
        here.clock.turn(100)


@pytest.mark.parametrize(
    "ended", [_wrong_format, _too_large, _over_budget, _held_at_the_gate, _never_sent, _called_off]
)
async def test_what_we_ended_ourselves_was_obtained_from_no_vendor(
    database: Database, ended: Callable[[Database], Awaitable[str]]
) -> None:
    detection = await ended(database)
    (result,) = World(database, policy_of()).results(detection)
    part = result["detectors"][0]
    assert {name: part["obtained"][name] for name in _OURS} == _OURS
    assert part["timing"]["received_at"] is None

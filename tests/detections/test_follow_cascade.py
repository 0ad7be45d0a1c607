"""A cascade that comes to what another detection asks already: it follows, and goes on with that answer."""

import pytest

from service.kit.db.database import Database
from service.verdicts.votes import Rule
from tests.detections.rows import world
from tests.detections.scripted import aippim, asc, job, raw, said
from tests.detections.sharing import ask, only, outcome, recording


async def test_a_cascade_that_stops_hands_its_queued_run_over(database: Database) -> None:
    here = world(database, asc(submits=[said("human"), said("ai")]), aippim())
    media_id = recording(here)
    ask(here, media_id, "asc", "aippim/pro", rule=Rule.CASCADE)
    follower = ask(here, media_id, "aippim/pro")
    assert only(here, follower).follows_run_id is None  # what is only reserved leads nobody


async def test_a_cascade_follows_and_goes_on_when_the_leader_has_answered(database: Database) -> None:
    vendor = aippim(prepares=[raw({"ref": "m"})], submits=[said("ai")])
    here = world(database, asc(submits=[said("ai")]), vendor)
    media_id = recording(here)
    plain = ask(here, media_id, "asc")
    cascade = ask(here, media_id, "asc", "aippim/pro", rule=Rule.CASCADE)
    other = ask(here, media_id, "aippim/pro", "asc")
    assert [run.waiting_for for run in here.runs(cascade)] == ["following", None]
    await here.dispatch()
    assert {outcome(here, each)[:2] for each in (plain, cascade, other)} == {("completed", "ai_generated")}
    assert vendor.times("submit") == 1


@pytest.mark.parametrize("leader_first", [True, False], ids=["the leader's first", "the cascade's first"])
async def test_a_cascade_that_comes_to_a_leader_that_ends_in_the_same_batch_has_its_answer(
    database: Database, leader_first: bool
) -> None:
    vendor = aippim(prepares=[raw({"ref": "m"})], submits=[job("j9")])
    here = world(database, asc(submits=[job("j1")]), vendor, trust="payload")
    media_id = recording(here)
    plain = ask(here, media_id, "aippim/pro")
    cascade = ask(here, media_id, "asc", "aippim/pro", rule=Rule.CASCADE)
    await here.dispatch()
    ends = [("aippim", "j9", "ai"), ("asc", "j1", "broken")]
    for vendor_name, job_id, word in ends if leader_first else reversed(ends):
        here.arrive(job_id, {"said": word}, vendor=vendor_name, job_id=job_id)
        here.clock.turn(0.001)
    await here.callbacks()
    assert here.callback_states() == ["applied", "applied"]
    assert outcome(here, plain)[:2] == ("completed", "ai_generated")
    assert outcome(here, cascade)[:2] == ("completed_partial", "inconclusive")  # a positive needs a second vendor
    assert here.results(cascade)[-1]["detectors"][1]["verdict"] == "ai_generated"
    assert vendor.times("submit") == 1

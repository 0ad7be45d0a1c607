"""One answer for a crowd that asked the same: each of them has it once, whoever dies while they are told."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise, product

import pytest

from service.kit.db.database import Database
from service.runs.followers import SLICE
from tests.detections.rows import World
from tests.detections.scripted import asc, job, said
from tests.detections.sharing import ask, call_off, erase
from tests.journeys.followers import (
    after_each_commit,
    ask_again,
    assert_at_rest,
    assert_one_answer,
    assert_told_once,
    crowd,
    let_die,
    multiply,
    open_detections,
    outcomes,
    process,
)

MANY = 26 * SLICE
SOME = 2 * SLICE + 4

DONE = {"said": "ai"}


def _leader(here: World) -> str:
    (leader,) = [run.id for run in here.runs() if run.leader_key is not None]
    return leader


def _ends(here: World) -> Sequence[datetime | None]:
    return [run.ended_at for run in here.runs()]


async def _asked(here: World, count: int) -> str:
    """Have the leader submitted and `count` runs follow it; return the leader's id."""
    async with process(here) as first:
        await first.until(lambda: any(run.vendor_job_id for run in here.runs()))
    multiply(here, count - 1)
    return _leader(here)


async def test_hundreds_of_followers_have_the_leaders_answer_once(database: Database) -> None:
    vendor = asc(submits=[job("j1")])
    here = crowd(database, vendor)
    here.arrive(await _asked(here, MANY), DONE, job_id="j1")
    async with process(here) as one:
        await one.until(lambda: open_detections(here) == 0)
    assert outcomes(here) == {("completed", "ai_generated", 1): MANY + 1}
    assert_told_once(here, "detection.completed")
    assert_one_answer(here)
    assert_at_rest(here)
    assert vendor.times("submit") == 1


async def test_callbacks_are_stored_while_followers_are_told(database: Database) -> None:
    """The leader's end is committed, some followers do not know it yet, and whatever comes in is kept."""
    here = crowd(database, asc(submits=[job("j1")]))
    leader = await _asked(here, SOME)
    here.arrive(leader, DONE, job_id="j1")
    meanwhile = []

    def store() -> None:
        ended = sum(at is not None for at in _ends(here))
        if 0 < ended < SOME + 1:
            here.arrive("nobody", {"said": "human", "n": ended}, job_id=f"stranger {ended}")
            meanwhile.append(ended)

    async with process(here) as one:
        with after_each_commit(one.database, store):
            await one.until(lambda: open_detections(here) == 0)
    assert meanwhile
    await here.callbacks()
    assert here.callback_states().count("parked") == len(set(meanwhile))  # the same again counts on its row
    assert outcomes(here) == {("completed", "ai_generated", 1): SOME + 1}


async def test_no_transaction_tells_more_than_a_slice_of_them(database: Database) -> None:
    """A crowd of thousands would take longer than a call to the database may, at each try."""
    here = crowd(database, asc(submits=[job("j1")]))
    here.arrive(await _asked(here, SOME), DONE, job_id="j1")
    ended = [0]
    async with process(here) as one:
        with after_each_commit(one.database, lambda: ended.append(sum(at is not None for at in _ends(here)))):
            await one.until(lambda: open_detections(here) == 0)
    assert max(after - before for before, after in pairwise(ended)) <= SLICE


@pytest.mark.parametrize(
    ("since", "commits"), [*product(["the callback"], (1, 2, 3)), *product(["the end"], (0, 1, 2))]
)
async def test_a_process_that_dies_among_the_followers_loses_none(database: Database, since: str, commits: int) -> None:
    """Some commits after the callback came, or after the leader's end."""
    vendor = asc(submits=[job("j1")])
    here = crowd(database, vendor)
    here.arrive(await _asked(here, SOME), DONE, job_id="j1")
    async with process(here) as one:
        counts = let_die(one.database, commits, lambda: since == "the callback" or any(_ends(here)))
        await one.turn_until_it_dies(counts)
    here.clock.turn(200)  # whatever it had leased is free again
    async with process(here) as other:
        await other.until(lambda: open_detections(here) == 0)
    assert outcomes(here) == {("completed", "ai_generated", 1): SOME + 1}
    assert_told_once(here, "detection.completed")
    assert_one_answer(here)
    assert_at_rest(here)
    assert vendor.times("submit") == 1


async def test_a_crowd_whose_leader_fails_asks_once_more(database: Database) -> None:
    vendor = asc(submits=[job("j1"), job("j2")])
    here = crowd(database, vendor)
    leader = await _asked(here, SOME)
    here.arrive(leader, {"said": "broken"}, job_id="j1")
    async with process(here) as one:
        await one.until(lambda: any(run.vendor_job_id == "j2" for run in here.runs()))
        heir = _leader(here)
        await one.until(lambda: all(run.id in (leader, heir) or run.follows_run_id == heir for run in here.runs()))
        here.arrive(heir, DONE, job_id="j2")
        await one.until(lambda: open_detections(here) == 0)
    assert outcomes(here) == {("completed", "ai_generated", 1): SOME, ("failed", "not_analyzed", 1): 1}
    assert_one_answer(here, [run.id for run in here.runs() if run.id != leader])
    assert_at_rest(here)
    assert vendor.times("submit") == 2


async def test_a_crowd_whose_leader_is_cancelled_waits_for_the_same_job(database: Database) -> None:
    vendor = asc(submits=[job("j1")])
    here = crowd(database, vendor)
    leader = await _asked(here, SOME)
    (detection_id,) = [run.detection_id for run in here.runs() if run.id == leader]
    call_off(here, detection_id)
    here.arrive(leader, DONE, job_id="j1")  # the vendor knows no other address
    async with process(here) as one:
        await one.until(lambda: open_detections(here) == 0)
    assert outcomes(here) == {("completed", "ai_generated", 1): SOME, ("cancelled", "not_analyzed", 1): 1}
    assert_one_answer(here, [run.id for run in here.runs() if run.id != leader])
    assert_at_rest(here)
    assert vendor.times("submit") == 1


@pytest.mark.parametrize("commits", [None, 1])
async def test_an_answer_that_comes_too_late_for_all_revises_each_once(database: Database, commits: int | None) -> None:
    """Also where the process dies so many commits after the first of them was revised."""
    vendor = asc(submits=[job("j1")], fetches=[said("running")] * 50)
    here = crowd(database, vendor)
    leader = await _asked(here, SOME)
    here.clock.turn(3700)
    async with process(here) as one:
        await one.until(lambda: open_detections(here) == 0)
        assert outcomes(here) == {("expired", "not_analyzed", 1): SOME + 1}
        here.arrive(leader, DONE, job_id="j1")
        if commits is not None:
            counts = let_die(one.database, commits, lambda: _revised(here) > 0)
            await one.turn_until_it_dies(counts)
    here.clock.turn(200)
    async with process(here) as other:
        await other.until(lambda: _revised(here) == SOME + 1)
    assert outcomes(here) == {("completed", "ai_generated", 2): SOME + 1}
    assert_told_once(here, "detection.failed", "detection.revised")
    assert_one_answer(here)
    assert_at_rest(here)


def _revised(here: World) -> int:
    return sum(count for (_, _, revision), count in outcomes(here).items() if revision > 1)


@pytest.mark.parametrize("deed", ["erased", "asked again", "asked by one more"])
async def test_what_is_done_right_after_the_leaders_end_leaves_no_follower_behind(
    database: Database, deed: str
) -> None:
    """Between its end and what its followers are told there may be a moment, and somebody may use it."""
    vendor = asc(submits=[job("j1"), said("ai")])
    here = crowd(database, vendor)
    leader = await _asked(here, SOME)
    (detection,) = [here.detection(run.detection_id) for run in here.runs() if run.id == leader]
    done: list[str] = []

    def do() -> None:
        if not done and here.detection(detection.id).completed_at is not None:
            done.append(deed)
            if deed == "erased":
                erase(here, detection.id)
            elif deed == "asked again":
                ask_again(here, detection.id)
            else:
                ask(here, detection.media_id or "")

    here.arrive(leader, DONE, job_id="j1")
    async with process(here) as one:
        with after_each_commit(one.database, do):
            await one.until(lambda: bool(done) and open_detections(here) == 0)
    expected = Counter({("completed", "ai_generated", 1): SOME + 1})
    if deed == "asked again":
        expected += {("completed", "ai_generated", 2): 1}
        expected -= {("completed", "ai_generated", 1): 1}
    elif deed == "asked by one more":
        expected += {("completed", "ai_generated", 1): 1}
    assert outcomes(here) == expected
    assert_at_rest(here)
    assert vendor.times("submit") <= 2


async def test_one_who_asks_right_after_the_leader_failed_does_not_ask_beside_the_others(database: Database) -> None:
    vendor = asc(submits=[job("j1"), job("j2")])
    here = crowd(database, vendor)
    leader = await _asked(here, SOME)
    (detection,) = [here.detection(run.detection_id) for run in here.runs() if run.id == leader]
    asked: list[str] = []

    def one_more() -> None:
        if not asked and here.detection(detection.id).completed_at is not None:
            asked.append("")
            asked[0] = ask(here, detection.media_id or "")

    here.arrive(leader, {"said": "broken"}, job_id="j1")
    async with process(here) as one:
        with after_each_commit(one.database, one_more):
            await one.until(lambda: any(run.vendor_job_id == "j2" for run in here.runs()))
            (second,) = [run.id for run in here.runs() if run.vendor_job_id == "j2"]
            here.arrive(second, DONE, job_id="j2")
            await one.until(lambda: open_detections(here) == 0)
    assert outcomes(here) == {("completed", "ai_generated", 1): SOME + 1, ("failed", "not_analyzed", 1): 1}
    assert_at_rest(here)
    assert vendor.times("submit") == 2

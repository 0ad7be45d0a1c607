"""Whose a callback is when its job is strange: the run whose audio its body names. Then the vendor is asked, always."""

from typing import Any

import pytest

from service.detectors.catalogue import Limits
from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from tests.certificates.certifying import Certifying
from tests.detections.rows import World, world
from tests.detections.scripted import job, lost, raw, said

STRANGE = "task_strange"


def vendor(**script: Any) -> Certifying:
    """AIPPIM's shape: one address for all runs, and the audio's name in its answers."""
    return Certifying("aippim", ("aippim/standard",), prepares=[raw({"ref": "m"})], **script)


async def _lost_sight_of(database: Database, *answers: Raw, **plan: Any) -> tuple[World, Certifying]:
    """A run whose submission may have been taken: nobody told us its task."""
    adapter = vendor(submits=[lost()], fetches=[*answers])
    here = world(database, adapter, **plan)
    here.submit("aippim/standard")
    await here.dispatch()
    assert (here.run().state, here.run().vendor_job_id) == ("unknown", None)
    return here, adapter


def _names(run_id: str, key: str = "filename", form: str = "{}.wav", word: str = "ai") -> dict[str, object]:
    return {"said": word, "other": {key: form.format(run_id)}}


@pytest.mark.parametrize(
    ("key", "form"),
    [("filename", "{}.wav"), ("filename", "uploads/{}.wav"), ("title", "{}"), ("filepath", "uploads/{}.mp3")],
)
async def test_a_strange_task_that_names_the_runs_audio_is_the_runs_and_is_confirmed(
    database: Database, key: str, form: str
) -> None:
    here, adapter = await _lost_sight_of(database, said("human"))
    here.arrive(STRANGE, _names(here.run().id, key, form), vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    assert (here.run().state, here.run().vendor_job_id, here.callback_states()) == ("waiting", STRANGE, ["applied"])
    await here.poll()
    run = here.run()
    assert (run.state, run.confirmed_by_fetch, adapter.times("fetch")) == ("succeeded", True, 1)
    assert here.detection(run.detection_id).verdict == "no_ai_detected", "what the fetch says counts, not the callback"
    here.clock.turn(200)
    await here.dispatch()
    assert adapter.times("submit") == 1, "so it is not submitted again"


async def test_under_payload_too_the_vendor_is_asked_where_only_the_name_matches(database: Database) -> None:
    here, adapter = await _lost_sight_of(database, said("human"), trust="payload")
    here.arrive(STRANGE, _names(here.run().id), vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    assert here.run().state == "waiting"
    await here.poll()
    assert (here.detection(here.run().detection_id).verdict, adapter.times("fetch")) == ("no_ai_detected", 1)


@pytest.mark.parametrize(
    "name",
    ["", "track.mp3", "run_1.mp3", "xrun_01m3gnq8rvfa3ag3t7hdjs5ezh.mp3", "run_01m3gnq8rvfa3ag3t7hdjs5ezh.mp3"],
)
async def test_other_products_jobs_stay_strangers_and_are_never_fetched_for(database: Database, name: str) -> None:
    here, adapter = await _lost_sight_of(database)
    here.arrive(STRANGE, {"said": "ai", "other": {"filename": name}}, vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    await here.poll()
    assert (here.callback_states(), here.run().state, adapter.times("fetch")) == (["parked"], "unknown", 0)


async def test_a_body_that_names_two_runs_names_none(database: Database) -> None:
    here, _ = await _lost_sight_of(database)
    other = here.run().id[:-3] + "000"
    body = {"said": "ai", "other": {"filename": f"{here.run().id}.wav", "title": other}}
    here.arrive(STRANGE, body, vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    assert here.callback_states() == ["parked"]


async def test_a_run_of_another_vendor_or_mode_is_not_matched_by_name(database: Database) -> None:
    here, _ = await _lost_sight_of(database)
    here.arrive(STRANGE, _names(here.run().id), vendor="aippim", job_id=STRANGE, mode="test")
    await here.callbacks()
    assert (here.callback_states(), here.run().state) == (["parked"], "unknown")


async def test_a_run_that_knows_its_job_takes_no_other_by_name(database: Database) -> None:
    adapter = vendor(submits=[job("t1")])
    here = world(database, adapter)
    here.submit("aippim/standard")
    await here.dispatch()
    here.arrive(STRANGE, _names(here.run().id), vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    assert (here.callback_states(), here.run().vendor_job_id) == (["conflict"], "t1")


async def test_one_that_comes_while_the_submission_is_under_way_is_matched_when_that_is_lost(
    database: Database,
) -> None:
    async def quick(_context: RunContext) -> Raw:
        here.arrive(STRANGE, _names(here.run().id), vendor="aippim", job_id=STRANGE)
        await here.callbacks()
        states.extend(here.callback_states())
        raise lost()

    states: list[str] = []
    adapter = vendor(submits=[quick], fetches=[said("ai")])
    here = world(database, adapter)
    here.submit("aippim/standard")
    await here.dispatch()
    await here.callbacks()
    assert (states, here.run().vendor_job_id) == (["parked"], STRANGE)
    await here.poll()
    assert here.run().state == "succeeded"


async def test_a_run_whose_time_ran_out_is_answered_late_by_name(database: Database) -> None:
    here, _ = await _lost_sight_of(database, said("ai"), deadline=40)
    here.clock.turn(40)
    await here.dispatch()
    assert here.run().state == "timed_out"
    here.arrive(STRANGE, _names(here.run().id), vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    await here.poll()
    assert (here.run().state, here.detection(here.run().detection_id).revision) == ("succeeded", 2)


async def test_an_answer_about_another_recording_is_no_answer(database: Database) -> None:
    other = raw(_names("run_01m3gnq8rvfa3ag3t7hdjs5ezh"))
    here, _ = await _lost_sight_of(database, other, raw(_names("run_01m3gnq8rvfa3ag3t7hdjs5ezh")), deadline=60)
    here.arrive(STRANGE, _names(here.run().id), vendor="aippim", job_id=STRANGE)
    await here.callbacks()
    await here.poll()
    assert (here.run().state, here.run().last_refusal) == ("waiting", "schema_mismatch")
    here.clock.turn(60)
    await here.poll()
    (result,) = here.results(here.run().detection_id)
    assert (result["verdict"], result["detectors"][0]["reason_code"]) == ("not_analyzed", "schema_mismatch")


async def test_the_same_said_at_two_addresses_of_ours_is_one_callback_and_a_duplicate(database: Database) -> None:
    adapter = Certifying(submits=[job("j1")], fetches=[said("ai")])
    here = world(database, adapter, limits=Limits())
    detection_id = here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    here.arrive("j1", {"said": "ai"}, job_id="j1")
    await here.callbacks()
    assert (here.callback_states(), adapter.times("fetch")) == (["applied"], 0)
    await here.poll()
    (result,) = here.results(detection_id)
    obtained = result["detectors"][0]["obtained"]
    assert (obtained["callbacks_seen"], obtained["duplicates"]) == (2, 1)
    here.clock.turn(60)
    here.arrive("j1", {"said": "ai"}, job_id="j1")
    await here.callbacks()
    await here.poll()
    assert (here.callback_states(), adapter.times("fetch")) == (["applied"], 1)

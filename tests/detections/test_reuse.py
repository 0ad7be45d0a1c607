"""Answers that are stored already: who takes them over, for how long, and that nothing is asked then."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from service.detections.changes import recheck
from service.kit.clock import rfc3339
from service.kit.db.database import Database
from service.media.models import Media
from service.runs.load.lock import lock_detection
from service.runs.state.models import RawBody
from service.timeline.assemble import assemble
from service.vendor_calls.fetch_source import claim_sources, record_source
from service.verdicts.votes import Rule
from tests.detections.rows import ACCOUNT, World, add_media, policy_of, world
from tests.detections.scripted import NOW, Answer, aippim, asc, job, raw, said
from tests.detections.sharing import ask, call_off, erase, only, outcome, part, recording

HOUR = 3600


async def _answered(database: Database, *answers: Answer, **media: Any) -> tuple[World, str, str]:
    """A detection of a recording that has its answer, an hour ago; the world, the recording and the detection."""
    here = world(database, asc(submits=answers), aippim(prepares=[raw({"ref": "m"})], submits=[said("ai")]))
    media_id = recording(here, **media)
    detection_id = ask(here, media_id)
    await here.dispatch()
    here.clock.turn(HOUR)
    return here, media_id, detection_id


async def test_a_stored_answer_ends_the_detection_at_once_and_nothing_is_asked(database: Database) -> None:
    here, media_id, first = await _answered(database, said("ai"))
    second = ask(here, media_id, external_id="again")
    assert outcome(here, second) == ("completed", "ai_generated", 1)
    assert here.events() == ["detector.completed", "detection.completed"] * 2
    await here.dispatch()
    origin, taken = only(here, first), part(here, second)
    assert taken["obtained"]["via"] == "reuse"
    assert taken["obtained"]["authenticity"] == part(here, first)["obtained"]["authenticity"] == "tls_fetch"
    assert (taken["refs"]["other"]["reused_run_id"], taken["verdict_raw"]) == (origin.id, "ai")
    assert (taken["raw"], taken["cost"]["billed"]) == (part(here, first)["raw"], False)
    times = [taken["timing"][name] for name in ("submitted_at", "received_at", "ended_at", "wall_ms")]
    assert times == [None, rfc3339(NOW), rfc3339(here.clock()), None]
    (result,) = here.results(second)
    assert result["totals"] == {"cost": [], "wall_ms": 0, "detectors_called": 0, "from_cache": True}
    assert here.results(first)[0]["totals"]["from_cache"] is False
    with database.reading() as session:
        assert session.get_one(Media, media_id).delete_after == here.clock() + here.policy.media_retention


async def test_refused_content_is_an_answer_and_a_failure_is_none(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("short"))
    assert outcome(here, ask(here, media_id)) == ("completed", "not_analyzed", 1)
    failed = world(database, asc(submits=[said("broken"), said("human")]))
    other = recording(failed)
    ask(failed, other)
    await failed.dispatch()
    again = ask(failed, other)
    await failed.dispatch()
    assert outcome(failed, again) == ("completed", "no_ai_detected", 1)


async def test_an_answer_serves_for_thirty_days_from_when_the_vendor_gave_it(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"), said("human"))
    here.clock.now = NOW + timedelta(days=30, seconds=-1)
    assert outcome(here, ask(here, media_id))[0] == "completed"
    here.clock.now = NOW + timedelta(days=30)
    assert outcome(here, ask(here, media_id))[0] == "queued"
    await here.dispatch()
    assert outcome(here, ask(here, media_id))[1] == "no_ai_detected"


async def test_the_operator_says_how_long(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"))
    here.policy = replace(here.policy, reuse=timedelta(minutes=59))
    assert outcome(here, ask(here, media_id))[0] == "queued"


async def test_who_asks_by_force_is_answered_anew_and_the_new_answer_is_the_one_reused(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"), said("human"))
    forced = ask(here, media_id, force=True)
    assert only(here, forced).leader_key is None
    await here.dispatch()
    assert outcome(here, forced)[1] == "no_ai_detected"
    later = ask(here, media_id)
    assert part(here, later)["refs"]["other"]["reused_run_id"] == only(here, forced).id


async def test_another_accounts_answer_and_another_tiers_are_not_taken(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"))
    with database.reading() as session:
        sha256 = session.get_one(Media, media_id).sha256
    theirs = recording(here, account="acc_2", sha256=sha256)
    assert outcome(here, ask(here, theirs, account_id="acc_2"))[0] == "queued"
    standard = ask(here, media_id, "aippim/standard")
    await_pro = ask(here, media_id, "aippim/pro")
    assert [only(here, each).follows_run_id for each in (standard, await_pro)] == [None, None]


async def test_the_same_bytes_uploaded_again_after_their_erasure_are_known(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"))
    with database.writing() as session:
        gone = session.get_one(Media, media_id)
        gone.name_key, gone.erased_at, sha256 = gone.id, here.clock(), gone.sha256
    assert outcome(here, ask(here, recording(here, sha256=sha256)))[0] == "completed"


@pytest.mark.parametrize(
    ("name", "same", "reused"),
    [
        ("song.ai.wav", "song.ai.wav", False),
        ("song.reuse.ai.wav", "song.reuse.ai.wav", True),
        ("song.reuse.ai.wav", "other.reuse.ai.wav", False),
        ("song.reused.wav", "song.reused.wav", False),
    ],
)
async def test_in_test_mode_only_the_word_shares_and_only_under_one_name(
    database: Database, name: str, same: str, reused: bool
) -> None:
    here = World(database, policy_of(asc(submits=[said("ai")]), mode="test"))
    first = recording(here, mode="test", name=name, name_key=name)
    detection_id = ask(here, first, mode="test")
    assert (only(here, detection_id).leader_key is not None) == ("reuse" in name.split("."))
    await here.dispatch()
    with database.reading() as session:
        sha256 = session.get_one(Media, first).sha256
    again = first if same == name else recording(here, mode="test", name=same, name_key=same, sha256=sha256)
    assert (outcome(here, ask(here, again, mode="test"))[0] == "completed") is reused


async def test_an_erased_answer_is_asked_for_again(database: Database) -> None:
    here, media_id, first = await _answered(database, said("ai"), said("human"))
    erase(here, first)
    again = ask(here, media_id)
    await here.dispatch()
    assert outcome(here, again)[1] == "no_ai_detected"


async def test_what_was_taken_over_stays_when_its_origin_is_erased(database: Database) -> None:
    here, media_id, first = await _answered(database, said("ai"))
    second = ask(here, media_id)
    before = here.results(second)
    erase(here, first)
    assert here.results(second) == before
    with database.reading() as session:
        (kept,) = session.exec(select(RawBody)).all()
    assert (kept.owner_id, kept.created_at) == (only(here, second).id, NOW)


async def test_a_copy_is_not_taken_over_again_so_an_answer_grows_no_older_than_it_is(database: Database) -> None:
    here, media_id, first = await _answered(database, said("ai"))
    here.clock.now = NOW + timedelta(days=20)
    second, third = ask(here, media_id), ask(here, media_id)
    origin = only(here, first).id
    assert [part(here, each)["refs"]["other"]["reused_run_id"] for each in (second, third)] == [origin, origin]
    here.clock.now = NOW + timedelta(days=31)
    assert outcome(here, ask(here, media_id))[0] == "queued"


async def test_an_answer_in_a_detection_that_was_called_off_serves_as_well(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]), aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")]))
    media_id = recording(here)
    detection_id = ask(here, media_id, "asc", "aippim/standard")
    await here.dispatch()
    call_off(here, detection_id)
    assert outcome(here, ask(here, media_id))[:2] == ("completed", "ai_generated")


async def test_a_fetched_source_is_known_by_its_bytes(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"))
    detection_id = here.submit("asc", source_url="https://cdn.example/a.wav")
    with database.writing() as session:
        (claimed,) = claim_sources(session, now=here.clock(), lease_until=here.clock(), limit=5)
        token = claimed.lease_token or ""
    with database.writing() as session:
        record_source(session, detection_id, token, media_id, here.policy, here.clock())
    assert outcome(here, detection_id) == ("completed", "ai_generated", 1)
    assert part(here, detection_id)["obtained"]["via"] == "reuse"


async def test_one_stored_answer_among_two_is_reused_and_the_other_is_asked(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"))
    both = ask(here, media_id, "asc", "aippim/pro")
    assert [run.state for run in here.runs(both)] == ["succeeded", "queued"]
    await here.dispatch()
    (result,) = here.results(both)
    assert (result["verdict"], result["agreement"]) == ("ai_generated", "unanimous")
    assert (result["totals"]["from_cache"], result["totals"]["detectors_called"]) == (False, 1)


async def test_a_cascade_looks_its_next_up_when_its_turn_comes(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("ai"))
    cascade = ask(here, media_id, "aippim/pro", "asc", rule=Rule.CASCADE)
    assert [run.state for run in here.runs(cascade)] == ["queued", "reserved"]
    await here.dispatch()
    assert [(run.state, run.via) for run in here.runs(cascade)] == [("succeeded", "sync"), ("succeeded", "reuse")]
    again = ask(here, media_id, "asc", "aippim/pro", rule=Rule.CASCADE)
    assert outcome(here, again) == ("completed", "ai_generated", 1)
    assert [run.via for run in here.runs(again)] == ["reuse", "reuse"]
    assert here.events()[-3:] == ["detector.completed", "detector.completed", "detection.completed"]


async def test_a_cascade_needs_no_second_after_a_stored_negative(database: Database) -> None:
    here, media_id, _ = await _answered(database, said("human"))
    cascade = ask(here, media_id, "asc", "aippim/pro", rule=Rule.CASCADE)
    assert outcome(here, cascade) == ("completed", "no_ai_detected", 1)
    assert [run.reason_code for run in here.runs(cascade)] == [None, "fallback_not_needed"]
    assert here.results(cascade)[0]["totals"]["from_cache"] is True


async def test_a_recheck_asks_anew_and_its_answer_is_reused_from_then_on(database: Database) -> None:
    here, media_id, first = await _answered(database, said("ai"), said("human"))
    with database.writing() as session:
        recheck(session, lock_detection(session, first), here.policy, here.clock())
    latest = here.runs(first)[-1]
    assert (latest.state, latest.leader_key, latest.follows_run_id) == ("queued", None, None)
    await here.dispatch()
    assert outcome(here, first) == ("completed", "no_ai_detected", 2)
    assert outcome(here, ask(here, media_id))[1] == "no_ai_detected"


async def test_the_timeline_says_whose_answer_it_is(database: Database) -> None:
    here, media_id, first = await _answered(database, said("ai"))
    second = ask(here, media_id)
    with database.reading() as session:
        facts = assemble(session, here.detection(second), here.clock()).facts
    assert [fact.kind for fact in facts][:5] == [
        "detection.created",
        "run.queued",
        "run.reused",
        "run.observed",
        "run.ended",
    ]
    assert facts[2].more == {"detector": "asc", "from_run_id": only(here, first).id}


async def test_other_media_of_the_account_share_nothing(database: Database) -> None:
    here, _, _ = await _answered(database, said("ai"))
    with database.writing() as session:
        other = add_media(session, account=ACCOUNT).id
    assert outcome(here, ask(here, other))[0] == "queued"

"""Audio that no detector asked can take is refused beforehand, and the refusal says what each takes."""

from typing import Any

import pytest

from service.detections.submit import submit
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.vendor_calls.fetch_source import claim_sources, record_source
from service.vendors import VENDORS
from service.verdicts.votes import Rule
from tests.detections.rows import World, add_media, policy_of, question, world
from tests.detections.scripted import NOW, aippim, asc
from tests.vendors.contract import exchange

FORMATS = ("mp3", "wav", "flac", "m4a", "aac", "ogg", "webm", "aiff")


def everywhere(database: Database) -> World:
    """Every vendor there is, with its real adapter; none of them is asked."""
    return World(database, policy_of(*(each.adapter(each.settings(), exchange()) for each in VENDORS.values())))


def refused(here: World, *detectors: str, **media: Any) -> str | None:
    """What was said at `/detectors`, or `None` where the question was taken."""
    told: CallerError | None = None
    try:
        here.submit(*detectors, media=media)
    except CallerError as error:
        told = error
    if told is None:
        return None
    (problem,) = told.problems
    assert (told.status, told.code, problem.pointer) == (422, "invalid_request", "/detectors")
    return problem.detail


def test_every_format_is_taken_or_refused_as_each_detector_says(database: Database) -> None:
    here = everywhere(database)
    for line in here.policy.catalogue.configured_in("live"):
        for detector in line.adapter.detectors:
            takes = line.adapter.capabilities(detector).formats
            for word in FORMATS:
                said = refused(here, detector, format=word)
                assert (said is None) == (word in takes), (detector, word)
                assert said is None or f"{detector} accepts {', '.join(sorted(takes))}" in said


def test_where_none_of_the_default_detectors_takes_it_all_are_named_and_one_that_does(database: Database) -> None:
    here = everywhere(database)
    said = refused(here, format="aiff")
    assert said is not None
    assert said.startswith("No requested detector accepts aiff: ")
    for detector in here.policy.catalogue.defaults("live"):
        assert f"{detector} accepts " in said
    assert said.endswith("Available detectors that accept it: modulate/streaming.")
    assert here.runs() == []


def test_one_that_takes_it_is_enough_and_the_others_say_why_not(database: Database) -> None:
    here = everywhere(database)
    assert refused(here, "asc", "pex", format="webm") is None
    assert refused(here, "asc", "aippim/standard", format="webm") is not None


def test_a_size_that_is_too_large_for_each_is_refused_like_a_format(database: Database) -> None:
    here = world(database, asc(), aippim())
    said = refused(here, "asc", bytes=1001)
    assert said is not None
    assert said.startswith("No requested detector accepts wav of 1001 bytes: asc accepts wav, at most 1000 bytes.")
    assert refused(here, "asc", "aippim/pro", bytes=1001) is None
    assert refused(here, "asc", bytes=1000) is None


def test_format_at_one_and_size_at_the_other_is_just_as_hopeless(database: Database) -> None:
    here = everywhere(database)
    assert refused(here, "asc", "modulate", format="webm", bytes=60_000_000) is not None
    assert refused(here, "asc", "pex", format="webm", bytes=60_000_000) is None


def test_it_stands_beside_the_other_faults_of_the_question(database: Database) -> None:
    here = world(database, asc())
    with database.writing() as session:
        media = add_media(session, format="aiff").id
    with pytest.raises(CallerError) as found, database.writing() as session:
        submit(session, question(media_id=media, detectors=("asc",), quorum=3), here.policy, NOW)
    assert {problem.pointer for problem in found.value.problems} == {"/detectors", "/decision/quorum"}


@pytest.mark.parametrize(
    ("media", "reason"),
    [({"format": "aiff"}, "unsupported_format"), ({"bytes": 1001}, "file_too_large")],
)
@pytest.mark.parametrize("rule", [Rule.CONSENSUS, Rule.CASCADE])
def test_behind_an_address_the_detection_fails_as_one_whose_source_is_no_audio(
    database: Database, media: dict[str, Any], reason: str, rule: Rule
) -> None:
    other = asc()
    other.vendor, other.detectors = "pex", ("pex",)
    here = world(database, asc(), other)
    detection_id = _fetched(here, media, "asc", "pex", rule=rule)
    (result,) = here.results(detection_id)
    assert (result["status"], result["verdict"], result["outcome_reason"]) == ("failed", "not_analyzed", reason)
    assert {(run.state, run.reason_code, run.submit_tries) for run in here.runs()} == {("skipped", reason, 0)}
    assert set(here.events()) == {"detector.completed", "detection.failed"}
    assert all("accepts" in part["reason_text"] for part in result["detectors"])


def test_behind_an_address_one_that_takes_it_is_asked(database: Database) -> None:
    here = world(database, asc(), aippim())
    _fetched(here, {"format": "mp3"}, "asc", "aippim/pro")
    assert [run.state for run in here.runs()] == ["queued", "queued"]


def _fetched(here: World, media: dict[str, Any], *detectors: str, **asked: Any) -> str:
    detection_id = here.submit(*detectors, source_url="https://x.example/a", source_name="a", **asked)
    with here.database.writing() as session:
        (claimed,) = claim_sources(session, now=NOW, lease_until=NOW, limit=1)
        fetched = add_media(session, **media)
        record_source(session, detection_id, claimed.lease_token or "", fetched.id, here.policy, NOW)
    return detection_id

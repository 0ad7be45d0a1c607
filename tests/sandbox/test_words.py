import hashlib
import hmac
import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.asking import ENDS, Asking, asking
from tests.sandbox.serving import SETTINGS, Hands, Inbox, Taken, until

WRONG = {"aippim": "real", "asc": "human"}
RIGHT = {"aippim": "fake", "asc": "ai"}


@pytest.fixture(params=["aippim", "asc"])
def vendor(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def twin(vendor: str, inbox: Inbox, inbox_url: str) -> Iterator[Asking]:
    with asking(vendor, inbox, inbox_url) as one:
        yield one


def test_slow_work_takes_five_times_as_long(vendor: str, inbox: Inbox, inbox_url: str) -> None:
    clock = Hands()
    with asking(vendor, inbox, inbox_url, clock, latency_seconds=10) as twin:
        slow, plain = twin.begin("song.slow.ai.wav"), twin.begin("song.ai.wav")
        clock.move(10)
        assert [twin.poll(job).json()["status"] in ENDS for job in (plain, slow)] == [True, False]
        clock.move(39)
        assert twin.poll(slow).json()["status"] == "processing"
        clock.move(1)
        assert twin.poll(slow).json()["status"] in ENDS


def test_polls_know_the_end_before_a_late_callback_says_it(twin: Asking) -> None:
    job = twin.begin("song.late-callback.ai.wav")
    assert twin.prediction(twin.result(job)) == RIGHT[twin.vendor]
    assert twin.ends == []
    until(lambda: len(twin.ends) == 1)


def test_an_early_callback_is_through_before_the_submission_is_answered(twin: Asking) -> None:
    job = twin.begin("song.early-callback.ai.wav")
    (said,) = twin.ends
    assert said.get("job_id") == job or said["task_id"] == job
    assert twin.prediction(said) == twin.prediction(twin.poll(job).json()) == RIGHT[twin.vendor]


def test_a_reordered_processing_comes_last(inbox: Inbox, inbox_url: str) -> None:
    with asking("aippim", inbox, inbox_url) as aippim:
        aippim.begin("song.reordered-callback.wav")
        until(lambda: len(inbox.taken) == 2)
    assert [taken.json["status"] for taken in inbox.taken] == ["success", "processing"]


def test_forgeries_come_before_the_end_and_say_otherwise(twin: Asking) -> None:
    job = twin.begin("song.forged-callback.ai.wav")
    until(lambda: twin.prediction(twin.ends[-1]) == RIGHT[twin.vendor] if twin.ends else False)
    *lies, honest = twin.ends
    assert [twin.prediction(lie) for lie in lies] == [WRONG[twin.vendor]] * (2 if twin.vendor == "aippim" else 1)
    assert twin.prediction(honest) == twin.prediction(twin.result(job))
    if twin.vendor == "asc":
        assert lies[0]["job_id"] != job
        assert twin.poll(lies[0]["job_id"]).status_code == 404
    else:
        assert {lie["task_id"] for lie in lies} == {job}
        assert [is_signed(one, job) for one in twin.inbox.with_status("success")] == [False, True, True]


def is_signed(taken: Taken, task_id: str) -> bool:
    signed = f"{taken.headers['x-mippia-timestamp']}:{task_id}".encode()
    mac = hmac.new(SETTINGS.webhook_secret("aippim").encode(), signed, hashlib.sha256)
    return taken.headers["x-mippia-signature"] == mac.hexdigest()


def test_the_third_submission_gets_through_a_rate_limit(twin: Asking) -> None:
    first, second, third = (twin.submit("song.rate-limited.ai.wav") for _ in range(3))
    assert [one.status_code for one in (first, second)] == [429, 429]
    assert (first.headers["retry-after"], "retry-after" in second.headers) == ("1", False)
    assert third.is_success
    until(lambda: len(twin.ends) == 1)


def test_an_outage_refuses_then_cuts_then_works_but_for_one_poll(twin: Asking) -> None:
    assert twin.submit("song.outage.ai.wav").status_code == 503
    with pytest.raises(httpx.ReadError, match="reset"):
        twin.submit("song.outage.ai.wav")
    job = twin.begin("song.outage.ai.wav")
    assert twin.poll(job).status_code == 500
    assert twin.prediction(twin.result(job)) == RIGHT[twin.vendor]
    until(lambda: len(twin.ends) == 1)
    assert len(twin.ends) == 1


def test_silence_hides_that_the_work_was_accepted(vendor: str, inbox: Inbox, inbox_url: str) -> None:
    with asking(vendor, inbox, inbox_url) as twin:
        twin.client.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.ReadTimeout):
            twin.submit("song.silence.ai.wav")
        until(lambda: len(twin.ends) == 1)
        job = twin.begin("song.silence.ai.wav")
        until(lambda: len(twin.ends) == 2)
        assert len({body.get("job_id") or body["task_id"] for body in twin.ends} | {job}) == 2


def test_an_answer_held_back_comes_to_who_waits(vendor: str, inbox: Inbox, inbox_url: str) -> None:
    with asking(vendor, inbox, inbox_url, silence_seconds=0.1) as twin:
        assert twin.poll(twin.begin("song.silence.wav")).status_code == 200


def test_an_unknown_status_never_changes(twin: Asking) -> None:
    job = twin.begin("song.unknown-status.early-callback.ai.wav")
    assert twin.poll(job).json()["status"] == "hibernating"
    bodies = [taken.json for taken in twin.inbox.taken]
    assert {body.get("event") or body["status"] for body in bodies} <= {"hibernating", "analysis.hibernating"}
    assert bodies
    assert not [body for body in [*bodies, twin.poll(job).json()] if "result" in body or "prediction" in body]


def test_garbage_is_three_ways_to_say_nothing(twin: Asking) -> None:
    job = twin.begin("song.garbage.early-callback.ai.wav")
    polls = [twin.poll(job) for _ in range(4)]
    assert {one.status_code for one in polls} == {200}
    texts = [one.content for one in polls]
    assert texts[0] == texts[3]
    callbacks = [taken.body for taken in twin.inbox.taken]
    assert len(callbacks) == 3
    for bodies in (texts[:3], callbacks):
        page, cut, doubled = bodies
        assert page.startswith(b"<!doctype html>")
        with pytest.raises(json.JSONDecodeError):
            json.loads(cut)
        keys = re.findall(rb'"(job_id|task_id)"', doubled)
        assert len(keys) == 2


def test_a_recording_under_garbage_still_passes_through_the_states_before_the_end(
    vendor: str, inbox: Inbox, inbox_url: str
) -> None:
    with asking(vendor, inbox, inbox_url, latency_seconds=60) as twin:
        assert twin.poll(twin.begin("song.garbage.wav")).json()["status"] in {"pending", "queued"}


def test_words_combine(twin: Asking) -> None:
    name = "song.rate-limited.lost-callback.ai.wav"
    assert [twin.submit(name).status_code for _ in range(2)] == [429, 429]
    assert twin.prediction(twin.result(twin.begin(name))) == RIGHT[twin.vendor]
    assert twin.inbox.taken == []


def test_reuse_is_a_word_that_changes_nothing(twin: Asking) -> None:
    job = twin.begin("song.reuse.ai.wav")
    until(lambda: len(twin.ends) == 1)
    assert twin.prediction(twin.result(job)) == RIGHT[twin.vendor]

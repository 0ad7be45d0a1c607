from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.sandbox.serving import SETTINGS, Hands, Inbox, client_of, sandbox_at, until
from tests.sandbox.test_asc import answer_of, submitted

Body = dict[str, Any]


@contextmanager
def at(clock: Hands, **changes: Any) -> Iterator[httpx.Client]:
    with sandbox_at(replace(SETTINGS, **changes), clock) as base, client_of(base) as client:
        yield client


def ask(client: httpx.Client, action: str, **query: str) -> httpx.Response:
    return client.get("/asc/v1", params={"action": action, **query})


def post(client: httpx.Client, action: str, body: Body) -> httpx.Response:
    return client.post("/asc/v1", params={"action": action}, json=body)


@pytest.fixture
def analysis(client: httpx.Client, inbox_url: str) -> Body:
    """What a poll says of an ended job."""
    return answer_of(client, submitted(client, f"{inbox_url}/audio/song.ai.mp3"))


def test_quota_counts_every_request_until_midnight_in_utc() -> None:
    clock = Hands()
    with at(clock, asc_daily_limit=3) as client:
        assert ask(client, "status").headers["X-RateLimit-Remaining"] == "2"
        assert ask(client, "quota").json() == {
            "plan": "pro",
            "daily_limit": 3,
            "daily_used": 2,
            "daily_remaining": 1,
            "reset_at": "2026-11-21T00:00:00Z",
        }
        assert ask(client, "no-such").status_code == 400
        clock.move(-9)
        over = ask(client, "quota")
        assert (over.status_code, over.json()["status"]) == (429, 429)
        assert (over.headers["Retry-After"], over.headers["X-RateLimit-Remaining"]) == ("10", "0")
        clock.move(9.1)
        assert ask(client, "quota").json()["daily_used"] == 1


def test_without_a_limit_the_plans_is_told_and_nothing_refused(client: httpx.Client) -> None:
    said = ask(client, "quota").json()
    assert said["daily_limit"] == 10_000
    assert said["daily_remaining"] == 10_000 - said["daily_used"]


def test_strangers_are_not_counted() -> None:
    with at(Hands()) as client:
        client.headers["X-API-Key"] = "wrong"
        assert ask(client, "quota").status_code == 401
        client.headers["X-API-Key"] = SETTINGS.api_key
        assert ask(client, "quota").json()["daily_used"] == 1


def test_usage_sums_up_a_period(inbox_url: str) -> None:
    clock = Hands()
    with at(clock) as client:
        submitted(client, f"{inbox_url}/audio/song.mp3")
        ask(client, "no-such")
        clock.move(60)
        today = ask(client, "usage", period="today").json()
        month = ask(client, "usage", detailed="true").json()
        assert ask(client, "usage", period="year").status_code == 400
        clock.move(35 * 86_400)
        later = ask(client, "usage").json()
    assert (today["total_requests"], today["analyses_count"]) == (1, 0)
    assert {name: month[name] for name in ("period", "total_requests", "successful", "failed", "analyses_count")} == {
        "period": "month",
        "total_requests": 4,
        "successful": 3,
        "failed": 1,
        "analyses_count": 1,
    }
    assert month["endpoints"] == {"analyze-url": 1, "unknown": 1, "usage": 2}
    assert later["total_requests"] == 1


def test_more_at_a_time_than_the_plan_has_are_refused() -> None:
    with sandbox_at(replace(SETTINGS, asc_concurrent=1, latency_seconds=1)) as base, client_of(base) as client:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda _: post(client, "analyze", {"audio_data": "eHg="}), range(2)))
        assert sorted(one.status_code for one in answers) == [200, 429]
        assert ask(client, "status").status_code == 200


def test_certificate_proves_what_the_analysis_said(client: httpx.Client, analysis: Body) -> None:
    certificate = post(client, "certificate", {"analysis_id": analysis["analysis_id"], "format": "pdf"}).json()
    assert certificate.keys() == {"certificate_id", "verification_url", "download_url", "expires_at"}
    proven = ask(client, "verify", certificate_id=certificate["certificate_id"]).json()
    assert proven == {
        "valid": True,
        "certificate_id": certificate["certificate_id"],
        "prediction": analysis["prediction"],
        "ai_score": analysis["ai_score"],
        "issued_at": proven["issued_at"],
    }


def test_certificate_of_a_synchronous_analysis_agrees_too_and_ends_after_a_year() -> None:
    clock = Hands()
    with at(clock) as client:
        said = post(client, "analyze", {"audio_data": "eHg="}).json()
        issued = post(client, "certificate", {"analysis_id": said["analysis_id"]}).json()
        assert issued["expires_at"] == "2027-11-20T23:59:59Z"
        assert ask(client, "verify", id=issued["certificate_id"]).json()["ai_score"] == said["ai_score"]
        clock.move(366 * 86_400)
        assert ask(client, "verify", id=issued["certificate_id"]).json()["valid"] is False


def test_polls_of_one_job_name_one_analysis_or_none_by_the_knob(
    client: httpx.Client, inbox_url: str, analysis: Body
) -> None:
    again = ask(client, "job", id=analysis["job_id"]).json()
    assert again["analysis_id"] == analysis["analysis_id"]
    with at(Hands(), asc_analysis_ids=False, latency_seconds=0) as plain:
        assert "analysis_id" not in answer_of(plain, submitted(plain, f"{inbox_url}/audio/song.mp3"))


def test_ids_of_something_else_are_not_found(client: httpx.Client, analysis: Body) -> None:
    for wrong in (analysis["job_id"], f"{analysis['analysis_id']}A", analysis["analysis_id"][4:], "ana_xyz789"):
        assert post(client, "certificate", {"analysis_id": wrong}).status_code == 404
    for wrong in (analysis["analysis_id"], "cert_abc123", f"cert_{analysis['analysis_id'][4:]}", ""):
        assert ask(client, "verify", certificate_id=wrong).status_code == 404
    assert post(client, "certificate", {"format": "pdf"}).status_code == 400
    assert post(client, "certificate", {"analysis_id": analysis["analysis_id"], "format": "docx"}).status_code == 400


def test_a_certificate_is_announced_at_the_registered_address(inbox: Inbox, inbox_url: str) -> None:
    with sandbox_at(SETTINGS) as base, client_of(base) as client:
        registration = {"url": f"{inbox_url}/callback", "events": ["certificate.ready"]}
        assert post(client, "webhook", registration).status_code == 200
        said = answer_of(client, submitted(client, f"{inbox_url}/audio/song.ai.mp3"))
        issued = post(client, "certificate", {"analysis_id": said["analysis_id"]}).json()
        until(lambda: len(inbox.taken) == 1)
    body = inbox.taken[0].json
    assert body == {"event": "certificate.ready", **issued, "timestamp": body["timestamp"]}


@pytest.mark.parametrize("both", [True, False])
def test_the_registered_address_hears_of_jobs_where_the_knob_says_so(inbox: Inbox, inbox_url: str, both: bool) -> None:
    with sandbox_at(replace(SETTINGS, asc_account_callbacks=both)) as base, client_of(base) as client:
        post(client, "webhook", {"url": f"{inbox_url}/callback?account", "events": ["analysis.complete"]})
        job = submitted(client, f"{inbox_url}/audio/song.early-callback.mp3", f"{inbox_url}/callback?job")
    assert [one.json["job_id"] for one in inbox.taken] == [job] * (2 if both else 1)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "http://127.0.0.1:1/"},
        {"url": "nowhere", "events": ["analysis.complete"]},
        {"url": "http://127.0.0.1:1/", "events": []},
        {"url": "http://127.0.0.1:1/", "events": "analysis.complete"},
        {"url": "http://127.0.0.1:1/", "events": ["analysis.failed"]},
        {"url": "http://127.0.0.1:1/", "events": [{}]},
    ],
)
def test_bad_registrations_are_refused(client: httpx.Client, body: Body) -> None:
    assert post(client, "webhook", body).status_code == 400

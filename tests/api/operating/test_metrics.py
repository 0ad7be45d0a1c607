"""`/metrics`: who may look, what is there, and that the database is not asked each time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from service.api.operating.health import ROUTES as HEALTH
from service.api.operating.metrics import GAUGES, REQUESTS, ROUTES, Measured
from service.api.operating.waits import waits
from service.callbacks.models import Callback
from service.kit.db.database import Database
from service.kit.process.heartbeat import beat
from service.kit.telemetry.metrics import declared, figures, process_name
from service.webhooks.sending.finish import ATTEMPT_SECONDS
from tests.api.doors import app_of, context_on
from tests.detections.rows import World, alter, policy_of
from tests.detections.scripted import NOW, asc
from tests.kit.telemetry.test_metrics import LINE, Sample, parsed, sample
from tests.webhooks.rows import deliveries, draft, put, put_endpoint

TOKEN = "a token for the scraper"


@asynccontextmanager
async def scraper(
    database: Database, folder: Path, *, token: str | None = TOKEN, peer: str = "127.0.0.1"
) -> AsyncIterator[httpx.AsyncClient]:
    context = replace(context_on(database, folder), metrics_token=token, policy=policy_of(asc()))
    app = Measured(app_of([*HEALTH, *ROUTES], context))
    transport = httpx.ASGITransport(app=app, client=(peer, 1), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TOKEN}"} if token else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://relay.test", headers=headers) as client:
        yield client


async def numbers(client: httpx.AsyncClient) -> dict[Sample, float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    return parsed(answer.text)


@pytest.mark.parametrize(
    ("given", "status"),
    [("Bearer wrong", 401), ("", 401), (TOKEN, 401), ("Bearer " + TOKEN, 200), ("Bearer ümlaut", 401)],
)
async def test_with_a_token_only_its_bearer_may_look(
    database: Database, tmp_path: Path, given: str, status: int
) -> None:
    async with scraper(database, tmp_path) as client:
        answer = await client.get("/metrics", headers={b"Authorization": given.encode()})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("203.0.113.9", {}, 403),
        ("203.0.113.9", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 403),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 403),
        ("localhost", {}, 403),
    ],
)
async def test_without_a_token_only_this_machine_may_look_and_its_proxies_may_not(
    database: Database, tmp_path: Path, peer: str, headers: dict[str, str], status: int
) -> None:
    async with scraper(database, tmp_path, token=None, peer=peer) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == status


async def test_every_declared_metric_is_there_with_its_type(database: Database, tmp_path: Path) -> None:
    async with scraper(database, tmp_path) as client:
        text = (await client.get("/metrics")).text
    for count in declared():
        assert f"# TYPE {count.name} {count.kind}\n" in text
    for name in GAUGES:
        assert f"# TYPE {name} gauge\n" in text


async def test_answers_are_counted_by_the_pattern_of_their_route(database: Database, tmp_path: Path) -> None:
    before = REQUESTS.value("GET", "/livez", "200"), REQUESTS.value("other", "none", "404")
    async with scraper(database, tmp_path) as client:
        await client.get("/livez?token=canary")
        await client.request("STRANGE", "/canary")
        text = (await client.get("/metrics")).text
    assert REQUESTS.value("GET", "/livez", "200") == before[0] + 1
    assert REQUESTS.value("other", "none", "404") == before[1] + 1
    assert "canary" not in text
    assert "STRANGE" not in text


async def test_what_is_mounted_is_counted_by_where_it_is_mounted() -> None:
    async def busy(_request: Request) -> Response:
        return Response(status_code=503)

    twins = Starlette(routes=[Mount("/aippim", routes=[Route("/tasks/{task_id}", busy)])])
    app = Measured(Starlette(routes=[Route("/tasks/{task_id}", busy), Mount("/sandbox", app=twins)]))
    paths = {
        "/sandbox/aippim/tasks/canary": ("/sandbox/aippim/tasks/{task_id}", "503"),
        "/sandbox/aippim/canary": ("/sandbox/aippim", "404"),
        "/sandbox/canary": ("/sandbox", "404"),
        "/tasks/canary": ("/tasks/{task_id}", "503"),
    }
    for root_path in ("", "/behind/a/proxy"):
        before = {labels: REQUESTS.value("GET", *labels) for labels in paths.values()}
        transport = httpx.ASGITransport(app=app, root_path=root_path)
        async with httpx.AsyncClient(transport=transport, base_url="http://relay.test") as client:
            for path in paths:
                await client.get(f"{root_path}{path}")
        assert {labels: REQUESTS.value("GET", *labels) - had for labels, had in before.items()} == dict.fromkeys(
            before, 1
        )


async def test_a_request_that_ends_before_its_answer_begins_has_no_status() -> None:
    async def hangs_up(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    async def unused(*_args: object) -> Any:
        raise AssertionError

    before = REQUESTS.value("GET", "none", "none")
    with pytest.raises(asyncio.CancelledError):
        await Measured(hangs_up)({"type": "http", "method": "GET", "path": "/"}, unused, unused)
    assert REQUESTS.value("GET", "none", "none") == before + 1


async def test_another_processs_counters_come_with_its_heartbeat(database: Database, tmp_path: Path) -> None:
    await database.write(beat, "wrk_1", "far:7", {'relay_polls_total{detector="asc",outcome="answered"}': 5}, NOW)
    await database.write(beat, "wrk_2", "dead:8", {"relay_polls_total": 9}, NOW - timedelta(seconds=90))
    async with scraper(database, tmp_path) as client:
        found = await numbers(client)
    assert found[sample("relay_polls_total", process="far:7", detector="asc", outcome="answered")] == 5
    assert found[sample("relay_worker_heartbeat_age_seconds", worker="wrk_1", process="far:7")] == 0
    assert found[sample("relay_worker_heartbeat_age_seconds", worker="wrk_2", process="dead:8")] == 90
    assert not [name for name, labels in found if name == "relay_polls_total" and ("process", "dead:8") in labels]


async def test_a_histogram_of_several_processes_is_summed_over_them(database: Database, tmp_path: Path) -> None:
    ATTEMPT_SECONDS.observe(0.2, "taken")
    ours = figures()['relay_attempt_seconds{outcome="taken"}']
    await database.write(beat, "wrk_1", "far:7", figures(), NOW)
    async with scraper(database, tmp_path) as client:
        found = await numbers(client)
    buckets: Counter[str] = Counter()
    counts = Counter(
        {dict(labels)["process"]: value for (name, labels), value in found.items() if _is(name, labels, "count")}
    )
    for (name, labels), value in found.items():
        if _is(name, labels, "bucket"):
            buckets[dict(labels)["le"]] += int(value)
    assert isinstance(ours, list)
    assert counts == {"far:7": sum(ours[:-1]), process_name(): sum(ours[:-1])}
    assert buckets["+Inf"] == counts.total()
    assert list(buckets.values()) == sorted(buckets.values())


def _is(name: str, labels: frozenset[tuple[str, str]], part: str) -> bool:
    return name == f"relay_attempt_seconds_{part}" and ("outcome", "taken") in labels


async def test_the_database_is_asked_once_in_five_seconds(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scraper(database, tmp_path) as client:
        await numbers(client)

        async def never(*_args: object) -> None:
            raise AssertionError

        monkeypatch.setattr(Database, "read", never)
        assert await numbers(client)


async def test_what_waits_is_told_with_the_age_of_the_first(database: Database) -> None:
    here = World(database, policy_of(asc()))
    here.submit("asc")
    here.submit("asc", source_url="https://x.example/a.wav", source_name="a.wav")
    here.submit("asc")
    alter(database, [here.runs()[2]], state="unknown")
    here.arrive("run_unknown", {"said": "ai"})
    for state in ("parked", "quarantined"):
        with database.writing() as session:
            session.add(_callback(state))
    put_endpoint(database)
    put(database, *(draft("det_1") for _ in range(2)), draft("det_2", final=True, revision=1), draft("det_3"))
    alter(database, [deliveries(database)[2]], state="due", lane="retry")
    alter(database, [deliveries(database)[3]], state="held")
    with database.reading() as session:
        found = {one.state: one for one in waits(session, ["asc"], NOW + timedelta(seconds=1000))}
    counts = {state: one.count for state, one in found.items()}
    assert counts == {
        "sources_due": 1,
        "runs_queued": 1,
        "runs_unknown": 1,
        "runs_waiting": 0,
        "detections_stuck": 3,
        "callbacks_due": 1,
        "callbacks_parked": 1,
        "callbacks_quarantined": 1,
        "callbacks_stuck": 0,
        "deliveries_fresh": 1,
        "deliveries_retry": 1,
        "deliveries_blocked": 1,
        "deliveries_held": 1,
        "final_events_undelivered": 1,
        "events_not_shown": 0,
    }
    ages = {state: one.age_seconds(NOW + timedelta(seconds=1000)) for state, one in found.items() if one.count}
    assert ages.pop("detections_stuck") == 100
    assert set(ages.values()) == {1000}
    with database.reading() as session:
        assert {one.state: one.count for one in waits(session, [], NOW)}["callbacks_parked"] == 0


def _callback(state: str) -> Callback:
    return Callback(
        id=f"cbk_{state}", mode="live", vendor="asc", subject=state, body_sha256=state, body=b"{}", headers_json="{}",
        authenticity="none", state=state, received_at=NOW,
    )  # fmt: skip

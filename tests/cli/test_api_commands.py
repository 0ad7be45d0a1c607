"""`relay endpoints`, `deliveries`, `detections`: what each asks of the API, and how it shows the answer."""

import json
from typing import Any

import pytest
from starlette.responses import Response

from tests.cli.standin import KEY, relay, result, stand_in

WE = "/v1/webhook-endpoints"
ENDPOINT = {
    "id": "we_1",
    "url": "https://shop.example/hooks",
    "events": ["detection.*", "review.required"],
    "description": None,
    "headers": {"X-Shop": "********"},
    "status": "enabled",
}
ATTEMPT = {
    "id": "att_1",
    "n": 1,
    "started_at": "2026-11-20T10:00:00.000Z",
    "status_code": 500,
    "error_class": "status_5xx",
    "phases_ms": {"total": 12},
    "explanation": "The endpoint \x1b[31mfailed",
}
DELIVERY = {"id": "dlv_1", "endpoint_id": "we_1", "event_type": "detection.completed", "status": "pending"}
PAGE = {"data": [], "has_more": False, "next_cursor": None}

Sent = tuple[str, str, dict[str, str], dict[str, Any] | None]

COMMANDS: list[tuple[str, Sent]] = [
    (
        "endpoints create https://shop.example/hooks",
        ("POST", WE, {}, {"url": "https://shop.example/hooks", "events": ["detection.*"]}),
    ),
    (
        (
            "endpoints create http://a/ --events detection.*,review.required --events batch.completed"
            " --description mine --header X-Shop:a:b --rate-limit 5 --disabled"
        ),
        (
            "POST",
            WE,
            {},
            {
                "url": "http://a/",
                "events": ["detection.*", "review.required", "batch.completed"],
                "description": "mine",
                "headers": {"X-Shop": "a:b"},
                "rate_limit_per_second": 5,
                "disabled": True,
            },
        ),
    ),
    ("endpoints get we_1", ("GET", f"{WE}/we_1", {}, None)),
    (
        "endpoints update we_1 --url http://b/ --clear description,headers --clear rate-limit",
        (
            "PATCH",
            f"{WE}/we_1",
            {},
            {"url": "http://b/", "description": None, "headers": None, "rate_limit_per_second": None},
        ),
    ),
    ("endpoints delete we_1", ("DELETE", f"{WE}/we_1", {}, None)),
    ("endpoints enable we_1", ("POST", f"{WE}/we_1/enable", {}, {"release": "all"})),
    ("endpoints enable we_1 --release newest", ("POST", f"{WE}/we_1/enable", {}, {"release": "newest"})),
    ("endpoints disable we_1", ("POST", f"{WE}/we_1/disable", {}, {})),
    ("endpoints ping we_1", ("POST", f"{WE}/we_1/ping", {}, {})),
    ("endpoints rotate-secret we_1", ("POST", f"{WE}/we_1/rotate-secret", {}, {})),
    (
        "endpoints rotate-secret we_1 --overlap-seconds 0",
        ("POST", f"{WE}/we_1/rotate-secret", {}, {"overlap_seconds": 0}),
    ),
    ("endpoints secret we_1", ("GET", f"{WE}/we_1/secret", {}, None)),
    (
        "endpoints recover we_1 --since 2026-11-20T00:00:00Z",
        ("POST", f"{WE}/we_1/recover", {}, {"since": "2026-11-20T00:00:00Z"}),
    ),
    ("endpoints stats we_1", ("GET", f"{WE}/we_1/stats", {}, None)),
    ("deliveries get dlv_1", ("GET", "/v1/deliveries/dlv_1", {}, None)),
    ("deliveries resend dlv_1", ("POST", "/v1/deliveries/dlv_1/resend", {}, None)),
    ("detections get det_1", ("GET", "/v1/detections/det_1", {"detail": "full"}, None)),
    (
        "detections get det_1 --wait 25 --detail full",
        ("GET", "/v1/detections/det_1", {"detail": "full", "wait": "25"}, None),
    ),
    ("detections cancel det_1", ("POST", "/v1/detections/det_1/cancel", {}, None)),
    ("detections recheck det_1", ("POST", "/v1/detections/det_1/recheck", {}, None)),
    ("detections delete det_1", ("DELETE", "/v1/detections/det_1", {}, None)),
]
LISTS: list[tuple[str, Sent]] = [
    ("endpoints list", ("GET", WE, {}, None)),
    (
        "deliveries list --endpoint we_1 --status exhausted --event evt_1 --limit 5 --cursor abc",
        (
            "GET",
            "/v1/deliveries",
            {"endpoint": "we_1", "status": "exhausted", "event": "evt_1", "limit": "5", "cursor": "abc"},
            None,
        ),
    ),
    (
        (
            "detections list --status running --verdict inconclusive --detector asc --external-id x"
            " --created-after 2026-01-01T00:00:00Z --created-before 2026-02-01T00:00:00Z --stuck"
        ),
        (
            "GET",
            "/v1/detections",
            {
                "status": "running",
                "verdict": "inconclusive",
                "detector": "asc",
                "external_id": "x",
                "created_after": "2026-01-01T00:00:00Z",
                "created_before": "2026-02-01T00:00:00Z",
                "stuck": "true",
            },
            None,
        ),
    ),
]


@pytest.mark.parametrize("flag", ["", " --json"])
@pytest.mark.parametrize(("command", "sent"), COMMANDS, ids=[command for command, _ in COMMANDS])
async def test_a_command_is_one_request_and_shows_its_answer(command: str, sent: Sent, flag: str) -> None:
    method, path, query, body = sent
    answer = (
        result("det_1", "completed")
        if "/detections/" in path
        else {"id": (path.split("/")[3:] or ["we_9"])[0], "is": "known"}
    )
    async with stand_in() as service:
        service.answer(f"{method} {path}", answer)
        done = await relay(service.url, *(command + flag).split())
    assert done.exit_code == 0, done.output
    (seen,) = service.seen
    expected = query | ({"detail": "full"} if flag and command == "detections get det_1" else {})
    assert (seen.method, seen.path, seen.query, seen.body) == (method, path, expected, body)
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    if flag:
        assert json.loads(done.stdout) == answer
    else:
        assert answer["id"] in done.stdout


@pytest.mark.parametrize("flag", ["", " --json"])
@pytest.mark.parametrize(("command", "sent"), LISTS, ids=[command.split(" --")[0] for command, _ in LISTS])
async def test_a_list_asks_for_what_was_named_and_says_how_to_go_on(command: str, sent: Sent, flag: str) -> None:
    method, path, query, _ = sent
    page = {"data": [{"id": "x_1", "status": "enabled"}], "has_more": True, "next_cursor": "next"}
    async with stand_in() as service:
        service.answer(f"{method} {path}", page)
        done = await relay(service.url, *(command + flag).split())
    assert (service.seen[0].path, service.seen[0].query) == (path, query)
    if flag:
        assert json.loads(done.stdout) == page
    else:
        assert "x_1" in done.stdout
        assert "--cursor next" in done.stderr


@pytest.mark.parametrize("command", ["endpoints delete we_1", "detections delete det_1"])
async def test_an_answer_without_a_body_is_still_json_where_that_was_asked(command: str) -> None:
    room, _, name = command.split()
    path = f"{WE}/{name}" if room == "endpoints" else f"/v1/detections/{name}"
    async with stand_in() as service:
        service.answer(f"DELETE {path}", Response(status_code=204))
        assert json.loads((await relay(service.url, *command.split(), "--json")).stdout) == {
            "id": name,
            "deleted": True,
        }
        assert name in (await relay(service.url, *command.split())).stdout


async def test_a_table_has_a_line_for_each_and_shows_lists_as_words() -> None:
    async with stand_in() as service:
        service.answer(
            f"GET {WE}", PAGE | {"data": [ENDPOINT, ENDPOINT | {"id": "we_2", "url": "https://" + "a" * 300}]}
        )
        lines = (await relay(service.url, "endpoints", "list")).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["id", "we_1", "we_2"]
    assert "detection.*, review.required" in lines[1]
    assert "a" * 300 in lines[2]  # a pipe gets whole lines
    assert [line.rstrip() for line in lines] == lines


def _stats(total: int, failed: int, held: int = 0, since: str | None = None) -> dict[str, Any]:
    return {
        "attempts": {"total": total, "succeeded": total - failed, "failed": failed},
        "backlog": {"pending": 0, "blocked": 0, "held": held},
        "failing_since": since,
    }


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        (_stats(28, 28, since="2026-11-20T10:00:00.000Z"), "failing, 28 of 28 failed since 2026-11-20T10:00:00.000Z"),
        (_stats(28, 3), "unsteady, 3 of 28 failed"),
        (_stats(28, 0), "ok, 28 of 28"),
        (_stats(0, 0, held=4), "nothing tried; 4 held"),
        (None, "unknown"),
    ],
)
async def test_the_list_of_endpoints_tells_how_each_does(stats: dict[str, Any] | None, words: str) -> None:
    async with stand_in() as service:
        service.answer(f"GET {WE}", PAGE | {"data": [ENDPOINT]})
        if stats:
            service.answer(f"GET {WE}/we_1/stats", stats)
        done = await relay(service.url, "endpoints", "list")
        as_json = await relay(service.url, "endpoints", "list", "--json")
    title, line = done.stdout.splitlines()
    assert "health" in title
    assert f" {words} " in line
    assert json.loads(as_json.stdout)["data"] == [ENDPOINT]


@pytest.mark.parametrize(("command", "request_line"), [("get", "GET"), ("resend", "POST")])
async def test_a_delivery_is_shown_with_its_attempts_and_no_control_code_reaches_the_terminal(
    command: str, request_line: str
) -> None:
    path = "/v1/deliveries/dlv_1" + ("/resend" if command == "resend" else "")
    async with stand_in() as service:
        service.answer(f"{request_line} {path}", DELIVERY | {"attempts": [ATTEMPT]})
        shown = (await relay(service.url, "deliveries", command, "dlv_1")).stdout
    assert "\x1b" not in shown
    last = shown.splitlines()[-1]
    assert last.split()[:5] == ["1", "2026-11-20T10:00:00.000Z", "500", "status_5xx", "12"]


async def test_a_timeline_is_a_line_for_each_fact_and_the_wait_divided() -> None:
    facts = [
        {"at": "2026-11-20T10:00:00.000Z", "kind": "detection.created"},
        {"at": "2026-11-20T10:00:01.000Z", "kind": "run.submitted", "run_id": "run_1", "job_id": "j-7", "left": None},
    ]
    story = {"data": facts, "waits": {"vendor_ms": 7000, "relay_ms": 3, "customer_ms": 20}}
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1/timeline", story)
        shown = (await relay(service.url, "detections", "timeline", "det_1")).stdout
        assert json.loads((await relay(service.url, "detections", "timeline", "det_1", "--json")).stdout) == story
    assert shown.index("detection.created") < shown.index("run.submitted")
    assert "job_id=j-7" in shown
    assert "left" not in shown
    assert ["vendor_ms", "7000"] in [line.split() for line in shown.splitlines()]


async def test_a_long_id_of_a_vendors_is_cut_in_the_middle_and_whole_as_json() -> None:
    job_id, ours = "job-" + "x" * 300 + "-the-end", "dlv_01m7xwspbdf1r96wrahj6v3nde"
    fact = {"at": "2026-11-20T10:00:01.000Z", "kind": "run.submitted", "job_id": job_id, "delivery_id": ours}
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1/timeline", {"data": [fact], "waits": {}})
        shown = (await relay(service.url, "detections", "timeline", "det_1")).stdout
        whole = json.loads((await relay(service.url, "detections", "timeline", "det_1", "--json")).stdout)
    (cut,) = [word.removeprefix("job_id=") for word in shown.split() if word.startswith("job_id=")]
    assert len(cut) < 40
    assert (cut[:6], cut[-8:]) == ("job-xx", "-the-end")
    assert f"delivery_id={ours}" in shown
    assert whole["data"] == [fact]


@pytest.mark.parametrize("status", ["running", "completed"])
async def test_what_holds_up_a_detector_is_shown_while_it_does(status: str) -> None:
    shown_result = result(status=status)
    shown_result["detectors"][0] |= {"waiting_for": "vendor_error", "reason_text": "come \x1b[31mlater"}
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1", shown_result)
        shown = (await relay(service.url, "detections", "get", "det_1")).stdout
    assert ("asc waits: vendor_error - come \N{REPLACEMENT CHARACTER}[31mlater" in shown) == (status == "running")
    assert "\x1b" not in shown


async def test_an_open_detector_says_when_it_is_looked_at_next_and_until_when() -> None:
    shown_result = result(status="running")
    shown_result["detectors"][0] |= {
        "waiting_for": "answer", "next_look_at": "2026-11-20T10:00:05.000Z", "deadline_at": "2026-11-20T11:00:00.000Z",
    }  # fmt: skip
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1", shown_result)
        shown = " ".join((await relay(service.url, "detections", "get", "det_1")).stdout.split())
        shown_result["detectors"][0] |= {"waiting_for": None, "deadline_at": None}
        service.answer("GET /v1/detections/det_2", shown_result)
        shorter = (await relay(service.url, "detections", "get", "det_2")).stdout
    when = "next look 2026-11-20T10:00:05.000Z"
    assert f"asc waits: answer ({when}, at the latest 2026-11-20T11:00:00.000Z)" in shown
    assert f"asc waits: {when}\n" in shorter


@pytest.mark.parametrize("command", ["get det_1", "list"])
@pytest.mark.parametrize("status", ["running", "completed"])
async def test_nobody_agrees_while_a_detection_is_open(command: str, status: str) -> None:
    shown_result = result(status=status, agreement="none")
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1", shown_result)
        service.answer("GET /v1/detections", {"data": [shown_result], "has_more": False, "next_cursor": None})
        shown = (await relay(service.url, "detections", *command.split())).stdout
        as_json = (await relay(service.url, "detections", "list", "--json")).stdout
    assert ("none" in shown) == (status == "completed")
    assert json.loads(as_json)["data"][0]["agreement"] == "none"


@pytest.mark.parametrize("doubled", [True, False])
async def test_a_timeline_names_the_detector_and_a_duplicate_charge_only_where_there_may_be_one(doubled: bool) -> None:
    fact = {
        "at": "2026-11-20T10:00:01.000Z", "kind": "run.submitted", "run_id": "run_1", "detector": "aippim/pro",
        "try": 2, "possible_duplicate_charge": doubled, "confirmed_by_fetch": False,
    }  # fmt: skip
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1/timeline", {"data": [fact], "waits": {}})
        shown = (await relay(service.url, "detections", "timeline", "det_1")).stdout
    words = shown.splitlines()[1].split()
    assert words[1:4] == ["run.submitted", "aippim/pro", "run_1"]
    assert words[4:] == ["try=2", *(["possible_duplicate_charge=true"] if doubled else []), "confirmed_by_fetch=false"]


async def test_a_result_is_shown_as_a_line_a_detector_and_a_verdict() -> None:
    async with stand_in() as service:
        service.answer("GET /v1/detections/det_1", result(status="completed"))
        shown = (await relay(service.url, "detections", "get", "det_1")).stdout
    assert "86 of 100" in shown
    assert "1 of 1 detectors report AI-generated music" in shown


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("endpoints update we_1", "nothing to change"),
        ("endpoints update we_1 --clear url", "can clear"),
        ("endpoints create http://a/ --header X-Shop", "is not a header"),
        ("endpoints create http://a/ --header X-A:1 --header X-A:2", "is there twice"),
        ("endpoints create http://a/ --header X-A:1 --header x-a:2", "is there twice"),
        ("endpoints recover we_1", "--since"),
        ("detections list --limit 101", "--limit"),
    ],
)
async def test_what_makes_no_sense_is_not_sent(command: str, hint: str) -> None:
    async with stand_in() as service:
        done = await relay(service.url, *command.split())
    assert done.exit_code == 2
    assert hint in done.output
    assert service.seen == []

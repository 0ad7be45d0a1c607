"""How a request of a command fails: in sentences, on standard error, with an exit status."""

from pathlib import Path

import pytest
from starlette.responses import HTMLResponse, RedirectResponse

from service.cli.client.http_client import Address, address, is_loopback
from service.kit.errors import SettingsError
from tests.cli.standin import KEY, problem, relay, stand_in
from tests.journeys.processes import free_port

PATH = "GET /v1/webhook-endpoints/we_1"


async def test_a_refusal_names_every_member_at_fault_and_the_request_id() -> None:
    faults = [{"pointer": "/url", "detail": "is required"}, {"pointer": "/events/0", "detail": "is \x1b[2Jno type"}]
    async with stand_in() as service:
        service.answer(PATH, problem(422, "invalid_request", "Two faults.", errors=faults, request_id="req_7"))
        done = await relay(service.url, "endpoints", "get", "we_1")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "422 invalid_request: Two faults.",
        "  /url: is required",
        "  /events/0: is \N{REPLACEMENT CHARACTER}[2Jno type",
        "  request id: req_7",
    ]


async def test_a_refusal_that_says_when_to_come_again_is_quoted() -> None:
    async with stand_in() as service:
        service.answer(PATH, problem(429, "rate_limited", "Too many.", headers={"Retry-After": "7"}))
        done = await relay(service.url, "endpoints", "get", "we_1")
    assert "It asks to be tried again in 7 s." in done.stderr


@pytest.mark.parametrize("status", [200, 502])
async def test_an_answer_that_is_no_json_is_not_taken_for_the_services(status: int) -> None:
    async with stand_in() as service:
        service.answer(PATH, HTMLResponse("<html>", status))
        done = await relay(service.url, "endpoints", "get", "we_1")
    assert done.exit_code == 1
    assert "does RELAY_URL lead to the service?" in done.stderr


async def test_a_redirect_does_not_get_the_key() -> None:
    async with stand_in() as service:
        service.answer(PATH, RedirectResponse(f"{service.url}/elsewhere"))
        done = await relay(service.url, "endpoints", "get", "we_1")
    assert done.exit_code == 1
    assert service.requests() == [("GET", "/v1/webhook-endpoints/we_1")]


async def test_where_nothing_listens_the_way_to_start_it_is_told() -> None:
    done = await relay(f"http://127.0.0.1:{free_port()}", "endpoints", "list")
    assert done.exit_code == 1
    assert "is it running? `relay dev` starts one here" in done.stderr


async def test_an_id_cannot_lead_to_another_address() -> None:
    async with stand_in() as service:
        await relay(service.url, "endpoints", "delete", "../detections/det_1?x=1#y")
    assert service.requests() == [("DELETE", "/v1/webhook-endpoints/..%2Fdetections%2Fdet_1%3Fx%3D1%23y")]


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine() -> None:
    async with stand_in() as service:
        service.answer(PATH, {"id": "we_1"})
        proxy = f"http://127.0.0.1:{free_port()}"
        done = await relay(service.url, "endpoints", "get", "we_1", HTTP_PROXY=proxy, ALL_PROXY=proxy, NO_PROXY=None)
    assert done.exit_code == 0, done.stderr


async def test_the_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("vr_test_filed\n", encoding="ascii")
    async with stand_in() as service:
        service.answer(PATH, {"id": "we_1"})
        file = str(tmp_path / "key")
        await relay(service.url, "endpoints", "get", "we_1", RELAY_API_KEY=None, RELAY_API_KEY_FILE=file)
    assert service.seen[0].headers["authorization"] == "Bearer vr_test_filed"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"RELAY_API_KEY": ""}, "RELAY_API_KEY: required"),
        ({"RELAY_API_KEY": "vr_test_ü"}, "RELAY_API_KEY: required"),
        ({"RELAY_API_KEY": "a b"}, "RELAY_API_KEY: required"),
        ({"RELAY_API_KEY": KEY, "RELAY_URL": "localhost:8000"}, "RELAY_URL: "),
        ({"RELAY_API_KEY": KEY, "RELAY_URL": "http://"}, "RELAY_URL: "),
        ({"RELAY_API_KEY": "", "RELAY_API_KEY_FILE": "/nowhere/key"}, "RELAY_API_KEY_FILE: "),
    ],
)
def test_a_setting_that_is_missing_or_wrong_is_named(
    environment: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("RELAY_URL", "RELAY_API_KEY", "RELAY_API_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{name}"):
        address()


def test_the_default_is_what_relay_dev_serves_and_the_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAY_URL", raising=False)
    monkeypatch.setenv("RELAY_API_KEY", KEY)
    assert address() == Address("http://127.0.0.1:8000", KEY)
    assert KEY not in repr(address())


@pytest.mark.parametrize(
    ("url", "own"),
    [("http://127.0.0.1:1", True), ("http://localhost", True), ("http://[::1]:1", True), ("https://a.example", False)],
)
def test_this_machine_is_told_from_others(url: str, own: bool) -> None:
    assert is_loopback(url) is own

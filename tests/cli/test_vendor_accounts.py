"""`relay quota` and `relay register-callback`, against a vendor of the test's own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typer.testing import CliRunner, Result

from service.callbacks.addresses import mode_of_address
from service.cli.commands import app
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.quotas.models import Gate
from tests.api.doors import served
from tests.vendors.contract import sample

KEY = "asc_made-up-key"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("SECRET_KEYS", "a made-up secret key of enough characters")
    monkeypatch.setenv("PUBLIC_URL", "https://relay.example.com")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("ASC_API_KEY", raising=False)


@contextmanager
def asc(monkeypatch: pytest.MonkeyPatch, **answers: Response) -> Iterator[list[tuple[str, object]]]:
    """ASC, that answers each action so; what it was asked."""
    asked: list[tuple[str, object]] = []

    async def take(request: Request) -> Response:
        raw = await request.body()
        asked.append((str(request.url.query), json.loads(raw) if raw else None))
        assert request.headers["x-api-key"] == KEY
        return answers.get(request.query_params["action"], JSONResponse({"error": "?"}, 404))

    with served(Starlette(routes=[Route("/v1", take, methods=["GET", "POST"])])) as client:
        monkeypatch.setenv("ASC_BASE_URL", f"{client.base_url}/v1".replace("//v1", "/v1"))
        monkeypatch.setenv("ASC_API_KEY", KEY)
        yield asked


def relay(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def _answers(*names: str) -> dict[str, Response]:
    known = {"status": "health_reply", "quota": "quota_reply", "usage": "usage_reply"}
    return {name: JSONResponse(sample("asc", known[name])) for name in names}


def test_quota_tells_what_the_vendor_says_and_counts_at_its_gate(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    with asc(monkeypatch, **_answers("status", "quota", "usage")) as asked:
        result = relay("quota", "--json")
    assert result.exit_code == 0, result.output
    (told,) = json.loads(result.stdout)
    assert (told["vendor"], told["status"]["status"], told["quota"]["remaining"]) == ("asc", "operational", 9658)
    assert set(told["usage"]) == {"today", "week", "month"}
    assert told["usage"]["month"]["analyses_count"] == 1180
    assert len(asked) == 5
    database = Database(database_url)
    with database.reading() as session:
        assert session.get_one(Gate, ("asc", "live")).window_used == 5
    database.close()


def test_quota_is_readable_and_a_wrong_name_of_a_side_action_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with asc(monkeypatch, **_answers("quota")):
        result = relay("quota")
    assert result.exit_code == 0
    assert (
        "asc  quota: plan pro, limit 10000, used 342, remaining 9658, resets_at 2026-03-31T00:00:00.000Z"
        in result.stdout
    )
    assert KEY not in result.output


def test_quota_fails_where_the_vendor_does_not_say_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with asc(monkeypatch, **_answers("status")):
        assert relay("quota").exit_code == 1


def test_without_a_vendor_that_can_tell_there_is_nothing_to_tell() -> None:
    result = relay("quota")
    assert (result.exit_code, json.loads(relay("quota", "--json").stdout)) == (0, [])
    assert "ASC_API_KEY" in result.stdout


def test_the_vendor_is_told_an_address_at_which_it_is_heard(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    with asc(monkeypatch, webhook=JSONResponse({"status": "active"}, 201)) as asked:
        first, again = (relay("register-callback", "asc", "--json") for _ in range(2))
    assert json.loads(first.stdout) == {"vendor": "asc", "mode": "live", "registered": True, "reason": None}
    assert (first.exit_code, again.exit_code) == (0, 0)
    (query, body), (_, same) = asked
    assert (query, body) == ("action=webhook", same)
    assert isinstance(body, dict)
    assert body["events"] == ["analysis.complete", "certificate.ready"]
    assert body["url"].startswith("https://relay.example.com/callbacks/asc/")
    token = urlsplit(body["url"]).path.rpartition("/")[2]
    database = Database(database_url)
    with database.reading() as session:
        assert mode_of_address(session, "asc", token, system_clock()) == "live"
    database.close()


def test_a_vendor_that_refuses_the_address_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    with asc(monkeypatch, webhook=JSONResponse(sample("asc", "error_unauthorized"), 401)):
        result = relay("register-callback", "asc")
    assert result.exit_code == 1
    assert "Invalid or expired API key" in result.stderr


@pytest.mark.parametrize("said", [{"success": False, "message": "bad url"}, {"error": "bad url"}])
def test_a_refusal_within_a_success_is_one(monkeypatch: pytest.MonkeyPatch, said: dict[str, object]) -> None:
    with asc(monkeypatch, webhook=JSONResponse(said, 200)):
        plain, told = relay("register-callback", "asc"), relay("register-callback", "asc", "--json")
    assert (plain.exit_code, plain.stdout) == (1, "")
    assert "bad url" in plain.stderr
    assert told.exit_code == 1
    assert (json.loads(told.stdout)["registered"], "bad url" in json.loads(told.stdout)["reason"]) == (False, True)


@pytest.mark.parametrize("answer", [Response(status_code=204), JSONResponse({}), JSONResponse({"active": False})])
def test_an_answer_that_says_nothing_confirms_nothing(monkeypatch: pytest.MonkeyPatch, answer: Response) -> None:
    with asc(monkeypatch, webhook=answer):
        plain, told = relay("register-callback", "asc"), relay("register-callback", "asc", "--json")
    assert (plain.exit_code, told.exit_code) == (0, 0)
    assert "accepted, not confirmed" in plain.stdout
    assert "calls back" not in plain.stdout
    assert json.loads(told.stdout)["registered"] is True
    assert "not confirmed" in json.loads(told.stdout)["reason"]


@pytest.mark.parametrize("arguments", [["aippim"], ["nobody"], ["asc", "--mode", "dead"]])
def test_a_wrong_command_line_says_so(arguments: list[str]) -> None:
    assert relay("register-callback", *arguments).exit_code == 2


def test_without_a_key_the_setting_is_named() -> None:
    result = relay("register-callback", "asc")
    assert result.exit_code != 0
    assert "ASC_API_KEY" in str(result.exception)

"""The commands an operator types, on both databases."""

import json
import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from service.accounts import api_keys
from service.callbacks.addresses import mode_of_address
from service.cli.commands import app
from service.kit.db.database import Database
from service.kit.errors import SettingsError
from service.kit.schema.migrate import current_revision
from service.kit.schema.revisions import head_revision
from service.kit.system_clock import system_clock
from tests.journeys.processes import ROOT, deployment, free_port
from tests.waiting import until


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small deployment's settings, and nothing else of ours."""
    monkeypatch.setenv("SECRET_KEYS", "a made-up secret key of enough characters")
    monkeypatch.setenv("PUBLIC_URL", "https://relay.example.com")


@pytest.fixture
def in_database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    monkeypatch.setenv("DATABASE_URL", database_url)
    return database_url


def relay(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def printed(*arguments: str) -> dict[str, str]:
    result = relay(*arguments)
    assert result.exit_code == 0, result.output
    shown: dict[str, str] = json.loads(result.stdout)
    return shown


def test_a_fresh_database_is_brought_to_head_and_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url := f"sqlite:///{tmp_path / 'new' / 'relay.db'}")
    assert relay("migrate").stdout == f"from nothing to {head_revision()}\n"
    assert relay("migrate").stdout == f"at {head_revision()}\n"
    assert current_revision(url) == head_revision()


def test_a_key_opens_its_account_and_the_same_name_is_the_same_account(in_database: str) -> None:
    first = printed("keys", "create", "--account", "Label", "--mode", "live", "--json")
    second = printed("keys", "create", "--account", "Label", "--json")
    assert set(first) == {"account_id", "key_id", "key", "mode"}
    assert first["account_id"] == second["account_id"]
    assert first["key"].startswith("vr_live_")
    assert second["key"].startswith("vr_test_")
    database = Database(in_database)
    with database.reading() as session:
        caller = api_keys.authenticate(session, first["key"], system_clock())
    database.close()
    assert caller is not None
    assert (caller.account_id, caller.mode) == (first["account_id"], "live")


def test_a_listed_key_does_not_show_itself_and_a_revoked_one_opens_nothing(in_database: str) -> None:
    key = printed("keys", "create", "--account", "Label", "--json")
    listing = relay("keys", "list", "--json").stdout
    assert key["key_id"] in listing
    assert key["key"] not in listing
    assert relay("keys", "revoke", key["key_id"]).exit_code == 0
    database = Database(in_database)
    with database.reading() as session:
        assert api_keys.authenticate(session, key["key"], system_clock()) is None
    database.close()
    assert relay("keys", "revoke", "key_unknown").exit_code == 1


def test_a_key_gets_the_scopes_that_were_asked_for_and_the_list_shows_them(in_database: str) -> None:
    some = printed("keys", "create", "--account", "Label", "--scopes", "secrets:read, detections:read", "--json")
    rows = json.loads(relay("keys", "list", "--json").stdout)["data"]
    assert [(row["key_id"], row["scopes"]) for row in rows] == [(some["key_id"], ["detections:read", "secrets:read"])]
    assert "detections:read secrets:read" in relay("keys", "list").stdout


def test_the_list_says_whose_a_key_is_what_for_when_it_was_used_and_when_it_ends(in_database: str) -> None:
    ending = printed(
        "keys", "create", "--account", "Two Words", "--label", "nightly", "--expires", "2090-01-31", "--json"
    )
    plain = printed("keys", "create", "--account", "Label", "--json")
    database = Database(in_database)
    with database.writing() as session:
        api_keys.note_use(session, plain["key_id"], datetime(2026, 11, 20, 12, tzinfo=UTC))
    database.close()
    rows = {row["key_id"]: row for row in json.loads(relay("keys", "list", "--json").stdout)["data"]}
    first, second = rows[ending["key_id"]], rows[plain["key_id"]]
    told = ("account", "label", "last_used_at", "expires_at", "state")
    assert [first[name] for name in told] == ["Two Words", "nightly", None, "2090-01-31T00:00:00.000Z", "valid"]
    assert [second[name] for name in told] == ["Label", None, "2026-11-20T12:00:00.000Z", None, "valid"]
    lines = relay("keys", "list").stdout.splitlines()
    (line,) = [line for line in lines if ending["key_id"] in line]
    assert re.search(r"Two Words +nightly +test .* valid +never +2090-01-31T00:00:00.000Z", line)
    (line,) = [line for line in lines if plain["key_id"] in line]
    assert re.search(r"valid +2026-11-20T12:00:00.000Z +never", line)


def test_an_expired_key_is_listed_as_such_and_opens_nothing(in_database: str) -> None:
    key = printed("keys", "create", "--account", "Label", "--expires", "2090-01-31", "--json")
    database = Database(in_database)
    with database.writing() as session:
        for row in api_keys.list_keys(session):
            row.expires_at = datetime(2026, 1, 1, tzinfo=UTC)
            session.add(row)
    with database.reading() as session:
        assert api_keys.authenticate(session, key["key"], system_clock()) is None
    database.close()
    assert [row["state"] for row in json.loads(relay("keys", "list", "--json").stdout)["data"]] == ["expired"]
    relay("keys", "revoke", key["key_id"])
    assert [row["state"] for row in json.loads(relay("keys", "list", "--json").stdout)["data"]] == ["revoked"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--account", "Label", "--scopes", "everything"], "everything"),
        (["--account", " "], "--account"),
        (["--account", "Label", "--expires", "2020-01-31"], "--expires"),
        (["--account", "Label", "--expires", "soon"], "--expires"),
        (["--account", "Label", "--label", ""], "--label"),
        (["--account", "Label", "--label", "x" * 101], "--label"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused_in_a_sentence(in_database: str, arguments: list[str], word: str) -> None:
    result = relay("keys", "create", *arguments)
    assert result.exit_code == 2
    assert word in result.output
    assert json.loads(relay("keys", "list", "--json").stdout) == {"data": []}


def test_the_callback_address_stays_until_it_is_rotated_and_the_old_one_overlaps(in_database: str) -> None:
    first = printed("callback-url", "aippim", "--json")["url"]
    assert relay("callback-url", "aippim").stdout.strip() == first
    second = printed("callback-url", "aippim", "--rotate", "--json")["url"]
    assert second != first
    assert first.startswith("https://relay.example.com/callbacks/aippim/")
    database = Database(in_database)
    with database.reading() as session:
        tokens = [urlsplit(url).path.rpartition("/")[2] for url in (first, second)]
        assert [mode_of_address(session, "aippim", token, system_clock()) for token in tokens] == ["live", "live"]
    database.close()


def test_the_version_is_the_checkouts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert relay("--version").stdout == f"relay {project['version']}\n"


@pytest.mark.parametrize("arguments", [("callback-url", "pex"), ("keys", "create", "--account", "a", "--mode", "real")])
def test_a_wrong_word_is_answered_with_the_right_ones(arguments: tuple[str, ...]) -> None:
    result = relay(*arguments)
    assert result.exit_code == 2
    assert any(right in result.output for right in ("aippim", "live or test"))


def test_a_worker_of_its_own_refuses_sqlite_and_says_why(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    result = relay("worker")
    assert isinstance(result.exception, SettingsError)
    assert "relay web --with-worker" in str(result.exception)


def test_several_web_processes_refuse_sqlite(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    assert "SQLite is one process" in str(relay("web").exception)


async def test_a_second_process_on_the_same_sqlite_file_refuses(sqlite_url: str, tmp_path: Path) -> None:
    with deployment(sqlite_url, tmp_path) as one:
        first = one.process("web")
        first.start()
        await one.ready()
        second = one.process("web", PORT=str(free_port()))
        second.start()
        await until(lambda: second.running.poll() is not None, seconds=60)
        assert second.running.returncode == 2
        assert "SQLite is one process" in second.log
        first.stop()


@pytest.mark.parametrize(
    "arguments",
    [
        *((), ("demo",), ("dev",), ("web",), ("worker",), ("migrate",), ("sandbox",), ("keys", "create")),
        *(("submit",), ("listen",), ("endpoints", "rotate-secret"), ("deliveries", "get"), ("detections", "list")),
    ],
)
def test_every_command_explains_itself(arguments: tuple[str, ...]) -> None:
    result = relay(*arguments, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("submit", ["even if an answer for the same bytes is stored"]),
        ("endpoints recover", ["exhausted or skipped", "waits for its next try", "409 while the endpoint is disabled"]),
        ("doctor", ["--data"]),
    ],
)
def test_the_help_says_what_was_asked_about(command: str, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = relay(*command.split(), "--help").output
    assert [words for words in told if words not in shown] == []

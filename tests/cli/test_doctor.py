"""`relay doctor`: a line a check, and an exit status a script can use."""

import inspect
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.checks import configured, outside, stored, working
from service.cli.checks.finding import Check, Finding, World, fail
from service.cli.commands import app
from service.cli.operate import doctor
from service.cli.operate.doctor import CHECKS
from tests.cli.checks.rooms import KEY


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SECRET_KEYS", KEY)
    monkeypatch.setenv("LOG_FORMAT", "json")
    for name in ("PUBLIC_URL", "HOST", "PORT", "AIPPIM_API_KEY", "ASC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def lines(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.stdout.splitlines()


def test_a_fresh_deployment_fails_in_nothing_and_every_check_has_its_line() -> None:
    status, found = lines()
    assert (status, [line for line in found if line.startswith("fail")]) == (0, [])
    assert all(re.fullmatch(r"(ok  |warn|fail) [A-Za-z ]+: \S.*", line) for line in found)
    assert [line[5:].partition(":")[0] for line in found] == [check.name for check in CHECKS]


def test_it_can_be_read_by_a_program() -> None:
    _, (line,) = lines("--json")
    assert all(set(row) == {"level", "name", "sentence"} for row in json.loads(line))


def test_a_failure_is_the_exit_status_and_stops_no_other_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'none' / 'relay.db'}")
    status, found = lines()
    assert (status, len(found)) == (1, len(CHECKS))
    assert any(line.startswith("fail database: ") for line in found)
    assert any(line.startswith("warn worker: not checked") for line in found)
    assert not (tmp_path / "none").exists()


def test_settings_that_cannot_be_read_are_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("ASC_POLL_SECONDS", "soon")
    status, found = lines()
    assert status == 1
    assert [line.split(": ")[:2] for line in found] == [
        ["fail settings", "ASC_POLL_SECONDS"],
        ["fail settings", "PORT"],
    ]


def test_a_check_that_breaks_has_failed_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_world: World) -> Finding:
        raise RuntimeError("canary")

    async def fails(_world: World) -> Finding:
        return fail("so it is")

    monkeypatch.setattr(doctor, "CHECKS", (Check("one", breaks), Check("two", fails)))
    status, found = lines()
    assert status == 1
    assert found[0].startswith("fail one: could not be checked (RuntimeError)")
    assert found[1:] == ["fail two: so it is"]
    assert "canary" not in "".join(found)


def test_every_check_that_was_written_is_made() -> None:
    written = {
        name
        for module in (configured, outside, stored, working)
        for name, _ in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("check_")
    }
    # A look that is made for each vendor has its maker's name before its own.
    assert {getattr(check.run, "__qualname__", "").partition(".")[0] for check in CHECKS} == written
    assert len(CHECKS) >= 20

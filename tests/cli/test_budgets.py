"""`relay budgets`, on both databases."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.accounts.api_keys import account_named
from service.cli.commands import app
from service.kit.db.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, database: Database) -> str:
    monkeypatch.setenv("DATABASE_URL", database.url.render_as_string(hide_password=False))
    with database.writing() as session:
        return account_named(session, "Label", NOW).id


def relay(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["budgets", *arguments])


def listed() -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(relay("list", "--json").stdout)["data"]
    return found


def test_a_budget_is_set_listed_and_removed(account: str) -> None:
    result = relay("set", "--account", "Label", "--per-month", "50", "--currency", "USD")
    assert result.exit_code == 0
    assert result.stdout.startswith("Label may spend 50.00 USD a month (live).\n")
    assert listed() == [
        {"account_id": account, "account": "Label", "mode": "live", "currency": "USD", "per_month": "50.00",
         "spent": "0.00"}
    ]  # fmt: skip
    assert "0.00 of 50.00 USD" in relay("list").stdout
    assert relay("remove", "--account", "Label").exit_code == 0
    assert listed() == []
    assert relay("remove", "--account", "Label").exit_code == 1


def test_what_no_budget_holds_is_named_when_one_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def said(*more: str) -> str:
        return relay("set", "--account", "Label", "--per-month", "50", *more).stdout

    assert "No budget holds aippim/pro-v2, pex, modulate, modulate/streaming: the price is not known." in said()
    monkeypatch.setenv("PEX_CLIENT_ID", "x")
    monkeypatch.setenv("PEX_CLIENT_SECRET", "y")
    monkeypatch.setenv("PUBLIC_URL", "https://relay.example.com")
    assert "No budget holds pex: " in said()
    assert "modulate" in said("--mode", "test"), "every test key asks every vendor"
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\ndetector = "pex"\namount = "0.05"\ncurrency = "USD"\nbasis = "estimate"\n')
    with monkeypatch.context() as set_:
        set_.setenv("PRICES_FILE", str(prices))
        assert "No budget holds" not in said()
    monkeypatch.setenv("UNKNOWN_PRICE_PASSES", "false")
    assert "No budget holds" not in said()


def test_each_currency_and_mode_has_its_own(account: str) -> None:
    relay("set", "--account", "Label", "--per-month", "1")
    relay("set", "--account", "Label", "--per-month", "2", "--currency", "EUR")
    relay("set", "--account", "Label", "--per-month", "3", "--mode", "test")
    relay("set", "--account", "Label", "--per-month", "4")
    assert [(row["mode"], row["currency"], row["per_month"]) for row in listed()] == [
        ("live", "EUR", "2.00"),
        ("live", "USD", "4.00"),
        ("test", "USD", "3.00"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--account", "Nobody", "--per-month", "5"),
        ("--account", "Label", "--per-month", "-5"),
        ("--account", "Label", "--per-month", "5,00"),
        ("--account", "Label", "--per-month", "5", "--currency", "dollars"),
        ("--account", "Label", "--per-month", "5", "--mode", "both"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_set(account: str, arguments: tuple[str, ...]) -> None:
    assert relay("set", *arguments).exit_code == 2
    assert listed() == []

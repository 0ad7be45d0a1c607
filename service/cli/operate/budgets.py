"""`relay budgets set | list | remove`: what accounts may spend in a calendar month, on this deployment's database."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import typer
from sqlmodel import Session, select

from service.accounts.models import Account, Audit
from service.billing.budgets import budgets, remove_budget, set_budget, unpriced_text
from service.billing.prices import amount_text, checked_currency, load_prices, micros
from service.cli.options import JsonFlag
from service.cli.preflight import open_database
from service.detectors.exchange import Exchange
from service.kit.system_clock import system_clock
from service.settings import load_settings
from service.vendors import VENDORS

group = typer.Typer(no_args_is_help=True)

AccountName = Annotated[str, typer.Option(help="The account's name.")]
Mode = Annotated[str, typer.Option(help="live or test.")]
Currency = Annotated[str, typer.Option(help="Three letters, for example USD.")]


@group.command("set")
def set_(
    account: AccountName,
    per_month: Annotated[str, typer.Option(help="The limit for a calendar month (UTC), for example 50.")],
    currency: Currency = "USD",
    mode: Mode = "live",
) -> None:
    """Limit what an account may spend in a month. What it has spent this month counts."""
    amount, now = _amount(per_month), system_clock()
    _check(mode, currency)

    def work(session: Session, owner: str) -> None:
        set_budget(session, owner, mode, currency, amount, now)
        _audit(session, owner, mode, f"budget.set {currency} {amount_text(amount)}", now)

    _with_account(account, work)
    sys.stdout.write(f"{account} may spend {amount_text(amount)} {currency} a month ({mode}).\n")
    sys.stdout.write(_without_price(mode, now))


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List the budgets, and how much of each is spent this month."""
    database, now = open_database(load_settings(secrets_needed=False)), system_clock()
    with database.reading() as session:
        names = {owner.id: owner.name for owner in session.exec(select(Account))}
        rows = [
            {
                "account_id": one.account_id,
                "account": names.get(one.account_id, ""),
                "mode": one.mode,
                "currency": one.currency,
                "per_month": amount_text(one.amount_micros),
                "spent": amount_text(one.spent_micros),
            }
            for one in budgets(session, now)
        ]
    database.close()
    if as_json:
        sys.stdout.write(json.dumps({"data": rows}) + "\n")
        return
    for row in rows:
        sys.stdout.write("{account_id}  {account}  {mode}  {spent} of {per_month} {currency}\n".format(**row))


@group.command()
def remove(account: AccountName, currency: Currency = "USD", mode: Mode = "live") -> None:
    """Remove the limit. Exit status 1 if there was no budget."""
    _check(mode, currency)
    now = system_clock()
    gone = False

    def work(session: Session, owner: str) -> None:
        nonlocal gone
        gone = remove_budget(session, owner, mode, currency)
        if gone:
            _audit(session, owner, mode, f"budget.removed {currency}", now)

    _with_account(account, work)
    if not gone:
        sys.stderr.write(f"{account} has no budget in {currency} ({mode}).\n")
        raise typer.Exit(1)
    sys.stdout.write(f"{account} has no budget in {currency} any more ({mode}).\n")


def _with_account(name: str, change: Callable[[Session, str], None]) -> None:
    """Apply and commit `change` for the account of this name. Refuse an unknown name."""
    database = open_database(load_settings(secrets_needed=False))
    try:
        with database.writing() as session:
            owner = session.exec(select(Account).where(Account.name == name.strip())).first()
            if owner is None:
                raise typer.BadParameter("no account has this name; see relay keys list", param_hint="--account")
            change(session, owner.id)
    finally:
        database.close()


def _without_price(mode: str, now: datetime) -> str:
    """Return a line that names the detectors without a known price, or an empty text."""
    settings = load_settings(secrets_needed=False)
    if not settings.unknown_price_passes:
        return ""
    asked = settings.live_vendors if mode == "live" and settings.live_vendors else [*VENDORS]
    talk = Exchange(timeout_seconds=1)  # no request is sent
    adapters = [VENDORS[name].adapter(settings.vendors[name], talk) for name in asked]
    detectors = [name for adapter in adapters for name in adapter.detectors]
    names = load_prices(settings.prices_file).unknown(detectors, now)
    return f"{unpriced_text(names)}\n" if names else ""


def _amount(text: str) -> int:
    try:
        return micros(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--per-month") from error


def _check(mode: str, currency: str) -> None:
    if mode not in ("live", "test"):
        raise typer.BadParameter("must be live or test", param_hint="--mode")
    try:
        checked_currency(currency)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--currency") from error


def _audit(session: Session, owner: str, mode: str, action: str, now: datetime) -> None:
    session.add(Audit(account_id=owner, mode=mode, actor="operator", action=action, subject=owner, at=now))

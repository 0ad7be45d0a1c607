"""The accounts of this deployment: `relay keys create | list | revoke` and `relay budgets set | list | remove`.

A budget is what an account may spend in a calendar month.
"""

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlmodel import Session, select

from service.accounts import api_keys
from service.accounts.api_keys import account_named
from service.accounts.models import Account, ApiKey, Audit
from service.billing.budgets import budgets, remove_budget, set_budget, unpriced_text
from service.billing.prices import amount_text, checked_currency, load_prices, micros
from service.cli.options import JsonFlag, words_in
from service.cli.preflight import open_database
from service.detectors.exchange import Exchange
from service.kit.clock import rfc3339
from service.kit.errors import CallerError
from service.kit.system_clock import system_clock
from service.settings import load_settings
from service.vendors import VENDORS

_HINTS = {"invalid_scope": "--scopes", "invalid_label": "--label"}
_KEY_COLUMNS = (
    ("key id", "key_id"),
    ("account", "account"),
    ("label", "label"),
    ("mode", "mode"),
    ("key", "key"),
    ("state", "state"),
    ("last used", "last_used_at"),
    ("expires", "expires_at"),
    ("scopes", "scopes"),
)


keys_group = typer.Typer(no_args_is_help=True)
AccountName = Annotated[str, typer.Option(help="The account's name.")]
Mode = Annotated[str, typer.Option(help="live or test.")]
Currency = Annotated[str, typer.Option(help="Three letters, for example USD.")]


@keys_group.command("create")
def create_key(
    account: Annotated[str, typer.Option(help="The account's name; it is created if it does not exist.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "test",
    scopes: Annotated[
        str | None, typer.Option(help="The key's scopes, separated by commas; all but admin by default.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="A note, shown in the list.")] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(help="When it expires, in UTC; never by default.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create an API key. It is shown once."""
    if mode not in ("live", "test"):
        raise typer.BadParameter("must be live or test", param_hint="--mode")
    database, now = open_database(load_settings(secrets_needed=False)), system_clock()
    try:
        with database.writing() as session:
            owner = account_named(session, account, now)
            key = api_keys.create(
                session,
                owner.id,
                mode,
                now,
                scopes=words_in(scopes) or api_keys.DEFAULT_SCOPES,
                expires_at=_later(expires, now),
                label=label,
            )
            shown = {"account_id": owner.id, "key_id": key.row.id, "key": key.text, "mode": mode}
    except CallerError as error:
        hint = _HINTS.get(error.code, "--account")
        raise typer.BadParameter(error.detail, param_hint=hint) from error
    finally:
        database.close()
    if as_json:
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    sys.stdout.write(f"account  {shown['account_id']}\nkey id   {shown['key_id']}\nmode     {mode}\n")
    sys.stdout.write(f"scopes   {key.row.scopes}\n")
    sys.stdout.write(f"expires  {_time(key.row.expires_at) or 'never'}\n")
    sys.stdout.write(f"key      {shown['key']}\nKeep the key now: it is not shown again.\n")


@keys_group.command("list")
def list_keys(as_json: JsonFlag = False) -> None:
    """List the keys with their last use and their expiry, never the key itself."""
    database, now = open_database(load_settings(secrets_needed=False)), system_clock()
    with database.reading() as session:
        names = {owner.id: owner.name for owner in session.exec(select(Account))}
        rows = [
            {
                "key_id": row.id,
                "account_id": row.account_id,
                "account": names.get(row.account_id, ""),
                "label": row.label,
                "mode": row.mode,
                "key": f"{row.prefix}…{row.last_four}",
                "scopes": row.scopes.split(),
                "created_at": rfc3339(row.created_at),
                "last_used_at": _time(row.last_used_at),
                "expires_at": _time(row.expires_at),
                "revoked_at": _time(row.revoked_at),
                "state": _key_state(row, now),
            }
            for row in api_keys.list_keys(session)
        ]
    database.close()
    if as_json:
        sys.stdout.write(json.dumps({"data": rows}) + "\n")
        return
    from service.cli.screen.tables import print_rows  # noqa: PLC0415 - only where a person reads

    print_rows([row | _in_words(row) for row in rows], _KEY_COLUMNS)


def _key_state(row: ApiKey, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "valid"


def _in_words(row: Mapping[str, Any]) -> dict[str, str]:
    never = {name: row[name] or "never" for name in ("last_used_at", "expires_at")}
    return {"scopes": " ".join(row["scopes"]), **never}


def _later(expires: datetime | None, now: datetime) -> datetime | None:
    """Return the time in UTC. Raise `BadParameter` where it is not to come."""
    if expires is None:
        return None
    at = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    if at <= now:
        raise typer.BadParameter("must be in the future, for example 2030-01-31", param_hint="--expires")
    return at


def _time(at: datetime | None) -> str | None:
    return rfc3339(at) if at else None


@keys_group.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The key's id, key_….")]) -> None:
    """Revoke a key, at once."""
    database = open_database(load_settings(secrets_needed=False))
    try:
        with database.writing() as session:
            api_keys.revoke(session, key_id, system_clock())
    except CallerError as error:
        sys.stderr.write(f"{error.detail}\n")
        raise typer.Exit(1) from error
    finally:
        database.close()
    sys.stdout.write(f"{key_id} is revoked.\n")


budgets_group = typer.Typer(no_args_is_help=True)


@budgets_group.command("set")
def set_monthly_budget(
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


@budgets_group.command("list")
def list_budgets(as_json: JsonFlag = False) -> None:
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


@budgets_group.command("remove")
def remove_monthly_budget(account: AccountName, currency: Currency = "USD", mode: Mode = "live") -> None:
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

"""`relay keys create | list | revoke`."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from sqlmodel import select

from service.accounts import api_keys
from service.accounts.models import Account, ApiKey
from service.accounts.register import account_named
from service.cli.options import JsonFlag, words_in
from service.cli.preflight import open_database
from service.kit.clock import rfc3339
from service.kit.errors import CallerError
from service.kit.system_clock import system_clock
from service.settings import load_settings

_HINTS = {"invalid_scope": "--scopes", "invalid_label": "--label"}
_COLUMNS = (
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


group = typer.Typer(no_args_is_help=True)


@group.command()
def create(
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


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
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
                "state": _state(row, now),
            }
            for row in api_keys.list_keys(session)
        ]
    database.close()
    if as_json:
        sys.stdout.write(json.dumps({"data": rows}) + "\n")
        return
    from service.cli.screen.tables import print_rows  # noqa: PLC0415 - only where a person reads

    print_rows([row | _in_words(row) for row in rows], _COLUMNS)


def _state(row: ApiKey, now: datetime) -> str:
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


@group.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key's id, key_….")]) -> None:
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

"""`relay keys create | list | revoke`."""

import json
import sys
from collections.abc import Collection

import typer

from service.accounts import api_keys
from service.accounts.register import account_named
from service.cli.start import open_database
from service.kit.clock import rfc3339, system_clock
from service.kit.errors import CallerError
from service.settings import load_settings


def create(account: str, mode: str, scopes: Collection[str] | None, *, as_json: bool) -> None:
    """A key with these scopes, or the default ones, exists, and is shown this once."""
    if mode not in ("live", "test"):
        raise typer.BadParameter("must be live or test", param_hint="--mode")
    database, now = open_database(load_settings(secrets_needed=False)), system_clock()
    try:
        with database.writing() as session:
            owner = account_named(session, account, now)
            key = api_keys.create(session, owner.id, mode, now, scopes=scopes or api_keys.DEFAULT_SCOPES)
            shown = {"account_id": owner.id, "key_id": key.row.id, "key": key.text, "mode": mode}
    except CallerError as error:
        hint = "--scopes" if error.code == "invalid_scope" else "--account"
        raise typer.BadParameter(error.detail, param_hint=hint) from error
    finally:
        database.close()
    if as_json:
        sys.stdout.write(json.dumps(shown) + "\n")
        return
    sys.stdout.write(f"account  {shown['account_id']}\nkey id   {shown['key_id']}\nmode     {mode}\n")
    sys.stdout.write(f"scopes   {key.row.scopes}\n")
    sys.stdout.write(f"key      {shown['key']}\nKeep the key now: it is not shown again.\n")


def show(*, as_json: bool) -> None:
    """Every key is listed, without the key itself."""
    database = open_database(load_settings(secrets_needed=False))
    with database.reading() as session:
        rows = [
            {
                "key_id": row.id,
                "account_id": row.account_id,
                "mode": row.mode,
                "key": f"{row.prefix}…{row.last_four}",
                "scopes": row.scopes.split(),
                "created_at": rfc3339(row.created_at),
                "last_used_at": rfc3339(row.last_used_at) if row.last_used_at else None,
                "revoked_at": rfc3339(row.revoked_at) if row.revoked_at else None,
            }
            for row in api_keys.list_keys(session)
        ]
    database.close()
    if as_json:
        sys.stdout.write(json.dumps({"data": rows}) + "\n")
        return
    for row in rows:
        state = f"revoked {row['revoked_at']}" if row["revoked_at"] else "valid"
        scopes = " ".join(row["scopes"] or ())
        sys.stdout.write(f"{row['key_id']}  {row['account_id']}  {row['mode']}  {row['key']}  {state}  {scopes}\n")


def revoke(key_id: str) -> None:
    """The key opens nothing any more."""
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

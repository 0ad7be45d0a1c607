"""What a new version or a new secret key does to the database: `relay migrate` and `relay rotate-keys`."""

import json
import sys
from collections import Counter
from typing import Any

from service.accounts.idempotency import SEALED as ACCOUNTS
from service.callbacks.addresses import SEALED as CALLBACKS
from service.cli.options import JsonFlag
from service.cli.preflight import open_database
from service.kit.db.database import Database
from service.kit.schema.migrate import current_revision, upgrade
from service.kit.security.resealing import Sealed, reseal
from service.kit.security.sealing import Sealer
from service.settings import load_settings
from service.webhooks.models import SEALED as WEBHOOKS


def migrate() -> None:
    """Bring the database to the newest revision, and print which it had and has."""
    settings = load_settings(secrets_needed=False)
    before = current_revision(settings.database_url)
    upgrade(settings.database_url)
    after = current_revision(settings.database_url)
    sys.stdout.write(f"at {after}\n" if before == after else f"from {before or 'nothing'} to {after}\n")


EVERYTHING: tuple[Sealed, ...] = (*ACCOUNTS, *CALLBACKS, *WEBHOOKS)
_SLICE = 500


def rotate_keys(as_json: JsonFlag = False) -> int:
    """Seal everything that can be opened with the newest key. Return 1 if something cannot: then keep every key.

    Safe to repeat, and beside running processes, once all of them know the newest key.
    """
    settings = load_settings()
    sealer, database = Sealer(settings.secret_keys), open_database(settings)
    try:
        counts = {sealed.name: _all_of(database, sealed, sealer) for sealed in EVERYTHING}
    finally:
        database.close()
    broken = sum(counted["broken"] for counted in counts.values())
    sys.stdout.write(json.dumps(counts) + "\n" if as_json else _resealed_text(counts, broken))
    return 1 if broken else 0


def _all_of(database: Database, sealed: Sealed, sealer: Sealer) -> dict[str, int]:
    counted, after = Counter[str](resealed=0, fresh=0, broken=0), None
    while True:
        with database.writing() as session:
            done: Any = reseal(session, sealed, sealer, after, _SLICE)
        counted.update(resealed=done.resealed, fresh=done.fresh, broken=done.broken)
        after = done.last
        if after is None:
            return dict(counted)


def _resealed_text(counts: dict[str, dict[str, int]], broken: int) -> str:
    lines = [
        f"{name}: {counted['resealed']} sealed again, {counted['fresh']} were already, {counted['broken']} unreadable\n"
        for name, counted in counts.items()
    ]
    end = (
        "Some values cannot be read: their secret key is missing. Add it after the newest and run this again.\n"
        if broken
        else "Everything stored is sealed with the newest key. When an older one may go: docs/operations.md\n"
    )
    return "".join(lines) + end

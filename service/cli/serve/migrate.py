"""`relay migrate`."""

import sys

from service.kit.schema.migrate import current_revision, upgrade
from service.settings import load_settings


def command() -> None:
    """Bring the database to the newest revision, and print which it had and has."""
    settings = load_settings(secrets_needed=False)
    before = current_revision(settings.database_url)
    upgrade(settings.database_url)
    after = current_revision(settings.database_url)
    sys.stdout.write(f"at {after}\n" if before == after else f"from {before or 'nothing'} to {after}\n")

"""What `relay dev` keeps in its folder: secret, API key, port, a tune to try with; beside the database and the audio.

Both secrets are files that only their owner can read.
"""

import os
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlmodel import Session

from service.accounts import api_keys
from service.accounts.register import account_named
from service.kit.errors import SettingsError
from service.sandbox.track import write_track

DATABASE = "relay.db"
DEFAULT_PORT = 8000
TUNE = "tune.ai.wav"
_PORT = "port"
_PRIVATE = 0o600
_ACCOUNT = "dev"


def open_folder(folder: Path) -> None:
    """Create the folder, readable by its owner alone, if it does not exist."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def kept_secret(folder: Path) -> str:
    """Return the secret that seals and signs. Raise `SettingsError` if it is gone and the database is not."""
    path = folder / "secret"
    if (folder / DATABASE).exists() and not path.exists():
        raise SettingsError(
            f"{path}: gone, and what the database holds is sealed with it; remove {folder} to begin anew"
        )
    return _kept(path, lambda: secrets.token_hex(32))


def kept_key(folder: Path, session: Session, now: datetime) -> str:
    """Return a test key of the account `dev`: the stored one, or a new one if that is not valid."""
    path = folder / "api-key"
    if path.exists() and api_keys.authenticate(session, key := _kept(path, str), now) is not None:
        return key
    path.unlink(missing_ok=True)
    return _kept(path, lambda: api_keys.create(session, account_named(session, _ACCOUNT, now).id, "test", now).text)


def keep_port(folder: Path, port: int) -> None:
    """Write down the port at which the service in this folder listens."""
    (folder / _PORT).write_text(f"{port}\n", encoding="ascii")


def kept_port(folder: Path) -> int:
    """Return the last port of the service in this folder, or the default port."""
    try:
        return int((folder / _PORT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return DEFAULT_PORT


def tune(folder: Path) -> Path:
    """Create a short recording if there is none, and return it. Its name tells the twins what to answer."""
    path = folder / TUNE
    if not path.exists():
        write_track(path, 8)
    return path


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return the file's text. Create the file if it does not exist, and make it private in any case."""
    if path.exists():
        path.chmod(_PRIVATE)
        return path.read_text(encoding="ascii").strip()
    text = make()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "w", encoding="ascii") as file:
        file.write(f"{text}\n")
    return text

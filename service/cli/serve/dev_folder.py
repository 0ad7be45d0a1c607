"""The folder of `relay dev`: secret, API key, port and a tune, beside database and audio; and the settings made of it.

Both secrets are files that only their owner can read. Fixed here: the database, the audio, the address and the secret,
all in the folder or on loopback. What the environment says of the rest holds; `_defaults` are for what it does not say.
"""

import os
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session

from service.accounts import api_keys
from service.accounts.api_keys import account_named
from service.detectors.vendor import VendorSettings
from service.kit.errors import SettingsError
from service.sandbox.track import write_track
from service.settings import Settings, load_settings

DATABASE = "relay.db"
DEFAULT_PORT = 8000
TUNE = "tune.ai.wav"
_PORT = "port"
_PRIVATE = 0o600
_ACCOUNT = "dev"
_QUICK = {"first_poll_seconds": 6.0, "poll_seconds": 3.0}  # a lost callback should not cost a developer a minute


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


def dev_settings(folder: Path, port: int) -> Settings:
    """Return the settings of the service in `folder`. Raise `SettingsError` for faults of the environment."""
    url = f"http://127.0.0.1:{port}"
    fixed: dict[str, Any] = {
        "database_url": f"sqlite:///{folder / DATABASE}",
        "media_store": f"file:{folder / 'media'}",
        "host": "127.0.0.1",
        "port": port,
        "web_concurrency": 1,
        "sandbox_url": url,
        "secret_keys": (kept_secret(folder),),
    }
    given = fixed | _defaults(url)
    settings = load_settings(**given)
    return load_settings(**given, vendors={name: _quicker(vendor) for name, vendor in settings.vendors.items()})


def settings_found(folder: Path) -> Settings:
    """Return the settings of the service in `folder`, at its last port. Create nothing.

    Raise `SettingsError` if there is none, and for faults of the environment.
    """
    if not (folder / DATABASE).exists():
        raise SettingsError(f"--data: no relay dev lives in {folder}; name the folder it was started with")
    try:
        return dev_settings(folder, kept_port(folder))
    except OSError as error:
        raise SettingsError(f"--data: {error.filename} cannot be read ({error.strerror})") from error


def _defaults(url: str) -> dict[str, Any]:
    """Return the defaults for settings that the environment does not have."""
    unsaid = {
        "public_url": url,
        "outbound_allow": "127.0.0.0/8,::1/128",
        "outbound_https_only": False,
        "log_format": "console",
    }
    said = {name.lower().removesuffix("_file") for name, value in os.environ.items() if value}
    return {name: value for name, value in unsaid.items() if name not in said}


def _quicker(vendor: VendorSettings) -> VendorSettings:
    return vendor.model_copy(
        update={name: wait for name, wait in _QUICK.items() if name not in vendor.model_fields_set}
    )

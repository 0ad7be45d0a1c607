"""The settings of a service that lives in a folder of `relay dev`: as it starts, and as others find it afterwards.

Fixed here: the database, the audio, the address and the secret, all in the folder or on loopback. What the environment
says of the rest holds; `_defaults` are for what it does not say.
"""

import os
from pathlib import Path
from typing import Any

from service.cli.local.dev_folder import DATABASE, kept_port, kept_secret
from service.detectors.vendor import VendorSettings
from service.kit.errors import SettingsError
from service.settings import Settings, load_settings

_QUICK = {"first_poll_seconds": 6.0, "poll_seconds": 3.0}  # a lost callback should not cost a developer a minute


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

"""`relay dev`: everything in one process for a developer who integrates. It keeps its data, and its key asks the twins.

Fixed here: the database, the audio, the address and the secret, all in the folder or on loopback. What the environment
says of the rest holds; `_defaults` are for what it does not say.
"""

import asyncio
import os
import shlex
import signal
import socket
import sys
from pathlib import Path
from typing import Any, TypeVar

from service.app import create
from service.cli.dev_folder import DATABASE, kept_key, kept_secret, open_folder, tune
from service.cli.serving import free_socket, serving, url_of
from service.cli.web import hold_sqlite
from service.kit.clock import system_clock
from service.kit.database import Database
from service.kit.logs import set_up_logs
from service.kit.migrate import upgrade
from service.settings import Settings, VendorSettings, load_settings
from service.worker import working

_QUICK = {"first_poll_seconds": 6.0, "poll_seconds": 3.0}  # a lost callback should not cost a developer a minute
_INTERRUPTED = 130
_Vendor = TypeVar("_Vendor", bound=VendorSettings)


def run_dev(folder: Path, port: int) -> int:
    """Serves until Ctrl-C or SIGTERM, then drains: 0. A second Ctrl-C does not wait. 1 where the port is taken."""
    folder = folder.resolve()
    try:
        bound = free_socket(port)
    except OSError as error:
        sys.stderr.write(f"Port {port} cannot be had ({error.strerror}): try relay dev --port {port + 1}\n")
        return 1
    with bound:
        open_folder(folder)
        settings = dev_settings(folder, bound)
        lock = hold_sqlite(settings)
        set_up_logs(settings.log_format)
        upgrade(settings.database_url)
        key = _key(settings, folder)
        try:
            asyncio.run(_serve(settings, bound, _greeting(url_of(bound), key, folder)))
        except KeyboardInterrupt:
            return _INTERRUPTED
        del lock
    return 0


def dev_settings(folder: Path, bound: socket.socket) -> Settings:
    """The settings of a service that lives in `folder`. Raises `SettingsError` for what the environment has wrong."""
    url = url_of(bound)
    fixed: dict[str, Any] = {
        "database_url": f"sqlite:///{folder / DATABASE}",
        "media_store": f"file:{folder / 'media'}",
        "host": "127.0.0.1",
        "port": bound.getsockname()[1],
        "web_concurrency": 1,
        "sandbox_url": url,
        "secret_keys": (kept_secret(folder),),
    }
    given = fixed | _defaults(url)
    settings = load_settings(**given)
    return load_settings(**given, aippim=_quicker(settings.aippim), asc=_quicker(settings.asc))


def _defaults(url: str) -> dict[str, Any]:
    """What holds where the environment is silent."""
    unsaid = {
        "public_url": url,
        "outbound_allow": "127.0.0.0/8,::1/128",
        "outbound_https_only": False,
        "log_format": "console",
    }
    said = {name.lower().removesuffix("_file") for name, value in os.environ.items() if value}
    return {name: value for name, value in unsaid.items() if name not in said}


def _quicker(vendor: _Vendor) -> _Vendor:
    return vendor.model_copy(
        update={name: wait for name, wait in _QUICK.items() if name not in vendor.model_fields_set}
    )


def _key(settings: Settings, folder: Path) -> str:
    database = Database(settings.database_url)
    try:
        with database.writing() as session:
            return kept_key(folder, session, system_clock())
    finally:
        database.close()


async def _serve(settings: Settings, bound: socket.socket, greeting: str) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        done.set()
        loop.remove_signal_handler(signal.SIGINT)  # the next one does not wait

    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGTERM, done.set)
    async with serving(create(settings, beside=working), bound):
        sys.stdout.write(greeting)
        sys.stdout.flush()
        await done.wait()


def _greeting(url: str, key: str, folder: Path) -> str:
    """What a developer needs; the three lines of curl can be pasted in this order."""
    curl = f'curl -sS -H "Authorization: Bearer {key}"'
    upload = shlex.quote(f"file=@{tune(folder)}")
    first = "| grep -o '{}_[0-9a-z]*' | head -n 1"
    json = '-H "Content-Type: application/json"'
    body = '-d \'{"source": {"media_id": "\'"$MEDIA"\'"}}\''
    ask = f"DETECTION=$({curl} {json} {body} {url}/v1/detections {first.format('det')})"
    wait = f'{curl} "{url}/v1/detections/$DETECTION?wait=25&detail=summary"; echo'
    return f"""\
Verdict Relay for development. Data in {folder}; Ctrl-C ends it.

URL      {url}
API key  {key}

Upload, ask and wait for the verdict, list:

MEDIA=$({curl} -F {upload} {url}/v1/media {first.format("med")}); echo "$MEDIA"
{ask}; {wait}
{curl} {url}/v1/detections; echo

For `relay submit`, `listen`, `endpoints`, `deliveries`, `detections`:

export RELAY_URL={url} RELAY_API_KEY={key}

"""

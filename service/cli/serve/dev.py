"""`relay dev`: everything in one process for a developer who integrates.

It keeps its data in a folder, and its key asks the twins.
"""

import asyncio
import shlex
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from service.app import create
from service.cli.http.serving import free_socket, serving, url_of
from service.cli.preflight import ready_to_serve
from service.cli.serve.dev_folder import dev_settings, keep_port, kept_key, open_folder, tune
from service.cli.serve.web import lock_sqlite
from service.kit.db.database import Database
from service.kit.errors import SettingsError
from service.kit.schema.migrate import upgrade
from service.kit.system_clock import system_clock
from service.kit.telemetry.logs import set_up_logs
from service.settings import Settings
from service.worker import working

_INTERRUPTED = 130
_ENDING = "\nFinishing what is under way, for 20 s at most. Ctrl-C once more ends it at once.\n"


def command(
    port: Annotated[int, typer.Option(help="Port on loopback; 0 takes any that is free.")] = 8000,
    data: Annotated[Path, typer.Option(help="The folder for everything it stores.")] = Path("data/dev"),
) -> int:
    """Serve until Ctrl-C or SIGTERM, then drain and return 0. A second Ctrl-C does not wait.

    Raise `SettingsError` where the port, the folder or a setting cannot be used.
    """
    folder = data.resolve()
    try:
        bound = free_socket(port)
    except OSError as error:
        raise SettingsError(f"--port: {port} cannot be had ({error.strerror}); try --port {port + 1}") from error
    with bound, ExitStack() as held:
        open_folder(folder)
        settings = dev_settings(folder, bound.getsockname()[1])
        if lock := lock_sqlite(settings):
            held.enter_context(lock)
        keep_port(folder, bound.getsockname()[1])
        set_up_logs(settings.log_format)
        upgrade(settings.database_url)
        ready_to_serve(settings, listens=False)
        key = _key(settings, folder)
        try:
            asyncio.run(_serve(settings, bound, _greeting(url_of(bound), key, folder)))
        except KeyboardInterrupt:
            return _INTERRUPTED
    return 0


def _key(settings: Settings, folder: Path) -> str:
    database = Database(settings.database_url, patience=settings.patience)
    try:
        with database.writing() as session:
            return kept_key(folder, session, system_clock())
    finally:
        database.close()


async def _serve(settings: Settings, bound: socket.socket, greeting: str) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        sys.stdout.write(_ENDING)
        sys.stdout.flush()
        done.set()
        loop.remove_signal_handler(signal.SIGINT)  # the next one does not wait

    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGTERM, stop)
    async with serving(create(settings, beside=working), bound):
        sys.stdout.write(greeting)
        sys.stdout.flush()
        await done.wait()


def _greeting(url: str, key: str, folder: Path) -> str:
    """Return what a developer needs first; the three curl lines can be pasted in this order."""
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
API docs {url}/docs

Upload, ask and wait for the verdict, list:

MEDIA=$({curl} -F {upload} {url}/v1/media {first.format("med")}); echo "$MEDIA"
{ask}; {wait}
{curl} {url}/v1/detections; echo

Check it, in another shell:

relay doctor --data {shlex.quote(str(folder))}

For `relay submit`, `listen`, `endpoints`, `deliveries`, `detections`:

export RELAY_URL={url} RELAY_API_KEY={key}

"""

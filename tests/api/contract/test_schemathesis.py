"""What the document allows, and what it does not, is sent to every door; what comes back is as the document says.

No worker runs beside the doors, so no request here has further effects, and no outside host is called.
"""

import asyncio
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.accounts.api_keys import SCOPES, account_named, create
from service.api.contract.document import operations
from service.api.routes import ROUTES
from service.app import create as create_app
from service.cli.http.serving import free_socket, serving, url_of
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.settings import Settings
from tests.api.doors import DEADLINE_SECONDS
from tests.media.sounds import wav

_ENDLESS = ("streamEvents", "streamTimeline")  # they answer for as long as there is something to come
_SEED = "7"
_LEFT_OUT = "ignored_auth,positive_data_acceptance"
"""Of its own command's checks. The first wants 401 for what is no object of anybody's, before 404 and 422; the second
knows nothing of what there is, of audio, or of addresses."""
_PHASES = "examples,coverage,stateful"
"""All but `fuzzing`: what can be made up for each operation is sent by the tests of one operation."""
_COMMAND_SECONDS = 300
_CONFIG = """
# A target that is too long for any server is refused before its parameters are read (RFC 9110 §15.5.15).
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 414, 415, 422, 428, 429, 431]
"""
OPERATIONS = {operation.id: operation for operation in operations(ROUTES)}


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Serve all operations; yield their address, and a key with every scope."""
    folder = tmp_path_factory.mktemp("doors")
    (folder / "relay.db").write_bytes(sqlite_template.read_bytes())
    url = f"sqlite:///{folder / 'relay.db'}"
    bound = free_socket()
    chosen = Settings(
        database_url=url,
        secret_keys=("a made-up secret key of enough characters",),
        public_url=url_of(bound),
        media_store=f"file:{folder / 'media'}",
        api_per_minute=1_000_000,
    )
    listens, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(chosen, bound, listens, stop)))
    thread.start()
    try:
        assert listens.wait(DEADLINE_SECONDS)
        yield url_of(bound), _key(url)
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)


async def _serve(chosen: Settings, bound: socket.socket, listens: threading.Event, stop: threading.Event) -> None:
    async with serving(create_app(chosen), bound):
        listens.set()
        await asyncio.to_thread(stop.wait)


def _key(url: str) -> str:
    database, now = Database(url), system_clock()
    try:
        with database.writing() as session:
            return create(session, account_named(session, "anybody", now).id, "test", now, scopes=tuple(SCOPES)).text
    finally:
        database.close()


def _own_ids(base_url: str, headers: dict[str, str]) -> dict[str, str]:
    """One of each thing that has an id, by its name in a path."""
    with httpx.Client(base_url=f"{base_url}/v1/", headers=headers, timeout=20) as client:

        def made(address: str, **sent: Any) -> Any:
            return client.post(address, **sent).raise_for_status().json()

        media_id = made("media", files={"file": (f"{uuid.uuid4()}.wav", wav())})["id"]
        endpoint_id = made("webhook-endpoints", json={"url": "https://customer.example/", "events": ["*"]})["id"]
        pinged = made(f"webhook-endpoints/{endpoint_id}/ping")
        return {
            "media_id": media_id,
            "detection_id": made("detections", json={"source": {"media_id": media_id}})["id"],
            "endpoint_id": endpoint_id,
            "event_id": pinged["event_id"],
            "delivery_id": pinged["delivery_id"],
        }


def _ways() -> Iterator[tuple[str, str]]:
    """Each operation in both modes, but for those of whose requests nothing can be wrong: any text goes everywhere."""
    for name, operation in OPERATIONS.items():
        if name not in _ENDLESS:
            yield name, "positive"
            if operation.path.startswith("/v1/") or operation.body is not None:
                yield name, "negative"


@pytest.mark.parametrize(("name", "mode"), list(_ways()))
def test_whatever_is_sent_the_answer_is_as_described(served: tuple[str, str], name: str, mode: str) -> None:
    from tests.api.generated import ask_all_sorts  # here, since it takes seconds in each process that collects

    base_url, key = served
    method, path = OPERATIONS[name].method, OPERATIONS[name].path
    headers = {"Authorization": f"Bearer {key}"}
    own = _own_ids(base_url, headers) if "_id}" in path else {}
    ask_all_sorts(base_url, headers, method, path, mode, own)


@pytest.mark.timeout(_COMMAND_SECONDS + 60)
def test_its_own_command_with_all_its_checks_finds_nothing(served: tuple[str, str], tmp_path: Path) -> None:
    base_url, key = served
    (tmp_path / "schemathesis.toml").write_text(_CONFIG, encoding="utf-8")
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{base_url}/openapi.json", "--seed", _SEED,
        "--checks", "all", "--exclude-checks", _LEFT_OUT, "--phases", _PHASES, "--max-examples", "3",
        "--request-timeout", "30",
        "--header", f"Authorization: Bearer {key}", *(f"--exclude-operation-id={name}" for name in _ENDLESS),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

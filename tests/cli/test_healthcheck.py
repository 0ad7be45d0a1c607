"""`relay healthcheck`: a web process is known by its door, a worker by its heartbeat."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.commands import app
from service.cli.serve.healthcheck import run_healthcheck
from service.kit.db.database import Database
from service.kit.process.heartbeat import beat
from service.kit.system_clock import system_clock
from service.kit.telemetry.metrics import process_name
from tests.journeys.processes import ROOT, free_port


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOST", "PUBLIC_URL", "SECRET_KEYS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    monkeypatch.setenv("PORT", str(free_port()))  # and so 0.0.0.0, as in a container


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Its port."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "well"), [(200, True), (500, False), (404, False)])
def test_a_web_process_is_asked_at_its_door(status: int, well: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(status) as port:
        monkeypatch.setenv("PORT", str(port))
        result = CliRunner().invoke(app, ["healthcheck"])
    assert result.exit_code == (0 if well else 1)
    assert result.output == "well\n" if well else f"answers {status}" in result.output


def test_a_door_that_does_not_answer_is_not_well(
    monkeypatch: pytest.MonkeyPatch, database: Database, database_url: str
) -> None:
    _beat(database, process_name(), 0)  # a worker beside it does not make up for that
    monkeypatch.setenv("DATABASE_URL", database_url)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        monkeypatch.setenv("PORT", str(silent.getsockname()[1]))
        assert run_healthcheck(patience_seconds=0.1) == 1


@pytest.mark.parametrize(
    ("process", "seconds_ago", "status"),
    [
        ("{here}", 5, 0),
        ("{here}", 61, 1),
        ("{host}:1", 5, 0),  # as in a container, where the checker is another process
        ("{host}x:1", 5, 1),
        ("elsewhere:1", 5, 1),
        (None, 0, 1),
    ],
)
def test_a_worker_is_known_by_its_heartbeat(
    process: str | None,
    seconds_ago: float,
    status: int,
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if process:
        name = process.format(here=process_name(), host=socket.gethostname())
        _beat(database, name, seconds_ago)
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert run_healthcheck() == status


def _beat(database: Database, process: str, seconds_ago: float) -> None:
    with database.writing() as session:
        beat(session, "wrk_1", process, {}, system_clock() - timedelta(seconds=seconds_ago))


@pytest.mark.parametrize(
    ("url", "word"),
    [("postgres://relay@127.0.0.1:1/relay", "DATABASE_URL"), ("relay.db", "DATABASE_URL"), (None, "relay migrate")],
)
def test_what_cannot_be_looked_at_is_a_line_and_1(
    url: str | None, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    assert run_healthcheck() == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert word in line


def test_the_image_asks_it() -> None:
    assert '["relay", "healthcheck"]' in (ROOT / "Dockerfile").read_text(encoding="utf-8")

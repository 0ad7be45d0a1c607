"""Connections of strangers, more than a process may open files, and the health told all the same."""

import os
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.cli.raw_http import HOST, OFFER, ask, line_to
from tests.journeys.processes import ROOT, free_port
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)

_LIVEZ = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
_TWIN = b"POST /sandbox/asc/v1?action=analyze-url HTTP/1.1\r\nX-API-Key: made-up\r\n" + HOST
_SLOW = b"POST /callbacks/aippim/forged HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\na"


async def test_with_256_files_livez_answers_while_strangers_hold_more_connections(tmp_path: Path) -> None:
    port = free_port()
    process = _start(tmp_path, "dev", "--port", str(port), "--data", str(tmp_path / "data"))
    try:
        await until(lambda: _open_port(port), seconds=30)
        for sent in (b"", _SLOW):
            async with AsyncExitStack() as stack:
                for _ in range(270):
                    line = await stack.enter_async_context(line_to(port))
                    await line.say(sent)
                for _ in range(5):
                    assert (await ask(port, _LIVEZ, seconds=5)).statuses == [200]
    finally:
        process.terminate()
        process.wait(20)
    assert "Too many open files" not in (tmp_path / "log").read_text(encoding="utf-8")


async def test_the_twins_alone_are_served_the_same_way(tmp_path: Path) -> None:
    port = free_port()
    process = _start(tmp_path, "sandbox", "--port", str(port), SANDBOX_API_KEY="made-up")
    try:
        await until(lambda: _open_port(port), seconds=30)
        for more in (b"", OFFER):
            heard = await ask(port, _TWIN + more + b"Content-Length: 2\r\n\r\n{}")
            assert (heard.statuses, heard.json["message"]) == ([400], "url is required and must be an http(s) address")
        assert (await ask(port, _TWIN + (b"X-A: " + b"a" * 100_000 + b"\r\n") * 12 + b"\r\n")).statuses == [431]
    finally:
        process.terminate()
        process.wait(20)


def _start(folder: Path, *command: str, **environment: str) -> subprocess.Popen[bytes]:
    limited = ["bash", "-c", 'ulimit -n 256; exec "$@"', "-", sys.executable, "-m", "service", *command]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(limited, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log)


def _open_port(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""`relay dev` as a process, and commands in the environment that it tells a developer to export."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from typer.testing import Result

from service.cli.serve.dev import _ENDING
from tests.cli import standin
from tests.journeys.processes import ROOT, Process, free_port
from tests.waiting import until


@dataclass
class Dev:
    """A running `relay dev`, and what it printed."""

    folder: Path
    process: Process
    text: str

    @property
    def url(self) -> str:
        found: str = re.findall(r"^URL +(\S+)$", self.text, flags=re.MULTILINE)[0]
        return found

    @property
    def key(self) -> str:
        found: str = re.findall(r"^API key +(\S+)$", self.text, flags=re.MULTILINE)[0]
        return found

    @property
    def lines(self) -> list[str]:
        """The three lines to paste."""
        return [line for line in self.text.splitlines() if "curl " in line]

    @property
    def doctor(self) -> list[str]:
        """The arguments of the line that checks it."""
        (line,) = [line for line in self.text.splitlines() if line.startswith("relay doctor ")]
        return shlex.split(line)[1:]


@asynccontextmanager
async def dev(folder: Path, port: int = 0, *, forked: bool = True) -> AsyncIterator[Dev]:
    """It has printed what it prints; at the end Ctrl-C ended it, with status 0."""
    log = folder.with_suffix(f".{free_port()}.log")
    environment = {"PATH": os.environ["PATH"], "SANDBOX_LATENCY_SECONDS": "0.3"}
    process = Process(["dev", "--port", str(port), "--data", str(folder)], environment, log, forked=forked)
    process.start()
    try:
        await until(lambda: "export RELAY_URL=" in process.log or process.running.poll() is not None, seconds=80)
        yield Dev(folder, process, process.log)
        process.running.send_signal(signal.SIGINT)
        await until(lambda: process.running.poll() is not None or _ENDING in process.log, seconds=10)
        assert process.running.wait(40) == 0, process.log
        assert _ENDING in process.log
        assert "Traceback" not in process.log
        assert "\x1b" not in process.log  # no terminal reads it
    finally:
        if process.running.poll() is None:
            process.kill()


def _exported(one: Dev) -> dict[str, str]:
    return dict(re.findall(r"(RELAY_\w+)=(\S+)", one.text))


def relay_process(one: Dev, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that was told what the exported line says, and nothing else."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        env={"PATH": os.environ["PATH"], "COLUMNS": "80", **_exported(one), **more},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


async def relay_copied(one: Dev, *arguments: str) -> tuple[int, str]:
    """Return the exit status and the output of a command with what the exported line says, begun as a copy."""
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "80", **_exported(one)}
    process = Process(list(arguments), environment, one.folder.with_suffix(".command.log"), forked=True)
    process.start()
    status = await asyncio.to_thread(process.running.wait, 60)
    return status, process.log


async def relay(one: Dev, *arguments: str) -> Result:
    """The same in this process, which is sooner; of a command that is run often, one process is enough."""
    return await standin.relay(one.url, *arguments, RELAY_API_KEY=one.key)

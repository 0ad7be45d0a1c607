"""The main job in one command, as a stranger runs it."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from service import __main__
from service.cli.serve import demo as command
from service.cli.serve.demo import DemoCustomer
from service.sandbox.track import write_track

ROOT = Path(__file__).parents[2]

DETECTORS = ("aippim/standard", "asc", "pex", "modulate")
pytestmark = pytest.mark.timeout(150)


@dataclass
class Done:
    """How a demo ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def process(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`relay demo` in an environment that sets nothing of ours."""
    return subprocess.run(
        [sys.executable, "-m", "service", "demo", *map(str, arguments)],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(folder), "COLUMNS": "80"},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=140,
    )


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """The same in this process, which loads nothing anew: one that is a process of its own is enough."""
    mask, logs = os.umask(0), structlog.get_config()
    os.umask(mask)

    def set_up_logs(_: str, level: int) -> None:
        """Write no less than a person sees; what is set for good in a process of its own is put back here."""
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))

    monkeypatch.setattr(command, "set_up_logs", set_up_logs)

    def run(*arguments: str | Path, folder: Path) -> Done:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.setattr(sys, "argv", ["relay", "demo", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    yield run
    os.umask(mask)
    structlog.configure(**logs)


def track(folder: Path, name: str) -> Path:
    path = folder / name
    write_track(path, 2)
    return path


def rows(output: str, *detectors: str) -> dict[str, str]:
    """The table's line for each detector."""
    lines = output.splitlines()
    return {name: next(line for line in lines if line.startswith(f"{name} ")) for name in detectors or DETECTORS}


def test_the_demo_ends_well_with_four_detectors_and_a_verified_webhook(tmp_path: Path) -> None:
    done = process(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert all("ai_generated" in row for row in found.values())
    assert {name: row.split()[-2] for name, row in found.items()} == {
        "aippim/standard": "callback", "asc": "callback", "pex": "sync", "modulate": "sync",
    }  # fmt: skip
    assert re.search(r" 0\.\d+/1 class confidence +standard ", found["aippim/standard"])
    assert re.search(r" \d+/100 AI likelihood +v\d", found["asc"])
    assert re.search(r" 0\.\d+/1 AI likelihood ", found["pex"])
    assert re.search(r" it gives none +velma-2 ", found["modulate"])
    assert "ai_generated  (completed, unanimous)" in done.stdout
    assert "4 of 4 detectors report AI-generated music" in done.stdout
    assert "detection.completed" in done.stdout
    assert "verified by standardwebhooks" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    assert done.stderr == ""


def test_a_webhook_that_the_customer_cannot_verify_is_no_good_end(
    demo: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = command._register

    async def forgetful(customer: DemoCustomer) -> None:
        await register(customer)
        customer.secrets[:] = ["whsec_" + "A" * 32]

    monkeypatch.setattr(command, "_register", forgetful)
    done = demo(folder=tmp_path)
    assert done.returncode == 1
    assert "NOT verified" in done.stdout
    assert "4 of 4 detectors report AI-generated music" in done.stdout


def test_each_recording_has_its_table_and_its_webhook(demo: Callable[..., Done], tmp_path: Path) -> None:
    names = (
        "x.disagree.wav",
        "x.too-short.ai.wav",
        "x.duplicate-callback.human.wav",
        "x.silent.wav",
        "x.lost-callback.ai.wav",
    )
    done = demo(*(track(tmp_path, name) for name in names), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    parts = dict(zip(names, re.split(r"(?m)^x\..*$", done.stdout)[1:], strict=True))
    assert all(part.count("verified by standardwebhooks") == part.count("webhook-id:") == 1 for part in parts.values())
    disputed = parts["x.disagree.wav"]
    assert [line.split()[1] for line in rows(disputed).values()] == ["ai_generated", "no_ai_detected"] * 2
    assert "inconclusive  (completed, split)" in disputed
    assert "detectors disagree, under review" in disputed
    short = parts["x.too-short.ai.wav"]
    assert rows(short)["pex"].split()[:3] == ["pex", "too_short", "sync"]
    assert "3 of 4 detectors report AI-generated music" in short
    assert "no AI detected by 4 of 4 (not proof of human authorship)" in parts["x.duplicate-callback.human.wav"]
    silent = rows(parts["x.silent.wav"])
    assert [silent[name].split()[1] for name in ("pex", "modulate")] == ["not_enough_music", "inconclusive"]
    polled = rows(parts["x.lost-callback.ai.wav"])
    assert all("ai_generated" in row for row in polled.values())
    assert [polled[name].split()[-2] for name in ("aippim/standard", "asc")] == ["poll", "poll"]


def test_a_failure_is_never_a_pass_and_kept_is_what_was_asked_to_be_kept(
    demo: Callable[..., Done], tmp_path: Path
) -> None:
    sent, place = track(tmp_path, "x.fail.wav"), tmp_path / "place"
    place.mkdir()
    done = demo(sent, "--keep", "--detectors", "aippim/standard,asc", folder=place)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout, "aippim/standard", "asc")
    assert all("vendor_error" in row for row in found.values())
    assert "detection.failed" in done.stdout
    assert "not_analyzed" in done.stdout
    assert "no_ai_detected" not in done.stdout
    assert "modulate" not in done.stdout
    (kept,) = place.iterdir()
    assert f"Kept: {kept}" in done.stdout
    assert (kept / "relay.db").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("no-such-file.wav",), 2, "No such file: no-such-file.wav"),
        (("--detectors", "nobody"), 1, "'nobody' is not an available detector"),
        ((str(ROOT / "README.md"),), 1, "415"),
    ],
)
def test_what_cannot_be_done_is_said(
    demo: Callable[..., Done], arguments: tuple[str, ...], status: int, text: str, tmp_path: Path
) -> None:
    done = demo(*arguments, folder=tmp_path)
    assert done.returncode == status
    assert text in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []

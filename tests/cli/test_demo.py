"""The main job in one command, as a stranger runs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.sandbox.track import write_track

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(150)


def demo(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
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


def track(folder: Path, name: str) -> Path:
    path = folder / name
    write_track(path, 2)
    return path


def rows(output: str) -> dict[str, str]:
    """The table's line for each detector."""
    lines = output.splitlines()
    return {name: next(line for line in lines if line.startswith(f"{name} ")) for name in ("aippim/standard", "asc")}


def test_the_demo_ends_well_with_both_detectors_and_a_verified_webhook(tmp_path: Path) -> None:
    done = demo(folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in rows(done.stdout).values():
        assert "ai_generated" in row
        assert "callback" in row
    assert "2 of 2 detectors report AI-generated music" in done.stdout
    assert "detection.completed" in done.stdout
    assert "verified by standardwebhooks" in done.stdout
    assert list(tmp_path.iterdir()) == []  # nothing is left behind
    assert done.stderr == ""


def test_a_lost_callback_is_answered_by_polling(tmp_path: Path) -> None:
    done = demo(track(tmp_path, "x.lost-callback.ai.wav"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for row in rows(done.stdout).values():
        assert "ai_generated" in row
        assert "poll" in row


def test_a_duplicate_callback_changes_nothing(tmp_path: Path) -> None:
    done = demo(track(tmp_path, "x.duplicate-callback.human.wav"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no AI detected by 2 of 2 (not proof of human authorship)" in done.stdout
    assert done.stdout.count("webhook-id:") == 1


def test_a_failure_is_never_a_pass(tmp_path: Path) -> None:
    done = demo(track(tmp_path, "x.fail.wav"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "detection.failed" in done.stdout
    assert "not_analyzed" in done.stdout
    assert "no_ai_detected" not in done.stdout


def test_kept_is_what_was_asked_to_be_kept(tmp_path: Path) -> None:
    done = demo("--keep", "--detectors", "asc", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (kept,) = tmp_path.iterdir()
    assert f"Kept: {kept}" in done.stdout
    assert (kept / "relay.db").exists()
    assert "aippim" not in done.stdout
    shutil.rmtree(kept)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (("no-such-file.wav",), 2, "No such file: no-such-file.wav"),
        (("--detectors", "pex"), 1, "'pex' is not offered here"),
        ((str(ROOT / "README.md"),), 1, "415"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], status: int, text: str, tmp_path: Path) -> None:
    done = demo(*arguments, folder=tmp_path)
    assert done.returncode == status
    assert text in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []

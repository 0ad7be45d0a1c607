"""The walk at the end of `docs/integrating.md` is run as it stands there, at other ports."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.processes import free_port

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrating.md"

pytestmark = [
    pytest.mark.journey,
    pytest.mark.timeout(150),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the walk needs curl"),
]


def test_the_walk_ends_with_a_verified_webhook(tmp_path: Path) -> None:
    (walk,) = re.findall(r"^```sh\n(\. \.venv/bin/activate\nmkdir.*?)^```", _PAGE.read_text(), re.DOTALL | re.MULTILINE)
    script = walk.replace(". .venv/bin/activate\n", "")
    for port in ("8000", "9000"):
        assert port in script
        script = script.replace(port, str(free_port()))
    port = re.findall(r"API=http://127.0.0.1:(\d+)", script)[0]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path), "PORT": port, "HOST": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=140,
        check=False,
    )
    assert "verified webhook: detection.completed ai_generated" in told.stdout, told.stdout + told.stderr

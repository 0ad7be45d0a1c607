"""One line an event, on whatever standard error is when it happens."""

import contextlib
import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from service.kit.telemetry.logs import set_up_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_line_is_json_with_its_level_time_and_every_id(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("json")
    structlog.get_logger().info("run.polled", run_id="run_1", took_ms=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["run_id"], line["took_ms"]) == ("run.polled", "info", "run_1", 3)
    assert line["timestamp"].endswith("Z")


def test_logs_outlive_a_standard_error_that_was_closed(capsys: pytest.CaptureFixture[str]) -> None:
    passing = io.StringIO()
    log = structlog.get_logger()
    with contextlib.redirect_stderr(passing):
        set_up_logs("json")
        log.info("first")
    passing.close()
    log.info("second")
    assert '"second"' in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["console", "json"])
def test_a_traceback_shows_no_local_variables(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs("json" if kind == "json" else "console")
    try:
        _fail("canary-secret"[::-1])
    except ValueError:
        structlog.get_logger().exception("failed")
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "terces-yranac" not in shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"),
    [(_Terminal, "", True), (_Terminal, "1", False), (io.StringIO, "", False)],
)
def test_only_a_terminal_gets_colours_and_only_if_its_owner_likes_them(
    stream: type[io.StringIO], no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys, "stderr", seen := stream())
    set_up_logs("console")
    structlog.get_logger().info("run.polled", run_id="run_1")
    assert "run_1" in seen.getvalue()
    assert ("\x1b" in seen.getvalue()) is coloured


def _fail(_secret: str) -> None:
    raise ValueError("no")

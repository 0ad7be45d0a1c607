"""`relay bench memory` sees what a process holds, and tells it by version."""

import os

import pytest

from service.bench.driving.cpu import resident_mib
from service.bench.memory import Round, Size, memory_reached, memory_report, show_memory


def test_what_a_process_takes_is_seen() -> None:
    before = resident_mib(os.getpid())
    taken = b"\1" * (64 * 2**20)
    after = resident_mib(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before >= len(taken) / 2**20 - 16


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    assert resident_mib(2**31 - 1) is None


def test_the_report_tells_each_version(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = [Round("this version", 110), Round("older", 135), Round("this version", 130), Round("older", 136)]
    report = memory_report(rounds, Size(12, 2), "SQLite")
    assert report["memory_mib"] == {"this version": 120, "older": 135.5}
    assert [each.is_met for each in memory_reached(report)] == [True]
    show_memory(report)
    assert "135.5" in capsys.readouterr().out

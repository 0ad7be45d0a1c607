"""`relay bench all` goes through every case, whatever becomes of one, and ends with one table."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from service.bench import cases
from service.bench.cases import CASES, Case, Report, Setup
from service.bench.driving.generator import BenchError
from service.bench.reach import AtLeast, Reach
from service.cli.operate.bench import group


async def _run(setup: Setup) -> Report:
    return {"database": setup.database, "versions": [version.name for version in setup.versions], "quick": setup.quick}


async def _fail(_: Setup) -> Report:
    raise BenchError("it does not start")


def _show(report: Mapping[str, Any]) -> None:
    typer.echo(f"shown: {report['database']}")


def _case(measured: float | None = 1) -> Case:
    return Case(_run, _show, lambda _: [Reach("most", 2, measured, " ms"), AtLeast("least", 2, measured)])


def test_every_case_is_told_in_one_table(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cases, "CASES", {"one": _case(), "other": _case(measured=None)})
    done = CliRunner().invoke(group, ["all", "--quick", "--json", str(tmp_path / "all.json")])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "all.json").read_text())
    assert report["one"]["versions"] == ["this version"]
    assert [each["met"] for each in report["one"]["reached"]] == [True, False]
    assert report["one"]["reached"][0]["reach"] == "≤ 2 ms"
    assert [each["met"] for each in report["other"]["reached"]] == [None, None]
    assert done.output.count("shown: SQLite") == 2
    assert {"met", "missed", "not measured"} <= {
        line.strip().rsplit("  ", 1)[-1].strip() for line in done.output.splitlines()
    }


def test_a_case_that_fails_keeps_no_other_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "CASES", {"broken": Case(_fail, _show, lambda _: []), "one": _case()})
    done = CliRunner().invoke(group, ["all", "--quick"])
    assert done.exit_code == 1
    assert "broken: it does not start" in done.output
    assert "shown: SQLite" in done.output


def test_every_case_has_a_command() -> None:
    assert CASES.keys() <= {
        command.name or command.callback.__name__ for command in group.registered_commands if command.callback
    }

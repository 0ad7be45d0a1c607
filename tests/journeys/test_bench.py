"""`relay bench chain` measures what it says, here in small. No time is looked at, only that it is told."""

import json
from pathlib import Path

import pytest

from service.bench import flow
from service.bench.chain import Size, chain_report, measure_round, show_chain
from service.bench.counting.statements import Stage
from service.bench.driving.generator import BenchError
from service.bench.driving.processes import Version, fresh_database
from service.bench.flow import flow_report, show_flow
from service.bench.report import write_json
from service.cli.operate.bench import serve
from service.kit.schema.migrate import current_revision

_SMALL = Size(detections=4, clients=2, rounds=1, warm_up=2, staged=2)


async def test_a_round_from_outside_takes_every_detection_to_its_webhook(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one = await measure_round(serve, Version("this version"), None, _SMALL)
    assert len(one.passages) == _SMALL.detections
    assert all(each.whole > each.upload + each.ask > 0 for each in one.passages)
    assert one.cpu_ms.keys() == {"web with worker", "load, twin, receiver"}
    report = chain_report([one], [Stage("decided", 114, 4, 30_000_000)], _SMALL, "SQLite")
    show_chain(report)
    shown = capsys.readouterr().out
    assert {"this version", "decided", "total"} <= {line.split("  ")[0] for line in shown.splitlines()}
    write_json(report, str(tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert report["stages"] == [{"stage": "decided", "statements": 57, "commits": 2, "cpu_ms": 15}]


async def test_callbacks_of_copies_come_to_the_customer(capsys: pytest.CaptureFixture[str]) -> None:
    small = flow.Size([flow.Pace(20, 0.5)], pushed=10, warm_up=2, rounds=1)
    one = await flow.measure_round(serve, Version("this version"), None, small)
    kept, pushed = one.levels
    assert (len(kept.passages), len(kept.asked), len(kept.read), len(pushed.passages)) == (10, 1, 2, 10)
    report = flow_report([one], small, "SQLite")
    assert report["flow"]["this version"].keys() == {"20", "pushed"}
    show_flow(report)
    assert "20/s" in capsys.readouterr().out


async def test_a_version_that_does_not_start_is_told_and_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="relay migrate failed"):
        await measure_round(serve, Version("broken", folder=_broken(tmp_path)), None, _SMALL)


def _broken(tmp_path: Path) -> Path:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "__main__.py").write_text("raise SystemExit('no')")
    return tmp_path


def test_a_database_on_postgresql_is_made_and_dropped(postgres_url: str, tmp_path: Path) -> None:
    with fresh_database(postgres_url, tmp_path) as made:
        assert made != postgres_url
        assert current_revision(made) is None
    with pytest.raises(Exception, match="does not exist"):
        current_revision(made)

"""`relay bench claim` claims with the product's own code what is due, and tells the ratio. No time is looked at."""

from pathlib import Path

import pytest
from sqlmodel import Session, col, func, select

from service.bench.claim import (
    CLAIMED,
    WRITTEN,
    Claims,
    Size,
    claim_deliveries_of,
    claim_reached,
    claim_report,
    claim_runs_of,
    show_claim,
    write_waiting,
)
from service.bench.counting.inside import settings_inside
from service.kit.db.database import Database
from service.resources import open_resources
from service.runs.state.models import Run
from service.webhooks.models import Delivery


async def test_copies_are_claimed_as_what_they_are_copied_from(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with open_resources(settings_inside(database_url, tmp_path, "http://127.0.0.1:9")) as resources:
        write_waiting(resources, copies=2)
        assert await database.read(_due) == (3 * WRITTEN, 3 * WRITTEN)
        for _ in range(2):
            assert await claim_deliveries_of(resources) == CLAIMED
            assert await claim_runs_of(resources) == CLAIMED


def _due(session: Session) -> tuple[int, int]:
    deliveries = select(func.count()).where(col(Delivery.state) == "due")
    runs = select(func.count()).where(col(Run.state) == "queued")
    return session.exec(deliveries).one(), session.exec(runs).one()


def test_the_report_tells_the_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    claims = {"deliveries": Claims([0.01, 0.02, 0.01], [0.02, 0.02, 0.02]), "runs": Claims([0.01], [0.01])}
    report = claim_report(claims, Size(few=1_000, many=2_000, claims=3, warm_up=0), "SQLite")
    assert [(each.measured, each.is_met) for each in claim_reached(report)] == [(2, False), (1, True)]
    show_claim(report)
    assert "ratio" in capsys.readouterr().out

"""The doctor sees a vendor that is left alone, and a quota that is used up."""

from typing import Any

import pytest

from service.cli.checks.finding import Severity
from service.cli.checks.working import check_gates
from service.kit.db.database import Database
from service.quotas.models import Gate
from tests.cli.checks.rooms import NOW, deployment


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        ({}, Severity.OK, "answers"),
        ({"circuit": "open", "circuit_until": NOW}, Severity.FAIL, "asc (test)"),
        ({"circuit": "half_open"}, Severity.FAIL, "asc (test)"),
        ({"closed_for": "out_of_credit", "closed_until": NOW}, Severity.FAIL, "asc (test)"),
        ({"closed_for": "rate_limited", "closed_until": NOW}, Severity.OK, "answers"),
        ({"window_started_at": NOW, "window_used": 10_000}, Severity.WARN, "asc (test)"),
        ({"window_started_at": NOW, "window_used": 9_999}, Severity.OK, "answers"),
    ],
)
async def test_the_doctor_finds_it(database: Database, values: dict[str, Any], level: Severity, words: str) -> None:
    with database.writing() as session:
        session.add(Gate(vendor="asc", mode="test", **values))
        session.add(Gate(vendor="gone", mode="test", circuit="open"))
    async with deployment(database) as world:
        finding = await check_gates(world)
    assert (finding.level, words in finding.sentence) == (level, True), finding


async def test_a_fresh_deployment_passes(database: Database) -> None:
    async with deployment(database) as world:
        assert (await check_gates(world)).level is Severity.OK

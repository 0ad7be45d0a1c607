"""The doctor names the detectors that no budget holds."""

from typing import Any

import pytest

from service.accounts.api_keys import account_named
from service.billing.budgets import set_budget
from service.cli.checks.finding import Severity
from service.cli.checks.working import check_budgets
from service.kit.db.database import Database
from tests.cli.checks.rooms import NOW, PUBLIC, deployment


@pytest.mark.parametrize(
    ("mode", "given", "level", "words"),
    [
        (None, {}, Severity.OK, "no account has a budget"),
        ("test", {}, Severity.WARN, "No budget holds aippim/pro-v2, pex, modulate, modulate/streaming"),
        ("live", {"pex": {"client_id": "x", "client_secret": "y"}}, Severity.WARN, "No budget holds pex: "),
        ("live", {"asc": {"api_key": "x"}}, Severity.OK, "every price is known"),
        ("test", {"unknown_price_passes": False}, Severity.OK, "refused"),
    ],
)
async def test_the_doctor_says_what_no_budget_holds(
    database: Database, mode: str | None, given: dict[str, Any], level: Severity, words: str
) -> None:
    if mode is not None:
        with database.writing() as session:
            set_budget(session, account_named(session, "Label", NOW).id, mode, "USD", 1, NOW)
    async with deployment(database, public_url=PUBLIC, **given) as world:
        finding = await check_budgets(world)
    assert (finding.level, words in finding.sentence) == (level, True), finding

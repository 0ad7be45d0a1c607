"""Budgets hold a calendar month's ledger to an amount, by account, mode and currency."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlmodel import Session

from service.accounts.api_keys import account_named
from service.billing.budgets import budgets, month_of, over_budget, remove_budget, set_budget, usage_of
from service.billing.ledger import Spender, open_charge, settle_charge
from service.billing.prices import Basis, BudgetUsage, Price, exceeds
from service.kit.db.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TENTH = Price(100_000, "USD", Basis.ESTIMATE)


@pytest.mark.parametrize(
    ("now", "first", "last"),
    [
        (NOW, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (
            datetime(2026, 12, 31, 23, 59, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
            datetime(2027, 1, 1, tzinfo=UTC),
        ),
        (datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_month_is_a_calendar_month(now: datetime, first: datetime, last: datetime) -> None:
    assert month_of(now) == (first, last)


def test_the_whole_budget_may_be_spent_and_what_is_free_always() -> None:
    assert exceeds(100, 60, 40) is False
    assert exceeds(100, 61, 40) is True
    assert exceeds(100, 500, 0) is False


def _spender(session: Session) -> Spender:
    owner = account_named(session, "Label", NOW)
    return Spender(owner.id, "live", "det_1", "run_1", "aippim/lite")


def test_a_budget_is_spent_by_what_was_and_may_have_been_charged(database: Database) -> None:
    with database.writing() as session:
        who = _spender(session)
        set_budget(session, who.account_id, "live", "USD", 300_000, NOW)
        charges = [open_charge(session, who, TENTH, NOW) for _ in range(3)]
        settle_charge(session, charges[0], taken=True)
        sentence = over_budget(session, who.account_id, "live", TENTH, NOW)
        assert sentence is not None
        assert "0.30 USD, 0.30 are spent; 0.10 more" in sentence
        settle_charge(session, charges[1], taken=False)
        assert over_budget(session, who.account_id, "live", TENTH, NOW) is None
        owner = (who.account_id, "live")
        usage = {"USD": BudgetUsage(amount_micros=300_000, spent_micros=200_000)}
        assert usage_of(session, [owner], NOW, lock=True) == usage_of(session, [owner], NOW) == {owner: usage}


def test_what_does_not_count_against_a_budget(database: Database) -> None:
    with database.writing() as session:
        who = _spender(session)
        other = replace(who, account_id=account_named(session, "Other", NOW).id)
        set_budget(session, who.account_id, "live", "USD", 100_000, NOW)
        open_charge(session, other, TENTH, NOW)
        open_charge(session, replace(who, mode="test"), TENTH, NOW)
        open_charge(session, who, replace(TENTH, currency="EUR"), NOW)
        open_charge(session, who, TENTH, datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))
        open_charge(session, who, Price(), NOW)
        assert over_budget(session, who.account_id, "live", TENTH, NOW) is None
        assert over_budget(session, who.account_id, "live", replace(TENTH, amount_micros=100_001), NOW) is not None
        for free in (Price(), Price(0, "USD", Basis.LIST_PRICE), replace(TENTH, currency="EUR")):
            assert over_budget(session, who.account_id, "live", free, NOW) is None


def test_a_budget_is_changed_listed_and_removed(database: Database) -> None:
    with database.writing() as session:
        who = _spender(session)
        for amount in (1, 700_000):
            set_budget(session, who.account_id, "live", "USD", amount, NOW)
        open_charge(session, who, TENTH, NOW)
        (standing,) = budgets(session, NOW)
        assert (standing.amount_micros, standing.spent_micros) == (700_000, 100_000)
        assert remove_budget(session, who.account_id, "live", "USD") is True
        assert remove_budget(session, who.account_id, "live", "USD") is False
        assert budgets(session, NOW) == []

"""Budgets: what an account may spend in a calendar month (UTC), by currency. Without one it may spend what it likes.

What may have been charged counts as charged. A price that is not known passes every budget, unless the
operator says no.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, exists
from sqlmodel import Session, col, select

from service.billing.ledger import spent
from service.billing.models import Budget
from service.billing.prices import BudgetUsage, Price, why_not
from service.kit.db.columns import table_of

_BUDGET = table_of(Budget)
_BUDGETS = (
    select(_BUDGET.c.account_id, _BUDGET.c.mode, _BUDGET.c.currency, _BUDGET.c.amount_micros)
    .where(_BUDGET.c.account_id.in_(bindparam("accounts", expanding=True)))
    .order_by(_BUDGET.c.account_id, _BUDGET.c.mode, _BUDGET.c.currency)
)
_LOCKED_BUDGETS = _BUDGETS.with_for_update()


def has_budget(account_id: ColumnElement[str], mode: ColumnElement[str]) -> ColumnElement[bool]:
    """Return a column that says whether there is a budget of this account in this mode."""
    return exists().where(_BUDGET.c.account_id == account_id, _BUDGET.c.mode == mode)


@dataclass(frozen=True, slots=True)
class AccountBudget:
    """A budget, and what of it is spent this month, both in millionths of the currency's unit."""

    account_id: str
    mode: str
    currency: str
    amount_micros: int
    spent_micros: int


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """Return the first instant of the calendar month in UTC, and that of the next."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, month = divmod(first.year * 12 + first.month, 12)
    return first, first.replace(year=year, month=month + 1)


def over_budget(
    session: Session, account_id: str, mode: str, price: Price, now: datetime, *, unknown_passes: bool = True
) -> str | None:
    """Return why the account may not spend this as it looks now, in a sentence; `None` if it may. Locks nothing."""
    usage = usage_of(session, [(account_id, mode)], now)
    return why_not(price, usage.get((account_id, mode), {}), unknown_passes=unknown_passes)


def usage_of(
    session: Session, owners: Collection[tuple[str, str]], now: datetime, *, lock: bool = False
) -> dict[tuple[str, str], dict[str, BudgetUsage]]:
    """Return the use of these accounts' and modes' budgets, by currency. Owners without one are left out.

    With `lock` the budgets stay locked until this transaction ends: two at once cannot both spend the last of one.
    """
    accounts = sorted({account_id for account_id, _ in owners})
    found = session.connection().execute(_LOCKED_BUDGETS if lock else _BUDGETS, {"accounts": accounts}).all()
    usage: dict[tuple[str, str], dict[str, BudgetUsage]] = {}
    for account_id, mode, currency, amount in found:
        if (account_id, mode) in owners:
            gone = spent(session, account_id, mode, currency, *month_of(now))
            usage.setdefault((account_id, mode), {})[currency] = BudgetUsage(amount, gone)
    return usage


def unpriced_text(detectors: Sequence[str]) -> str:
    """Return a sentence that names the detectors without a known price, and what to do."""
    names = ", ".join(detectors)
    return (
        f"No budget holds {names}: the price is not known. Give it in PRICES_FILE, or set UNKNOWN_PRICE_PASSES=false."
    )


def set_budget(session: Session, account_id: str, mode: str, currency: str, amount_micros: int, now: datetime) -> None:
    """Set what the account may spend a month from now on. What was spent this month counts."""
    session.merge(
        Budget(account_id=account_id, mode=mode, currency=currency, amount_micros=amount_micros, changed_at=now)
    )


def remove_budget(session: Session, account_id: str, mode: str, currency: str) -> bool:
    """Remove a budget, and with it the limit. Return True if there was one."""
    budget = session.get(Budget, (account_id, mode, currency))
    if budget is None:
        return False
    session.delete(budget)
    session.flush()
    return True


def budgets(session: Session, now: datetime) -> Sequence[AccountBudget]:
    """Return every budget, and what of it is spent this month, by account, mode and currency."""
    rows = session.exec(select(Budget).order_by(col(Budget.account_id), col(Budget.mode), col(Budget.currency)))
    return [
        AccountBudget(
            row.account_id,
            row.mode,
            row.currency,
            row.amount_micros,
            spent(session, row.account_id, row.mode, row.currency, *month_of(now)),
        )
        for row in rows
    ]

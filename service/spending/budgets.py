"""Budgets: what an account may spend in a calendar month (UTC), by currency. Without one it may spend what it likes.

What may have been charged counts as charged. A price that is not known passes every budget, unless the
operator says no.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from service.spending.ledger import spent
from service.spending.models import Budget
from service.spending.money import amount_text
from service.spending.prices import Price

_UNKNOWN = "The price of this detector is not known, so no budget can be held; the operator's price list can name it."


@dataclass(frozen=True, slots=True)
class Standing:
    """A budget and what of it is gone this month."""

    account_id: str
    mode: str
    currency: str
    amount_micros: int
    spent_micros: int


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """The first instant of the calendar month in UTC, and that of the next."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    year, month = divmod(first.year * 12 + first.month, 12)
    return first, first.replace(year=year, month=month + 1)


def exceeds(budget_micros: int, spent_micros: int, price_micros: int) -> bool:
    """Whether one more at this price is more than the budget. What costs nothing never is."""
    return price_micros > 0 and spent_micros + price_micros > budget_micros


def over_budget(
    session: Session,
    account_id: str,
    mode: str,
    price: Price,
    now: datetime,
    *,
    lock: bool = False,
    unknown_passes: bool = True,
) -> str | None:
    """Why the account may not spend this now, in a sentence; `None` if it may.

    Without `unknown_passes` an account with a budget spends nothing where the price is not known. With `lock` nobody
    else of the account decides until this transaction ends: two at once cannot both take the last.
    """
    if price.amount_micros is None and not unknown_passes:
        return _UNKNOWN if _has_budget(session, account_id, mode) else None
    if not price.amount_micros or price.currency is None:
        return None
    wanted = select(Budget).where(
        Budget.account_id == account_id, Budget.mode == mode, Budget.currency == price.currency
    )
    budget = session.exec(wanted.with_for_update() if lock else wanted).first()
    if budget is None:
        return None
    gone = spent(session, account_id, mode, price.currency, *month_of(now))
    if not exceeds(budget.amount_micros, gone, price.amount_micros):
        return None
    whole, used, more = (amount_text(part) for part in (budget.amount_micros, gone, price.amount_micros))
    return f"Of this month's budget of {whole} {price.currency}, {used} are spent; {more} more would exceed it."


def not_held(detectors: Sequence[str]) -> str:
    """Return a sentence that names the detectors no budget holds, and what to do."""
    names = ", ".join(detectors)
    return (
        f"No budget holds {names}: the price is not known. Give it in PRICES_FILE, or set UNKNOWN_PRICE_PASSES=false."
    )


def _has_budget(session: Session, account_id: str, mode: str) -> bool:
    own = select(Budget.currency).where(Budget.account_id == account_id, Budget.mode == mode)
    return session.exec(own.limit(1)).first() is not None


def set_budget(session: Session, account_id: str, mode: str, currency: str, amount_micros: int, now: datetime) -> None:
    """From now on this is what the account may spend a month; what was spent this month counts."""
    session.merge(
        Budget(account_id=account_id, mode=mode, currency=currency, amount_micros=amount_micros, changed_at=now)
    )


def remove_budget(session: Session, account_id: str, mode: str, currency: str) -> bool:
    """The account may spend what it likes. Whether there was a budget."""
    budget = session.get(Budget, (account_id, mode, currency))
    if budget is None:
        return False
    session.delete(budget)
    session.flush()
    return True


def budgets(session: Session, now: datetime) -> Sequence[Standing]:
    """Every budget, and what of it is gone."""
    rows = session.exec(select(Budget).order_by(col(Budget.account_id), col(Budget.mode), col(Budget.currency)))
    return [
        Standing(
            row.account_id,
            row.mode,
            row.currency,
            row.amount_micros,
            spent(session, row.account_id, row.mode, row.currency, *month_of(now)),
        )
        for row in rows
    ]

"""The decision if an account may pay for one more submission. Pure: budgets, and what is spent of them, come in."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.billing.money import amount_text
from service.billing.prices import Price

_UNKNOWN = "The price of this detector is not known, so no budget can be held; the operator's price list can name it."


@dataclass(frozen=True, slots=True)
class BudgetUsage:
    """An account's budget in one currency, and what is spent of it this month, in millionths of the unit."""

    amount_micros: int
    spent_micros: int


def exceeds(budget_micros: int, spent_micros: int, price_micros: int) -> bool:
    """Return True if one more at this price is more than the budget. What costs nothing never is."""
    return price_micros > 0 and spent_micros + price_micros > budget_micros


def why_not(price: Price, budgets: Mapping[str, BudgetUsage], *, unknown_passes: bool) -> str | None:
    """Return why the account may not spend this now, in a sentence; `None` if it may. `budgets` are by currency.

    Without `unknown_passes` an account with a budget spends nothing where the price is not known.
    """
    if price.amount_micros is None and not unknown_passes:
        return _UNKNOWN if budgets else None
    if not price.amount_micros or price.currency is None:
        return None
    budget = budgets.get(price.currency)
    if budget is None or not exceeds(budget.amount_micros, budget.spent_micros, price.amount_micros):
        return None
    parts = (budget.amount_micros, budget.spent_micros, price.amount_micros)
    whole, used, more = (amount_text(part) for part in parts)
    return f"Of this month's budget of {whole} {price.currency}, {used} are spent; {more} more would exceed it."

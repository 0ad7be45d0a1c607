"""Money, the price of one submission, and whether a budget has room for it. No SQL.

Amounts are whole millionths of a currency's unit, never floats: sums are exact in Python and in SQL. Prices are data:
`prices.toml` beside this file, or the operator's own.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.kit.errors import SettingsError

MICROS = 1_000_000
_MOST = 1_000_000_000  # units: so that a sum of thousands of the largest still fits a BIGINT
_CURRENCY = re.compile(r"[A-Z]{3}")
_FIELDS = {"detector", "amount", "currency", "basis", "valid_from", "valid_until", "source"}
_UNKNOWN = "The price of this detector is not known, so no budget can be held; the operator's price list can name it."


def micros(text: str) -> int:
    """Return the amount in millionths: 100000 for `"0.10"`. Raise `ValueError` if it is malformed or too large."""
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,6})?", text):
        raise ValueError(f"{text!r} is not an amount of money: digits, and up to six after a point, e.g. 0.25")
    amount = int(Decimal(text) * MICROS)
    if amount > _MOST * MICROS:
        raise ValueError(f"{text} is too much")
    return amount


def amount_text(amount: int) -> str:
    """Return the exact amount as a decimal, with at least two places: 100000 is `0.10`, 1 is `0.000001`."""
    whole, rest = divmod(amount, MICROS)
    return f"{whole}.{f'{rest:06d}'.rstrip('0'):0<2}"


def checked_currency(code: str) -> str:
    """Return the code if it has the form of ISO 4217's, e.g. `USD`. Raise `ValueError` otherwise."""
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"{code!r} is not a currency: three capital letters, e.g. USD")
    return code


OURS = Path(__file__).with_name("prices.toml")


class Basis(StrEnum):
    """The source of a price."""

    LIST_PRICE = "list_price"
    VENDOR_REPORTED = "vendor_reported"
    ESTIMATE = "estimate"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one submission. Without an amount it is not known; an amount of 0 is known to be free."""

    amount_micros: int | None = None
    currency: str | None = None
    basis: Basis = Basis.UNKNOWN


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of one submission that left. `billed`: the vendor took it; `None`: perhaps it did."""

    amount_micros: int | None
    currency: str | None
    basis: Basis
    billed: bool | None = None
    possible_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    detector: str
    price: Price
    valid_from: datetime | None
    valid_until: datetime | None

    def applies_at(self, at: datetime) -> bool:
        began = self.valid_from is None or self.valid_from <= at
        return began and (self.valid_until is None or at < self.valid_until)


@dataclass(frozen=True, slots=True)
class Prices:
    """The price list. Of several rows that apply at one time the last one written counts."""

    rows: Sequence[_Row] = field(default=())
    unknown_passes: bool = True  # every budget, because nothing is known that could be held against one

    def price_of(self, detector: str, at: datetime) -> Price:
        """Return the price of one submission to `detector` at that time; unknown if no row applies."""
        found = [row.price for row in self.rows if row.detector == detector and row.applies_at(at)]
        return found[-1] if found else Price()

    def unknown(self, detectors: Iterable[str], at: datetime) -> list[str]:
        """Return those of the detectors whose price is not known at that time."""
        return [name for name in detectors if self.price_of(name, at).amount_micros is None]


def load_prices(path: Path | None = None, *, unknown_passes: bool = True) -> Prices:
    """Read the operator's list, or ours. Raise `SettingsError` with a line for each row that is wrong."""
    file = path or OURS
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("price", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"PRICES_FILE: {file} cannot be read ({error})") from error
    rows: list[_Row] = []
    wrong: list[str] = []
    for n, row in enumerate(found if isinstance(found, list) else [found], start=1):
        try:
            rows.append(_row(row))
        except ValueError as error:
            wrong.append(f"PRICES_FILE: {file}, price {n}: {error}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return Prices(tuple(rows), unknown_passes)


def _row(row: Mapping[str, Any]) -> _Row:
    if not isinstance(row, Mapping):
        raise ValueError("each is a table: [[price]]")  # noqa: TRY004 - the file is at fault, not our code
    if strange := sorted(row.keys() - _FIELDS):
        raise ValueError(f"unknown: {', '.join(strange)}")
    if not isinstance(row.get("detector"), str) or not row["detector"]:
        raise ValueError("detector is missing")
    return _Row(row["detector"], _price(row), _time(row, "valid_from"), _time(row, "valid_until"))


def _price(row: Mapping[str, Any]) -> Price:
    amount, currency = row.get("amount"), row.get("currency")
    if not isinstance(row.get("basis"), str):
        raise ValueError("basis is missing")  # noqa: TRY004 - the file is at fault, not our code
    basis = Basis(row["basis"])
    if basis is Basis.UNKNOWN:
        if amount is not None or currency is not None:
            raise ValueError("what is unknown has no amount and no currency")
        return Price()
    if not isinstance(amount, str) or not isinstance(currency, str):
        example = 'amount = "0.20", currency = "USD"'
        raise ValueError(f"amount and currency are texts, e.g. {example}")  # noqa: TRY004 - the same
    return Price(micros(amount), checked_currency(currency), basis)


def _time(row: Mapping[str, Any], name: str) -> datetime | None:
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"{name} is a date, without quotes: 2026-03-01")


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

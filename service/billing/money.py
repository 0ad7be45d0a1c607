"""Money as whole millionths of a currency's unit: sums are exact in Python and in SQL. Never floats."""

import re
from decimal import Decimal

MICROS = 1_000_000
_MOST = 1_000_000_000  # units: so that a sum of thousands of the largest still fits a BIGINT
_CURRENCY = re.compile(r"[A-Z]{3}")


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

"""Money as whole millionths of a currency's unit: sums are exact in Python and in SQL. Never floats."""

import re
from decimal import Decimal

MICROS = 1_000_000
_MOST = 1_000_000_000  # units: so that a sum of thousands of the largest still fits a BIGINT
_CURRENCY = re.compile(r"[A-Z]{3}")


def micros(text: str) -> int:
    """`"0.10"` as 100000. Raises `ValueError` for what is no amount, is negative, or is finer than a millionth."""
    if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,6})?", text):
        raise ValueError(f"{text!r} is no amount of money: digits, and up to six after a point, e.g. 0.25")
    amount = int(Decimal(text) * MICROS)
    if amount > _MOST * MICROS:
        raise ValueError(f"{text} is too much")
    return amount


def amount_text(amount: int) -> str:
    """The exact amount as a decimal, with two places or as many as it needs: 100000 is `0.10`, 1 is `0.000001`."""
    whole, rest = divmod(amount, MICROS)
    return f"{whole}.{f'{rest:06d}'.rstrip('0'):0<2}"


def checked_currency(code: str) -> str:
    """The code if it has the form of ISO 4217's, e.g. `USD`. Raises `ValueError`."""
    if not _CURRENCY.fullmatch(code):
        raise ValueError(f"{code!r} is no currency: three capital letters, e.g. USD")
    return code

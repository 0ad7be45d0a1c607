"""Money is exact, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.billing.prices import amount_text, checked_currency, micros


@pytest.mark.parametrize(
    ("text", "amount", "shown"),
    [("0.10", 100_000, "0.10"), ("50", 50_000_000, "50.00"), ("0", 0, "0.00"), ("0.000001", 1, "0.000001"),
     ("12.5", 12_500_000, "12.50"), ("0.125", 125_000, "0.125")],
)  # fmt: skip
def test_an_amount_is_read_and_shown(text: str, amount: int, shown: str) -> None:
    assert (micros(text), amount_text(amount)) == (amount, shown)


@pytest.mark.parametrize(
    "text", ["", "-1", "1,50", "0.0000001", "1e3", "NaN", ".5", "1.", "99999999999", "9999999999", "٣"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"amount of money|too much"):
        micros(text)


@given(st.integers(0, 10**15))
def test_what_is_shown_reads_as_the_same(amount: int) -> None:
    assert micros(amount_text(amount)) == amount


@pytest.mark.parametrize("code", ["usd", "US", "USDT", "", "US1"])
def test_a_currency_has_three_capitals(code: str) -> None:
    assert checked_currency("EUR") == "EUR"
    with pytest.raises(ValueError, match="three capital letters"):
        checked_currency(code)

"""Prices are data: ours, or the operator's file, read strictly."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.billing.prices import Basis, Price, load_prices
from service.kit.errors import SettingsError
from service.vendors import VENDORS

LATE = datetime(2026, 11, 20, tzinfo=UTC)
BEFORE = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)
ROW = '[[price]]\ndetector = "asc"\namount = "0.25"\ncurrency = "EUR"\nbasis = "list_price"\n'


@pytest.mark.parametrize(
    ("detector", "at", "price"),
    [
        ("aippim/lite", LATE, Price(100_000, "USD", Basis.ESTIMATE)),
        ("aippim/standard", LATE, Price(200_000, "USD", Basis.ESTIMATE)),
        ("aippim/standard", BEFORE, Price(200_000, "USD", Basis.LIST_PRICE)),
        ("aippim/pro", datetime(2026, 3, 1, tzinfo=UTC), Price(500_000, "USD", Basis.ESTIMATE)),
        ("asc", LATE, Price(0, "USD", Basis.LIST_PRICE)),
        ("pex", LATE, Price()),
        ("modulate", LATE, Price()),
        ("nobody", LATE, Price()),
    ],
)
def test_our_list_says_what_is_known(detector: str, at: datetime, price: Price) -> None:
    assert load_prices().price_of(detector, at) == price


def test_every_vendor_is_on_our_list() -> None:
    listed = {row.detector.partition("/")[0] for row in load_prices().rows}
    assert set(VENDORS) <= listed


def test_the_operators_file_replaces_ours(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(ROW)
    prices = load_prices(file)
    assert prices.price_of("asc", LATE) == Price(250_000, "EUR", Basis.LIST_PRICE)
    assert prices.price_of("aippim/lite", LATE) == Price()


def test_of_two_rows_that_hold_the_last_one_counts(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(ROW + ROW.replace("0.25", "0.30") + "valid_from = 2026-12-01T00:00:00Z\n")
    prices = load_prices(file)
    assert prices.price_of("asc", LATE).amount_micros == 250_000
    assert prices.price_of("asc", datetime(2026, 12, 1, tzinfo=UTC)).amount_micros == 300_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROW.replace('"0.25"', "0.25"), "are texts"),
        (ROW.replace("0.25", "cheap"), "not an amount"),
        (ROW.replace("EUR", "euro"), "three capital letters"),
        (ROW.replace("list_price", "guess"), "guess"),
        (ROW.replace("list_price", "unknown"), "no amount and no currency"),
        (ROW + 'valid_from = "2026-12-01"\n', "without quotes"),
        (ROW + "colour = 1\n", "colour"),
        (ROW.replace("detector", "detectors"), "detectors"),
        ('[[price]]\nbasis = "unknown"\n', "detector is missing"),
        ('[[price]]\ndetector = "asc"\n', "basis is missing"),
        ("price = 3\n", "each is a table"),
        ("[[price", "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words) as caught:
        load_prices(file)
    assert str(caught.value).startswith("PRICES_FILE: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read"):
        load_prices(tmp_path / "none.toml")

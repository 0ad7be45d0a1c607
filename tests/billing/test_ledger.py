"""The ledger has a row for each submission that was, or may have been, taken."""

from datetime import UTC, datetime

from service.billing.ledger import Spender, charges_of, open_charge, settle_charge, settle_latest, spent
from service.billing.prices import Basis, Charge, Price
from service.kit.db.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIFTH = Price(200_000, "USD", Basis.ESTIMATE)
WHO = Spender("acc_1", "live", "det_1", "run_1", "aippim/standard")


def test_a_charge_is_open_until_it_is_known_what_became_of_it(database: Database) -> None:
    with database.writing() as session:
        first = open_charge(session, WHO, FIFTH, NOW)
        second = open_charge(session, WHO, FIFTH, NOW, duplicate=True)
        settle_charge(session, first, taken=None)
        settle_charge(session, second, taken=True)
    with database.reading() as session:
        assert charges_of(session, ["run_1", "run_2"]) == {
            "run_1": [
                Charge(200_000, "USD", Basis.ESTIMATE, None),
                Charge(200_000, "USD", Basis.ESTIMATE, billed=True, possible_duplicate=True),
            ],
            "run_2": [],
        }


def test_what_was_not_taken_has_no_row(database: Database) -> None:
    with database.writing() as session:
        charge = open_charge(session, WHO, FIFTH, NOW)
        settle_charge(session, charge, taken=False)
        settle_charge(session, charge, taken=True)
        assert charges_of(session, ["run_1"]) == {"run_1": []}


def test_a_vendor_that_has_the_run_after_all_took_the_last_submission(database: Database) -> None:
    with database.writing() as session:
        settle_latest(session, ["run_1"])
        for duplicate in (False, True):
            open_charge(session, WHO, FIFTH, NOW, duplicate=duplicate)
        settle_latest(session, ["run_1"])
        assert [charge.billed for charge in charges_of(session, ["run_1"])["run_1"]] == [None, True]


def test_sums_are_exact_and_end_before_the_next_month(database: Database) -> None:
    end = datetime(2026, 12, 1, tzinfo=UTC)
    with database.writing() as session:
        for _ in range(30):
            open_charge(session, WHO, Price(1, "USD", Basis.LIST_PRICE), NOW)
        open_charge(session, WHO, FIFTH, end)
        assert spent(session, "acc_1", "live", "USD", NOW, end) == 30
        assert spent(session, "acc_1", "live", "EUR", NOW, end) == 0

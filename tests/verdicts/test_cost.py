"""How costs add up in a result."""

from dataclasses import replace
from datetime import datetime

import pytest

from service.billing.prices import Basis, Charge
from service.detectors.enums import RunStatus, Via
from service.verdicts.cost import run_cost, total_cost
from service.verdicts.facts import RunFacts
from tests.detections.scripted import NOW

RUN = RunFacts("run_1", "aippim/lite", "aippim", RunStatus.SUCCEEDED, submitted_at=NOW)
TENTH = Charge(100_000, "USD", Basis.ESTIMATE, billed=True)
FREE = Charge(0, "USD", Basis.LIST_PRICE, billed=True)
UNKNOWN = Charge(None, None, Basis.UNKNOWN, billed=True)


def test_what_was_not_asked_costs_nothing_and_is_not_billed() -> None:
    nothing = {"amount": "0.00", "currency": None, "basis": "list_price", "billed": False}
    assert run_cost(replace(RUN, submitted_at=None)) == nothing
    assert run_cost(replace(RUN, reused=True, via=Via.REUSE)) == nothing


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.RUNNING])
@pytest.mark.parametrize("submitted_at", [None, NOW])
def test_what_a_run_that_has_not_ended_will_cost_is_not_known(status: RunStatus, submitted_at: datetime | None) -> None:
    unknown = {"amount": None, "currency": None, "basis": "unknown", "billed": None}
    assert run_cost(replace(RUN, status=status, submitted_at=submitted_at)) == unknown
    assert run_cost(replace(RUN, status=status, charges=[TENTH]))["amount"] == "0.10", "what is charged is known"


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.SKIPPED])
def test_what_ended_unasked_costs_nothing(status: RunStatus) -> None:
    assert run_cost(replace(RUN, status=status, submitted_at=None))["amount"] == "0.00"


def test_a_run_from_before_the_ledger_is_not_known() -> None:
    assert run_cost(RUN) == {"amount": None, "currency": None, "basis": "unknown", "billed": None}


def test_a_sum_is_known_no_better_than_its_least_known_part() -> None:
    both = replace(RUN, charges=[replace(TENTH, basis=Basis.LIST_PRICE), replace(TENTH, billed=None)])
    assert run_cost(both) == {"amount": "0.20", "currency": "USD", "basis": "estimate", "billed": None}
    assert run_cost(replace(RUN, charges=[TENTH, UNKNOWN]))["amount"] is None


def test_totals_are_by_currency_and_basis_and_exact() -> None:
    runs = [replace(RUN, charges=[TENTH] * 3), replace(RUN, charges=[FREE]), replace(RUN, charges=[UNKNOWN]), RUN]
    assert total_cost(runs) == [
        {"currency": None, "amount": None, "basis": "unknown"},
        {"currency": "USD", "amount": "0.30", "basis": "estimate"},
        {"currency": "USD", "amount": "0.00", "basis": "list_price"},
    ]
    assert total_cost([]) == []

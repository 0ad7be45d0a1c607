"""What runs cost, as a result says it. Amounts are exact decimals in texts; what is not known is null, never 0."""

from collections.abc import Sequence
from typing import Any

from service.billing.prices import Basis, Charge, amount_text
from service.detectors.enums import RunStatus
from service.verdicts.facts import RunFacts

_OPEN = (RunStatus.PENDING, RunStatus.RUNNING)
_UNKNOWN = {"amount": None, "currency": None, "basis": Basis.UNKNOWN.value}


def run_cost(run: RunFacts) -> dict[str, Any]:
    """Return the cost of all submissions of the run that were, or may have been, charged; a run without any costs 0.

    What a run that has not ended will cost is not known. `billed`: true where the vendor took every one of them, false
    where none left, null where it cannot be known.
    """
    return _cost_of_charges(run.charges) if run.charges else _cost_without_charges(run)


def _cost_without_charges(run: RunFacts) -> dict[str, Any]:
    left = run.submitted_at is not None and not run.reused
    if left or run.status in _OPEN:
        return {**_UNKNOWN, "billed": None}
    return {"amount": amount_text(0), "currency": None, "basis": Basis.LIST_PRICE.value, "billed": False}


def _cost_of_charges(charges: Sequence[Charge]) -> dict[str, Any]:
    billed = True if all(charge.billed for charge in charges) else None
    currencies = {charge.currency for charge in charges}
    known = [charge.amount_micros for charge in charges if charge.amount_micros is not None]
    if len(known) < len(charges) or len(currencies) > 1:
        return {**_UNKNOWN, "billed": billed}
    basis = _least_known_basis(charges)
    return {"amount": amount_text(sum(known)), "currency": currencies.pop(), "basis": basis.value, "billed": billed}


def total_cost(runs: Sequence[RunFacts]) -> list[dict[str, Any]]:
    """Return the sums over all submissions, by currency and basis. An unknown part is an entry without an amount."""
    sums: dict[tuple[str | None, Basis], int | None] = {}
    for charge in (charge for run in runs for charge in run.charges):
        key = (charge.currency, charge.basis)
        before = sums.get(key, 0)
        amount = charge.amount_micros
        sums[key] = None if before is None or amount is None else before + amount
    return [
        {"currency": currency, "amount": None if amount is None else amount_text(amount), "basis": basis.value}
        for (currency, basis), amount in sorted(sums.items(), key=lambda item: (item[0][0] or "", item[0][1]))
    ]


def _least_known_basis(charges: Sequence[Charge]) -> Basis:
    """Return the basis of a sum: that of its least known part."""
    order = (Basis.VENDOR_REPORTED, Basis.LIST_PRICE, Basis.ESTIMATE, Basis.UNKNOWN)
    return max((charge.basis for charge in charges), key=order.index)

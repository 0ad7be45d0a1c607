"""What runs cost, as a result says it. Amounts are exact decimals in texts; what is not known is null, never 0."""

from collections.abc import Sequence
from typing import Any

from service.billing.money import amount_text
from service.billing.prices import Basis, Charge
from service.detectors.enums import RunStatus
from service.verdicts.facts import RunFacts

_OPEN = (RunStatus.PENDING, RunStatus.RUNNING)
_UNKNOWN = {"amount": None, "currency": None, "basis": Basis.UNKNOWN.value}


def run_cost(run: RunFacts) -> dict[str, Any]:
    """All submissions of the run that were, or may have been, charged. What ended unasked costs nothing.

    What a run that has not ended will cost is not known. `billed`: true where the vendor took every one of them, false
    where none left, null where nobody can know.
    """
    if not run.charges:
        left = run.submitted_at is not None and not run.reused
        unknown = left or run.status in _OPEN
        return {**(_UNKNOWN if unknown else _nothing()), "billed": None if unknown else False}
    last = run.charges[-1]
    amounts = [charge.amount_micros for charge in run.charges]
    known = [amount for amount in amounts if amount is not None]
    billed = True if all(charge.billed for charge in run.charges) else None
    one_price = len(known) == len(amounts) and len({charge.currency for charge in run.charges}) == 1
    if not one_price:
        return {**_UNKNOWN, "billed": billed}
    basis = _weakest(run.charges)
    return {"amount": amount_text(sum(known)), "currency": last.currency, "basis": basis.value, "billed": billed}


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


def _nothing() -> dict[str, Any]:
    return {"amount": amount_text(0), "currency": None, "basis": Basis.LIST_PRICE.value}


def _weakest(charges: Sequence[Charge]) -> Basis:
    """Return the basis of a sum: that of its least known part."""
    order = (Basis.VENDOR_REPORTED, Basis.LIST_PRICE, Basis.ESTIMATE, Basis.UNKNOWN)
    return max((charge.basis for charge in charges), key=order.index)

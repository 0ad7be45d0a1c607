"""What one submission costs, as results and budgets see it. Pure."""

from dataclasses import dataclass

from service.spending.prices import Basis


@dataclass(frozen=True, slots=True)
class Charge:
    """What one submission costs. `billed`: the vendor took it; `None`: perhaps it did."""

    amount_micros: int | None
    currency: str | None
    basis: Basis
    billed: bool | None = None
    possible_duplicate: bool = False

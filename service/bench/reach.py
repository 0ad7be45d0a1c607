"""What is to be reached, beside what was: one line for each bound that a measurement is held to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.bench.report import screen, table_with


@dataclass(frozen=True, slots=True)
class Reach:
    """A bound, and what was measured; `measured` is `None` where it cannot be told on this machine or in this run."""

    what: str
    bound: float
    measured: float | None
    unit: str = ""

    @property
    def is_met(self) -> bool | None:
        """Return True if the bound was kept, `None` where nothing was measured."""
        return None if self.measured is None else self.measured <= self.bound

    @property
    def sign(self) -> str:
        """Return the sign before the bound."""
        return "≤"

    def as_json(self) -> dict[str, object]:
        """Return the line as a report keeps it."""
        reached = None if self.measured is None else f"{_number(self.measured)}{self.unit}"
        return {
            "what": self.what,
            "reach": f"{self.sign} {_number(self.bound)}{self.unit}",
            "reached": reached,
            "measured": self.measured,
            "met": self.is_met,
        }


@dataclass(frozen=True, slots=True)
class AtLeast(Reach):
    """The same where more is better."""

    @property
    def is_met(self) -> bool | None:
        """Return True if the bound was reached, `None` where nothing was measured."""
        return None if self.measured is None else self.measured >= self.bound

    @property
    def sign(self) -> str:
        """Return the sign before the bound."""
        return "≥"


_MET = {True: "met", False: "missed", None: "not measured"}


def show_reached(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what each case's report says of what was to be reached."""
    table = table_with("case", "", "reach", "reached", "")
    table.columns[1].justify = "left"
    for case, report in reports.items():
        for each in report["reached"]:
            table.add_row(case, each["what"], each["reach"], each["reached"] or "", _MET[each["met"]])
    screen().print(table)


def _number(value: float) -> str:
    """Return three digits that count, and no zeros behind them."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - from there on whole ones do

"""What was said of a run before the answer that decided it: names and times that this one may leave out.

They stand where that answer is silent, and decide nothing. A callback proves little, so of its names none is taken
that could be taken for a proof: no id, and nothing of a certificate.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.detectors.reading import Reading
from service.runs.state.rows import ObservationRow


@dataclass(frozen=True, slots=True)
class Beside:
    """The vendor's names, and its own times."""

    other: dict[str, str] = field(default_factory=dict)
    submitted_at: datetime | None = None
    completed_at: datetime | None = None


def said_beside(rows: Iterable[ObservationRow], deciding: int | None) -> Beside:
    """Return what callbacks and answers to submissions claimed before observation `deciding`; `None`: until now."""
    other: dict[str, str] = {}
    submitted_at: datetime | None = None
    completed_at: datetime | None = None
    for row in rows:
        said = _said(row, deciding)
        if said is None:
            continue
        other |= {
            name: value for name, value in said.refs.other.items() if row.callback_id is None or _proves_nothing(name)
        }
        submitted_at = submitted_at or said.vendor_submitted_at
        completed_at = said.vendor_completed_at or completed_at
    return Beside(other, submitted_at, completed_at)


def _said(row: ObservationRow, deciding: int | None) -> Reading | None:
    """Return the names and times that the row tells; `None` where it tells none, or is not before that look."""
    tells = row.callback_id is not None or row.outcome is not None
    if not tells or row.reading is None or (deciding is not None and row.n >= deciding):
        return None
    told: dict[str, Any] = json.loads(row.reading)
    return Reading.model_validate(
        {"status": told["status"]}
        | {name: told[name] for name in ("refs", "vendor_submitted_at", "vendor_completed_at") if name in told}
    )


def _proves_nothing(name: str) -> bool:
    return "." not in name and not name.lower().endswith("id")

"""Draws the tables of states into docs/states.md: `python -m tests.house.draw_states`.

Only what stands between a table's two marks is drawn; the words around it are written by hand.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.callbacks.states import CALLBACK
from service.runs.state import lifecycle
from service.runs.state.lifecycle import (
    CERTIFICATE,
    SOURCE,
    CallbackState,
    CertificateState,
    RunState,
    RunTransition,
    SourceState,
)
from service.webhooks.states import DELIVERY, ENDED, ENDPOINT, DeliveryState

PAGE = Path(__file__).resolve().parents[2] / "docs" / "states.md"
_END = "<!-- end of what is drawn -->"

Table = Mapping[tuple[Any, Any], StrEnum]


@dataclass(frozen=True)
class Drawing:
    """A table and where it comes from. The diagram leaves `left_out` to the table, for the eye's sake."""

    source: str
    table: Table
    ends: Collection[StrEnum] = ()
    left_out: Collection[StrEnum] = field(default=())

    @property
    def begin(self) -> str:
        """The mark before it."""
        return f"<!-- drawn by tests/house/draw_states.py from {self.source} -->"


RUN = Drawing(
    "service/runs/state/lifecycle.py: RUN",
    lifecycle.RUN.table,
    [state for state in RunState if state.ended],
    (RunTransition.DEADLINE, RunTransition.SKIPPED),
)
DRAWINGS: Sequence[Drawing] = (
    RUN,
    Drawing(
        "service/runs/state/lifecycle.py: SOURCE",
        SOURCE.table,
        [state for state in SourceState if state is not SourceState.DUE],
    ),
    Drawing("service/runs/state/lifecycle.py: CERTIFICATE", CERTIFICATE.table, [CertificateState.READY]),
    Drawing(
        "service/callbacks/states.py",
        CALLBACK.table,
        [state for state in CallbackState if state not in (CallbackState.DUE, CallbackState.PARKED)],
    ),
    Drawing(
        "service/webhooks/states.py: DELIVERY", DELIVERY.table, [state for state in DeliveryState if state in ENDED]
    ),
    Drawing("service/webhooks/states.py: ENDPOINT", ENDPOINT.table),
)


def redrawn(page: str, drawings: Sequence[Drawing] = DRAWINGS) -> str:
    """`page` with each of these drawn anew. Raises `ValueError` where a mark is missing."""
    for drawing in drawings:
        before, _, rest = _cut(page, drawing.begin)
        _, end, after = rest.partition(_END)
        if not end:
            raise ValueError(f"docs/states.md needs this line behind {drawing.begin}: {_END}")
        drawn = f"{_diagram(drawing)}\n\n{_rows(drawing.table)}"
        page = f"{before}{drawing.begin}\n\n{drawn}\n\n{_END}{after}"
    return page


def _cut(text: str, mark: str) -> tuple[str, str, str]:
    if text.count(mark) != 1:
        raise ValueError(f"docs/states.md needs this line once: {mark}")
    return text.partition(mark)


def _diagram(drawing: Drawing) -> str:
    """Mermaid's notation."""
    arrows: dict[tuple[StrEnum, StrEnum], list[str]] = {}
    for (state, happening), after in drawing.table.items():
        if happening not in drawing.left_out:
            arrows.setdefault((state, after), []).append(happening.value)
    drawn = [f"    {state.value} --> {after.value}: {', '.join(inputs)}" for (state, after), inputs in arrows.items()]
    ends = [f"    {state.value} --> [*]" for state in drawing.ends]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    direction LR", *drawn, *ends, "```"])


def _rows(table: Table) -> str:
    """A row a state, a column an input, in the order of their enumerations; an empty cell cannot happen."""
    states = _in_order(state for state, _ in table)
    inputs = _in_order(happening for _, happening in table)
    head = ["", *(f"`{happening.value}`" for happening in inputs)]
    lines = [head, ["---"] * len(head)]
    for state in states:
        reached = [table.get((state, happening)) for happening in inputs]
        lines.append([f"**{state.value}**", *(after.value if after else "" for after in reached)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _in_order(used: Any) -> list[StrEnum]:
    members = set(used)
    kind: type[StrEnum] = type(next(iter(members)))
    return [member for member in kind if member in members]


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

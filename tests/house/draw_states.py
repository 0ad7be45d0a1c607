"""Draws the lifecycle of a run into docs/states.md: `python -m tests.house.draw_states`.

Only what stands between the two marks is drawn; the words around it are written by hand.
"""

from collections.abc import Mapping
from pathlib import Path

from service.runs.lifecycle import TABLE, RunState, RunTransition

PAGE = Path(__file__).resolve().parents[2] / "docs" / "states.md"
_BEGIN = "<!-- drawn by tests/house/draw_states.py from service/runs/lifecycle.py -->"
_END = "<!-- end of what is drawn -->"

Table = Mapping[tuple[RunState, RunTransition], RunState]


def redrawn(page: str, table: Table = TABLE) -> str:
    """`page` with the drawing that `table` gives. Raises `ValueError` where a mark is missing."""
    before, _, rest = _cut(page, _BEGIN)
    _, _, after = _cut(rest, _END)
    return f"{before}{_BEGIN}\n\n{_diagram(table)}\n\n{_rows(table)}\n\n{_END}{after}"


def _cut(text: str, mark: str) -> tuple[str, str, str]:
    if text.count(mark) != 1:
        raise ValueError(f"docs/states.md needs this line once: {mark}")
    return text.partition(mark)


def _diagram(table: Table) -> str:
    """Mermaid's notation. The two inputs that end any open run are left to the table, for the eye's sake."""
    everywhere = (RunTransition.DEADLINE, RunTransition.SKIPPED)
    arrows: dict[tuple[RunState, RunState], list[str]] = {}
    for (state, happening), after in table.items():
        if happening not in everywhere:
            arrows.setdefault((state, after), []).append(happening.value)
    drawn = [f"    {state.value} --> {after.value}: {', '.join(inputs)}" for (state, after), inputs in arrows.items()]
    ends = [f"    {state.value} --> [*]" for state in RunState if state.ended]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    direction LR", *drawn, *ends, "```"])


def _rows(table: Table) -> str:
    """A row a state, a column an input; an empty cell cannot happen."""
    inputs = [happening for happening in RunTransition if any(key[1] is happening for key in table)]
    head = ["", *(f"`{happening.value}`" for happening in inputs)]
    lines = [head, ["---"] * len(head)]
    for state in RunState:
        if any(key[0] is state for key in table):
            reached = [table.get((state, happening)) for happening in inputs]
            lines.append([f"**{state.value}**", *(after.value if after else "" for after in reached)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

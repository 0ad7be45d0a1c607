"""What the demo shows: a live line for each detector, the verdict, and the webhook as the customer got it."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from service.sandbox.receiver import Received

_MARKS = {
    "pending": "[dim]…[/] waiting",
    "running": "[yellow]●[/] at the vendor",
    "succeeded": "[green]✓[/] answered",
    "not_applicable": "[blue]-[/] not applicable",
    "failed": "[red]✗[/] failed",
    "timed_out": "[red]✗[/] timed out",
    "skipped": "[dim]-[/] skipped",
}
_SHOWN = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Screen:
    """A terminal, or a pipe: then only the end is printed."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._results: dict[str, dict[str, Any]] = {}
        self._live: Live | None = None

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """The lines move while inside."""
        with Live(self._tables(), console=self._console, refresh_per_second=8, transient=True) as self._live:
            yield
        self._live = None

    def update(self, result: dict[str, Any]) -> None:
        """The detection's lines show how far it is."""
        self._results[result["id"]] = result
        if self._live is not None:
            self._live.update(self._tables())

    def say(self, text: str) -> None:
        """One line, as it is."""
        self._console.print(text, markup=False)

    def show(self, results: Sequence[dict[str, Any]], webhooks: Sequence[Received]) -> None:
        """The end: each track's verdict, and its webhook with what the independent library says of it."""
        self._console.print(self._tables())
        for result, webhook in zip(results, webhooks, strict=True):
            self._console.print(_verdict(result))
            self._console.print(_received(webhook))

    def _tables(self) -> Group:
        return Group(*(_table(result) for result in self._results.values()))


def _table(result: dict[str, Any]) -> Table:
    """A line for each detector of one track. Fits a terminal of 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="dim", title=_title(result), title_justify="left")
    for name, width in (("detector", 15), ("state", 15), ("verdict", 14), ("vendor score", 12), ("by", 8), ("s", 4)):
        table.add_column(name, no_wrap=True, min_width=width)
    for detector in result["detectors"]:
        table.add_row(*_row(detector))
    return table


def _title(result: dict[str, Any]) -> str:
    return escape((result["track"]["filename"] or "the audio is being fetched")[:70])


def _row(detector: dict[str, Any]) -> list[str]:
    score, wall = detector["score"], detector["timing"]["wall_ms"]
    return [
        detector["detector"],
        _MARKS[detector["status"]],
        detector["verdict"] or detector["reason_code"] or "",
        f"[dim]{score['value']} of {score['max']}[/]" if score else "",
        detector["obtained"]["via"] or "",
        "" if wall is None else f"{wall / 1000:.1f}",
    ]


def _verdict(result: dict[str, Any]) -> Panel:
    lines = [f"[bold]{result['verdict']}[/]  ({result['status']}, {result['agreement']})"]
    if result["display"]:
        lines.append(result["display"])
    lines.append(f"[dim]{result['id']}  revision {result['revision']}  sha256 {result['track']['audio_sha256']}[/]")
    return Panel("\n".join(lines), title="verdict", title_align="left", expand=False)


def _received(webhook: Received) -> Panel:
    event = json.loads(webhook.body)
    state = "[green]verified by standardwebhooks[/]" if webhook.verified else "[red]NOT verified[/]"
    headers = [f"[dim]{name}: {webhook.headers.get(name, '')}[/]" for name in _SHOWN]
    about = f"{event['type']}  verdict {event['data']['verdict']}  {len(webhook.body)} bytes"
    return Panel("\n".join([*headers, about, state]), title="webhook", title_align="left", expand=False)

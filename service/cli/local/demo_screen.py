"""What the demo shows beyond results: what each number means and where it is from, and the webhook as it came."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from service.cli.screen.meanings import short_score
from service.cli.screen.plain_text import printable
from service.cli.screen.results import ResultScreen, meanings
from service.sandbox.receiver import Received

_SHOWN = ("webhook-id", "webhook-timestamp", "webhook-signature")
_COLUMNS = (("detector", 15), ("verdict", 14), ("vendor score", 12), ("engine", 8), ("via", 8), ("s", 3))
_COLOURS = {"succeeded": "green", "not_applicable": "blue", "skipped": "dim"}


class Screen(ResultScreen):
    """The lines of every detector while they work; at the end a table of their answers, and the webhooks."""

    def show(self, results: Sequence[Mapping[str, Any]], webhooks: Sequence[Received]) -> None:
        """Print each track's answers, its verdict, and its webhook with the independent library's judgement."""
        for result, webhook in zip(results, webhooks, strict=True):
            self.console.print(_answers(result))
            for line in meanings(result):
                self.console.print(_plain(line), style="dim")
            self.show_verdict(result)
            self.console.print(_received(webhook))


def _answers(result: Mapping[str, Any]) -> Table:
    """Return a table with a row for each detector. It fits 80 columns."""
    title = _plain((result["track"]["filename"] or "")[:70])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", title=title, title_justify="left")
    for name, width in _COLUMNS:
        table.add_column(name, min_width=width, no_wrap=name != "vendor score")
    for one in result["detectors"]:
        table.add_row(*_row(one))
    return table


def _row(one: Mapping[str, Any]) -> list[str]:
    colour, wall = _COLOURS.get(one["status"], "red"), one["timing"]["wall_ms"]
    return [
        _plain(one["detector"]),
        f"[{colour}]{_plain(one['verdict'] or one['reason_code'] or one['status'])}[/]",
        _score(one),
        _engine(one["engine"]),
        _plain(one["obtained"]["via"]),
        "" if wall is None else f"{wall / 1000:.1f}",
    ]


def _score(one: Mapping[str, Any]) -> str:
    """Return the vendor's score with its own scale and meaning; scores of two vendors cannot be compared."""
    if one["score"] is None:
        return "[dim]it gives none[/]" if one["verdict"] else ""
    return _plain(short_score(one))


def _engine(engine: Mapping[str, Any] | None) -> str:
    named = [engine[part] for part in ("name", "version") if engine[part]] if engine else []
    return _plain(" ".join(named))


def _received(webhook: Received) -> Panel:
    event = json.loads(webhook.body)
    state = "[green]verified by standardwebhooks[/]" if webhook.verified else "[red]NOT verified[/]"
    headers = [f"[dim]{name}: {_plain(webhook.headers.get(name))}[/]" for name in _SHOWN]
    about = f"{event['type']}  verdict {event['data']['verdict']}  {len(webhook.body)} bytes"
    return Panel("\n".join([*headers, about, state]), title="webhook", title_align="left", expand=False)


def _plain(text: str | None) -> str:
    """Text of others: no markup of rich's, no control codes of the terminal's."""
    return escape(printable(text or ""))

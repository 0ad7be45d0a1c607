"""What the demo shows beyond results: the webhook as the customer got it."""

import json
from collections.abc import Sequence
from typing import Any

from rich.panel import Panel

from service.cli.result_screen import ResultScreen
from service.sandbox.receiver import Received

_SHOWN = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Screen(ResultScreen):
    """The lines of every detector, and at the end the webhooks."""

    def show(self, results: Sequence[dict[str, Any]], webhooks: Sequence[Received]) -> None:
        """The end: each track's verdict, and its webhook with what the independent library says of it."""
        self.show_lines()
        for result, webhook in zip(results, webhooks, strict=True):
            self.show_verdict(result)
            self.console.print(_received(webhook))


def _received(webhook: Received) -> Panel:
    event = json.loads(webhook.body)
    state = "[green]verified by standardwebhooks[/]" if webhook.verified else "[red]NOT verified[/]"
    headers = [f"[dim]{name}: {webhook.headers.get(name, '')}[/]" for name in _SHOWN]
    about = f"{event['type']}  verdict {event['data']['verdict']}  {len(webhook.body)} bytes"
    return Panel("\n".join([*headers, about, state]), title="webhook", title_align="left", expand=False)

"""Results on a terminal: a line for each detector while they work, then the verdict, and what each number means."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.cli.screen.plain_text import printable

SHORT = {
    "ai_likelihood": "AI likelihood",
    "predicted_class_confidence": "class confidence",
    "ai_duration_share": "AI share of time",
    "ai_window_share": "AI share of windows",
}
"""For a table."""

_SCORES = {
    "ai_likelihood": "how likely the vendor holds AI to be, on its own scale; not a probability",
    "predicted_class_confidence": "how sure the vendor is of its own verdict; not a likelihood of AI",
    "ai_duration_share": "the share of the time in which the vendor found AI",
    "ai_window_share": "the share of the windows in which the vendor found AI",
}
_CONFIDENCES = {
    "class": "how sure the vendor is of its own verdict",
    "mean_window": "the mean over the windows that were judged",
    "max_window": "the highest of all windows, so one window makes it",
    "label": "the vendor's own word",
}
_POSITIVE = ("ai_generated", "ai_partial")
_MARKS = {
    "pending": "[dim]…[/] waiting",
    "running": "[yellow]●[/] at the vendor",
    "succeeded": "[green]✓[/] answered",
    "not_applicable": "[blue]-[/] not applicable",
    "failed": "[red]✗[/] failed",
    "timed_out": "[red]✗[/] timed out",
    "skipped": "[dim]-[/] skipped",
}
_OPEN = ("pending", "running")
_UNTIL = (("next_look_at", "next look"), ("deadline_at", "at the latest"))


def short_score(detector: Mapping[str, Any]) -> str:
    """Return the score with its scale and its meaning, short; empty where the vendor gives none."""
    score = detector["score"]
    if score is None:
        return ""
    return f"{score['value']}/{score['max']} {SHORT.get(score['semantics'], score['semantics'])}"


def notes(detector: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each number that one detector gave, and one for what its vendor warns of."""
    if score := detector.get("score"):
        yield f"{score['value']} of {score['max']} is {_meaning(_SCORES, score.get('semantics'))}"
    confidence = detector.get("confidence")
    if confidence and confidence["value"] is not None:
        yield f"confidence {confidence['value']} is {_meaning(_CONFIDENCES, confidence['semantics'])}"
    for name, part in detector.get("components", {}).items():
        if part["confidence"] is not None:
            yield f"{name}: confidence {part['confidence']} is {_meaning(_CONFIDENCES, part['confidence_semantics'])}"
    if detector["verdict"] in _POSITIVE and (caveat := _caveat(detector.get("vendor", ""))):
        yield caveat


def _caveat(vendor: str) -> str:
    from service.vendors import VENDORS  # noqa: PLC0415 - a client's command starts without the adapters

    known = VENDORS.get(vendor)
    return "" if known is None else known.caveat


def _meaning(known: Mapping[str, str], semantics: str | None) -> str:
    """Return the words for it; its own name where a newer service has one that we do not know."""
    return known.get(semantics or "", semantics or "the vendor's own number")


class ResultScreen:
    """A terminal, or a pipe: then nothing moves and only what is shown at the end is printed."""

    def __init__(self, *, stderr: bool = False, hosts: Mapping[str, str] | None = None) -> None:
        """Take `hosts`: by detection, where audio without a name comes from."""
        self.hosts = hosts or {}
        self.console = Console(highlight=False, stderr=stderr)
        self._results: dict[str, Mapping[str, Any]] = {}
        self._live: Live | None = None

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Redraw the lines for as long as the context lasts."""
        shown = Live(self._tables(), console=self.console, refresh_per_second=8, transient=True, redirect_stdout=False)
        with shown as self._live:
            yield
        self._live = None

    def update(self, result: Mapping[str, Any]) -> None:
        """Store the detection's latest state, and redraw its lines."""
        self._results[result["id"]] = result
        if self._live is not None:
            self._live.update(self._tables())

    def drop(self, detection_id: str) -> None:
        """Remove the detection's lines."""
        self._results.pop(detection_id, None)
        if self._live is not None:
            self._live.update(self._tables())

    def say(self, text: str) -> None:
        """Print one line, as it is."""
        self.console.print(text, markup=False)

    def show_results(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Print every line, then each track's verdict."""
        for result in results:
            self.update(result)
        self.show_lines()
        for result in results:
            self.show_verdict(result)

    def show_lines(self) -> None:
        """Print the current lines."""
        self.console.print(self._tables())

    def show_verdict(self, result: Mapping[str, Any]) -> None:
        """Print the verdict in a frame."""
        self.console.print(_verdict(result, self.hosts.get(result["id"])))

    def _tables(self) -> Group:
        parts: list[RenderableType] = []
        for result in self._results.values():
            parts += [_table(result, self.hosts.get(result["id"])), *_waits(result)]
        return Group(*parts)


def _table(result: Mapping[str, Any], host: str | None) -> Table:
    """Return a table with a line for each detector of one track. It fits 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="dim", title=_title(result, host), title_justify="left")
    for name, width in (("detector", 15), ("state", 15), ("verdict", 14), ("vendor score", 12), ("by", 8), ("s", 4)):
        table.add_column(name, no_wrap=True, min_width=width)
    for detector in result["detectors"]:
        table.add_row(*_row(detector))
    return table


def _waits(result: Mapping[str, Any]) -> list[Text]:
    """Return lines: why each open detector waits and until when, and what the numbers of the others mean."""
    told = [
        f"{one['detector']} waits: {why}"
        for one in result["detectors"]
        if one["status"] in _OPEN and (why := _wait(one))
    ]
    return [Text(printable(line), style="dim") for line in [*told, *meanings(result)]]


def meanings(result: Mapping[str, Any]) -> list[str]:
    """Return a line for each number that a detector gave: what it means."""
    return [f"{one['detector']}: {note}." for one in result["detectors"] for note in notes(one)]


def _wait(detector: Mapping[str, Any]) -> str:
    why = " - ".join(detector[name] for name in ("waiting_for", "reason_text") if detector.get(name))
    until = ", ".join(f"{words} {detector[name]}" for name, words in _UNTIL if detector.get(name))
    return f"{why} ({until})" if why and until else why or until


def _title(result: Mapping[str, Any], host: str | None) -> str:
    return plain_markup(name_of(result, host)[:70])


def name_of(result: Mapping[str, Any], host: str | None) -> str:
    """Return the audio's name. Without one: whether it is still on its way from `host`, or that there is none."""
    if name := result["track"]["filename"]:
        return str(name)
    place = f" from {host}" if host else ""
    return f"the audio is being fetched{place}" if result["completed_at"] is None else f"no audio{place}"


def _row(detector: Mapping[str, Any]) -> list[str]:
    score, wall = detector["score"], detector["timing"]["wall_ms"]
    return [
        plain_markup(detector["detector"]),
        _MARKS.get(detector["status"]) or plain_markup(detector["status"]),
        plain_markup(detector["verdict"] or detector["reason_code"]),
        f"[dim]{score['value']} of {score['max']}[/]" if score else "",
        plain_markup(detector["obtained"]["via"]),
        "" if wall is None else f"{wall / 1000:.1f}",
    ]


def _verdict(result: Mapping[str, Any], host: str | None) -> Panel:
    found = result["verdict"] or ("no verdict yet" if result["completed_at"] is None else "no verdict")
    agreed = [result["agreement"]] if result["verdict"] else []
    lines = [f"[bold]{plain_markup(found)}[/]  ({plain_markup(', '.join([result['status'], *agreed]))})"]
    if result["display"]:
        lines.append(plain_markup(result["display"]))
    digest = result["track"]["audio_sha256"]
    known = [result["id"], f"revision {result['revision']}", *([f"sha256 {digest}"] if digest else [])]
    lines.append(f"[dim]{'  '.join(known)}[/]")
    return Panel("\n".join(lines), title=f"verdict: {_title(result, host)}", title_align="left", expand=False)


def plain_markup(text: str | None) -> str:
    """Return the text of others without markup of rich's or control codes of the terminal's."""
    return escape(printable(text or ""))

"""Counting what happens, and writing numbers down as Prometheus reads them (text exposition format 0.0.4).

Counters belong to the process and begin at nothing with it. What stands in the database is not counted here: it is
asked for when somebody looks. What is counted, the rooms and doors say, beside what they count.
"""

import os
import re
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_lock = threading.Lock()
_declared: dict[str, "Count"] = {}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `kind` is `counter` or `gauge`; `series` are texts such as `name{label="x"}` and their values."""

    name: str
    kind: str
    about: str
    series: Mapping[str, float]


class Count:
    """A counter of this process. Declared once, at import, with the names of its labels."""

    def __init__(self, name: str, about: str, *labels: str) -> None:
        if name in _declared or not _NAME.fullmatch(name) or not name.endswith("_total"):
            raise ValueError(f"{name!r} is taken, or no name for a counter")
        self.name, self.about, self.labels = name, about, labels
        self._values: dict[tuple[str, ...], float] = {}
        _declared[name] = self

    def add(self, *values: str, n: float = 1) -> None:
        """Add `n`. `values` are the labels', in their order: few and known, never a caller's text."""
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}")
        with _lock:
            self._values[values] = self._values.get(values, 0) + n

    def value(self, *values: str) -> float:
        """Return the count so far."""
        return self._values.get(values, 0)

    def series(self) -> dict[str, float]:
        """Return every value by the text of its series."""
        with _lock:
            found = sorted(self._values.items())
        return {series(self.name, dict(zip(self.labels, values, strict=True))): n for values, n in found}


def declared() -> list[Count]:
    """Return every counter of the modules that are loaded, by name."""
    return [_declared[name] for name in sorted(_declared)]


def counted() -> dict[str, float]:
    """Return all counters of this process by the texts of their series."""
    return {text: value for count in declared() for text, value in count.series().items()}


def process_name() -> str:
    """Return the name of this process in its metrics and its heartbeat: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def series(name: str, labels: Mapping[str, str]) -> str:
    """Return the text of one series: `name{label="value"}`."""
    inside = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name


def of_process(text: str, process: str) -> str:
    """Return the series `text` with the process as a label: processes count apart, and must not be mixed."""
    name, brace, rest = text.partition("{")
    own = f'process="{process.translate(_ESCAPES)}"'
    return f"{name}{{{own},{rest}" if brace else f"{name}{{{own}}}"


def counter_families(by_process: Mapping[str, Mapping[str, float]]) -> list[Family]:
    """Return the declared counters, with what each process (name → series → value) has counted."""
    families = []
    for count in declared():
        found = {
            of_process(text, process): value
            for process, counts in by_process.items()
            for text, value in counts.items()
            if text.partition("{")[0] == count.name
        }
        families.append(Family(count.name, "counter", count.about, found))
    return families


def rendered(families: Iterable[Family]) -> str:
    """Write the families as text, each with its HELP and TYPE."""
    lines: list[str] = []
    for family in families:
        about = family.about.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {family.name} {about}", f"# TYPE {family.name} {family.kind}"]
        lines += [f"{text} {value:.15g}" for text, value in family.series.items()]
    return "\n".join(lines) + "\n"

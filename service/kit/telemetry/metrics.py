"""Count what happens in this process, and how long it takes. `exposition` writes it down for Prometheus.

Counters and histograms belong to the process and begin at nothing with it. What waits in the database is not counted
here; it is read when `/metrics` is. Each metric is declared in the file that counts.
"""

import os
import re
import socket
import threading
import time
from bisect import bisect_left
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Generic, Literal, TypeVar

T = TypeVar("T")
Value = TypeVar("Value", float, list[float])
Figures = Mapping[str, "float | Sequence[float]"]
"""What a process has counted: the value of each series, by its text. A histogram's is a list."""

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The upper bounds of a histogram's buckets, in seconds. One more bucket holds what took longer."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_lock = threading.Lock()
_declared: dict[str, "Count | Histogram"] = {}


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that goes up and down, as it is now. `values` has it by the values of its labels, in their order."""

    name: str
    about: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


class _Metric(Generic[Value]):
    """What this process has counted under one name. Declared once, at import, with the names of its labels."""

    suffix: ClassVar[str]

    def __init__(self, name: str, about: str, *labels: str) -> None:
        if name in _declared or not _NAME.fullmatch(name) or not name.endswith(self.suffix):
            raise ValueError(f"{name!r} is taken, or no name that ends in {self.suffix}")
        self.name, self.about, self.labels = name, about, labels
        self._values: dict[tuple[str, ...], Value] = {}

    def series(self) -> dict[str, Value]:
        """Return every value by the text of its series."""
        with _lock:
            found = sorted((values, self._copy(value)) for values, value in self._values.items())
        return {series(self.name, dict(zip(self.labels, values, strict=True))): value for values, value in found}

    def _copy(self, value: Value) -> Value:
        return value

    def _check(self, values: tuple[str, ...]) -> None:
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}")


class Count(_Metric[float]):
    """A counter of this process."""

    kind: Literal["counter"] = "counter"
    suffix = "_total"

    def __init__(self, name: str, about: str, *labels: str) -> None:
        super().__init__(name, about, *labels)
        _declared[name] = self

    def add(self, *values: str, n: float = 1) -> None:
        """Add `n`. `values` are the labels', in their order: few and known, never a caller's text."""
        self._check(values)
        with _lock:
            self._values[values] = self._values.get(values, 0) + n

    def value(self, *values: str) -> float:
        """Return the count so far."""
        return self._values.get(values, 0)


class Histogram(_Metric[list[float]]):
    """The times that something took in this process, in seconds.

    A series is the number of observations in each bucket, not cumulated, then the sum of all their seconds.
    """

    kind: Literal["histogram"] = "histogram"
    suffix = "_seconds"

    def __init__(self, name: str, about: str, *labels: str) -> None:
        super().__init__(name, about, *labels)
        _declared[name] = self

    def observe(self, seconds: float, *values: str) -> None:
        """Add one observation. `values` are the labels', in their order: few and known, never a caller's text.

        A negative time is taken as 0: the clock of the machine was set back.
        """
        self._check(values)
        seconds = max(seconds, 0.0)
        with _lock:
            buckets = self._values.get(values)
            if buckets is None:
                buckets = self._values[values] = [0.0] * (len(BOUNDS) + 2)
            buckets[bisect_left(BOUNDS, seconds)] += 1
            buckets[-1] += seconds

    async def timed(self, work: Awaitable[T], *values: str) -> T:
        """Return what `work` returned. Observe how long it took, also if it raised."""
        started = time.monotonic()
        try:
            return await work
        finally:
            self.observe(time.monotonic() - started, *values)

    def count(self, *values: str) -> float:
        """Return the number of observations so far."""
        return sum(self._values.get(values, [0.0])[:-1])

    def _copy(self, value: list[float]) -> list[float]:
        return list(value)  # the next observation changes it


def declared() -> "list[Count | Histogram]":
    """Return every counter and histogram of the modules that are loaded, by name."""
    return [_declared[name] for name in sorted(_declared)]


def counted() -> dict[str, float]:
    """Return all counters of this process by the texts of their series."""
    counters = [metric for metric in declared() if isinstance(metric, Count)]
    return {text: value for counter in counters for text, value in counter.series().items()}


def figures() -> Figures:
    """Return all counters and histograms of this process, as its heartbeat holds them."""
    return dict(chain.from_iterable(metric.series().items() for metric in declared()))


def process_name() -> str:
    """Return the name of this process in its metrics and its heartbeat: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def series(name: str, labels: Mapping[str, str]) -> str:
    """Return the text of one series: `name{label="value"}`."""
    inside = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name

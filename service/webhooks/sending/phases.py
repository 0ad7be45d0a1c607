"""The phases of an attempt and their times, by the steps that were reported while it was made."""

import time
from dataclasses import dataclass, field
from typing import Literal

from service.kit.http.steps import CONNECTED, CONNECTING, DIALLED, LOOKED_UP, LOOKING_UP, SECURED, SECURING

Phase = Literal["lookup", "connect", "handshake", "request", "answer"]
"""The phase of an attempt when it ended. `answer`: something had come back."""

PHASES = ("dns", "connect", "tls", "first_byte", "total")

ANSWERED = "answered"


@dataclass(slots=True)
class Stopwatch:
    """Marks of one request, by the monotonic clock."""

    started: float = field(default_factory=time.monotonic)
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str) -> None:
        """Note that `name` happens now, unless it had happened before."""
        self.marks.setdefault(name, time.monotonic())

    @property
    def reused(self) -> bool:
        """Return True if the request has a connection, and none was made for it: it was kept alive."""
        return CONNECTED in self.marks and CONNECTING not in self.marks

    @property
    def reached(self) -> Phase:
        """Return the phase at the last mark."""
        if CONNECTED in self.marks:
            return "request"
        if SECURING in self.marks:
            return "handshake"
        return "connect" if DIALLED in self.marks else "lookup"

    def phases(self) -> dict[str, int | None]:
        """Return milliseconds for `dns, connect, tls, first_byte, total`; `None` for what did not happen."""
        marks = self.marks
        begin = DIALLED if DIALLED in marks else LOOKED_UP if LOOKED_UP in marks else CONNECTING
        return {
            "dns": self._span(LOOKING_UP, LOOKED_UP),
            "connect": self._span(begin, SECURING if SECURING in marks else CONNECTED),
            "tls": self._span(SECURING, SECURED),
            "first_byte": self._since_start(ANSWERED),
            "total": _milliseconds(time.monotonic() - self.started),
        }

    def _span(self, start: str, end: str) -> int | None:
        if start not in self.marks or end not in self.marks:
            return None
        return _milliseconds(self.marks[end] - self.marks[start])

    def _since_start(self, name: str) -> int | None:
        return _milliseconds(self.marks[name] - self.started) if name in self.marks else None


def _milliseconds(span: float) -> int:
    return max(0, round(span * 1000))

"""Where the time of an attempt went, read off aiohttp's tracing."""

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal

import aiohttp

from service.kit.steps import DIALLED, SECURED, SECURING

Phase = Literal["lookup", "connect", "handshake", "request", "answer"]
"""What a try was doing when it ended. `answer`: something had come back."""

PHASES = ("dns", "connect", "tls", "first_byte", "total")

Mark = Callable[[aiohttp.ClientSession, SimpleNamespace, Any], Coroutine[Any, Any, None]]


@dataclass(slots=True)
class Stopwatch:
    """Marks of one request. `reused` says whether it went out on a kept-alive connection."""

    started: float = field(default_factory=time.monotonic)
    marks: dict[str, float] = field(default_factory=dict)
    reused: bool = False

    def mark(self, name: str) -> None:
        """`name` happened now, unless it had happened before."""
        self.marks.setdefault(name, time.monotonic())

    @property
    def reached(self) -> Phase:
        """What was being done at the last mark."""
        if self.reused or "connect_end" in self.marks:
            return "request"
        if SECURING in self.marks:
            return "handshake"
        return "connect" if DIALLED in self.marks else "lookup"

    def phases(self) -> dict[str, int | None]:
        """Milliseconds for `dns, connect, tls, first_byte, total`; `None` for what did not happen."""
        begin = next((mark for mark in (DIALLED, "dns_end") if mark in self.marks), "connect_start")
        return {
            "dns": self._span("dns_start", "dns_end"),
            "connect": self._span(begin, SECURING if SECURING in self.marks else "connect_end"),
            "tls": self._span(SECURING, SECURED),
            "first_byte": self._since_start("answered"),
            "total": _milliseconds(time.monotonic() - self.started),
        }

    def _span(self, start: str, end: str) -> int | None:
        if start not in self.marks or end not in self.marks:
            return None
        return _milliseconds(self.marks[end] - self.marks[start])

    def _since_start(self, name: str) -> int | None:
        return _milliseconds(self.marks[name] - self.started) if name in self.marks else None


def phase_tracing() -> aiohttp.TraceConfig:
    """Tracing that fills the `Stopwatch` given as `trace_request_ctx`."""
    tracing = aiohttp.TraceConfig()
    tracing.on_dns_resolvehost_start.append(_marking("dns_start"))
    tracing.on_dns_resolvehost_end.append(_marking("dns_end"))
    tracing.on_connection_create_start.append(_marking("connect_start"))
    tracing.on_connection_create_end.append(_marking("connect_end"))
    tracing.on_connection_reuseconn.append(_note_reuse)
    return tracing


def _marking(name: str) -> Mark:
    async def note(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
        context.trace_request_ctx.mark(name)

    return note


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _: object) -> None:
    context.trace_request_ctx.reused = True


def _milliseconds(span: float) -> int:
    return max(0, round(span * 1000))
